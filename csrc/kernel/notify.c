/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/notify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mount.h"

struct notice {
    struct ajf_list link;
    uint64_t parent, nodeid; /* the parent of the name, and the record that is told of */
    bool pages, directory;
    void (*done)(struct ajf *m, void *arg);
    void *arg;
    size_t len; /* of the name; 0 = there is none */
    char name[];
};

void ajf_notify_init(struct ajf_notify *n, struct ajf *m)
{
    memset(n, 0, sizeof *n);
    pthread_mutex_init(&n->lock, NULL);
    ajf_cond_init(&n->wake);
    ajf_list_init(&n->queue);
    n->m = m;
}

void ajf_notify_done(struct ajf_notify *n)
{
    pthread_cond_destroy(&n->wake);
    pthread_mutex_destroy(&n->lock);
}

/* The kernel's answer does not matter: -ENOENT says that it had forgotten the name already. */
static void tell(struct ajf *m, const struct notice *notice)
{
    struct fuse_session *se = m->session.se;
    if (notice->done) {
        notice->done(m, notice->arg);
        return;
    }
    if (notice->len && ajf_expire_entry(se, notice->parent, notice->name, notice->len) == -ENOSYS && !notice->directory)
        fuse_lowlevel_notify_inval_entry(se, notice->parent, notice->name, notice->len);
    if (notice->nodeid)
        fuse_lowlevel_notify_inval_inode(se, notice->nodeid, notice->pages ? 0 : -1, 0);
}

static void *run(void *arg)
{
    struct ajf_notify *n = arg;
    pthread_setname_np(pthread_self(), "ajf-notify");
    pthread_mutex_lock(&n->lock);
    while (!n->stopping) {
        struct ajf_list *l = ajf_list_pop(&n->queue);
        if (!l) {
            pthread_cond_wait(&n->wake, &n->lock);
            continue;
        }
        pthread_mutex_unlock(&n->lock);
        struct notice *notice = AJF_CONTAINER(l, struct notice, link);
        tell(n->m, notice);
        free(notice);
        pthread_mutex_lock(&n->lock);
    }
    pthread_mutex_unlock(&n->lock);
    return NULL;
}

/* False: there is no thread that would take it. */
static bool queue(struct ajf_notify *n, struct notice *notice)
{
    pthread_mutex_lock(&n->lock);
    if (!n->started && !n->stopping)
        n->started = !pthread_create(&n->thread, NULL, run, n);
    bool queued = n->started;
    if (queued) {
        ajf_list_add(&n->queue, &notice->link);
        pthread_cond_signal(&n->wake);
    }
    pthread_mutex_unlock(&n->lock);
    return queued;
}

void ajf_notify_name(struct ajf_notify *n, uint64_t parent, const char *name, size_t len, uint64_t nodeid,
                     bool directory)
{
    struct notice *notice = calloc(1, sizeof *notice + len + 1);
    if (!notice)
        return;
    notice->parent = parent;
    notice->nodeid = len ? nodeid : AJF_ROOT;
    notice->directory = directory;
    notice->len = len;
    memcpy(notice->name, name, len);
    if (!queue(n, notice))
        free(notice);
}

void ajf_notify_pages(struct ajf_notify *n, uint64_t nodeid)
{
    struct notice *notice = calloc(1, sizeof *notice + 1);
    if (!notice)
        return;
    notice->nodeid = nodeid;
    notice->pages = true;
    if (!queue(n, notice))
        free(notice);
}

void ajf_notify_then(struct ajf_notify *n, void (*done)(struct ajf *m, void *arg), void *arg)
{
    struct notice *notice = calloc(1, sizeof *notice + 1);
    if (notice) {
        notice->done = done;
        notice->arg = arg;
    }
    if (!notice || !queue(n, notice)) {
        free(notice);
        done(n->m, arg);
    }
}

void ajf_notify_stop(struct ajf_notify *n)
{
    pthread_mutex_lock(&n->lock);
    n->stopping = true;
    bool join = n->started;
    n->started = false;
    pthread_cond_signal(&n->wake);
    pthread_mutex_unlock(&n->lock);
    if (join)
        pthread_join(n->thread, NULL);
    struct ajf_list *l;
    while ((l = ajf_list_pop(&n->queue))) { /* nobody adds to it any more */
        struct notice *notice = AJF_CONTAINER(l, struct notice, link);
        if (notice->done)
            notice->done(n->m, notice->arg);
        free(notice);
    }
}
