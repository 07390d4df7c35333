/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a file version: made, granted, released, dropped. What the kernel and the source say of its opening
 * stands in open.c.
 */
#include "files/file.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/passthrough.h"
#include "mount.h"
#include "ops/names.h"
#include "ops/open.h"
#include "ops/read.h"

struct ajf_file *ajf_file_of_locked(struct ajf *m, uint64_t nodeid)
{
    return nodeid < AJF_INODES_MAX ? m->cache.files[nodeid] : NULL;
}

void ajf_file_ref_locked(struct ajf_file *file)
{
    file->refs++;
}

void ajf_file_pay_locked(struct ajf *m, struct ajf_file *file, uint32_t n)
{
    if (!file->paid)
        file->payer = file->asker;
    file->paid += n;
    ajf_descriptors_take(&m->cache.descriptors, file->payer, n);
}

static void pay_back_locked(struct ajf *m, struct ajf_file *file, size_t n)
{
    if (n > file->paid)
        n = file->paid;
    file->paid -= (uint32_t)n;
    ajf_descriptors_give(&m->cache.descriptors, file->payer, n);
}

static void close_extents_locked(struct ajf *m, struct ajf_file *file)
{
    if (file->extents)
        AJF_COUNT(&m->stats, backings_died);
    pay_back_locked(m, file, file->n_extents);
    ajf_trash_extents(&m->cache.trash, file->extents, file->n_extents);
    file->extents = NULL;
    file->n_extents = 0;
}

void ajf_file_push_close(struct ajf *m, const char *path, uint64_t handle)
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
        ajf_file_push_close(m, file->path, file->handle);
    if (file->has_handle && file->handle && m->opens_files)
        pay_back_locked(m, file, 1);
    file->has_handle = file->lazy;
}

void ajf_file_unref_locked(struct ajf *m, struct ajf_file *file)
{
    if (--file->refs)
        return;
    ajf_cache_drop_locked(m, file);
    ajf_file_close_handle_locked(m, file);
    close_extents_locked(m, file);
    pay_back_locked(m, file, file->paid);
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
    file->asker = AJF_NOBODY;
    file->memory.fd = -1;
    ajf_list_init(&file->in_chunk);
    ajf_list_init(&file->opens_waiting);
    ajf_list_init(&file->readers);
    ajf_list_init(&file->fetches);
    ajf_list_init(&file->ahead);
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
    ajf_ahead_leave_locked(m, file);
    file->abandoned = true;
    ajf_inode_unref(&m->inodes, file->nodeid);
    ajf_file_unref_locked(m, file);
}

bool ajf_file_is_idle(const struct ajf_file *file)
{
    return !file->opens && !file->pins && file->state == AJF_FILE_READY && ajf_list_empty(&file->readers) &&
           ajf_list_empty(&file->opens_waiting) && ajf_list_empty(&file->fetches);
}

bool ajf_file_close_idle_locked(struct ajf *m)
{
    struct ajf_order *o = &m->cache.order;
    for (struct ajf_rank *r = m->cache.backed ? ajf_order_first(o) : NULL; r; r = ajf_order_next(o, r)) {
        struct ajf_file *file = AJF_CONTAINER(r, struct ajf_page, rank)->file;
        if (!file || file->pins || file->memory.fd < 0)
            continue;
        file->refs++;
        ajf_cache_drop_locked(m, file);
        if (ajf_file_is_idle(file))
            ajf_file_retire_locked(m, file);
        ajf_file_unref_locked(m, file);
        return true;
    }
    return false;
}

void ajf_file_lost(struct ajf *m, const struct ajf_file *file)
{
    uint64_t parent;
    size_t len;
    char name[AJF_NAME_MAX];
    pthread_mutex_lock(&m->cache.lock);
    bool current = m->cache.files[file->nodeid] == file; /* else the nodeid may be somebody else's by now */
    if (current)
        ajf_inode_ref(&m->inodes, file->nodeid);
    ajf_cache_unlock(&m->cache);
    if (!current)
        return;
    if (!ajf_inode_name(&m->inodes, file->nodeid, &parent, name, &len))
        ajf_dirs_drop(&m->dirs, parent);
    ajf_inode_gone(&m->inodes, file->nodeid);
    ajf_inode_unref(&m->inodes, file->nodeid);
}

int ajf_file_reopen_locked(struct ajf *m, struct ajf_file *file)
{
    struct ajf_fetch *f = ajf_fetch_new(m, AJF_FETCH_OPEN, AJF_LANE_METADATA, strdup(file->path));
    if (!f)
        return -ENOMEM;
    f->info.version = file->version;
    f->info.size = file->size;
    f->file = file;
    if (!ajf_queue_push(&m->queue, f)) {
        ajf_fetch_free(f);
        return -ENOTCONN;
    }
    file->refs++;
    file->state = AJF_FILE_OPENING;
    file->opening = f;
    file->opening_ns = ajf_now_ns();
    return 0;
}

bool ajf_file_is_opening_long_locked(const struct ajf *m, const struct ajf_file *file, enum ajf_wait_class class)
{
    return file->state == AJF_FILE_OPENING &&
           ajf_now_ns() - file->opening_ns >= m->waits.timeout_ns[class] / 2;
}

/* What was asked of the source is taken back, or given up when a fetcher has it. The caller holds a reference. */
static void give_up_locked(struct ajf *m, struct ajf_file *file)
{
    ajf_read_cancel_locked(m, file);
    if (file->opening && ajf_queue_cancel(&m->queue, file->opening)) {
        ajf_fetch_free(file->opening);
        ajf_file_unref_locked(m, file);
    } else if (file->opening) {
        ajf_queue_uncount(&m->queue, file->opening);
        AJF_COUNT(&m->stats, fetch_abandoned);
    }
    file->opening = NULL;
    AJF_LIST_FOR(f, &file->fetches)
    {
        ajf_queue_uncount(&m->queue, AJF_CONTAINER(f, struct ajf_fetch, by_file));
        AJF_COUNT(&m->stats, fetch_abandoned);
    }
}

/* A fresh, empty file takes the place of one that is in use. */
static int replace_locked(struct ajf *m, struct ajf_file *file, uint64_t version, uint64_t size)
{
    struct ajf_file *fresh = file_new(m, file->nodeid, version, size);
    if (!fresh || ajf_file_reopen_locked(m, fresh)) {
        if (fresh)
            ajf_file_unref_locked(m, fresh);
        return -ENOMEM;
    }
    fresh->opens = file->opens;
    fresh->mode = file->mode;
    fresh->asker = file->asker;
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
    give_up_locked(m, file);
    file->refs -= file->opens;
    fresh->refs += file->opens;
    file->opens = 0;
    ajf_inode_ref(&m->inodes, fresh->nodeid); /* so that the record lives from one to the other */
    ajf_file_retire_locked(m, file);
    occupy_locked(m, fresh);
    ajf_inode_unref(&m->inodes, fresh->nodeid);
    return 0;
}

void ajf_file_abandon_locked(struct ajf *m, struct ajf_file *file)
{
    if (file->abandoned)
        return;
    if (file->opens || !ajf_list_empty(&file->readers) || !ajf_list_empty(&file->opens_waiting)) {
        replace_locked(m, file, file->version, file->size); /* out of memory: the next read times out as this one did */
        return;
    }
    give_up_locked(m, file);
    ajf_file_retire_locked(m, file);
}

bool ajf_file_grow(struct ajf *m, uint64_t nodeid, uint64_t from, const struct ajf_attr *attr, uint64_t expires_ns)
{
    pthread_mutex_lock(&m->cache.lock);
    struct ajf_file *file = ajf_file_of_locked(m, nodeid);
    bool quiet = file && file->opens && file->refs == 1 + file->opens; /* the slot's, and theirs */
    bool grows = quiet && file->state == AJF_FILE_READY && file->version == from && attr->size >= file->size &&
                 file->store != AJF_STORE_BORROWED && file->mode != AJF_MODE_PASSTHROUGH &&
                 !replace_locked(m, file, attr->version, attr->size);
    if (grows)
        ajf_inode_renew(&m->inodes, nodeid, attr, expires_ns);
    ajf_cache_unlock(&m->cache);
    return grows;
}

/* -------------------------------------------------------------------------------------------------- granting */

static int passthrough_fd(const struct ajf *m, const struct ajf_file *file)
{
    if (!atomic_load_explicit(&m->session.passthrough, memory_order_relaxed) || !file->size)
        return -1;
    if (file->store == AJF_STORE_BORROWED && file->n_extents == 1 && file->extents[0].fd_offset == 0)
        return file->extents[0].fd;
    /* What is open in passthrough cannot be evicted: some of the budget must stay movable. */
    if (file->store == AJF_STORE_MEMORY && file->complete && !m->cache.transient && ajf_cache_may_shelve_locked(&m->cache, file))
        return file->memory.fd;
    return -1;
}

static int32_t open_backing(struct ajf *m, struct ajf_file *file, int fd)
{
    struct ajf_backing_map map = {.fd = fd};
    int id = ioctl(fuse_session_fd(m->session.se), AJF_IOC_BACKING_OPEN, &map);
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
        ajf_log(&m->log, AJF_LOG_WARN, "no passthrough for %s: %s; it is read through the daemon (same bytes, slower)",
                file->path, errno == ELOOP ? "its bytes lie on an overlay (-o stack_depth=2 permits that)" : strerror(errno));
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
            close_extents_locked(m, file); /* the backing id holds the file */
        else
            ajf_cache_shelve_locked(&m->cache, file, true);
    }
}

void ajf_file_grant_locked(struct ajf *m, struct ajf_file *file, struct fuse_file_info *fi)
{
    if (!file->opens)
        choose_mode_locked(m, file);
    ajf_ahead_leave_locked(m, file);
    file->opens++;
    file->refs++;
    fi->fh = 0;
    fi->noflush = 1;
    switch (file->mode) {
    case AJF_MODE_PASSTHROUGH:
        AJF_COUNT(&m->stats, open_passthrough);
        AJF_COUNT_ADD(&m->stats, open_passthrough_bytes, file->size);
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
        if (m->options.cache_mode == AJF_CACHE_KERNEL) {
            fi->keep_cache = 1;
        } else {
            m->cache.next_token += 1 + (m->cache.next_token == UINT32_MAX);
            fi->keep_cache = !ajf_inode_take_changed(&m->inodes, file->nodeid, m->cache.next_token);
            fi->fh = fi->keep_cache ? 0 : m->cache.next_token;
        }
    }
}

bool ajf_file_usable(const struct ajf_file *file)
{
    return file->state == AJF_FILE_READY &&
           (file->opens || file->complete || file->has_handle || file->store == AJF_STORE_BORROWED);
}

int ajf_file_make_locked(struct ajf *m, const struct ajf_inode_view *v, struct ajf_file **ret_file)
{
    struct ajf_file *file = ajf_file_of_locked(m, v->nodeid);
    int err = 0;
    if (v->stale)
        return -ESTALE; /* the kernel looks the name up again */
    if (!file) {
        if (!(file = file_new(m, v->nodeid, v->attr.version, v->attr.size)))
            return -ENOMEM;
        /* Attributes that are true for this once (ajf.h) are no reason not to ask. */
        bool lazy = m->lazy_open_bytes && v->attr.nlink && v->attr.size <= m->lazy_open_bytes;
        err = lazy ? ajf_open_lazily_locked(m, file) : ajf_file_reopen_locked(m, file);
        if (err)
            ajf_file_unref_locked(m, file);
        else
            occupy_locked(m, file);
    } else if (file->state == AJF_FILE_READY && !ajf_file_usable(file)) {
        err = ajf_file_reopen_locked(m, file);
    }
    if (!err)
        *ret_file = file;
    return err;
}

/* -------------------------------------------------------------------------------------------------- releasing */

void ajf_file_last_release_locked(struct ajf *m, struct ajf_file *file)
{
    if (file->mode == AJF_MODE_PASSTHROUGH) {
        ajf_trash_backing_id(&m->cache.trash, fuse_session_fd(m->session.se), (uint32_t)file->backing_id);
        AJF_COUNT(&m->stats, backing_ids_died);
        file->backing_id = 0;
        ajf_cache_shelve_locked(&m->cache, file, false);
    }
    file->mode = AJF_MODE_NONE;
    file->noted = false;
    file->prefetch = (struct ajf_prefetch){.clock = 0}; /* another program reads it in another way */
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
            ajf_file_last_release_locked(m, file);
        file->refs--;
        ajf_file_unref_locked(m, file);
        ajf_cache_feed_locked(m);
    }
    ajf_cache_unlock(&m->cache);
}

bool ajf_file_is_open(struct ajf *m, uint64_t nodeid)
{
    pthread_mutex_lock(&m->cache.lock);
    struct ajf_file *file = ajf_file_of_locked(m, nodeid);
    bool open = file && file->opens;
    ajf_cache_unlock(&m->cache);
    return open;
}

uint64_t ajf_file_open_version(struct ajf *m, uint64_t nodeid)
{
    pthread_mutex_lock(&m->cache.lock);
    struct ajf_file *file = ajf_file_of_locked(m, nodeid);
    uint64_t version = file && file->opens ? file->version : 0;
    ajf_cache_unlock(&m->cache);
    return version;
}
