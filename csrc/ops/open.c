/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "files/ahead.h"
#include "files/fill.h"
#include "files/held.h"
#include "files/opens.h"
#include "files/opens_waiting.h"
#include "files/readers.h"
#include "kernel/reply.h"
#include "mount.h"
#include "ops/metadata.h"

#define TELL_AGAIN_NS (60 * AJF_NS_PER_S)

/* ------------------------------------------------------------------------------------------------ the requests */

/* Takes back an OPEN that still waits for a fetcher, and that nobody waits for any more. */
static void take_back_locked(struct ajf *m, struct ajf_file *file)
{
    AJF_HELD(&m->cache.lock);
    bool unwanted = file->state == AJF_FILE_OPENING && !file->abandoned && !file->opens &&
                    ajf_list_empty(&file->opens_waiting) && ajf_list_empty(&file->readers);
    if (!unwanted || !file->opening || !ajf_queue_cancel(&m->queue, &file->opening->fetch))
        return;
    AJF_COUNT(&m->stats, fetch_cancelled);
    ajf_fetch_free(&file->opening->fetch);
    file->opening = NULL;
    file->state = AJF_FILE_READY;
    if (!file->pages.n_have)
        ajf_file_retire_locked(m, file);
    ajf_file_unref_locked(m, file); /* the fetch's */
}

static struct ajf_waste *drop_open(struct ajf *m, struct ajf_wait *w, int err)
{
    struct ajf_opener *call = AJF_CONTAINER(w, struct ajf_opener, wait);
    pthread_mutex_lock(&m->cache.lock);
    struct ajf_file *file = call->file;
    ajf_list_del(&call->link);
    ajf_use_waited_locked(&file->usage, &w->request, err != EINTR);
    /* The source hangs: the next request shall ask anew. */
    bool hangs = ajf_file_is_opening_long_locked(m, file, AJF_WAIT_METADATA) ||
                 (w->class == AJF_WAIT_DATA && ajf_fill_is_stuck_locked(m, file, 0, file->size));
    if (err == EIO && !file->abandoned && hangs) {
        ajf_file_abandon_locked(m, file);
    } else if (file->state == AJF_FILE_READY && !file->abandoned && !file->opens &&
               ajf_list_empty(&file->opens_waiting)) {
        ajf_file_last_release_locked(m, file); /* it was opened for this caller alone, who has gone meanwhile */
    }
    take_back_locked(m, file);
    ajf_file_unref_locked(m, file);
    struct ajf_waste *waste = ajf_cache_unlock_first(&m->cache);
    free(call);
    return waste;
}

static int park_open_locked(struct ajf *m, struct ajf_file *file, const struct ajf_request *req,
                            const struct fuse_file_info *fi, enum ajf_wait_class class)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_opener *call = calloc(1, sizeof *call);
    if (!call)
        return -ENOMEM;
    call->wait = (struct ajf_wait){
        .request = *req, .class = class, .drop = drop_open};
    call->file = file;
    call->fi = *fi;
    ajf_list_add(&file->opens_waiting, &call->link);
    int err = ajf_wait_park(m, &call->wait);
    if (err) {
        ajf_list_del(&call->link);
        free(call);
        return err;
    }
    file->refs++;
    return 0;
}

/* Whether its first bytes shall tell that the source has this version still. */
static bool is_unproved(const struct ajf_file *file, const struct ajf_inode_view *v, const struct fuse_file_info *fi)
{
    return file->lazy && !(fi->flags & O_NOATIME) && !v->read && !file->opens && !file->pages.n_have &&
           !file->pages.complete;
}

/* Parks until they are there. */
static int prove_locked(struct ajf *m, struct ajf_file *file, const struct ajf_request *req,
                        const struct fuse_file_info *fi, bool *ret_noted)
{
    AJF_HELD(&m->cache.lock);
    int err = park_open_locked(m, file, req, fi, AJF_WAIT_DATA);
    if (err)
        return err;
    ajf_file_leave_ahead_locked(m, file); /* it has somebody now */
    ajf_fill_first_locked(m, file);  /* out of memory: the deadline answers */
    *ret_noted = ajf_ahead_is_news_locked(m, file);
    return 0;
}

/* The kernel has permitted it to him by what it was shown for somebody else, and the source would not be asked. */
static bool is_unconfirmed(const struct ajf *m, const struct ajf_file *file, uint32_t uid)
{
    return m->confirms_opens && uid && uid != file->asker;
}

static void open_confirmed(struct ajf *m, const struct ajf_request *req, uint64_t nodeid,
                           const struct fuse_file_info *fi);

static void open_file(struct ajf *m, const struct ajf_request *req, uint64_t nodeid, const struct fuse_file_info *fi,
                      bool confirmed)
{
    struct ajf_inode_view v;
    struct ajf_file *file = NULL;
    struct ajf_fetch *open = NULL;
    struct fuse_file_info granted = *fi;
    bool now = false, ask = false, noted = false;
    struct ajf_waste *waste = NULL;
    const struct ajf_caller caller = ajf_use_caller(m, req);
    const uint32_t uid = caller.uid;
    ajf_wait_arm(m, req);
    int err = ajf_inode_get(&m->inodes, nodeid, &v);
    if (!err) {
        pthread_mutex_lock(&m->cache.lock);
        err = ajf_file_make_locked(m, &v, &file, &open);
        now = !err && ajf_file_usable(file) && !is_unproved(file, &v, fi);
        ask = now && !confirmed && is_unconfirmed(m, file, uid);
        if (!err && file->asker == AJF_DESCRIPTORS_NOBODY && file->state == AJF_FILE_OPENING)
            file->asker = uid;
        if (!err && !ask)
            ajf_use_open_locked(m, &file->usage, &caller, !file->opens);
        if (now && !ask)
            ajf_file_grant_locked(m, file, &granted);
        else if (!err && !ask)
            err = ajf_file_usable(file) ? prove_locked(m, file, req, fi, &noted)
                                        : park_open_locked(m, file, req, fi, AJF_WAIT_METADATA);
        if (ask && ajf_file_is_idle(file) && !file->pages.n_have)
            ajf_file_retire_locked(m, file); /* it is made anew when the source has confirmed it */
        waste = ajf_cache_unlock_first(&m->cache);
    }
    if (err)
        ajf_reply_err(m, req, -err);
    else if (ask)
        ajf_metadata_confirm(m, req, &v, fi, open_confirmed);
    else if (now)
        ajf_openers_reply(m, req, &granted);
    if (open)
        ajf_direct_ask(m, open);
    ajf_trash_dispose(waste);
    if (noted)
        ajf_ahead_note(m, nodeid);
}

static void open_confirmed(struct ajf *m, const struct ajf_request *req, uint64_t nodeid,
                           const struct fuse_file_info *fi)
{
    open_file(m, req, nodeid, fi, true);
}

void ajf_open(struct ajf *m, const struct ajf_request *req, uint64_t nodeid, const struct fuse_file_info *fi)
{
    if (ajf_held_is_on(m)) {
        ajf_reply_err(m, req, ENOSYS);
        return;
    }
    ajf_trace_note(&m->trace, nodeid);
    open_file(m, req, nodeid, fi, false);
}

/* ------------------------------------------------------------------------------------- answers of the source */

/* Of a lent file, which may be written in place. */
static uint64_t stamp_of(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return 0;
    const uint64_t facts[] = {(uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec, (uint64_t)st.st_mtim.tv_nsec,
                              (uint64_t)st.st_ctim.tv_sec, (uint64_t)st.st_ctim.tv_nsec};
    uint64_t stamp = 1;
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++)
        stamp = (stamp ^ facts[i]) * UINT64_C(0x9e3779b97f4a7c15);
    return stamp ? stamp : 1;
}

/* A file that the source has opened, as it is taken over. */
struct opened {
    uint64_t handle, size;
    struct ajf_extent *extents; /* allocated */
    size_t n;
    uint64_t stamp; /* of a single extent */
};

static void borrow_locked(struct ajf *m, struct ajf_file *file, const struct opened *o)
{
    AJF_HELD(&m->cache.lock);
    file->size = o->size;
    file->extents = o->extents;
    file->n_extents = o->n;
    file->place = AJF_PLACE_BORROWED;
    AJF_COUNT(&m->stats, backings_born);
    if (o->n == 1)
        ajf_inode_saw(&m->inodes, file->nodeid, o->stamp);
}

static void open_failed(struct ajf_fetch *f, int err)
{
    struct ajf *m = f->m;
    struct ajf_file *file = ajf_file_fetch_of(f)->file;
    struct ajf_list calls, readers;
    ajf_list_init(&calls);
    ajf_list_init(&readers);
    if (ajf_fetch_is_lost(err))
        ajf_file_lost(m, file);
    pthread_mutex_lock(&m->cache.lock);
    file->refs++;
    if (!file->abandoned) {
        ajf_openers_take_locked(m, file, &calls, true);
        ajf_readers_take_hopeless_locked(m, file, 0, file->size, &readers); /* those that come later open it anew */
    }
    ajf_cache_unlock(&m->cache);
    ajf_readers_answer(m, file, &readers, ajf_fetch_is_lost(err) ? EIO : err);
    pthread_mutex_lock(&m->cache.lock);
    ajf_held_settle_locked(m, file);
    if (!file->opens && file->state == AJF_FILE_READY && ajf_list_empty(&file->opens_waiting))
        ajf_file_retire_locked(m, file);
    ajf_file_unref_locked(m, file);
    struct ajf_waste *waste = ajf_cache_unlock_first(&m->cache);
    ajf_openers_answer(m, &calls, err);
    ajf_trash_dispose(waste);
}

/* The kernel will hold the file itself. */
static bool is_passed_through(const struct ajf *m, const struct opened *o)
{
    return !ajf_held_is_on(m) && o->n == 1 && !o->extents[0].fd_offset && o->size &&
           m->options.cache_mode != AJF_CACHE_DIRECT &&
           atomic_load_explicit(&m->session.passthrough, memory_order_relaxed) && !m->session.passthrough_warned;
}

/* Counts the descriptors of what was opened. -EMFILE: its opener has so many that nothing would be left for others. */
static int pay_locked(struct ajf *m, struct ajf_file *file, const struct opened *o)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_descriptors *d = &m->cache.descriptors;
    uint32_t n = (uint32_t)o->n + (o->handle && m->opens_files);
    bool may = is_passed_through(m, o);
    while (!may && !(may = ajf_descriptors_may_take(d, file->asker, n)) &&
           (ajf_held_close_idle_locked(m) || ajf_cache_close_idle_locked(m)))
        ;
    if (may) {
        ajf_file_pay_locked(m, file, n);
        return 0;
    }
    uint64_t now = ajf_now_ns();
    if (!d->told_ns || now - d->told_ns >= TELL_AGAIN_NS) {
        d->told_ns = now;
        char *path = ajf_inode_path(&m->inodes, file->nodeid, NULL, 0);
        ajf_log(&m->log, AJF_LOG_ERROR,
                "%s: user %u has %llu files open here, and all users %llu of the %llu that fit; EMFILE for the "
                "busiest. A higher limit of open files helps (ulimit -Hn, LimitNOFILE=)",
                path ? path : "?", file->asker, (unsigned long long)ajf_descriptors_of(d, file->asker),
                (unsigned long long)d->used, (unsigned long long)d->most);
        free(path);
    }
    return -EMFILE;
}

/* Takes the handle, and the descriptors. */
static int accept_locked(struct ajf *m, struct ajf_file *file, const struct opened *o)
{
    AJF_HELD(&m->cache.lock);
    ajf_file_close_handle_locked(m, file); /* of a file that is read though the kernel reads it itself */
    int err = pay_locked(m, file, o);
    file->has_handle = o->handle || !o->n; /* a source that keeps nothing can be read all the same */
    file->handle = o->handle;
    if (err) {
        ajf_trash_extents(&m->cache.trash, o->extents, o->n);
        return err;
    }
    if (o->n && file->pages.have) { /* lent now, but it has bytes of its own already */
        ajf_file_pay_back_locked(m, file, o->n);
        ajf_trash_extents(&m->cache.trash, o->extents, o->n);
        return o->handle ? 0 : -EIO;
    }
    if (o->n) {
        borrow_locked(m, file, o);
        return 0;
    }
    return file->place == AJF_PLACE_NONE ? ajf_file_begin(&m->cache, file) : 0;
}

static bool sane(const struct ajf_extent *extents, size_t n, uint64_t size)
{
    uint64_t left = size;
    if (size > INT64_MAX)
        return !n;
    for (size_t i = 0; i < n; i++) {
        const struct ajf_extent *x = &extents[i];
        if (x->length > left || x->fd_offset > INT64_MAX - x->length)
            return false;
        left -= x->length;
    }
    return !n || !left;
}

/* The kernel permitted the opens of the file by something else than the source shows now. */
static bool permits_otherwise(struct ajf_fetch *f)
{
    struct ajf *m = f->m;
    struct ajf_inode_view v;
    if (!m->confirms_opens || !f->has_permissions || ajf_inode_get(&m->inodes, f->nodeid, &v))
        return false;
    const struct ajf_permissions shown = {.mode = v.attr.mode, .uid = v.attr.uid, .gid = v.attr.gid};
    return !ajf_reply_permits_same(m, &shown, &f->permissions);
}

static int opened_by_source(struct ajf_fetch *f, uint64_t handle, uint64_t version, uint64_t size,
                            const struct ajf_extent *extents, size_t n)
{
    struct ajf *m = f->m;
    struct ajf_file *file = ajf_file_fetch_of(f)->file;
    struct ajf_list calls;
    int err = 0;
    bool keeps = false, refused = permits_otherwise(f);
    struct opened opened = {.handle = handle, .size = size, .n = n};
    opened.extents = n ? malloc(n * sizeof *extents) : NULL;
    if (opened.extents)
        memcpy(opened.extents, extents, n * sizeof *extents);
    if (n == 1)
        opened.stamp = stamp_of(extents[0].fd); /* not under the lock: a file of a network may hang in it */
    ajf_list_init(&calls);
    pthread_mutex_lock(&m->cache.lock);
    if (file->abandoned)
        err = ESTALE;
    else if (!sane(extents, n, size))
        err = EIO;
    else if (version != file->version || (!n && size != file->size))
        err = ESTALE;
    else if (refused && !file->opens)
        err = ESTALE;
    else if (n && !opened.extents)
        err = ENOMEM;
    if (!err) {
        keeps = true;
        err = -accept_locked(m, file, &opened);
        if (err)
            ajf_file_close_handle_locked(m, file);
    }
    if (!err) {
        if (refused) /* it is opened again for those who have it open */
            ajf_openers_take_locked(m, file, &calls, true);
        else
            ajf_openers_grant_locked(m, file, &calls);
        ajf_fill_resume_locked(m, file);
        if (!file->opens && ajf_list_empty(&file->opens_waiting))
            ajf_file_last_release_locked(m, file); /* everybody who wanted it has gone */
    }
    bool lent = !err && file->place == AJF_PLACE_BORROWED && file->extents;
    struct ajf_waste *waste = ajf_cache_unlock_first(&m->cache);
    if (!keeps && handle)
        ajf_file_push_close(m, f->nodeid, handle);
    if (err)
        open_failed(f, err);
    else if (refused)
        ajf_file_lost(m, file);
    if (!err)
        ajf_openers_answer(m, &calls, refused ? ESTALE : 0);
    if (lent) {
        ajf_readers_serve_borrowed(m, file); /* who read while it was opened anew */
        ajf_held_settle(m, file);
    }
    ajf_trash_dispose(waste);
    if (!keeps) {
        for (size_t i = 0; i < n; i++)
            close(extents[i].fd);
        free(opened.extents);
    }
    return err == EIO ? -EINVAL : 0;
}

static void end(struct ajf_fetch *f)
{
    struct ajf_file_fetch *opening = ajf_file_fetch_of(f);
    pthread_mutex_lock(&f->m->cache.lock);
    if (opening->file->opening == opening)
        opening->file->opening = NULL;
    ajf_file_unref_locked(f->m, opening->file);
    ajf_cache_unlock(&f->m->cache);
}

const struct ajf_fetch_ops ajf_open_ops = {
    .bytes = sizeof(struct ajf_file_fetch),
    .counts = AJF_STAT_fetch_open,
    .opened = opened_by_source,
    .failed = open_failed,
    .end = end,
};
