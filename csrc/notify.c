/* SPDX-License-Identifier: Apache-2.0 */
#include "notify.h"

#include <stdlib.h>
#include <string.h>

#include "mount.h"

struct notice {
    struct ajf_list link;
    uint64_t nodeid; /* of the directory of a name, or what it is about itself */
    bool pages;
    size_t len; /* of the name; 0: none */
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
    struct ajf_list *l;
    while ((l = ajf_list_pop(&n->queue)))
        free(AJF_CONTAINER(l, struct notice, link));
    pthread_cond_destroy(&n->wake);
    pthread_mutex_destroy(&n->lock);
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
        /* -ENOENT: the kernel had forgotten it already */
        if (notice->len)
            fuse_lowlevel_notify_inval_entry(n->m->session.se, notice->nodeid, notice->name, notice->len);
        else
            fuse_lowlevel_notify_inval_inode(n->m->session.se, notice->nodeid, notice->pages ? 0 : -1, 0);
        free(notice);
        pthread_mutex_lock(&n->lock);
    }
    pthread_mutex_unlock(&n->lock);
    return NULL;
}

static void queue(struct ajf_notify *n, uint64_t nodeid, bool pages, const char *name, size_t len)
{
    struct notice *notice = malloc(sizeof *notice + len + 1);
    if (!notice)
        return;
    notice->nodeid = nodeid;
    notice->pages = pages;
    notice->len = len;
    memcpy(notice->name, name, len);
    notice->name[len] = '\0';
    pthread_mutex_lock(&n->lock);
    if (!n->started && !n->stopping)
        n->started = !pthread_create(&n->thread, NULL, run, n);
    ajf_list_add(&n->queue, &notice->link);
    pthread_cond_signal(&n->wake);
    pthread_mutex_unlock(&n->lock);
}

void ajf_notify_name(struct ajf_notify *n, uint64_t parent, const char *name, size_t len)
{
    queue(n, len ? parent : AJF_ROOT, false, name, len);
}

void ajf_notify_pages(struct ajf_notify *n, uint64_t nodeid)
{
    queue(n, nodeid, true, "", 0);
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
}
