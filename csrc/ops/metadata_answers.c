/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of the source about names and attributes: learnt, and told to the requests that wait for them. */
#include "ops/metadata.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "files/opens.h"
#include "kernel/reply.h"
#include "mount.h"
#include "names/dir.h"
#include "ops/invalidate.h"
#include "ops/readdir.h"

static struct ajf_ask *ask_of(struct ajf_fetch *f)
{
    return AJF_CONTAINER(f, struct ajf_ask, fetch);
}

/* A fetcher took the fetch: nobody joins it any more. */
static bool begin(struct ajf_fetch *f)
{
    pthread_mutex_lock(&f->m->metadata.lock);
    ajf_list_del(&ask_of(f)->by_key);
    pthread_mutex_unlock(&f->m->metadata.lock);
    return true;
}

static bool is_wanted(struct ajf_fetch *f)
{
    pthread_mutex_lock(&f->m->metadata.lock);
    bool wanted = ajf_metadata_is_wanted_locked(ask_of(f));
    pthread_mutex_unlock(&f->m->metadata.lock);
    return wanted;
}

/* Takes the calls of a list that still wait; those that somebody else took are left for him to unlink. */
static void take_waiting_locked(struct ajf *m, struct ajf_list *waiting, struct ajf_list *ret_calls)
{
    AJF_HELD(&m->metadata.lock);
    ajf_list_init(ret_calls);
    AJF_LIST_FOR_SAFE(l, waiting)
    {
        struct ajf_call *call = AJF_CONTAINER(l, struct ajf_call, link);
        bool mine = ajf_wait_take(m, &call->wait);
        ajf_list_del(l);
        call->ask = NULL;
        if (mine)
            ajf_list_add(ret_calls, l);
    }
}

static void take_waiting(struct ajf *m, struct ajf_list *waiting, struct ajf_list *ret_calls)
{
    pthread_mutex_lock(&m->metadata.lock);
    take_waiting_locked(m, waiting, ret_calls);
    pthread_mutex_unlock(&m->metadata.lock);
}

/* Those that wait for the fetch. */
static void take_calls(struct ajf_fetch *f, struct ajf_list *ret_calls)
{
    struct ajf_ask *ask = ask_of(f);
    pthread_mutex_lock(&f->m->metadata.lock);
    ajf_list_del(&ask->by_key); /* nobody joins an answer */
    take_waiting_locked(f->m, &ask->calls, ret_calls);
    pthread_mutex_unlock(&f->m->metadata.lock);
}

#define FOR_CALLS(m, call, calls)                                                                                      \
    for (struct ajf_call *call; !ajf_list_empty(calls) &&                                                              \
                                (call = AJF_CONTAINER(ajf_list_pop(calls), struct ajf_call, link), true);              \
         call_done((m), call))

static void call_done(struct ajf *m, struct ajf_call *call)
{
    ajf_wait_answered(m, &call->wait);
    free(call);
}

static void refuse(struct ajf *m, struct ajf_list *calls, int err)
{
    struct ajf_list *l;
    while ((l = ajf_list_pop(calls))) {
        struct ajf_call *call = AJF_CONTAINER(l, struct ajf_call, link);
        ajf_reply_err(m, &call->wait.request, err);
        ajf_wait_answered(m, &call->wait);
        free(call);
    }
}

/* The source was asked before something was to be forgotten. Looked at after its answer is noted, or both miss it. */
static bool is_outdated(const struct ajf_fetch *f)
{
    return f->started_ns <= f->m->metadata.forgotten_ns;
}

static void attr_of_name(struct ajf_fetch *f, const struct ajf_attr *attr, uint64_t expires)
{
    struct ajf *m = f->m;
    struct ajf_list calls;
    if (ajf_dir_hear(m, f->nodeid, f->name, f->name_len, attr, f->started_ns) == AJF_DIR_KNOWS_BETTER)
        expires = 0;
    take_calls(f, &calls);
    FOR_CALLS (m, call, &calls) {
        struct ajf_inode_view v;
        int err = ajf_inode_bind(&m->inodes, f->nodeid, f->name, f->name_len, attr, expires, true, &v);
        if (!err && is_outdated(f) && ajf_inode_outdate(&m->inodes, f->nodeid, f->name, f->name_len, expires + 1))
            v.expires_ns = 0;
        if (err)
            ajf_reply_err(m, &call->wait.request, -err);
        else
            ajf_reply_entry(m, &call->wait.request, &v);
    }
}

/* Until when the kernel may believe it. */
static uint64_t no_such_name(struct ajf_fetch *f)
{
    struct ajf *m = f->m;
    uint64_t lives = m->options.negative_timeout_ns, expires = lives ? f->started_ns + lives : 0;
    uint64_t learnt = f->started_ns + m->options.attr_timeout_ns;
    enum ajf_dir_said said = ajf_dir_hear(m, f->nodeid, f->name, f->name_len, NULL, f->started_ns);
    if (said == AJF_DIR_KNOWS_BETTER)
        return 0;
    bool keep = lives || said == AJF_DIR_SAID_OTHERWISE; /* who has that listing open may still be reading it */
    if (!ajf_inode_unbind(&m->inodes, f->nodeid, f->name, f->name_len, keep, expires, learnt))
        return 0;
    bool outdated = is_outdated(f) && ajf_inode_outdate(&m->inodes, f->nodeid, f->name, f->name_len, learnt + 1);
    return outdated ? 0 : expires;
}

/* The file behind an inode changed its identity or vanished: open handles keep what they have. */
static void inode_lost(struct ajf *m, uint64_t nodeid)
{
    uint64_t parent;
    size_t len;
    char name[AJF_NAME_MAX];
    struct ajf_inode_view v;
    if (!ajf_inode_get(&m->inodes, nodeid, &v) && v.stale)
        return; /* that is known */
    bool named = !ajf_inode_name(&m->inodes, nodeid, &parent, name, &len);
    bool directory = !ajf_inode_get(&m->inodes, nodeid, &v) && S_ISDIR(v.attr.mode);
    if (named)
        ajf_dirs_drop(&m->dirs, parent);
    ajf_inode_gone(&m->inodes, nodeid);
    if (named) /* afterwards, or a look-up that comes of it would find the record */
        ajf_notify_name(&m->notify, parent, name, len, nodeid, directory);
}

static void failed(struct ajf_fetch *f, int err)
{
    struct ajf_list calls;
    take_calls(f, &calls);
    refuse(f->m, &calls, err);
}

static void list_failed(struct ajf_fetch *f, int err)
{
    if (ajf_fetch_is_lost(err) && f->nodeid != AJF_ROOT)
        inode_lost(f->m, f->nodeid);
    /* The C library takes ENOENT for the end of a directory, and a mirror of the mount would take it for empty. */
    failed(f, err == ENOENT ? ESTALE : err);
}

static void stat_of_inode_failed(struct ajf_fetch *f, int err)
{
    struct ajf *m = f->m;
    struct ajf_list calls;
    struct ajf_inode_view v;
    if (!ajf_fetch_is_lost(err) || f->nodeid == AJF_ROOT) {
        failed(f, err);
        return;
    }
    take_calls(f, &calls);
    inode_lost(m, f->nodeid);
    bool open = ajf_file_is_open(m, f->nodeid) && !ajf_inode_get(&m->inodes, f->nodeid, &v);
    FOR_CALLS (m, call, &calls) {
        if (open && !call->open) /* fstat of an open file, which the protocol cannot tell from stat */
            ajf_reply_attr(m, &call->wait.request, &v);
        else
            ajf_reply_err(m, &call->wait.request, ESTALE);
    }
}

static void stat_failed(struct ajf_fetch *f, int err)
{
    struct ajf_list calls;
    if (!f->name) {
        stat_of_inode_failed(f, err);
    } else if (err != ENOENT) {
        failed(f, err);
    } else {
        uint64_t expires = no_such_name(f);
        take_calls(f, &calls);
        FOR_CALLS (f->m, call, &calls)
            ajf_reply_negative(f->m, &call->wait.request, expires);
    }
}

static void confirm(struct ajf *m, const struct ajf_call *call, const struct ajf_inode_view *v)
{
    const struct ajf_permissions is = {.mode = v->attr.mode, .uid = v->attr.uid, .gid = v->attr.gid};
    if (ajf_reply_permits_same(m, &call->checked, &is)) {
        call->open(m, &call->wait.request, v->nodeid, &call->fi);
    } else {
        inode_lost(m, v->nodeid); /* who was permitted by the same attributes, and comes now, is to be checked, too */
        ajf_reply_err(m, &call->wait.request, ESTALE);
    }
}

static void answer_inode(struct ajf_fetch *f)
{
    struct ajf *m = f->m;
    struct ajf_list calls;
    int err;
    if (is_outdated(f))
        ajf_inode_expire(&m->inodes, f->nodeid);
    take_calls(f, &calls);
    FOR_CALLS (m, call, &calls) {
        struct ajf_inode_view v;
        err = ajf_inode_get(&m->inodes, f->nodeid, &v);
        if (err)
            ajf_reply_err(m, &call->wait.request, -err);
        else if (call->open)
            confirm(m, call, &v);
        else
            ajf_reply_attr(m, &call->wait.request, &v);
    }
}

static void attr_of_inode(struct ajf_fetch *f, const struct ajf_attr *attr, uint64_t expires)
{
    if (ajf_inode_update(&f->m->inodes, f->nodeid, attr, expires))
        stat_failed(f, ESTALE);
    else
        answer_inode(f);
}

static bool is_type(uint32_t mode)
{
    return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode);
}

static int attr_told(struct ajf_fetch *f, const struct ajf_attr *attr)
{
    if (!is_type(attr->mode))
        return ajf_fetch_misfit(f);
    if (!ajf_fetch_claim(f))
        return -EINVAL;
    /* Counted from the question: it may have changed since then. */
    uint64_t expires = f->started_ns + (attr->nlink ? f->m->options.attr_timeout_ns : 0);
    if (f->name)
        attr_of_name(f, attr, expires);
    else
        attr_of_inode(f, attr, expires);
    return 0;
}

static int grown(struct ajf_fetch *f, const struct ajf_attr *attr)
{
    if (!f->info.version || !S_ISREG(attr->mode))
        return ajf_fetch_misfit(f);
    if (!ajf_fetch_claim(f))
        return -EINVAL;
    uint64_t expires = f->started_ns + f->m->options.attr_timeout_ns;
    if (ajf_file_grow(f->m, f->nodeid, f->info.version, attr, expires))
        answer_inode(f);
    else
        attr_of_inode(f, attr, expires);
    return 0;
}

static int listed_by_source(struct ajf_fetch *f, const struct ajf_entry *entries, size_t n, const char *names,
                            size_t names_len)
{
    struct ajf *m = f->m;
    struct ajf_list calls;
    if (f->answered || n > UINT32_MAX)
        return ajf_fetch_misfit(f);
    struct ajf_listing *listed;
    int err = ajf_dir_listed(m, f->nodeid, entries, n, names, names_len, f->started_ns, false, &listed);
    if (err == -EINVAL)
        return ajf_fetch_misfit(f);
    if (!ajf_fetch_claim(f)) {
        if (!err)
            ajf_dir_unref(m, listed);
        return -EINVAL;
    }
    take_calls(f, &calls);
    if (err) {
        refuse(m, &calls, -err);
        return err == -ENOTCONN ? 0 : err;
    }
    FOR_CALLS (m, call, &calls)
        ajf_readdir(m, &call->wait.request, call->fi.fh, listed);
    ajf_dir_unref(m, listed);
    return 0;
}

static int link_told(struct ajf_fetch *f, const char *target, size_t len)
{
    struct ajf_list calls;
    if (!len || len >= 4096 || memchr(target, '\0', len))
        return ajf_fetch_misfit(f);
    if (!ajf_fetch_claim(f))
        return -EINVAL;
    take_calls(f, &calls);
    FOR_CALLS (f->m, call, &calls)
        ajf_reply_bytes(f->m, &call->wait.request, target, len);
    return 0;
}

static int statfs_told(struct ajf_fetch *f, const struct ajf_statfs *s)
{
    struct ajf_list calls;
    if (!ajf_fetch_claim(f))
        return -EINVAL;
    struct statvfs st = {.f_bsize = s->block_size,
                         .f_frsize = s->block_size,
                         .f_blocks = s->blocks,
                         .f_bfree = s->blocks_free,
                         .f_bavail = s->blocks_available,
                         .f_files = s->files,
                         .f_ffree = s->files_free,
                         .f_favail = s->files_free,
                         .f_namemax = s->name_max};
    pthread_mutex_lock(&f->m->metadata.lock);
    f->m->metadata.statfs = st;
    pthread_mutex_unlock(&f->m->metadata.lock);
    take_calls(f, &calls);
    FOR_CALLS (f->m, call, &calls)
        ajf_reply_statfs(f->m, &call->wait.request, &st);
    return 0;
}

/* The kernel has been told: `arg` is the head of a list of the calls that wait for it. */
static void refreshed(struct ajf *m, void *arg)
{
    struct ajf_list *waiting = arg, calls;
    take_waiting(m, waiting, &calls);
    free(waiting);
    FOR_CALLS (m, call, &calls)
        ajf_reply_ioctl(m, &call->wait.request, NULL, 0);
}

/* The source has forgotten what ajf_metadata_refresh named. */
static int forgotten(struct ajf_fetch *f, size_t filled)
{
    struct ajf *m = f->m;
    if (!ajf_fetch_claim(f))
        return -EINVAL;
    struct ajf_list *waiting = malloc(sizeof *waiting);
    if (!waiting) {
        failed(f, ENOMEM);
        return -ENOMEM;
    }
    ajf_list_init(waiting);
    ajf_metadata_forget(&m->metadata);
    ajf_invalidate_path(m, f->path, f->info.path_len);
    pthread_mutex_lock(&m->metadata.lock);
    ajf_list_del(&ask_of(f)->by_key);
    AJF_LIST_FOR_SAFE(l, &ask_of(f)->calls)
    {
        AJF_CONTAINER(l, struct ajf_call, link)->ask = NULL;
        ajf_list_del(l);
        ajf_list_add(waiting, l);
    }
    pthread_mutex_unlock(&m->metadata.lock);
    ajf_notify_then(&m->notify, refreshed, waiting);
    return 0;
}

static void end(struct ajf_fetch *f)
{
    struct ajf_metadata *metadata = &f->m->metadata;
    struct ajf_ask *ask = ask_of(f);
    pthread_mutex_lock(&metadata->lock);
    if (metadata->overdue_statfs == ask)
        metadata->overdue_statfs = NULL;
    if (metadata->overdue_root == ask)
        metadata->overdue_root = NULL;
    ajf_list_del(&ask->by_key);
    pthread_mutex_unlock(&metadata->lock);
}

const struct ajf_fetch_ops *ajf_metadata_ops(enum ajf_fetch_kind kind)
{
#define ASK(what) .bytes = sizeof(struct ajf_ask), .counts = (what), .begin = begin, .end = end
    static const struct ajf_fetch_ops ops[] = {
        [AJF_FETCH_STAT] = {ASK(AJF_STAT_fetch_stat), .wanted = is_wanted, .attr = attr_told, .grown = grown,
                            .failed = stat_failed},
        [AJF_FETCH_LIST] = {ASK(AJF_STAT_fetch_list), .wanted = is_wanted, .list = listed_by_source,
                            .failed = list_failed},
        [AJF_FETCH_READLINK] = {ASK(AJF_STAT_fetch_readlink), .link = link_told, .failed = failed},
        [AJF_FETCH_STATFS] = {ASK(AJF_STAT_fetch_statfs), .statfs = statfs_told, .failed = failed},
        [AJF_FETCH_FORGET] = {ASK(AJF_STAT_fetch_forget), .done = forgotten, .failed = failed},
    };
#undef ASK
    return &ops[kind];
}
