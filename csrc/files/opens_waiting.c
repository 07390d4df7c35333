/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies go out after the lock is dropped; a granted open is counted before its reply, so that a RELEASE of another
 * handle cannot end the mode in between, and taken back when the reply fails.
 */
#include "files/opens_waiting.h"

#include <stdlib.h>

#include "base/check.h"
#include "files/opens.h"
#include "kernel/reply.h"
#include "mount.h"

/* The kernel has not taken it, and has dropped nothing. */
static void unopen(struct ajf *m, uint64_t nodeid, uint64_t fh)
{
    if (fh) {
        ajf_inode_spoil(&m->inodes, nodeid);
        ajf_inode_settle(&m->inodes, nodeid, (uint32_t)fh);
    }
    ajf_file_release(m, nodeid);
}

void ajf_openers_reply(struct ajf *m, const struct ajf_request *req, const struct fuse_file_info *fi)
{
    ajf_reply_open(m, req, fi, unopen);
}

void ajf_openers_take_locked(struct ajf *m, struct ajf_file *file, struct ajf_list *ret_openers, bool failed)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_list *l, later;
    ajf_list_init(&later);
    while ((l = ajf_list_pop(&file->opens_waiting))) {
        struct ajf_opener *o = AJF_CONTAINER(l, struct ajf_opener, link);
        bool mine = ajf_wait_take(m, &o->wait);
        ajf_list_add(mine ? ret_openers : &later, l);
        file->refs -= mine; /* the caller has another */
        if (mine)
            ajf_use_waited_locked(&file->usage, &o->wait.request, failed);
    }
    while ((l = ajf_list_pop(&later)))
        ajf_list_add(&file->opens_waiting, l); /* its taker unlinks and frees it */
    file->state = AJF_FILE_READY;
    file->opening = NULL;
}

void ajf_openers_answer(struct ajf *m, struct ajf_list *openers, int err)
{
    struct ajf_list *l;
    while ((l = ajf_list_pop(openers))) {
        struct ajf_opener *o = AJF_CONTAINER(l, struct ajf_opener, link);
        if (err)
            ajf_reply_err(m, &o->wait.request, err);
        else
            ajf_openers_reply(m, &o->wait.request, &o->fi);
        ajf_wait_answered(m, &o->wait);
        free(o);
    }
}

void ajf_openers_grant_locked(struct ajf *m, struct ajf_file *file, struct ajf_list *ret_openers)
{
    AJF_HELD(&m->cache.lock);
    ajf_openers_take_locked(m, file, ret_openers, false);
    AJF_LIST_FOR(l, ret_openers)
        ajf_file_grant_locked(m, file, &AJF_CONTAINER(l, struct ajf_opener, link)->fi);
}

void ajf_openers_refused(struct ajf *m, struct ajf_file *file, int err)
{
    struct ajf_list openers;
    ajf_list_init(&openers);
    pthread_mutex_lock(&m->cache.lock);
    if (file->state == AJF_FILE_READY && !file->pages.n_have)
        ajf_openers_take_locked(m, file, &openers, true);
    ajf_cache_unlock(&m->cache);
    ajf_openers_answer(m, &openers, err);
}
