/* SPDX-License-Identifier: Apache-2.0 */
#include "meta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dir.h"
#include "file.h"
#include "mount.h"
#include "open.h"

void ajf_meta_init(struct ajf_meta *meta)
{
    pthread_mutex_init(&meta->lock, NULL);
    meta->statfs = (struct statvfs){.f_bsize = 4096, .f_frsize = 4096, .f_namemax = AJF_NAME_MAX};
    for (int i = 0; i < AJF_META_BUCKETS; i++)
        ajf_list_init(&meta->joinable[i]);
}

void ajf_meta_done(struct ajf_meta *meta)
{
    pthread_mutex_destroy(&meta->lock);
}

/* ------------------------------------------------------------------------------------- what the kernel is told */

/* Also before the epoch the nanoseconds count forwards. */
static struct timespec timespec_of(int64_t ns)
{
    int64_t s = ns / (int64_t)AJF_NS_PER_S, rest = ns % (int64_t)AJF_NS_PER_S;
    return rest < 0 ? (struct timespec){s - 1, rest + (int64_t)AJF_NS_PER_S} : (struct timespec){s, rest};
}

void ajf_meta_fill_stat(const struct ajf *m, const struct ajf_inode_view *v, struct stat *ret_st)
{
    const struct ajf_attr *a = &v->attr;
    const struct ajf_options *o = &m->options;
    *ret_st = (struct stat){.st_ino = a->ino,
                            .st_mode = a->mode,
                            .st_nlink = a->nlink ? a->nlink : 1,
                            .st_uid = o->uid >= 0 ? (uid_t)o->uid : a->uid,
                            .st_gid = o->gid >= 0 ? (gid_t)o->gid : a->gid,
                            .st_size = (off_t)a->size,
                            .st_blksize = 4096,
                            .st_blocks = (blkcnt_t)(a->blocks == UINT64_MAX ? (a->size + 511) / 512 : a->blocks)};
    ret_st->st_mtim = timespec_of(a->mtime_ns);
    ret_st->st_ctim = timespec_of(a->ctime_ns);
    ret_st->st_atim = timespec_of(a->atime_ns);
    if (o->umask >= 0 && !S_ISLNK(a->mode))
        ret_st->st_mode = (a->mode & S_IFMT) | (0777 & ~(mode_t)o->umask);
}

bool ajf_meta_permits_same(const struct ajf *m, const struct ajf_permissions *a, const struct ajf_permissions *b)
{
    const struct ajf_options *o = &m->options;
    return (o->umask >= 0 || a->mode == b->mode) && (o->uid >= 0 || a->uid == b->uid) &&
           (o->gid >= 0 || a->gid == b->gid);
}

static double seconds_left(uint64_t expires_ns, uint64_t now_ns)
{
    return expires_ns > now_ns ? (double)(expires_ns - now_ns) / (double)AJF_NS_PER_S : 0;
}

void ajf_meta_fill_entry(const struct ajf *m, const struct ajf_inode_view *v, uint64_t now_ns,
                         struct fuse_entry_param *ret_e)
{
    uint64_t asked_ns = v->expires_ns - m->options.attr_timeout_ns; /* when the source said so */
    *ret_e = (struct fuse_entry_param){.ino = v->nodeid, .generation = v->generation};
    ajf_meta_fill_stat(m, v, &ret_e->attr);
    ret_e->attr_timeout = seconds_left(v->expires_ns, now_ns);
    if (v->expires_ns) /* else it is true for this once */
        ret_e->entry_timeout = seconds_left(asked_ns + m->options.entry_timeout_ns, now_ns);
}

static void reply_entry(struct ajf *m, fuse_req_t req, const struct ajf_inode_view *v)
{
    struct fuse_entry_param e;
    ajf_meta_fill_entry(m, v, ajf_now_ns(), &e);
    if (fuse_reply_entry(req, &e) < 0) {
        AJF_COUNT(&m->stats, lookup_undone);
        ajf_inode_forget(&m->inodes, v->nodeid, 1);
    }
}

/* With a timeout the kernel remembers that there is nothing: an entry with inode 0 says for how long. */
static void reply_negative(fuse_req_t req, uint64_t expires_ns)
{
    struct fuse_entry_param e = {.entry_timeout = seconds_left(expires_ns, ajf_now_ns())};
    if (e.entry_timeout > 0)
        fuse_reply_entry(req, &e);
    else
        fuse_reply_err(req, ENOENT);
}

static void reply_attr(struct ajf *m, fuse_req_t req, const struct ajf_inode_view *v)
{
    struct stat st;
    ajf_meta_fill_stat(m, v, &st);
    fuse_reply_attr(req, &st, seconds_left(v->expires_ns, ajf_now_ns()));
}

/* ----------------------------------------------------------------------------------------------------- parking */

static struct ajf_list *bucket(struct ajf_meta *meta, uint64_t nodeid)
{
    return &meta->joinable[nodeid % AJF_META_BUCKETS];
}

static struct ajf_fetch *find_locked(struct ajf_meta *meta, enum ajf_fetch_kind kind, uint64_t nodeid, const char *name)
{
    AJF_LIST_FOR(l, bucket(meta, nodeid))
    {
        struct ajf_fetch *f = AJF_CONTAINER(l, struct ajf_fetch, by_key);
        if (f->info.kind == kind && f->nodeid == nodeid && !f->name == !name && (!name || !strcmp(f->name, name)))
            return f;
    }
    return NULL;
}

static struct ajf_fetch *fetch_for(struct ajf *m, enum ajf_fetch_kind kind, uint64_t nodeid, const char *name)
{
    size_t len = name ? strlen(name) : 0;
    struct ajf_fetch *f =
        ajf_fetch_new(m, kind, AJF_LANE_METADATA, ajf_inode_path(&m->inodes, nodeid, name, len));
    if (!f)
        return NULL;
    f->nodeid = nodeid;
    f->name = name ? strdup(name) : NULL;
    f->name_len = len;
    if (name && !f->name) {
        ajf_fetch_free(f);
        return NULL;
    }
    ajf_inode_ref(&m->inodes, nodeid); /* until meta_end: the answer may bind a name in it */
    if (kind == AJF_FETCH_STAT && !name && m->follows_growth)
        f->info.version = ajf_file_open_version(m, nodeid);
    return f;
}

static void drop_call(struct ajf *m, struct ajf_wait *w, int err)
{
    struct ajf_call *call = AJF_CONTAINER(w, struct ajf_call, wait);
    pthread_mutex_lock(&m->meta.lock);
    ajf_list_del(&call->link);
    if (err == EIO && call->fetch)
        ajf_list_del(&call->fetch->by_key); /* it may hang: whoever comes next shall ask anew */
    if (err == EIO && call->fetch && ajf_list_empty(&call->fetch->calls)) {
        ajf_queue_uncount(&m->queue, call->fetch); /* it hangs in the source: its place shall not be missed */
        AJF_COUNT(&m->stats, fetch_abandoned);
    }
    pthread_mutex_unlock(&m->meta.lock);
    free(call);
}

/* Joins or starts the fetch; answers `call` itself when that cannot be done. Takes the call. */
static void park(struct ajf *m, struct ajf_call *call, enum ajf_fetch_kind kind, uint64_t nodeid, const char *name)
{
    struct ajf_meta *meta = &m->meta;
    fuse_req_t req = call->wait.req;
    call->wait.drop = drop_call;
    call->wait.class = call->wait.late ? AJF_WAIT_BRIEF : AJF_WAIT_METADATA;
    call->wait.nodeid = nodeid;
    ajf_wait_arm(m, req);
    pthread_mutex_lock(&meta->lock);
    struct ajf_fetch *f = find_locked(meta, kind, nodeid, name), *started = NULL;
    if (!f && (f = started = fetch_for(m, kind, nodeid, name)))
        ajf_list_add(bucket(meta, nodeid), &f->by_key);
    int err = f ? 0 : -ENOMEM;
    if (f) {
        call->fetch = f;
        ajf_list_add(&f->calls, &call->link);
        err = ajf_wait_park(m, &call->wait);
        if (err)
            ajf_list_del(&call->link);
    }
    if (started)
        ajf_queue_push(&m->queue, started);
    pthread_mutex_unlock(&meta->lock);
    if (err) {
        fuse_reply_err(req, -err);
        free(call);
    }
}

static struct ajf_call *call_new(fuse_req_t req, const char *op)
{
    struct ajf_call *call = calloc(1, sizeof *call);
    if (!call) {
        fuse_reply_err(req, ENOMEM);
        return NULL;
    }
    call->wait.req = req;
    call->wait.op = op;
    return call;
}

void ajf_meta_forget(struct ajf_meta *meta)
{
    meta->forgotten_ns = ajf_now_ns();
}

void ajf_meta_begin(struct ajf *m, struct ajf_fetch *f)
{
    pthread_mutex_lock(&m->meta.lock);
    ajf_list_del(&f->by_key);
    pthread_mutex_unlock(&m->meta.lock);
}

static const struct ajf_fetch **overdue(struct ajf_meta *meta, const struct ajf_call *call)
{
    return call->attributes ? &meta->overdue_root : &meta->overdue_statfs;
}

static void answer_with_what_was_known(struct ajf *m, const struct ajf_call *call)
{
    struct ajf_inode_view v;
    if (call->attributes) {
        ajf_inode_get(&m->inodes, AJF_ROOT, &v);
        reply_attr(m, call->wait.req, &v);
        return;
    }
    pthread_mutex_lock(&m->meta.lock);
    struct statvfs st = m->meta.statfs;
    pthread_mutex_unlock(&m->meta.lock);
    fuse_reply_statfs(call->wait.req, &st);
}

static void answer_late(struct ajf *m, struct ajf_wait *w)
{
    struct ajf_call *call = AJF_CONTAINER(w, struct ajf_call, wait);
    pthread_mutex_lock(&m->meta.lock);
    if (call->fetch)
        *overdue(&m->meta, call) = call->fetch;
    pthread_mutex_unlock(&m->meta.lock);
    answer_with_what_was_known(m, call);
}

/* As park, of a question about the mount as a whole; not for long, and not at all while it has been long already. */
static void park_briefly(struct ajf *m, struct ajf_call *call, enum ajf_fetch_kind kind)
{
    pthread_mutex_lock(&m->meta.lock);
    bool late = *overdue(&m->meta, call);
    pthread_mutex_unlock(&m->meta.lock);
    call->wait.late = answer_late;
    if (!late) {
        park(m, call, kind, AJF_ROOT, NULL);
        return;
    }
    answer_with_what_was_known(m, call);
    free(call);
}

bool ajf_meta_is_wanted(struct ajf_fetch *f)
{
    pthread_mutex_lock(&f->m->meta.lock);
    bool wanted = !ajf_list_empty(&f->calls) || (f->info.kind == AJF_FETCH_STAT && f->nodeid == AJF_ROOT && !f->name);
    pthread_mutex_unlock(&f->m->meta.lock);
    return wanted;
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

void ajf_meta_lookup(struct ajf *m, fuse_req_t req, uint64_t parent, const char *name)
{
    size_t len = strlen(name);
    struct ajf_inode_view v;
    if (len > AJF_NAME_MAX) {
        fuse_reply_err(req, ENAMETOOLONG);
        return;
    }
    int err = look_up(m, parent, name, len, &v);
    if (!err) {
        reply_entry(m, req, &v);
    } else if (err == -ENOENT) {
        reply_negative(req, v.expires_ns);
    } else {
        struct ajf_call *call = call_new(req, "Lookup");
        if (!call)
            return;
        call->lookup = true;
        park(m, call, AJF_FETCH_STAT, parent, name);
    }
}

void ajf_meta_getattr(struct ajf *m, fuse_req_t req, uint64_t nodeid)
{
    struct ajf_inode_view v;
    int err = ajf_inode_get(&m->inodes, nodeid, &v);
    if (err) {
        fuse_reply_err(req, -err);
    } else if (v.stale && !ajf_file_is_open(m, nodeid) && !S_ISDIR(v.attr.mode)) {
        fuse_reply_err(req, ESTALE); /* a path walk: the kernel looks the name up again */
    } else if ((v.stale && (!m->follows_growth || S_ISDIR(v.attr.mode))) || ajf_now_ns() < v.expires_ns) {
        reply_attr(m, req, &v);
    } else {
        struct ajf_call *call = call_new(req, "Getattr");
        if (call && nodeid == AJF_ROOT) {
            call->attributes = true;
            park_briefly(m, call, AJF_FETCH_STAT);
        } else if (call) {
            park(m, call, AJF_FETCH_STAT, nodeid, NULL);
        }
    }
}

void ajf_meta_confirm(struct ajf *m, fuse_req_t req, const struct ajf_inode_view *v, const struct fuse_file_info *fi)
{
    struct ajf_call *call = call_new(req, "Open");
    if (!call)
        return;
    call->open = true;
    call->fi = *fi;
    call->checked = (struct ajf_permissions){.mode = v->attr.mode, .uid = v->attr.uid, .gid = v->attr.gid};
    park(m, call, AJF_FETCH_STAT, v->nodeid, NULL);
}

void ajf_meta_readlink(struct ajf *m, fuse_req_t req, uint64_t nodeid)
{
    struct ajf_call *call = call_new(req, "Readlink");
    if (call)
        park(m, call, AJF_FETCH_READLINK, nodeid, NULL);
}

void ajf_meta_statfs(struct ajf *m, fuse_req_t req)
{
    struct ajf_call *call = call_new(req, "Statfs");
    if (call)
        park_briefly(m, call, AJF_FETCH_STATFS);
}

void ajf_meta_refresh(struct ajf *m, fuse_req_t req, uint64_t nodeid, const char *name)
{
    struct ajf_call *call = call_new(req, "Refresh");
    if (call)
        park(m, call, AJF_FETCH_FORGET, nodeid, *name ? name : NULL);
}

void ajf_meta_list(struct ajf *m, fuse_req_t req, uint64_t nodeid, const struct fuse_file_info *fi, size_t size,
                   uint64_t offset, bool plus)
{
    struct ajf_call *call = call_new(req, "Readdir");
    if (!call)
        return;
    call->fi = *fi;
    call->plus = plus;
    call->wait.size = size;
    call->wait.offset = offset;
    park(m, call, AJF_FETCH_LIST, nodeid, NULL);
}

/* ------------------------------------------------------------------------------------------------- the answers */

/* Takes the calls of a list that still wait; those that somebody else took are left for him to unlink. */
static void take_waiting_locked(struct ajf *m, struct ajf_list *waiting, struct ajf_list *ret_calls)
{
    ajf_list_init(ret_calls);
    AJF_LIST_FOR_SAFE(l, waiting)
    {
        struct ajf_call *call = AJF_CONTAINER(l, struct ajf_call, link);
        bool mine = ajf_wait_take(m, &call->wait);
        ajf_list_del(l);
        call->fetch = NULL;
        if (mine)
            ajf_list_add(ret_calls, l);
    }
}

static void take_waiting(struct ajf *m, struct ajf_list *waiting, struct ajf_list *ret_calls)
{
    pthread_mutex_lock(&m->meta.lock);
    take_waiting_locked(m, waiting, ret_calls);
    pthread_mutex_unlock(&m->meta.lock);
}

/* Those that wait for the fetch. */
static void take_calls(struct ajf_fetch *f, struct ajf_list *ret_calls)
{
    pthread_mutex_lock(&f->m->meta.lock);
    ajf_list_del(&f->by_key); /* nobody joins an answer */
    take_waiting_locked(f->m, &f->calls, ret_calls);
    pthread_mutex_unlock(&f->m->meta.lock);
}

#define FOR_CALLS(m, call, calls)                                                                                      \
    for (struct ajf_call *call; !ajf_list_empty(calls) &&                                                              \
                                (call = AJF_CONTAINER(ajf_list_pop(calls), struct ajf_call, link), true);              \
         call_done((m), call))

static void call_done(struct ajf *m, struct ajf_call *call)
{
    ajf_wait_answered(m, &call->wait, 0);
    free(call);
}

static void refuse(struct ajf *m, struct ajf_list *calls, int err)
{
    struct ajf_list *l;
    while ((l = ajf_list_pop(calls))) {
        struct ajf_call *call = AJF_CONTAINER(l, struct ajf_call, link);
        fuse_reply_err(call->wait.req, err);
        ajf_wait_answered(m, &call->wait, -err);
        free(call);
    }
}

static int misfit(struct ajf_fetch *f)
{
    if (!f->answered)
        ajf_log(&f->m->log, AJF_LOG_ERROR, "%s: the source gave a malformed answer; EIO", f->path);
    ajf_fetch_fail(f, EIO);
    return -EINVAL;
}

/* The source was asked before something was to be forgotten: looked at after its answer was noted, or both are missed. */
static bool is_outdated(const struct ajf_fetch *f)
{
    return f->started_ns <= f->m->meta.forgotten_ns;
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
            fuse_reply_err(call->wait.req, -err);
        else
            reply_entry(m, call->wait.req, &v);
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
    if (!ajf_inode_name(&m->inodes, nodeid, &parent, name, &len)) {
        bool directory = !ajf_inode_get(&m->inodes, nodeid, &v) && S_ISDIR(v.attr.mode);
        ajf_dirs_drop(&m->dirs, parent);
        ajf_notify_name(&m->notify, parent, name, len, nodeid, directory);
    }
    ajf_inode_gone(&m->inodes, nodeid);
}

static void confirm(struct ajf *m, const struct ajf_call *call, const struct ajf_inode_view *v)
{
    const struct ajf_permissions is = {.mode = v->attr.mode, .uid = v->attr.uid, .gid = v->attr.gid};
    if (ajf_meta_permits_same(m, &call->checked, &is)) {
        ajf_open_confirmed(m, call->wait.req, v->nodeid, &call->fi);
    } else {
        inode_lost(m, v->nodeid); /* who was permitted by the same attributes, and comes now, is to be checked, too */
        fuse_reply_err(call->wait.req, ESTALE);
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
            fuse_reply_err(call->wait.req, -err);
        else if (call->open)
            confirm(m, call, &v);
        else
            reply_attr(m, call->wait.req, &v);
    }
}

static void attr_of_inode(struct ajf_fetch *f, const struct ajf_attr *attr, uint64_t expires)
{
    if (ajf_inode_update(&f->m->inodes, f->nodeid, attr, expires))
        ajf_meta_failed(f, ESTALE);
    else
        answer_inode(f);
}

static bool is_type(uint32_t mode)
{
    return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode);
}

int ajf_fetch_attr(struct ajf_fetch *f, const struct ajf_attr *attr)
{
    if (f->info.kind != AJF_FETCH_STAT || !is_type(attr->mode))
        return misfit(f);
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

int ajf_fetch_grown(struct ajf_fetch *f, const struct ajf_attr *attr)
{
    if (f->info.kind != AJF_FETCH_STAT || !f->info.version || !S_ISREG(attr->mode))
        return misfit(f);
    if (!ajf_fetch_claim(f))
        return -EINVAL;
    uint64_t expires = f->started_ns + f->m->options.attr_timeout_ns;
    if (ajf_file_grow(f->m, f->nodeid, f->info.version, attr, expires))
        answer_inode(f);
    else
        attr_of_inode(f, attr, expires);
    return 0;
}

int ajf_fetch_list(struct ajf_fetch *f, const struct ajf_entry *entries, size_t n, const char *names, size_t names_len)
{
    struct ajf *m = f->m;
    struct ajf_list calls;
    if (f->answered || f->info.kind != AJF_FETCH_LIST || n > UINT32_MAX)
        return misfit(f);
    struct ajf_listing *listed;
    int err = ajf_dir_listed(m, f->nodeid, entries, n, names, names_len, f->started_ns, false, &listed);
    if (err == -EINVAL)
        return misfit(f);
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
        ajf_dir_read(m, call->wait.req, f->nodeid, call->fi.fh, call->wait.size, call->wait.offset, call->plus, listed);
    ajf_dir_unref(m, listed);
    return 0;
}

int ajf_fetch_link(struct ajf_fetch *f, const char *target, size_t len)
{
    struct ajf_list calls;
    if (f->info.kind != AJF_FETCH_READLINK || !len || len >= 4096 || memchr(target, '\0', len))
        return misfit(f);
    if (!ajf_fetch_claim(f))
        return -EINVAL;
    take_calls(f, &calls);
    FOR_CALLS (f->m, call, &calls)
        fuse_reply_buf(call->wait.req, target, len);
    return 0;
}

int ajf_fetch_statfs(struct ajf_fetch *f, const struct ajf_statfs *s)
{
    struct ajf_list calls;
    if (f->info.kind != AJF_FETCH_STATFS)
        return misfit(f);
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
    pthread_mutex_lock(&f->m->meta.lock);
    f->m->meta.statfs = st;
    pthread_mutex_unlock(&f->m->meta.lock);
    take_calls(f, &calls);
    FOR_CALLS (f->m, call, &calls)
        fuse_reply_statfs(call->wait.req, &st);
    return 0;
}

/* The kernel has been told: `arg` is the head of a list of the calls that wait for it. */
static void refreshed(struct ajf *m, void *arg)
{
    struct ajf_list *waiting = arg, calls;
    take_waiting(m, waiting, &calls);
    free(waiting);
    FOR_CALLS (m, call, &calls)
        fuse_reply_ioctl(call->wait.req, 0, NULL, 0);
}

int ajf_meta_forgotten(struct ajf_fetch *f)
{
    struct ajf *m = f->m;
    struct ajf_list *waiting = malloc(sizeof *waiting);
    if (!waiting) {
        ajf_meta_failed(f, ENOMEM);
        return -ENOMEM;
    }
    ajf_list_init(waiting);
    ajf_invalidate(m, f->path, f->info.path_len);
    pthread_mutex_lock(&m->meta.lock);
    ajf_list_del(&f->by_key);
    AJF_LIST_FOR_SAFE(l, &f->calls)
    {
        AJF_CONTAINER(l, struct ajf_call, link)->fetch = NULL;
        ajf_list_del(l);
        ajf_list_add(waiting, l);
    }
    pthread_mutex_unlock(&m->meta.lock);
    ajf_notify_then(&m->notify, refreshed, waiting);
    return 0;
}

void ajf_meta_failed(struct ajf_fetch *f, int err)
{
    struct ajf *m = f->m;
    struct ajf_list calls;
    bool missing = err == ENOENT && f->name && f->info.kind == AJF_FETCH_STAT;
    uint64_t expires = missing ? no_such_name(f) : 0;
    if (f->info.kind == AJF_FETCH_LIST && ajf_meta_is_lost(err) && f->nodeid != AJF_ROOT)
        inode_lost(m, f->nodeid);
    /* The C library takes ENOENT for the end of a directory, and whoever mirrors the mount would take it for empty. */
    if (f->info.kind == AJF_FETCH_LIST && err == ENOENT)
        err = ESTALE;
    take_calls(f, &calls);
    if (missing) {
        FOR_CALLS (m, call, &calls)
            reply_negative(call->wait.req, expires);
    } else if (!f->name && f->info.kind == AJF_FETCH_STAT && ajf_meta_is_lost(err) && f->nodeid != AJF_ROOT) {
        inode_lost(m, f->nodeid);
        struct ajf_inode_view v;
        bool open = ajf_file_is_open(m, f->nodeid) && !ajf_inode_get(&m->inodes, f->nodeid, &v);
        FOR_CALLS (m, call, &calls) {
            if (open && !call->open) /* fstat of an open file, which the protocol cannot tell from stat */
                reply_attr(m, call->wait.req, &v);
            else
                fuse_reply_err(call->wait.req, ESTALE);
        }
    } else {
        refuse(m, &calls, err);
    }
}

void ajf_meta_end(struct ajf_fetch *f)
{
    struct ajf_meta *meta = &f->m->meta;
    pthread_mutex_lock(&f->m->meta.lock);
    if (meta->overdue_statfs == f)
        meta->overdue_statfs = NULL;
    if (meta->overdue_root == f)
        meta->overdue_root = NULL;
    ajf_list_del(&f->by_key);
    pthread_mutex_unlock(&f->m->meta.lock);
    ajf_inode_unref(&f->m->inodes, f->nodeid);
}
