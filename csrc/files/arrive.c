/* SPDX-License-Identifier: Apache-2.0 */
#include "files/arrive.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/check.h"
#include "files/fill.h"
#include "files/held.h"
#include "files/opens.h"
#include "files/opens_waiting.h"
#include "files/readers.h"
#include "mount.h"

static bool is_behind(const struct ajf *m, uint64_t offset, uint64_t first)
{
    return offset > first && offset - first <= ajf_fill_furthest(m);
}

/* A source is best read in order. So what prefetch has left out for want of room comes before what is behind it, */
static bool is_early_locked(const struct ajf *m, const struct ajf_file_fetch *f)
{
    AJF_HELD(&m->cache.lock);
    bool down = ajf_prefetch_is_down(f->file->prefetch); /* then it comes first */
    return f->file->gap && !down && is_behind(m, f->fetch.info.offset, f->file->gap);
}

/* and when that was faster, it is late. */
static bool is_late_locked(const struct ajf *m, const struct ajf_file_fetch *f)
{
    AJF_HELD(&m->cache.lock);
    AJF_LIST_FOR(l, &f->file->fetches)
    {
        const struct ajf_file_fetch *other = AJF_CONTAINER(l, struct ajf_file_fetch, by_file);
        if (other->prepared && is_behind(m, other->fetch.info.offset, f->fetch.info.offset))
            return true;
    }
    return false;
}

/* A fetcher took it: gives it its buffer. False when it came to nothing (it was ended, or waits for room). */
static bool begin(struct ajf_fetch *f)
{
    struct ajf *m = f->m;
    struct ajf_file_fetch *fill = ajf_file_fetch_of(f);
    struct ajf_file *file = fill->file;
    pthread_mutex_lock(&m->cache.lock);
    bool demand = f->info.lane == AJF_LANE_DEMAND, late = !demand && m->cache.transient && is_late_locked(m, fill);
    enum ajf_urgency urgency = demand ? AJF_DEMAND : late ? AJF_LATE : AJF_AHEAD;
    int err = fill->cancelled || (urgency == AJF_AHEAD && is_early_locked(m, fill)) ? -ECANCELED : 0;
    if (!err)
        err = ajf_cache_prepare_locked(m, &file->pages, f->info.offset, f->info.length, urgency, &f->info.buffer);
    if (err == -EAGAIN && !demand && m->cache.transient && !ajf_prefetch_is_down(file->prefetch))
        file->gap = f->info.offset;
    fill->prepared = !err;
    f->info.handle = file->handle;
    if (err == -EAGAIN && demand) {
        fill->starved = true;
        ajf_queue_uncount(&m->queue, f);
        ajf_list_add(&m->files.starved, &f->link);
        ajf_cache_unlock(&m->cache);
        return false;
    }
    ajf_cache_unlock(&m->cache);
    if (!err)
        return true;
    if (err != -EAGAIN && err != -ECANCELED) {
        ajf_log(&m->log, AJF_LOG_ERROR, "%s at %llu+%zu: no memory for the page cache: %s", f->path,
                (unsigned long long)f->info.offset, f->info.length, strerror(-err));
        ajf_openers_refused(m, file, EIO);
        ajf_readers_fail(m, file, f->info.offset, f->info.offset + f->info.length, EIO);
    } else {
        AJF_COUNT(&m->stats, fetch_cancelled);
    }
    f->answered = true;
    ajf_fetch_release(f);
    return false;
}

static bool is_wanted(struct ajf_fetch *f)
{
    pthread_mutex_lock(&f->m->cache.lock);
    bool wanted = !ajf_file_fetch_of(f)->cancelled;
    ajf_cache_unlock(&f->m->cache);
    return wanted;
}

/* The same as ajf_fetch_progress; `last`: no more comes. */
static int take_in(struct ajf_fetch *f, size_t filled, bool last)
{
    struct ajf *m = f->m;
    struct ajf_file_fetch *fill = ajf_file_fetch_of(f);
    struct ajf_file *file = fill->file;
    struct ajf_list openers;
    ajf_list_init(&openers);
    if (filled > f->info.length)
        return -EINVAL;
    pthread_mutex_lock(&m->cache.lock);
    if (filled < fill->filled) {
        ajf_cache_unlock(&m->cache);
        return -EINVAL;
    }
    uint64_t end = f->info.offset + filled;
    size_t from = ajf_granule(f->info.offset + fill->filled);
    size_t to = filled == f->info.length ? ajf_granule_up(end) : ajf_granule(end);
    if (to > from) {
        ajf_bits_fill(file->pages.claimed, from, to, false);
        file->pages.n_have += ajf_bits_fill(file->pages.have, from, to, true);
        file->pages.complete = file->pages.n_have == file->pages.n_granules;
    }
    AJF_COUNT_ADD(&m->stats, fetch_bytes, filled - fill->filled);
    file->usage.fetched += filled - fill->filled;
    if (f->info.lane > AJF_LANE_DEMAND)
        AJF_COUNT_ADD(&m->stats, fetch_prefetch_bytes, filled - fill->filled);
    fill->filled = filled;
    fill->sure = last;
    bool wake = to > from && !ajf_list_empty(&file->readers), cancelled = fill->cancelled && filled < f->info.length;
    /* At once: when the lock is dropped, somebody else may open, read and release the file, and so end it. */
    if (to > from && file->state == AJF_FILE_READY)
        ajf_openers_grant_locked(m, file, &openers);
    ajf_cache_unlock(&m->cache);
    ajf_openers_answer(m, &openers, 0);
    if (wake)
        ajf_readers_wake(m, file);
    return cancelled ? -ECANCELED : 0;
}

static int progress(struct ajf_fetch *f, size_t filled)
{
    return f->answered ? -EINVAL : take_in(f, filled, false);
}

static size_t filled_of(struct ajf_fetch *f)
{
    pthread_mutex_lock(&f->m->cache.lock);
    size_t filled = ajf_file_fetch_of(f)->filled;
    ajf_cache_unlock(&f->m->cache);
    return filled;
}

/*
 * The contents that came so far are wrong, too: the next read begins with a fresh file, also that of a reader that is
 * told so. The kernel drops its pages a moment later, as soon as no READ is to fill one of them.
 */
static void disown(struct ajf_fetch *f)
{
    struct ajf *m = f->m;
    struct ajf_file *file = ajf_file_fetch_of(f)->file;
    struct ajf_list failed;
    const uint64_t range[2] = {f->info.offset + filled_of(f), f->info.offset + f->info.length};
    ajf_list_init(&failed);
    pthread_mutex_lock(&m->cache.lock);
    ajf_readers_take_hopeless_locked(m, file, range[0], range[1], &failed);
    bool news = !file->abandoned;
    if (news) {
        ajf_inode_spoil(&m->inodes, file->nodeid);
        ajf_file_abandon_locked(m, file);
    }
    ajf_cache_unlock(&m->cache);
    if (news)
        ajf_notify_pages(&m->notify, file->nodeid);
    ajf_readers_answer(m, file, &failed, EIO);
}

static void failed(struct ajf_fetch *f, int err)
{
    struct ajf *m = f->m;
    struct ajf_file *file = ajf_file_fetch_of(f)->file;
    if (err == ECANCELED)
        return; /* who wants it by now asks again when the fetch is given back */
    if (err == EBADMSG) {
        ajf_openers_refused(m, file, EIO);
        disown(f);
        return;
    }
    pthread_mutex_lock(&m->cache.lock);
    bool held = !ajf_list_empty(&file->held);
    file->failed = true;
    ajf_cache_unlock(&m->cache);
    bool lost = (file->lazy || held) && ajf_fetch_is_lost(err);
    if (lost)
        ajf_file_lost(m, file);
    ajf_openers_refused(m, file, lost ? ESTALE : err);
    err = lost || err == ESTALE ? EIO : err; /* a read has no name to look up */
    ajf_readers_fail(m, file, f->info.offset + filled_of(f), f->info.offset + f->info.length, err);
}

static int done(struct ajf_fetch *f, size_t filled)
{
    if (!ajf_fetch_claim(f))
        return -EINVAL;
    int err = take_in(f, filled, true);
    if (err == -EINVAL)
        AJF_COUNT(&f->m->stats, fetch_failed);
    if (err == -EINVAL || filled < f->info.length)
        failed(f, err == -ECANCELED ? ECANCELED : EIO);
    return err == -EINVAL ? err : 0;
}

static void end(struct ajf_fetch *f)
{
    struct ajf *m = f->m;
    struct ajf_file *file = ajf_file_fetch_of(f)->file;
    pthread_mutex_lock(&m->cache.lock);
    ajf_fill_end_locked(m, ajf_file_fetch_of(f));
    ajf_fill_resume_locked(m, file); /* readers that came after the fetch had failed */
    if (ajf_list_empty(&file->fetches) && file->state == AJF_FILE_READY) {
        bool ahead = !ajf_list_empty(&file->ahead) && file->pages.complete;
        bool wanted = file->opens || !ajf_list_empty(&file->opens_waiting) || !ajf_list_empty(&file->readers);
        if (!wanted && !ahead && (m->cache.transient || !file->pages.n_have))
            ajf_file_retire_locked(m, file);
        else if (!file->opens || file->pages.complete)
            ajf_file_close_handle_locked(m, file);
    }
    ajf_held_settle_locked(m, file);
    ajf_file_unref_locked(m, file);
    ajf_cache_unlock(&m->cache);
}

const struct ajf_fetch_ops ajf_arrive_ops = {
    .bytes = sizeof(struct ajf_file_fetch),
    .counts = AJF_STAT_fetch_read,
    .begin = begin,
    .wanted = is_wanted,
    .progress = progress,
    .done = done,
    .failed = failed,
    .end = end,
};
