/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/metadata.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "files/opens.h"
#include "kernel/reply.h"
#include "mount.h"
#include "names/dir.h"

void ajf_metadata_init(struct ajf_metadata *metadata)
{
    pthread_mutex_init(&metadata->lock, NULL);
    metadata->statfs = (struct statvfs){.f_bsize = 4096, .f_frsize = 4096, .f_namemax = AJF_NAME_MAX};
    for (int i = 0; i < AJF_METADATA_BUCKETS; i++)
        ajf_list_init(&metadata->joinable[i]);
}

void ajf_metadata_done(struct ajf_metadata *metadata)
{
    pthread_mutex_destroy(&metadata->lock);
}

/* ----------------------------------------------------------------------------------------------------- parking */

static struct ajf_list *bucket(struct ajf_metadata *metadata, uint64_t nodeid)
{
    return &metadata->joinable[nodeid % AJF_METADATA_BUCKETS];
}

static struct ajf_ask *find_locked(struct ajf_metadata *metadata, enum ajf_fetch_kind kind, uint64_t nodeid,
                                   const char *name)
{
    AJF_HELD(&metadata->lock);
    AJF_LIST_FOR(l, bucket(metadata, nodeid))
    {
        struct ajf_ask *ask = AJF_CONTAINER(l, struct ajf_ask, by_key);
        const struct ajf_fetch *f = &ask->fetch;
        if (f->info.kind == kind && f->nodeid == nodeid && !f->name == !name && (!name || !strcmp(f->name, name)))
            return ask;
    }
    return NULL;
}

static struct ajf_ask *ask_new(struct ajf *m, enum ajf_fetch_kind kind, uint64_t nodeid, const char *name)
{
    struct ajf_fetch *f = ajf_fetch_new(m, ajf_metadata_ops(kind), kind, AJF_LANE_METADATA, nodeid, name);
    if (!f)
        return NULL;
    struct ajf_ask *ask = AJF_CONTAINER(f, struct ajf_ask, fetch);
    ajf_list_init(&ask->calls);
    ajf_list_init(&ask->by_key);
    if (kind == AJF_FETCH_STAT && !name && m->follows_growth)
        f->info.version = ajf_file_open_version(m, nodeid);
    return ask;
}

bool ajf_metadata_is_wanted_locked(const struct ajf_ask *ask)
{
    const struct ajf_fetch *f = &ask->fetch;
    return !ajf_list_empty(&ask->calls) || (f->info.kind == AJF_FETCH_STAT && f->nodeid == AJF_ROOT && !f->name);
}

static struct ajf_waste *drop_call(struct ajf *m, struct ajf_wait *w, int err)
{
    struct ajf_call *call = AJF_CONTAINER(w, struct ajf_call, wait);
    struct ajf_ask *ask, *queued = NULL;
    pthread_mutex_lock(&m->metadata.lock);
    ask = call->ask;
    ajf_list_del(&call->link);
    if (err == EIO && ask)
        ajf_list_del(&ask->by_key); /* it may hang: the next request shall ask anew */
    if (ask && !ajf_metadata_is_wanted_locked(ask) && ajf_queue_cancel(&m->queue, &ask->fetch)) {
        ajf_list_del(&ask->by_key);
        queued = ask;
    } else if (err == EIO && ask && ajf_list_empty(&ask->calls)) {
        ajf_queue_uncount(&m->queue, &ask->fetch); /* it hangs in the source: its place shall not be missed */
        AJF_COUNT(&m->stats, fetch_abandoned);
    }
    pthread_mutex_unlock(&m->metadata.lock);
    free(call);
    if (queued) {
        AJF_COUNT(&m->stats, fetch_cancelled);
        queued->fetch.answered = true;
        ajf_fetch_release(&queued->fetch);
    }
    return NULL;
}

/* Joins or starts the fetch; answers `call` itself when that cannot be done. Takes the call. */
static void park(struct ajf *m, struct ajf_call *call, enum ajf_fetch_kind kind, uint64_t nodeid, const char *name)
{
    struct ajf_metadata *metadata = &m->metadata;
    const struct ajf_request *req = &call->wait.request;
    call->wait.drop = drop_call;
    call->wait.class = call->wait.late ? AJF_WAIT_BRIEF : AJF_WAIT_METADATA;
    ajf_wait_arm(m, req);
    pthread_mutex_lock(&metadata->lock);
    struct ajf_ask *ask = find_locked(metadata, kind, nodeid, name), *started = NULL;
    if (!ask && (ask = started = ask_new(m, kind, nodeid, name)))
        ajf_list_add(bucket(metadata, nodeid), &ask->by_key);
    int err = ask ? 0 : -ENOMEM;
    if (ask) {
        call->ask = ask;
        ajf_list_add(&ask->calls, &call->link);
        err = ajf_wait_park(m, &call->wait);
        if (err)
            ajf_list_del(&call->link);
    }
    bool direct = started && ajf_direct_may(&m->direct, kind);
    if (started && !direct)
        ajf_queue_push(&m->queue, &started->fetch);
    pthread_mutex_unlock(&metadata->lock);
    if (err) {
        ajf_reply_err(m, req, -err);
        free(call);
    }
    if (direct)
        ajf_direct_ask(m, &started->fetch);
}

static struct ajf_call *call_new(struct ajf *m, const struct ajf_request *req)
{
    struct ajf_call *call = calloc(1, sizeof *call);
    if (!call) {
        ajf_reply_err(m, req, ENOMEM);
        return NULL;
    }
    call->wait.request = *req;
    return call;
}

void ajf_metadata_forget(struct ajf_metadata *metadata)
{
    metadata->forgotten_ns = ajf_now_ns();
}

static const struct ajf_ask **overdue(struct ajf_metadata *metadata, const struct ajf_call *call)
{
    return call->attributes ? &metadata->overdue_root : &metadata->overdue_statfs;
}

static void answer_with_what_was_known(struct ajf *m, const struct ajf_call *call)
{
    struct ajf_inode_view v;
    if (call->attributes) {
        ajf_inode_get(&m->inodes, AJF_ROOT, &v);
        ajf_reply_attr(m, &call->wait.request, &v);
        return;
    }
    pthread_mutex_lock(&m->metadata.lock);
    struct statvfs st = m->metadata.statfs;
    pthread_mutex_unlock(&m->metadata.lock);
    ajf_reply_statfs(m, &call->wait.request, &st);
}

static void answer_late(struct ajf *m, struct ajf_wait *w)
{
    struct ajf_call *call = AJF_CONTAINER(w, struct ajf_call, wait);
    pthread_mutex_lock(&m->metadata.lock);
    if (call->ask)
        *overdue(&m->metadata, call) = call->ask;
    pthread_mutex_unlock(&m->metadata.lock);
    answer_with_what_was_known(m, call);
}

/* Like park, for a question about the mount as a whole; not for long, and not at all while it has been long already. */
static void park_briefly(struct ajf *m, struct ajf_call *call, enum ajf_fetch_kind kind)
{
    pthread_mutex_lock(&m->metadata.lock);
    bool late = *overdue(&m->metadata, call);
    pthread_mutex_unlock(&m->metadata.lock);
    call->wait.late = answer_late;
    if (!late) {
        park(m, call, kind, AJF_ROOT, NULL);
        return;
    }
    answer_with_what_was_known(m, call);
    free(call);
}

/* ------------------------------------------------------------------------------------------------ the requests */

/* 0, -ENOENT until ret_view->expires_ns, or -EAGAIN: the source is to be asked. */
static int look_up(struct ajf *m, uint64_t parent, const char *name, size_t len, struct ajf_inode_view *ret_view)
{
    uint64_t now = ajf_now_ns(), expires;
    struct ajf_attr attr;
    int known = ajf_inode_find(&m->inodes, parent, name, len, now, ret_view);
    if (!known && ajf_dir_denies(m, parent, name, len, now, ret_view->expires_ns)) {
        ajf_inode_forget(&m->inodes, ret_view->nodeid, 1);
        known = -EAGAIN;
    }
    if (!known)
        return 0;
    int listed = ajf_dir_find(m, parent, name, len, now, &attr, &expires);
    if (!listed) {
        listed = ajf_inode_bind(&m->inodes, parent, name, len, &attr, expires, true, ret_view);
        return listed == -ENOENT ? known : listed; /* the listing is older than what says that it is gone */
    }
    if (known == -EAGAIN && listed == -ENOENT) {
        ret_view->expires_ns = expires;
        return -ENOENT;
    }
    return known;
}

void ajf_metadata_lookup(struct ajf *m, const struct ajf_request *req, uint64_t parent, const char *name)
{
    size_t len = strlen(name);
    struct ajf_inode_view v;
    if (len > AJF_NAME_MAX) {
        ajf_reply_err(m, req, ENAMETOOLONG);
        return;
    }
    int err = look_up(m, parent, name, len, &v);
    if (!err) {
        ajf_reply_entry(m, req, &v);
    } else if (err == -ENOENT) {
        ajf_reply_negative(m, req, v.expires_ns);
    } else {
        struct ajf_call *call = call_new(m, req);
        if (!call)
            return;
        park(m, call, AJF_FETCH_STAT, parent, name);
    }
}

void ajf_metadata_getattr(struct ajf *m, const struct ajf_request *req, uint64_t nodeid)
{
    struct ajf_inode_view v;
    int err = ajf_inode_get(&m->inodes, nodeid, &v);
    if (err) {
        ajf_reply_err(m, req, -err);
    } else if (v.stale && !ajf_file_is_open(m, nodeid) && !S_ISDIR(v.attr.mode)) {
        ajf_reply_err(m, req, ESTALE); /* a path walk: the kernel looks the name up again */
    } else if ((v.stale && (!m->follows_growth || S_ISDIR(v.attr.mode))) || ajf_now_ns() < v.expires_ns) {
        ajf_reply_attr(m, req, &v);
    } else {
        struct ajf_call *call = call_new(m, req);
        if (call && nodeid == AJF_ROOT) {
            call->attributes = true;
            park_briefly(m, call, AJF_FETCH_STAT);
        } else if (call) {
            park(m, call, AJF_FETCH_STAT, nodeid, NULL);
        }
    }
}

void ajf_metadata_confirm(struct ajf *m, const struct ajf_request *req, const struct ajf_inode_view *v,
                          const struct fuse_file_info *fi, ajf_metadata_then open)
{
    struct ajf_call *call = call_new(m, req);
    if (!call)
        return;
    call->open = open;
    call->fi = *fi;
    call->checked = (struct ajf_permissions){.mode = v->attr.mode, .uid = v->attr.uid, .gid = v->attr.gid};
    park(m, call, AJF_FETCH_STAT, v->nodeid, NULL);
}

void ajf_metadata_readlink(struct ajf *m, const struct ajf_request *req, uint64_t nodeid)
{
    struct ajf_call *call = call_new(m, req);
    if (call)
        park(m, call, AJF_FETCH_READLINK, nodeid, NULL);
}

void ajf_metadata_statfs(struct ajf *m, const struct ajf_request *req)
{
    struct ajf_call *call = call_new(m, req);
    if (call)
        park_briefly(m, call, AJF_FETCH_STATFS);
}

void ajf_metadata_refresh(struct ajf *m, const struct ajf_request *req, uint64_t nodeid, const char *name)
{
    struct ajf_call *call = call_new(m, req);
    if (call)
        park(m, call, AJF_FETCH_FORGET, nodeid, *name ? name : NULL);
}

void ajf_metadata_list(struct ajf *m, const struct ajf_request *req, uint64_t nodeid, const struct fuse_file_info *fi)
{
    struct ajf_call *call = call_new(m, req);
    if (!call)
        return;
    call->fi = *fi;
    park(m, call, AJF_FETCH_LIST, nodeid, NULL);
}
