/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening, granting, releasing and dropping of file versions. Replies go out after the lock is dropped; a granted
 * open is counted before its reply, so that a RELEASE of another handle cannot end the mode in between, and taken
 * back when the reply fails.
 */
#include "file.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bits.h"
#include "meta.h"
#include "mount.h"
#include "read.h"

/* From the kernel's uapi <linux/fuse.h> (6.9), which build machines may not have yet. */
struct backing_map {
    int32_t fd;
    uint32_t flags;
    uint64_t padding;
};
#define IOC_BACKING_OPEN _IOW(229, 1, struct backing_map)
#define IOC_BACKING_CLOSE _IOW(229, 2, uint32_t)

struct ajf_file *ajf_file_of_locked(struct ajf *m, uint64_t nodeid)
{
    return nodeid < AJF_INODES_MAX ? m->cache.files[nodeid] : NULL;
}

void ajf_file_ref_locked(struct ajf_file *file)
{
    file->refs++;
}

static void close_extents(struct ajf *m, struct ajf_file *file)
{
    for (size_t i = 0; i < file->n_extents; i++)
        close(file->extents[i].fd);
    if (file->extents)
        AJF_COUNT(&m->stats, backings_died);
    free(file->extents);
    file->extents = NULL;
    file->n_extents = 0;
}

static void push_close(struct ajf *m, const char *path, uint64_t handle)
{
    struct ajf_fetch *f = ajf_fetch_new(m, AJF_FETCH_CLOSE, AJF_LANE_METADATA, strdup(path));
    if (!f) {
        ajf_log(&m->log, AJF_LOG_ERROR, "%s: out of memory, handle %llu of the source stays open", path,
                (unsigned long long)handle);
        return;
    }
    f->info.handle = handle;
    if (!ajf_queue_push(&m->queue, f))
        ajf_fetch_free(f); /* the session has ended, and with it all that the source holds for it */
}

void ajf_file_close_handle_locked(struct ajf *m, struct ajf_file *file)
{
    if (file->has_handle && file->handle)
        push_close(m, file->path, file->handle);
    file->has_handle = false;
}

void ajf_file_unref_locked(struct ajf *m, struct ajf_file *file)
{
    if (--file->refs)
        return;
    ajf_cache_drop_locked(m, file);
    ajf_file_close_handle_locked(m, file);
    close_extents(m, file);
    AJF_COUNT(&m->stats, files_died);
    free(file->pages);
    free(file->have);
    free(file->claimed);
    free(file->path);
    free(file);
}

static struct ajf_file *file_new(struct ajf *m, uint64_t nodeid, uint64_t version, uint64_t size)
{
    struct ajf_file *file = calloc(1, sizeof *file);
    if (!file)
        return NULL;
    file->path = ajf_inode_path(&m->inodes, nodeid, NULL, 0);
    if (!file->path) {
        free(file);
        return NULL;
    }
    file->nodeid = nodeid;
    file->version = version;
    file->size = size;
    file->refs = 1;
    file->memory.fd = -1;
    ajf_list_init(&file->in_chunk);
    ajf_list_init(&file->opens_waiting);
    ajf_list_init(&file->readers);
    ajf_list_init(&file->fetches);
    ajf_file_queue_init(&file->queue);
    AJF_COUNT(&m->stats, files_born);
    return file;
}

static void occupy_locked(struct ajf *m, struct ajf_file *file)
{
    m->cache.files[file->nodeid] = file;
    ajf_inode_ref(&m->inodes, file->nodeid);
}

void ajf_file_retire_locked(struct ajf *m, struct ajf_file *file)
{
    if (m->cache.files[file->nodeid] != file)
        return;
    m->cache.files[file->nodeid] = NULL;
    file->abandoned = true;
    ajf_inode_unref(&m->inodes, file->nodeid);
    ajf_file_unref_locked(m, file);
}

int ajf_file_reopen_locked(struct ajf *m, struct ajf_file *file)
{
    struct ajf_fetch *f = ajf_fetch_new(m, AJF_FETCH_OPEN, AJF_LANE_METADATA, strdup(file->path));
    if (!f)
        return -ENOMEM;
    f->info.version = file->version;
    f->info.size = file->size;
    f->file = file;
    file->refs++;
    file->state = AJF_FILE_OPENING;
    file->opening = f;
    file->opening_ns = ajf_now_ns();
    ajf_queue_push(&m->queue, f);
    return 0;
}

bool ajf_file_is_opening_long_locked(const struct ajf *m, const struct ajf_file *file, enum ajf_wait_class class)
{
    return file->state == AJF_FILE_OPENING &&
           ajf_now_ns() - file->opening_ns >= m->waits.timeout_ns[class] / 2;
}

/* The OPEN of a file that nobody wants any more: taken back when no fetcher has it. The caller holds a reference. */
static void cancel_opening_locked(struct ajf *m, struct ajf_file *file)
{
    if (file->opening && ajf_queue_cancel(&m->queue, file->opening)) {
        ajf_fetch_free(file->opening);
        ajf_file_unref_locked(m, file);
    } else if (file->opening) {
        ajf_queue_uncount(&m->queue, file->opening);
        AJF_COUNT(&m->stats, fetch_abandoned);
    }
    file->opening = NULL;
}

void ajf_file_abandon_locked(struct ajf *m, struct ajf_file *file)
{
    struct ajf_file *fresh = file->abandoned ? NULL : file_new(m, file->nodeid, file->version, file->size);
    if (!fresh || ajf_file_reopen_locked(m, fresh)) {
        if (fresh)
            ajf_file_unref_locked(m, fresh);
        return; /* it stays as it is; the next read times out as this one did */
    }
    fresh->opens = file->opens;
    fresh->mode = file->mode;
    fresh->store = AJF_STORE_NONE;
    struct ajf_list *l;
    while ((l = ajf_list_pop(&file->readers))) {
        struct ajf_read *r = AJF_CONTAINER(l, struct ajf_read, link);
        ajf_list_add(&fresh->readers, l);
        fresh->refs++;
        r->file = fresh;
        file->refs--;
    }
    while ((l = ajf_list_pop(&file->opens_waiting))) {
        ajf_list_add(&fresh->opens_waiting, l);
        AJF_CONTAINER(l, struct ajf_call, link)->file = fresh;
        fresh->refs++;
        file->refs--;
    }
    ajf_read_cancel_locked(m, file);
    cancel_opening_locked(m, file);
    AJF_LIST_FOR(f, &file->fetches)
    {
        ajf_queue_uncount(&m->queue, AJF_CONTAINER(f, struct ajf_fetch, by_file));
        AJF_COUNT(&m->stats, fetch_abandoned);
    }
    file->refs -= file->opens;
    fresh->refs += file->opens;
    file->opens = 0;
    ajf_inode_ref(&m->inodes, fresh->nodeid); /* so that the record lives from one to the other */
    ajf_file_retire_locked(m, file);
    occupy_locked(m, fresh);
    ajf_inode_unref(&m->inodes, fresh->nodeid);
}

/* -------------------------------------------------------------------------------------------------- granting */

static int passthrough_fd(const struct ajf *m, const struct ajf_file *file)
{
    if (!atomic_load_explicit(&m->session.passthrough, memory_order_relaxed) || !file->size)
        return -1;
    if (file->store == AJF_STORE_BORROWED && file->n_extents == 1 && file->extents[0].fd_offset == 0)
        return file->extents[0].fd;
    /* What is open in passthrough cannot be evicted: some of the budget must stay movable. */
    if (file->store == AJF_STORE_MEMORY && file->complete && ajf_cache_may_shelve_locked(&m->cache, file))
        return file->memory.fd;
    return -1;
}

static int32_t open_backing(struct ajf *m, struct ajf_file *file, int fd)
{
    struct backing_map map = {.fd = fd};
    int id = ioctl(fuse_session_fd(m->session.se), IOC_BACKING_OPEN, &map);
    if (id > 0) {
        AJF_COUNT(&m->stats, backing_ids_born);
        return id;
    }
    if (errno == EPERM) {
        if (atomic_exchange(&m->session.passthrough, false))
            ajf_log(&m->log, AJF_LOG_INFO,
                    "passthrough needs CAP_SYS_ADMIN; files are read through the daemon (same bytes, slower)");
    } else if (!m->session.passthrough_warned) {
        m->session.passthrough_warned = true;
        ajf_log(&m->log, AJF_LOG_WARN, "no passthrough for %s: %s; it is read through the daemon", file->path,
                strerror(errno));
    }
    return 0;
}

static void choose_mode_locked(struct ajf *m, struct ajf_file *file)
{
    file->mode = m->options.cache_mode == AJF_CACHE_DIRECT ? AJF_MODE_DIRECT : AJF_MODE_CACHED;
    int fd = file->mode == AJF_MODE_DIRECT ? -1 : passthrough_fd(m, file);
    if (fd >= 0 && (file->backing_id = open_backing(m, file, fd)) > 0) {
        file->mode = AJF_MODE_PASSTHROUGH;
        file->ever_passthrough = true;
        if (file->store == AJF_STORE_BORROWED)
            close_extents(m, file); /* the backing id holds the file */
        else
            ajf_cache_shelve_locked(&m->cache, file, true);
    }
}

static void grant_locked(struct ajf *m, struct ajf_file *file, struct fuse_file_info *fi)
{
    if (!file->opens)
        choose_mode_locked(m, file);
    file->opens++;
    file->refs++;
    fi->fh = 0;
    fi->noflush = 1;
    switch (file->mode) {
    case AJF_MODE_PASSTHROUGH:
        AJF_COUNT(&m->stats, open_passthrough);
#if AJF_HAVE_PASSTHROUGH
        fi->backing_id = file->backing_id;
#endif
        break;
    case AJF_MODE_DIRECT:
        AJF_COUNT(&m->stats, open_direct);
        fi->direct_io = 1;
        break;
    default:
        AJF_COUNT(&m->stats, open_cached);
        /* A version is an inode, so the kernel's pages can only be stale when a lent file was written in place. */
        fi->keep_cache = !ajf_inode_take_changed(&m->inodes, file->nodeid) || m->options.cache_mode == AJF_CACHE_KERNEL;
    }
}

static bool usable(const struct ajf_file *file)
{
    return file->state == AJF_FILE_READY &&
           (file->opens || file->complete || file->has_handle || file->store == AJF_STORE_BORROWED);
}

static void last_release_locked(struct ajf *m, struct ajf_file *file);

static void drop_open(struct ajf *m, struct ajf_wait *w, int err)
{
    struct ajf_call *call = AJF_CONTAINER(w, struct ajf_call, wait);
    pthread_mutex_lock(&m->cache.lock);
    struct ajf_file *file = call->file;
    ajf_list_del(&call->link);
    /* The source hangs in open(): whoever comes next shall ask anew. */
    if (err == EIO && !file->abandoned && ajf_file_is_opening_long_locked(m, file, AJF_WAIT_METADATA)) {
        if (file->opens || !ajf_list_empty(&file->readers) || !ajf_list_empty(&file->opens_waiting)) {
            ajf_file_abandon_locked(m, file);
        } else {
            cancel_opening_locked(m, file);
            ajf_file_retire_locked(m, file);
        }
    } else if (file->state == AJF_FILE_READY && !file->abandoned && !file->opens &&
               ajf_list_empty(&file->opens_waiting)) {
        last_release_locked(m, file); /* it was opened for this caller alone, who has gone meanwhile */
    }
    ajf_file_unref_locked(m, file);
    pthread_mutex_unlock(&m->cache.lock);
    free(call);
}

static int park_open_locked(struct ajf *m, struct ajf_file *file, fuse_req_t req, const struct fuse_file_info *fi)
{
    struct ajf_call *call = calloc(1, sizeof *call);
    if (!call)
        return -ENOMEM;
    call->wait = (struct ajf_wait){
        .req = req, .op = "Open", .nodeid = file->nodeid, .class = AJF_WAIT_METADATA, .drop = drop_open};
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

/* The file in the slot, or a new one in it. */
static int find_or_make_locked(struct ajf *m, const struct ajf_inode_view *v, struct ajf_file **ret_file)
{
    struct ajf_file *file = ajf_file_of_locked(m, v->nodeid);
    if (v->stale)
        return -ESTALE; /* the kernel looks the name up again */
    if (!file) {
        if (!(file = file_new(m, v->nodeid, v->attr.version, v->attr.size)))
            return -ENOMEM;
        if (ajf_file_reopen_locked(m, file)) {
            ajf_file_unref_locked(m, file);
            return -ENOMEM;
        }
        occupy_locked(m, file);
    } else if (file->state == AJF_FILE_READY && !usable(file) && ajf_file_reopen_locked(m, file)) {
        return -ENOMEM;
    }
    *ret_file = file;
    return 0;
}

static void reply_open(struct ajf *m, fuse_req_t req, uint64_t nodeid, const struct fuse_file_info *fi)
{
    if (fuse_reply_open(req, fi) < 0)
        ajf_file_release(m, nodeid); /* the kernel gave up waiting and will send no RELEASE */
}

void ajf_file_open(struct ajf *m, fuse_req_t req, uint64_t nodeid, const struct fuse_file_info *fi)
{
    struct ajf_inode_view v;
    struct ajf_file *file = NULL;
    struct fuse_file_info granted = *fi;
    bool now = false;
    ajf_wait_arm(m, req);
    int err = ajf_inode_get(&m->inodes, nodeid, &v);
    if (!err) {
        pthread_mutex_lock(&m->cache.lock);
        err = find_or_make_locked(m, &v, &file);
        now = !err && usable(file);
        if (now)
            grant_locked(m, file, &granted);
        else if (!err)
            err = park_open_locked(m, file, req, fi);
        pthread_mutex_unlock(&m->cache.lock);
    }
    if (err)
        fuse_reply_err(req, -err);
    else if (now)
        reply_open(m, req, nodeid, &granted);
}

/* -------------------------------------------------------------------------------------------------- releasing */

static void last_release_locked(struct ajf *m, struct ajf_file *file)
{
    if (file->mode == AJF_MODE_PASSTHROUGH) {
        uint32_t id = (uint32_t)file->backing_id;
        ioctl(fuse_session_fd(m->session.se), IOC_BACKING_CLOSE, &id);
        AJF_COUNT(&m->stats, backing_ids_died);
        file->backing_id = 0;
        ajf_cache_shelve_locked(&m->cache, file, false);
    }
    file->mode = AJF_MODE_NONE;
    ajf_read_cancel_locked(m, file);
    if (file->store == AJF_STORE_BORROWED || m->cache.transient || !file->n_have) {
        if (file->state == AJF_FILE_READY)
            ajf_file_retire_locked(m, file);
    } else if (ajf_list_empty(&file->fetches)) {
        ajf_file_close_handle_locked(m, file);
    }
}

void ajf_file_release(struct ajf *m, uint64_t nodeid)
{
    pthread_mutex_lock(&m->cache.lock);
    struct ajf_file *file = ajf_file_of_locked(m, nodeid);
    if (file && file->opens) {
        file->refs++;
        if (!--file->opens)
            last_release_locked(m, file);
        file->refs--;
        ajf_file_unref_locked(m, file);
        ajf_cache_feed_locked(m);
    }
    pthread_mutex_unlock(&m->cache.lock);
}

bool ajf_file_is_open(struct ajf *m, uint64_t nodeid)
{
    pthread_mutex_lock(&m->cache.lock);
    struct ajf_file *file = ajf_file_of_locked(m, nodeid);
    bool open = file && file->opens;
    pthread_mutex_unlock(&m->cache.lock);
    return open;
}

/* ------------------------------------------------------------------------------------- answers of the source */

static int no_room(struct ajf_file *file)
{
    free(file->have);
    free(file->claimed);
    file->have = file->claimed = NULL;
    file->store = AJF_STORE_NONE;
    return -ENOMEM;
}

static int make_room_for_bytes(const struct ajf_cache *c, struct ajf_file *file)
{
    file->n_granules = ajf_granule_up(file->size);
    file->complete = !file->n_granules;
    file->store = file->size <= c->slab_limit ? AJF_STORE_SLAB : AJF_STORE_MEMORY;
    file->have = calloc(AJF_BITS_WORDS(file->n_granules) + 1, sizeof *file->have);
    file->claimed = calloc(AJF_BITS_WORDS(file->n_granules) + 1, sizeof *file->claimed);
    if (!file->have || !file->claimed)
        return no_room(file);
    if (file->store == AJF_STORE_SLAB)
        return 0;
    size_t n = (file->size + c->page_bytes - 1) / c->page_bytes;
    file->pages = calloc(n, sizeof *file->pages);
    if (!file->pages)
        return no_room(file);
    file->n_pages = n;
    for (size_t i = 0; i < n; i++) {
        file->pages[i].index = (uint32_t)i;
        file->pages[i].file = file;
        ajf_list_init(&file->pages[i].lru);
    }
    return 0;
}

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

/* Takes the descriptors. */
static int borrow(struct ajf *m, struct ajf_file *file, const struct ajf_extent *extents, size_t n)
{
    struct ajf_extent *copy = malloc(n * sizeof *copy);
    if (!copy) {
        for (size_t i = 0; i < n; i++)
            close(extents[i].fd);
        return -ENOMEM;
    }
    memcpy(copy, extents, n * sizeof *copy);
    file->extents = copy;
    file->n_extents = n;
    file->store = AJF_STORE_BORROWED;
    AJF_COUNT(&m->stats, backings_born);
    if (n == 1)
        ajf_inode_saw(&m->inodes, file->nodeid, stamp_of(extents[0].fd));
    return 0;
}

/* Ends OPENING: takes the calls that wait for it. The caller holds a reference. */
static void end_opening_locked(struct ajf *m, struct ajf_file *file, struct ajf_list *ret_calls)
{
    struct ajf_list *l, later;
    ajf_list_init(&later);
    while ((l = ajf_list_pop(&file->opens_waiting))) {
        struct ajf_call *call = AJF_CONTAINER(l, struct ajf_call, link);
        bool mine = ajf_wait_take(m, &call->wait);
        ajf_list_add(mine ? ret_calls : &later, l);
        file->refs -= mine; /* the caller has another */
    }
    while ((l = ajf_list_pop(&later)))
        ajf_list_add(&file->opens_waiting, l); /* its taker unlinks and frees it */
    file->state = AJF_FILE_READY;
    file->opening = NULL;
}

static void answer_calls(struct ajf *m, struct ajf_list *calls, int err)
{
    struct ajf_list *l;
    while ((l = ajf_list_pop(calls))) {
        struct ajf_call *call = AJF_CONTAINER(l, struct ajf_call, link);
        if (err)
            fuse_reply_err(call->wait.req, err);
        else
            reply_open(m, call->wait.req, call->wait.nodeid, &call->fi);
        ajf_wait_answered(m, &call->wait, -err);
        free(call);
    }
}

static void open_failed(struct ajf_fetch *f, int err)
{
    struct ajf *m = f->m;
    struct ajf_file *file = f->file;
    struct ajf_list calls;
    ajf_list_init(&calls);
    pthread_mutex_lock(&m->cache.lock);
    bool current = m->cache.files[file->nodeid] == file; /* else the nodeid may be somebody else's by now */
    if (current)
        ajf_inode_ref(&m->inodes, file->nodeid);
    pthread_mutex_unlock(&m->cache.lock);
    if (current && ajf_meta_is_lost(err)) {
        uint64_t parent;
        size_t len;
        char name[AJF_NAME_MAX];
        if (!ajf_inode_name(&m->inodes, file->nodeid, &parent, name, &len))
            ajf_dirs_drop(&m->dirs, parent);
        ajf_inode_gone(&m->inodes, file->nodeid);
    }
    if (current)
        ajf_inode_unref(&m->inodes, file->nodeid);
    pthread_mutex_lock(&m->cache.lock);
    file->refs++;
    bool abandoned = file->abandoned;
    if (!abandoned)
        end_opening_locked(m, file, &calls);
    pthread_mutex_unlock(&m->cache.lock);
    if (!abandoned)
        ajf_read_fail(m, file, 0, file->size, ajf_meta_is_lost(err) ? EIO : err);
    pthread_mutex_lock(&m->cache.lock);
    if (!file->opens && file->state == AJF_FILE_READY && ajf_list_empty(&file->opens_waiting))
        ajf_file_retire_locked(m, file);
    ajf_file_unref_locked(m, file);
    pthread_mutex_unlock(&m->cache.lock);
    answer_calls(m, &calls, err);
}

void ajf_file_open_failed(struct ajf_fetch *f, int err)
{
    open_failed(f, err);
}

static int accept_locked(struct ajf *m, struct ajf_file *file, uint64_t handle, uint64_t size,
                         const struct ajf_extent *extents, size_t n)
{
    file->has_handle = handle || !n; /* a source that keeps nothing can be read all the same */
    file->handle = handle;
    if (n && file->have) { /* lent now, but it has bytes of its own already */
        for (size_t i = 0; i < n; i++)
            close(extents[i].fd);
        return handle ? 0 : -EIO;
    }
    if (n) {
        file->size = size;
        return borrow(m, file, extents, n);
    }
    return file->store == AJF_STORE_NONE ? make_room_for_bytes(&m->cache, file) : 0;
}

static void grant_waiting_locked(struct ajf *m, struct ajf_file *file, struct ajf_list *ret_calls)
{
    end_opening_locked(m, file, ret_calls);
    AJF_LIST_FOR(l, ret_calls)
        grant_locked(m, file, &AJF_CONTAINER(l, struct ajf_call, link)->fi);
}

static bool sane(const struct ajf_extent *extents, size_t n, uint64_t size)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += extents[i].length;
    return !n || total == size;
}

int ajf_file_opened(struct ajf_fetch *f, uint64_t handle, uint64_t version, uint64_t size,
                    const struct ajf_extent *extents, size_t n)
{
    struct ajf *m = f->m;
    struct ajf_file *file = f->file;
    struct ajf_list calls;
    int err = 0;
    bool keeps = false;
    ajf_list_init(&calls);
    pthread_mutex_lock(&m->cache.lock);
    if (file->abandoned)
        err = ESTALE;
    else if (!sane(extents, n, size))
        err = EIO;
    else if (version != file->version || (!n && size != file->size))
        err = ESTALE;
    if (!err) {
        keeps = true;
        err = -accept_locked(m, file, handle, size, extents, n);
        if (err)
            ajf_file_close_handle_locked(m, file);
    }
    if (!err) {
        grant_waiting_locked(m, file, &calls);
        ajf_read_resume_locked(m, file);
        if (!file->opens && ajf_list_empty(&file->opens_waiting))
            last_release_locked(m, file); /* everybody who wanted it has gone */
    }
    bool lent = !err && file->store == AJF_STORE_BORROWED && file->extents;
    pthread_mutex_unlock(&m->cache.lock);
    if (!keeps) {
        for (size_t i = 0; i < n; i++)
            close(extents[i].fd);
        if (handle)
            push_close(m, f->path, handle);
    }
    if (err)
        open_failed(f, err);
    else
        answer_calls(m, &calls, 0);
    if (lent)
        ajf_read_serve_borrowed(m, file); /* who read while it was opened anew */
    return err == EIO ? -EINVAL : 0;
}

void ajf_file_open_end(struct ajf_fetch *f)
{
    pthread_mutex_lock(&f->m->cache.lock);
    if (f->file->opening == f)
        f->file->opening = NULL;
    ajf_file_unref_locked(f->m, f->file);
    pthread_mutex_unlock(&f->m->cache.lock);
}
