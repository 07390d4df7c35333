/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a file version: made, granted, released, dropped. The answers of kernel and source about opening it are
 * in open.c.
 */
#include "files/file.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/passthrough.h"
#include "mount.h"

int ajf_files_init(struct ajf_files *files)
{
    *files = (struct ajf_files){.by_node = mmap(NULL, AJF_INODES_MAX * sizeof *files->by_node, PROT_READ | PROT_WRITE,
                                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)};
    ajf_list_init(&files->starved);
    return files->by_node == MAP_FAILED ? -errno : 0;
}

void ajf_files_done(struct ajf_files *files)
{
    munmap(files->by_node, AJF_INODES_MAX * sizeof *files->by_node);
}

struct ajf_file *ajf_file_of_locked(struct ajf *m, uint64_t nodeid)
{
    AJF_HELD(&m->cache.lock);
    return nodeid < AJF_INODES_MAX ? m->files.by_node[nodeid] : NULL;
}

void ajf_file_ref_locked(struct ajf_file *file)
{
    file->refs++;
}

void ajf_file_pay_locked(struct ajf *m, struct ajf_file *file, uint32_t n)
{
    AJF_HELD(&m->cache.lock);
    if (!file->paid)
        file->payer = file->asker;
    file->paid += n;
    ajf_descriptors_take(&m->cache.descriptors, file->payer, n);
}

void ajf_file_pay_back_locked(struct ajf *m, struct ajf_file *file, size_t n)
{
    AJF_HELD(&m->cache.lock);
    if (n > file->paid)
        n = file->paid;
    file->paid -= (uint32_t)n;
    ajf_descriptors_give(&m->cache.descriptors, file->payer, n);
}

static void close_extents_locked(struct ajf *m, struct ajf_file *file)
{
    AJF_HELD(&m->cache.lock);
    if (file->extents)
        AJF_COUNT(&m->stats, backings_died);
    ajf_file_pay_back_locked(m, file, file->n_extents);
    ajf_trash_extents(&m->cache.trash, file->extents, file->n_extents);
    file->extents = NULL;
    file->n_extents = 0;
}

static int closed(struct ajf_fetch *f, size_t filled)
{
    return ajf_fetch_claim(f) ? 0 : -EINVAL;
}

void ajf_file_push_close(struct ajf *m, uint64_t nodeid, uint64_t handle)
{
    static const struct ajf_fetch_ops ops = {
        .bytes = sizeof(struct ajf_fetch), .counts = AJF_STAT_fetch_close, .done = closed};
    struct ajf_fetch *f = ajf_fetch_new(m, &ops, AJF_FETCH_CLOSE, AJF_LANE_METADATA, nodeid, NULL);
    if (!f) {
        ajf_log(&m->log, AJF_LOG_ERROR, "out of memory: handle %llu of the source stays open",
                (unsigned long long)handle);
        return;
    }
    f->info.handle = handle;
    if (!ajf_queue_push(&m->queue, f))
        ajf_fetch_free(f); /* the session has ended, and with it all that the source holds for it */
}

void ajf_file_close_handle_locked(struct ajf *m, struct ajf_file *file)
{
    AJF_HELD(&m->cache.lock);
    if (file->has_handle && file->handle)
        ajf_file_push_close(m, file->nodeid, file->handle);
    if (file->has_handle && file->handle && m->opens_files)
        ajf_file_pay_back_locked(m, file, 1);
    file->has_handle = file->lazy;
}

void ajf_file_unref_locked(struct ajf *m, struct ajf_file *file)
{
    AJF_HELD(&m->cache.lock);
    AJF_MUST(file->refs);
    if (--file->refs)
        return;
    ajf_use_end_locked(m, &file->usage, file->size, file->mode);
    ajf_cache_drop_locked(m, &file->pages);
    ajf_file_close_handle_locked(m, file);
    close_extents_locked(m, file);
    ajf_file_pay_back_locked(m, file, file->paid);
    AJF_COUNT(&m->stats, files_died);
    ajf_pages_done(&file->pages);
    ajf_inode_unref(&m->inodes, file->nodeid);
    free(file->prefetch);
    free(file);
}

void ajf_file_unref(struct ajf *m, struct ajf_file *file)
{
    pthread_mutex_lock(&m->cache.lock);
    ajf_file_unref_locked(m, file);
    ajf_cache_unlock(&m->cache);
}

struct ajf_file *ajf_file_new(struct ajf *m, uint64_t nodeid, uint64_t version, uint64_t size)
{
    struct ajf_file *file = calloc(1, sizeof *file);
    if (!file)
        return NULL;
    ajf_inode_ref(&m->inodes, nodeid);
    file->nodeid = nodeid;
    file->version = version;
    file->size = size;
    file->refs = 1;
    file->asker = AJF_DESCRIPTORS_NOBODY;
    ajf_pages_init(&file->pages);
    ajf_list_init(&file->opens_waiting);
    ajf_list_init(&file->readers);
    ajf_list_init(&file->fetches);
    ajf_list_init(&file->ahead);
    ajf_list_init(&file->held);
    ajf_turns_init(&file->turns);
    ajf_usage_init(&file->usage, nodeid);
    AJF_COUNT(&m->stats, files_born);
    return file;
}

void ajf_file_leave_ahead_locked(struct ajf *m, struct ajf_file *file)
{
    AJF_HELD(&m->cache.lock);
    if (ajf_list_empty(&file->ahead))
        return;
    ajf_list_del(&file->ahead);
    m->files.ahead.bytes -= file->size;
}

void ajf_file_hand_locked(struct ajf *m, struct ajf_file *file, size_t length)
{
    AJF_HELD(&m->cache.lock);
    if (ajf_list_empty(&file->held))
        return;
    file->handed += length;
    file->held_ns = ajf_now_ns();
    ajf_list_del(&file->held);
    ajf_list_add(&m->files.held.files, &file->held);
}

int ajf_file_begin(const struct ajf_cache *c, struct ajf_file *file)
{
    int err = ajf_pages_begin(&file->pages, file->size, c->page_bytes, file->size <= c->slab_limit);
    file->place = err ? AJF_PLACE_NONE : AJF_PLACE_MEMORY;
    return err;
}

void ajf_file_retire_locked(struct ajf *m, struct ajf_file *file)
{
    AJF_HELD(&m->cache.lock);
    if (m->files.by_node[file->nodeid] != file)
        return;
    m->files.by_node[file->nodeid] = NULL;
    ajf_use_end_locked(m, &file->usage, file->size, file->mode);
    ajf_file_leave_ahead_locked(m, file);
    file->abandoned = true;
    ajf_file_unref_locked(m, file);
}

bool ajf_file_is_idle(const struct ajf_file *file)
{
    return !file->opens && !file->pages.pins && file->state == AJF_FILE_READY && ajf_list_empty(&file->readers) &&
           ajf_list_empty(&file->opens_waiting) && ajf_list_empty(&file->fetches);
}

bool ajf_file_emptied_locked(struct ajf *m, struct ajf_pages *p)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_file *file = AJF_CONTAINER(p, struct ajf_file, pages);
    bool idle = ajf_file_is_idle(file);
    if (idle)
        ajf_file_retire_locked(m, file);
    return idle;
}

void ajf_file_hold_locked(struct ajf_pages *p)
{
    AJF_CONTAINER(p, struct ajf_file, pages)->refs++;
}

bool ajf_file_let_go_locked(struct ajf *m, struct ajf_pages *p)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_file *file = AJF_CONTAINER(p, struct ajf_file, pages);
    bool last = file->refs == 1;
    ajf_file_unref_locked(m, file);
    return last;
}

void ajf_file_lost(struct ajf *m, const struct ajf_file *file)
{
    uint64_t parent;
    size_t len;
    char name[AJF_NAME_MAX];
    pthread_mutex_lock(&m->cache.lock);
    /* Otherwise another thread has told already, or another file has taken its place. */
    bool current = m->files.by_node[file->nodeid] == file;
    ajf_cache_unlock(&m->cache);
    if (!current)
        return;
    bool named = !ajf_inode_name(&m->inodes, file->nodeid, &parent, name, &len);
    if (named)
        ajf_dirs_drop(&m->dirs, parent);
    ajf_inode_gone(&m->inodes, file->nodeid);
    if (named && m->options.asks_no_open) /* else the answer to the next OPEN, ESTALE, says so */
        ajf_notify_name(&m->notify, parent, name, len, file->nodeid, false);
}

int ajf_file_ask_locked(struct ajf *m, struct ajf_file *file, struct ajf_fetch **ret_fetch)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_fetch *f = ajf_fetch_new(m, m->open_ops, AJF_FETCH_OPEN, AJF_LANE_METADATA, file->nodeid, NULL);
    if (!f)
        return -ENOMEM;
    f->info.version = file->version;
    f->info.size = file->size;
    f->turns = &file->turns;
    ajf_file_fetch_of(f)->file = file;
    ajf_list_init(&ajf_file_fetch_of(f)->by_file);
    file->refs++;
    file->state = AJF_FILE_OPENING;
    file->opening = ajf_file_fetch_of(f);
    file->opening_ns = ajf_now_ns();
    *ret_fetch = f;
    return 0;
}

int ajf_file_reopen_locked(struct ajf *m, struct ajf_file *file)
{
    AJF_HELD(&m->cache.lock);
    enum ajf_file_state before = file->state;
    struct ajf_fetch *f;
    int err = ajf_file_ask_locked(m, file, &f);
    if (err || ajf_queue_push(&m->queue, f))
        return err;
    file->refs--;
    file->state = before;
    file->opening = NULL;
    ajf_fetch_free(f);
    return -ENOTCONN;
}

bool ajf_file_is_opening_long_locked(const struct ajf *m, const struct ajf_file *file, enum ajf_wait_class class)
{
    AJF_HELD(&m->cache.lock);
    return file->state == AJF_FILE_OPENING &&
           ajf_now_ns() - file->opening_ns >= m->waits.timeout_ns[class] / 2;
}

/* -------------------------------------------------------------------------------------------------- granting */

/* Otherwise the source may yet say that what has come of the file is wrong. */
static bool is_sure_locked(const struct ajf *m, const struct ajf_file *file)
{
    AJF_HELD(&m->cache.lock);
    AJF_LIST_FOR(l, &file->fetches)
        if (!AJF_CONTAINER(l, struct ajf_file_fetch, by_file)->sure)
            return false;
    return true;
}

static int passthrough_fd_locked(const struct ajf *m, const struct ajf_file *file)
{
    AJF_HELD(&m->cache.lock);
    if (!atomic_load_explicit(&m->session.passthrough, memory_order_relaxed) || !file->size)
        return -1;
    if (file->place == AJF_PLACE_BORROWED && file->n_extents == 1 && file->extents[0].fd_offset == 0)
        return file->extents[0].fd;
    /* A file that is open in passthrough cannot be evicted: some of the budget must stay movable. */
    if (file->place == AJF_PLACE_MEMORY && !file->pages.small && file->pages.complete && !m->cache.transient &&
        is_sure_locked(m, file) && ajf_cache_may_shelve_locked(&m->cache, &file->pages))
        return file->pages.memory.fd;
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
        bool overlay = errno == ELOOP;
        const char *why = overlay ? "its bytes lie on an overlay (-o stack_depth=2 permits that)" : strerror(errno);
        char *path = ajf_inode_path(&m->inodes, file->nodeid, NULL, 0);
        ajf_log(&m->log, AJF_LOG_WARN, "no passthrough for %s: %s; it is read through the daemon (same bytes, slower)",
                path ? path : "?", why);
        free(path);
    }
    return 0;
}

static void choose_mode_locked(struct ajf *m, struct ajf_file *file)
{
    AJF_HELD(&m->cache.lock);
    file->mode = m->options.cache_mode == AJF_CACHE_DIRECT ? AJF_MODE_DIRECT : AJF_MODE_CACHED;
    int fd = file->mode == AJF_MODE_DIRECT ? -1 : passthrough_fd_locked(m, file);
    if (fd >= 0 && (file->backing_id = open_backing(m, file, fd)) > 0) {
        file->mode = AJF_MODE_PASSTHROUGH;
        file->pages.whole = true;
        if (file->place == AJF_PLACE_BORROWED)
            close_extents_locked(m, file); /* the backing id holds the file */
        else
            ajf_cache_shelve_locked(&m->cache, &file->pages, true);
    }
}

void ajf_file_grant_locked(struct ajf *m, struct ajf_file *file, struct fuse_file_info *fi)
{
    AJF_HELD(&m->cache.lock);
    if (!file->opens)
        choose_mode_locked(m, file);
    ajf_file_leave_ahead_locked(m, file);
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
            m->files.next_token += 1 + (m->files.next_token == UINT32_MAX);
            fi->keep_cache = !ajf_inode_take_changed(&m->inodes, file->nodeid, m->files.next_token);
            fi->fh = fi->keep_cache ? 0 : m->files.next_token;
        }
    }
}

bool ajf_file_usable(const struct ajf_file *file)
{
    return file->state == AJF_FILE_READY &&
           (file->opens || file->pages.complete || file->has_handle || file->place == AJF_PLACE_BORROWED);
}

/* -------------------------------------------------------------------------------------------------- releasing */
