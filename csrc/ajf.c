/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a mount: what is built in which order, and taken down in the reverse one.
 */
#include "ajf.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "files/ahead.h"
#include "files/arrive.h"
#include "files/awaited.h"
#include "files/file.h"
#include "files/fill.h"
#include "files/held.h"
#include "files/lent.h"
#include "mount.h"
#include "ops/decode.h"
#include "ops/invalidate.h"
#include "ops/open.h"

static int check(const struct ajf_options *o)
{
    bool sane = o->max_threads >= 1 && o->max_idle_threads >= 1 && o->max_threads >= o->max_idle_threads &&
                o->fetchers >= 1 && o->metadata_fetchers >= 1 && o->page_bytes >= 64 * 1024 &&
                (o->page_bytes & (o->page_bytes - 1)) == 0 && o->cache_mode >= AJF_CACHE_AUTO &&
                o->cache_mode <= AJF_CACHE_DIRECT && o->max_write >= 4096;
    return sane ? 0 : -EINVAL;
}

static const struct ajf_cache_owner owner = {
    .emptied = ajf_file_emptied_locked,
    .hold = ajf_file_hold_locked,
    .let_go = ajf_file_let_go_locked,
    .needs = ajf_awaited_needs,
    .expects = ajf_awaited_expects,
    .has_left = ajf_awaited_has_left,
    .has_room = ajf_fill_feed_locked,
};

/* A name may stand for something else: the kernel shall look it up again. */
static void tell_name(struct ajf *m, uint64_t parent, const char *name, size_t len, uint64_t nodeid, bool directory)
{
    ajf_notify_name(&m->notify, parent, name, len, nodeid, directory);
}

int ajf_new(const struct ajf_options *options, struct ajf **ret_m)
{
    int err = check(options);
    struct ajf *m = err ? NULL : calloc(1, sizeof *m);
    if (!m)
        return err ? err : -ENOMEM;
    m->options = *options;
    ajf_times_init(&m->times);
    m->open_ops = &ajf_open_ops;
    m->fill_ops = &ajf_arrive_ops;
    if ((err = ajf_log_init(&m->log, &m->stats)))
        goto fail_log;
    if ((err = ajf_inodes_init(&m->inodes, &m->stats)))
        goto fail_inodes;
    if ((err = ajf_cache_init(&m->cache, options, &owner, &m->stats)))
        goto fail_cache;
    if ((err = ajf_files_init(&m->files)))
        goto fail_files;
    if ((err = -pthread_key_create(&m->lent_tools, ajf_lent_tools_free)))
        goto fail_key;
    ajf_ahead_init(m);
    ajf_held_init(m);
    ajf_waits_init(&m->waits, m);
    ajf_waits_watch(&m->waits, &m->cache.rest);
    ajf_waits_watch(&m->waits, &m->files.held.rest);
    ajf_notify_init(&m->notify, m);
    ajf_dirs_init(&m->dirs, options->listings_bytes, tell_name);
    ajf_trace_init(&m->trace, &m->inodes, &m->stats);
    ajf_uses_init(&m->uses);
    ajf_metadata_init(&m->metadata);
    ajf_queue_init(&m->queue, options);
    ajf_direct_init(&m->direct, options->max_threads);
    ajf_pool_init(&m->pool, m);
    ajf_session_init(&m->session);
    *ret_m = m;
    return 0;
fail_key:
    ajf_files_done(&m->files);
fail_files:
    ajf_cache_done(&m->cache);
fail_cache:
    ajf_inodes_done(&m->inodes);
fail_inodes:
    ajf_log_done(&m->log);
fail_log:
    free(m);
    return err;
}

void ajf_follow_growth(struct ajf *m)
{
    m->follows_growth = true;
}

void ajf_open_lazily(struct ajf *m, uint64_t bytes, uint32_t ahead)
{
    m->queue.max_ahead = ahead;
    m->lazy_open_bytes = bytes < m->cache.slab_limit ? bytes : m->cache.slab_limit;
}

void ajf_confirm_opens(struct ajf *m)
{
    m->confirms_opens = true;
}

void ajf_open_files(struct ajf *m)
{
    m->opens_files = true;
}

void ajf_set_root(struct ajf *m, const struct ajf_attr *attr)
{
    ajf_inode_update(&m->inodes, AJF_ROOT, attr, 0);
}

int ajf_serve_directory(struct ajf *m, const struct ajf_directory *directory)
{
    return ajf_direct_serve(&m->direct, directory);
}

int ajf_mount(struct ajf *m, const char *mountpoint, const char *mount_options)
{
    return ajf_session_mount(m, &ajf_ops, ajf_lent_most_spliced(), mountpoint, mount_options);
}

int ajf_start(struct ajf *m, int timeout_ms)
{
    int err = ajf_waits_start(&m->waits);
    if (!err)
        err = ajf_pool_start(&m->pool);
    if (!err)
        err = ajf_session_wait_ready(m, timeout_ms);
    return err;
}

int ajf_wait_end(struct ajf *m, int timeout_ms)
{
    return ajf_pool_wait(&m->pool, timeout_ms);
}

/* The connection is gone: no RELEASE and no FORGET will come any more. */
static int drop_state(struct ajf *m, uint64_t deadline_ns)
{
    pthread_mutex_lock(&m->cache.lock);
    for (uint64_t n = AJF_ROOT, end = ajf_inodes_end(&m->inodes); n < end; n++) {
        struct ajf_file *file = m->files.by_node[n];
        if (!file)
            continue;
        ajf_fill_cancel_locked(m, file);
        if (file->mode == AJF_MODE_PASSTHROUGH)
            AJF_COUNT(&m->stats, backing_ids_died); /* ended with the connection */
        file->mode = AJF_MODE_NONE;
        file->refs -= file->opens;
        file->opens = 0;
        ajf_list_del(&file->held);
        ajf_file_retire_locked(m, file);
    }
    ajf_cache_close_slab_locked(&m->cache);
    struct ajf_waste *waste = ajf_trash_take(&m->cache.trash);
    ajf_cache_unlock(&m->cache);
    ajf_dirs_clear(m);
    ajf_inodes_sweep(&m->inodes);
    uint64_t least = ajf_deadline_ns(AJF_DISPOSE_MS); /* others may have used up the time */
    return ajf_trash_dispose_until(waste, deadline_ns > least ? deadline_ns : least);
}

int ajf_stop(struct ajf *m, int timeout_ms)
{
    if (m->stopped)
        return m->stuck ? -ETIMEDOUT : 0;
    m->stopped = true;
    uint64_t deadline = ajf_deadline_ns(timeout_ms);
    /* From here on nothing parks: workers answer ENOTCONN themselves. */
    m->stuck = ajf_waits_stop(&m->waits, deadline) < 0;
    ajf_notify_stop(&m->notify); /* while workers answer: the kernel may hold a directory for a look-up */
    if (m->session.se) {
        fuse_session_exit(m->session.se);
        m->stuck |= ajf_pool_stop(&m->pool, deadline) < 0;
        ajf_session_unmount(m);
    }
    ajf_queue_stop(&m->queue);
    if (!m->stuck) {
        ajf_session_close(m);
        m->stuck = drop_state(m, deadline) < 0;
        ajf_queue_clear(&m->queue);
    }
    ajf_log_stop(&m->log);
    return m->stuck ? -ETIMEDOUT : 0;
}

void ajf_free(struct ajf *m)
{
    if (!m || ajf_stop(m, AJF_STOP_MS))
        return;
    ajf_queue_clear(&m->queue); /* what a late fetcher left */
    ajf_session_done(&m->session);
    ajf_pool_done(&m->pool);
    ajf_queue_done(&m->queue);
    ajf_direct_done(&m->direct);
    ajf_metadata_done(&m->metadata);
    ajf_trace_done(&m->trace);
    ajf_uses_done(&m->uses);
    ajf_dirs_done(&m->dirs);
    ajf_notify_done(&m->notify);
    ajf_waits_done(&m->waits);
    pthread_key_delete(m->lent_tools);
    ajf_files_done(&m->files);
    ajf_cache_done(&m->cache);
    ajf_inodes_done(&m->inodes);
    ajf_log_done(&m->log);
    free(m);
}

void ajf_invalidate(struct ajf *m, const char *path, size_t len)
{
    ajf_metadata_forget(&m->metadata);
    ajf_invalidate_path(m, path, len);
}

void ajf_expire(struct ajf *m, uint64_t age_ns)
{
    uint64_t now = ajf_now_ns();
    pthread_mutex_lock(&m->cache.lock);
    ajf_cache_expire_locked(m, now > age_ns ? now - age_ns : 0);
    ajf_cache_unlock(&m->cache);
}

/* --------------------------------------------------------------------------------------- told without asking */

int ajf_offer_list(struct ajf *m, const char *path, size_t len, const struct ajf_entry *entries, size_t n,
                   const char *names, size_t names_len, uint64_t age_ns)
{
    uint64_t nodeid = ajf_inode_resolve(&m->inodes, path, len), now = ajf_now_ns();
    struct ajf_inode_view v;
    int err = -ENOENT;
    if (!nodeid)
        return err;
    if (!ajf_inode_get(&m->inodes, nodeid, &v) && S_ISDIR(v.attr.mode) && n <= UINT32_MAX)
        err = ajf_dir_listed(m, nodeid, entries, n, names, names_len, now > age_ns ? now - age_ns : 0, true, NULL);
    ajf_inode_unref(&m->inodes, nodeid);
    return err;
}

/* ------------------------------------------------------------------------------------------------ looking in */

/* One row of stats.def. */
struct row {
    const char *name, *help;
};

static const struct row counters[] = {
#define AJF_STAT(name, help) {#name, help},
#include "base/stats.def"
};

static const struct row timed[] = {
#define AJF_TIMED(name, help) {#name, help},
#include "base/stats.def"
};

size_t ajf_stats_count(void)
{
    return AJF_STAT_COUNT;
}

const char *ajf_stats_name(size_t i)
{
    return i < AJF_STAT_COUNT ? counters[i].name : NULL;
}

const char *ajf_stats_help(size_t i)
{
    return i < AJF_STAT_COUNT ? counters[i].help : NULL;
}

uint64_t ajf_stats_value(const struct ajf *m, size_t i)
{
    return i < AJF_STAT_COUNT ? atomic_load_explicit(&m->stats.value[i], memory_order_relaxed) : 0;
}

size_t ajf_times_count(void)
{
    return AJF_TIMED_COUNT;
}

const char *ajf_times_name(size_t i)
{
    return i < AJF_TIMED_COUNT ? timed[i].name : NULL;
}

const char *ajf_times_help(size_t i)
{
    return i < AJF_TIMED_COUNT ? timed[i].help : NULL;
}

const char *ajf_errno_name(size_t i)
{
    static const char *const names[] = {
#define AJF_ERRNO(name) #name,
#include "base/stats.def"
        "other",
    };
    return i < AJF_ERRNO_COUNT ? names[i] : NULL;
}

void ajf_times_read(const struct ajf *m, size_t i, struct ajf_times_sum *ret_sum)
{
    if (i < AJF_TIMED_COUNT)
        ajf_times_add_up(&m->times, (enum ajf_timed)i, ret_sum);
}

int ajf_log_next(struct ajf *m, int timeout_ms, struct ajf_log_entry *ret_entry)
{
    return ajf_log_take(&m->log, timeout_ms, ret_entry);
}
