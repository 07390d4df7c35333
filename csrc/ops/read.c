/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `claimed` is what keeps fetches apart: a granule is claimed from the moment a fetch for it is queued until it is
 * there, or until the fetcher has given the fetch back. So memory is never handed to two writers, and a fetcher that
 * comes back late finds its range still reserved.
 */
#include "ops/read.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "files/ahead.h"
#include "files/lent.h"
#include "mount.h"
#include "ops/names.h"
#include "ops/open.h"

/* A window that one page more makes little wider. */
#define WIDE_PAGES 4

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---------------------------------------------------------------------------------------- what is to be fetched */

static int push_fetch_locked(struct ajf *m, struct ajf_file *file, size_t from, size_t to, enum ajf_lane lane)
{
    struct ajf_fetch *f = ajf_fetch_new(m, AJF_FETCH_READ, lane, strdup(file->path));
    if (!f)
        return -ENOMEM;
    f->file = file;
    file->refs++;
    f->info.version = file->version;
    f->info.handle = file->handle;
    f->info.size = file->size;
    f->info.offset = from * AJF_GRANULE_BYTES;
    f->info.length = min_u64(to * AJF_GRANULE_BYTES, file->size) - f->info.offset;
    if (f->info.offset <= file->gap && file->gap < f->info.offset + f->info.length)
        file->gap = 0;
    ajf_bits_fill(file->claimed, from, to, true);
    ajf_list_add(&file->fetches, &f->by_file);
    ajf_queue_push(&m->queue, f);
    return 0;
}

/* Queues fetches for what of [from, to) is neither there nor on its way; pieces below `demand` are urgent. */
static int claim_lanes_locked(struct ajf *m, struct ajf_file *file, size_t from, size_t to, size_t demand,
                              enum ajf_lane beyond)
{
    size_t piece = m->cache.fetch_bytes / AJF_GRANULE_BYTES;
    while ((from = ajf_bits_find(file->have, file->claimed, from, to, false)) < to) {
        size_t end = ajf_bits_find(file->have, file->claimed, from, to, true), edge = (from / piece + 1) * piece;
        if (end > edge)
            end = edge;
        bool early = m->cache.transient && from >= demand && beyond == AJF_LANE_PREFETCH;
        if (early && !ajf_cache_has_room_locked(&m->cache, (end - from) * AJF_GRANULE_BYTES)) {
            file->gap = from * AJF_GRANULE_BYTES; /* for whoever comes next: what a fetcher would only drop wakes nobody */
            return 0;
        }
        int err = push_fetch_locked(m, file, from, end, from < demand ? AJF_LANE_DEMAND : beyond);
        if (err)
            return err;
        from = end;
    }
    return 0;
}

static int claim_locked(struct ajf *m, struct ajf_file *file, size_t from, size_t to, size_t demand)
{
    return claim_lanes_locked(m, file, from, to, demand, AJF_LANE_PREFETCH);
}

int ajf_read_ahead_locked(struct ajf *m, struct ajf_file *file)
{
    return claim_lanes_locked(m, file, 0, file->n_granules, 0, AJF_LANE_AHEAD);
}

static void promote_locked(struct ajf *m, struct ajf_file *file, uint64_t offset, uint64_t end)
{
    AJF_LIST_FOR(l, &file->fetches)
    {
        struct ajf_fetch *f = AJF_CONTAINER(l, struct ajf_fetch, by_file);
        if (f->info.offset < end && offset < f->info.offset + f->info.length)
            ajf_queue_promote(&m->queue, f);
    }
}

int ajf_read_first_locked(struct ajf *m, struct ajf_file *file)
{
    promote_locked(m, file, 0, file->size);
    return claim_locked(m, file, 0, file->n_granules, file->n_granules);
}

/* How far ahead of a read prefetch goes, bytes. */
static uint64_t furthest(const struct ajf *m)
{
    return min_u64(m->options.prefetch_bytes, m->cache.limit / 4);
}

/* Sees to it that [offset, offset + length) comes, and what the pattern of reads suggests behind it. */
static int want_locked(struct ajf *m, struct ajf_file *file, uint64_t offset, uint64_t length, bool hit)
{
    uint64_t end = offset + length, page = m->cache.page_bytes;
    file->read_ns = ajf_now_ns();
    uint64_t to = ajf_prefetch_note(&file->prefetch, offset, length, file->size, furthest(m));
    if (to - end >= page && to < file->size) /* whole pages: they can be huge; but only of a wide window one more */
        to = min_u64((to + (to - end >= WIDE_PAGES * page ? page - 1 : 0)) / page * page, file->size);
    size_t from_g = ajf_granule(offset), end_g = ajf_granule_up(end), to_g = ajf_granule_up(to);
    if (hit) {
        /* Ahead in lumps: not before half of the window is missing. */
        size_t missing = ajf_bits_find(file->have, file->claimed, end_g, to_g, false);
        return to_g - missing >= (to_g - end_g + 1) / 2 ? claim_locked(m, file, missing, to_g, 0) : 0;
    }
    promote_locked(m, file, offset, end);
    return claim_locked(m, file, from_g, to_g, end_g);
}

static bool present(const struct ajf_file *file, uint64_t offset, uint64_t length)
{
    return file->complete || ajf_bits_all(file->have, ajf_granule(offset), ajf_granule_up(offset + length));
}

static void end_fetch_locked(struct ajf *m, struct ajf_fetch *f)
{
    struct ajf_file *file = f->file;
    size_t from = ajf_granule(f->info.offset + f->filled), to = ajf_granule_up(f->info.offset + f->info.length);
    if (f->filled < f->info.length)
        ajf_bits_fill(file->claimed, from, to, false);
    ajf_list_del(&f->by_file);
    if (f->prepared)
        ajf_cache_unpin_locked(m, file, f->info.offset, f->info.length);
    f->prepared = false;
}

void ajf_read_cancel_locked(struct ajf *m, struct ajf_file *file)
{
    AJF_LIST_FOR_SAFE(l, &file->fetches)
    {
        struct ajf_fetch *f = AJF_CONTAINER(l, struct ajf_fetch, by_file);
        if (!f->starved && !ajf_queue_cancel(&m->queue, f)) {
            f->cancelled = true;
            continue;
        }
        ajf_list_del(&f->link);
        AJF_COUNT(&m->stats, fetch_cancelled);
        end_fetch_locked(m, f);
        ajf_file_unref_locked(m, file);
        ajf_fetch_free(f);
    }
}

/* --------------------------------------------------------------------------------------------------- answering */

/* Writes the bytes to the kernel from the pages, which the caller has pinned. No lock is held. */
static long reply_pages(struct ajf *m, fuse_req_t req, const struct ajf_file *file, uint64_t offset, size_t length)
{
    return fuse_reply_buf(req, (const char *)ajf_cache_at(&m->cache, file, offset), length) < 0 ? -EIO : (long)length;
}

static void unref(struct ajf *m, struct ajf_file *file)
{
    pthread_mutex_lock(&m->cache.lock);
    ajf_file_unref_locked(m, file);
    ajf_cache_unlock(&m->cache);
}

static void unpin(struct ajf *m, struct ajf_file *file, uint64_t offset, size_t length)
{
    pthread_mutex_lock(&m->cache.lock);
    ajf_cache_unpin_locked(m, file, offset, length);
    ajf_file_unref_locked(m, file);
    ajf_cache_unlock(&m->cache);
}

/* Takes from `file` the readers for which `pick` says yes; they are the caller's to answer. */
static void take_readers_locked(struct ajf *m, struct ajf_file *file, struct ajf_list *ret_readers,
                                bool (*pick)(const struct ajf_file *, const struct ajf_read *, const uint64_t *range),
                                const uint64_t *range)
{
    AJF_LIST_FOR_SAFE(l, &file->readers)
    {
        struct ajf_read *r = AJF_CONTAINER(l, struct ajf_read, link);
        if (pick(file, r, range) && ajf_wait_take(m, &r->wait)) {
            ajf_list_del(&r->link);
            ajf_list_add(ret_readers, &r->link);
        }
    }
}

static bool is_ready(const struct ajf_file *file, const struct ajf_read *r, const uint64_t *range)
{
    (void)range;
    return present(file, r->offset, r->length);
}

void ajf_read_wake(struct ajf *m, struct ajf_file *file)
{
    struct ajf_list ready, *l;
    ajf_list_init(&ready);
    pthread_mutex_lock(&m->cache.lock);
    take_readers_locked(m, file, &ready, is_ready, NULL);
    AJF_LIST_FOR(n, &ready)
    {
        struct ajf_read *r = AJF_CONTAINER(n, struct ajf_read, link);
        ajf_cache_pin_locked(file, r->offset, r->length, &m->cache);
        ajf_cache_touch_locked(&m->cache, file, r->offset, r->length);
    }
    ajf_cache_unlock(&m->cache);
    while ((l = ajf_list_pop(&ready))) {
        struct ajf_read *r = AJF_CONTAINER(l, struct ajf_read, link);
        long n = reply_pages(m, r->wait.req, file, r->offset, r->length);
        ajf_wait_answered(m, &r->wait, n);
        unpin(m, file, r->offset, r->length);
        free(r);
    }
}

/* Nothing was or will be read, or there is nobody to read it: overlaps `range` and lacks something there. */
static bool is_hopeless(const struct ajf_file *file, const struct ajf_read *r, const uint64_t *range)
{
    uint64_t from = r->offset > range[0] ? r->offset : range[0], to = min_u64(r->offset + r->length, range[1]);
    return from < to && (!file->have || !present(file, from, to - from));
}

void ajf_read_answer(struct ajf *m, struct ajf_file *file, struct ajf_list *readers, int err)
{
    struct ajf_list *l;
    while ((l = ajf_list_pop(readers))) {
        struct ajf_read *r = AJF_CONTAINER(l, struct ajf_read, link);
        fuse_reply_err(r->wait.req, err);
        ajf_wait_answered(m, &r->wait, -err);
        free(r);
        unref(m, file);
    }
}

void ajf_read_take_hopeless_locked(struct ajf *m, struct ajf_file *file, uint64_t from, uint64_t to,
                                   struct ajf_list *ret_readers)
{
    const uint64_t range[2] = {from, to};
    take_readers_locked(m, file, ret_readers, is_hopeless, range);
}

void ajf_read_fail(struct ajf *m, struct ajf_file *file, uint64_t from, uint64_t to, int err)
{
    struct ajf_list failed;
    ajf_list_init(&failed);
    pthread_mutex_lock(&m->cache.lock);
    ajf_read_take_hopeless_locked(m, file, from, to, &failed);
    ajf_cache_unlock(&m->cache);
    ajf_read_answer(m, file, &failed, err);
}

/* ------------------------------------------------------------------------------------------------- the requests */

bool ajf_read_is_stuck_locked(const struct ajf *m, const struct ajf_file *file, uint64_t from, uint64_t to)
{
    AJF_LIST_FOR(l, &file->fetches)
    {
        const struct ajf_fetch *f = AJF_CONTAINER(l, struct ajf_fetch, by_file);
        if (f->prepared && f->info.offset < to && from < f->info.offset + f->info.length)
            return true;
    }
    return ajf_file_is_opening_long_locked(m, file, AJF_WAIT_DATA);
}

/* The deadline passed, the caller was killed, or the session ends: `w` was answered. */
static void drop_read(struct ajf *m, struct ajf_wait *w, int err)
{
    struct ajf_read *r = AJF_CONTAINER(w, struct ajf_read, wait);
    pthread_mutex_lock(&m->cache.lock);
    struct ajf_file *file = r->file;
    ajf_list_del(&r->link);
    if (err == EIO && ajf_read_is_stuck_locked(m, file, r->offset, r->offset + r->length))
        ajf_file_abandon_locked(m, file);
    ajf_file_unref_locked(m, file);
    ajf_cache_unlock(&m->cache);
    free(r);
}

static int park_locked(struct ajf *m, struct ajf_file *file, fuse_req_t req, uint64_t offset, size_t length)
{
    struct ajf_read *r = calloc(1, sizeof *r);
    if (!r)
        return -ENOMEM;
    r->wait = (struct ajf_wait){.req = req,
                                .op = "Read",
                                .nodeid = file->nodeid,
                                .offset = offset,
                                .size = length,
                                .class = AJF_WAIT_DATA,
                                .drop = drop_read};
    r->file = file;
    r->offset = offset;
    r->length = length;
    ajf_list_add(&file->readers, &r->link);
    int err = ajf_wait_park(m, &r->wait);
    if (!err && file->state == AJF_FILE_READY) {
        err = file->has_handle && file->have ? 0 : ajf_file_reopen_locked(m, file);
        if (!err && file->state == AJF_FILE_READY)
            err = want_locked(m, file, offset, length, false);
        if (err && !ajf_wait_unpark(m, &r->wait)) {
            file->refs++;
            return 0; /* somebody else answered it meanwhile */
        }
    }
    if (err) {
        ajf_list_del(&r->link);
        free(r);
        return err;
    }
    file->refs++;
    return 0;
}

void ajf_read_resume_locked(struct ajf *m, struct ajf_file *file)
{
    if (file->state != AJF_FILE_READY || !file->have || file->abandoned)
        return;
    if (!ajf_list_empty(&file->readers) && !file->has_handle && ajf_file_reopen_locked(m, file) == 0)
        return;
    AJF_LIST_FOR(l, &file->readers)
    {
        const struct ajf_read *r = AJF_CONTAINER(l, struct ajf_read, link);
        size_t from = ajf_granule(r->offset), to = ajf_granule_up(r->offset + r->length);
        claim_locked(m, file, from, to, to); /* out of memory: the deadline answers */
    }
    if (file->lazy && !file->n_have && !ajf_list_empty(&file->opens_waiting))
        ajf_read_first_locked(m, file);
}

static bool is_any(const struct ajf_file *file, const struct ajf_read *r, const uint64_t *range)
{
    (void)file, (void)r, (void)range;
    return true;
}

void ajf_read_serve_borrowed(struct ajf *m, struct ajf_file *file)
{
    struct ajf_list readers, *l;
    ajf_list_init(&readers);
    pthread_mutex_lock(&m->cache.lock);
    take_readers_locked(m, file, &readers, is_any, NULL);
    ajf_cache_unlock(&m->cache);
    while ((l = ajf_list_pop(&readers))) {
        struct ajf_read *r = AJF_CONTAINER(l, struct ajf_read, link);
        ajf_lent_copy(m, r->wait.req, file, r->length, r->offset);
        unref(m, file);
        ajf_wait_answered(m, &r->wait, (long)r->length);
        free(r);
    }
}

static size_t clamp(const struct ajf_file *file, size_t size, uint64_t offset)
{
    return offset >= file->size ? 0 : (size_t)min_u64(size, file->size - offset);
}

void ajf_read(struct ajf *m, fuse_req_t req, uint64_t nodeid, size_t size, uint64_t offset)
{
    bool armed = false, hit = false, borrowed = false, noted = false;
    int err = 0;
    size_t length = 0;
again:
    pthread_mutex_lock(&m->cache.lock);
    struct ajf_file *file = ajf_file_of_locked(m, nodeid);
    if (!file) {
        err = -ESTALE;
    } else if (file->store == AJF_STORE_BORROWED && file->extents) {
        file->refs++;
        borrowed = true;
    } else if ((length = clamp(file, size, offset)) == 0) {
        hit = true;
    } else if (file->have && present(file, offset, length)) {
        hit = true;
        file->refs++;
        ajf_cache_pin_locked(file, offset, length, &m->cache);
        if (!file->complete && file->has_handle)
            want_locked(m, file, offset, length, true); /* out of memory: no prefetch */
        ajf_cache_touch_locked(&m->cache, file, offset, length);
    } else if (!armed) {
        ajf_cache_unlock(&m->cache);
        ajf_wait_arm(m, req);
        armed = true;
        goto again;
    } else {
        AJF_COUNT_ADD(&m->stats, read_miss_bytes, length);
        err = park_locked(m, file, req, offset, length);
    }
    if (file && !err)
        noted = !offset && ajf_ahead_is_news_locked(m, file);
    if (file && !file->read) {
        file->read = true;
        ajf_inode_was_read(&m->inodes, nodeid);
    }
    ajf_cache_unlock(&m->cache);
    if (err) {
        fuse_reply_err(req, -err);
    } else if (borrowed) {
        ajf_lent_reply(m, req, file, size, offset); /* the reference keeps its descriptors */
        unref(m, file);
    } else if (hit && !length) {
        fuse_reply_buf(req, NULL, 0);
    } else if (hit) {
        AJF_COUNT_ADD(&m->stats, read_hit_bytes, length);
        reply_pages(m, req, file, offset, length);
        unpin(m, file, offset, length);
    }
    if (noted)
        ajf_ahead_note(m, nodeid);
}

/* ------------------------------------------------------------------------------------------- the fetchers' side */

static bool is_behind(const struct ajf *m, uint64_t offset, uint64_t first)
{
    return offset > first && offset - first <= furthest(m);
}

/* A source is best read in order. So what prefetch has left out for want of room comes before what is behind it, */
static bool is_early_locked(const struct ajf *m, const struct ajf_fetch *f)
{
    return f->file->gap && is_behind(m, f->info.offset, f->file->gap);
}

/* and when that was faster, it is late. */
static bool is_late_locked(const struct ajf *m, const struct ajf_fetch *f)
{
    AJF_LIST_FOR(l, &f->file->fetches)
    {
        const struct ajf_fetch *other = AJF_CONTAINER(l, struct ajf_fetch, by_file);
        if (other->prepared && is_behind(m, other->info.offset, f->info.offset))
            return true;
    }
    return false;
}

bool ajf_read_begin(struct ajf *m, struct ajf_fetch *f)
{
    struct ajf_file *file = f->file;
    pthread_mutex_lock(&m->cache.lock);
    bool demand = f->info.lane == AJF_LANE_DEMAND, late = !demand && m->cache.transient && is_late_locked(m, f);
    enum ajf_urgency urgency = demand ? AJF_DEMAND : late ? AJF_LATE : AJF_AHEAD;
    int err = f->cancelled || (urgency == AJF_AHEAD && is_early_locked(m, f)) ? -ECANCELED : 0;
    if (!err)
        err = ajf_cache_prepare_locked(m, file, f->info.offset, f->info.length, urgency, &f->info.buffer);
    if (err == -EAGAIN && !demand && m->cache.transient)
        file->gap = f->info.offset;
    f->prepared = !err;
    f->info.handle = file->handle;
    if (err == -EAGAIN && demand) {
        f->starved = true;
        ajf_queue_uncount(&m->queue, f);
        ajf_list_add(&m->cache.starved, &f->link);
        ajf_cache_unlock(&m->cache);
        return false;
    }
    ajf_cache_unlock(&m->cache);
    if (!err)
        return true;
    if (err != -EAGAIN && err != -ECANCELED) {
        ajf_log(&m->log, AJF_LOG_ERROR, "%s at %llu+%zu: no memory for the page cache: %s", f->path,
                (unsigned long long)f->info.offset, f->info.length, strerror(-err));
        ajf_read_fail(m, file, f->info.offset, f->info.offset + f->info.length, EIO);
    } else {
        AJF_COUNT(&m->stats, fetch_cancelled);
    }
    f->answered = true;
    ajf_fetch_release(f);
    return false;
}

int ajf_fetch_progress(struct ajf_fetch *f, size_t filled)
{
    struct ajf *m = f->m;
    struct ajf_file *file = f->file;
    if (f->info.kind != AJF_FETCH_READ || f->answered || filled > f->info.length)
        return -EINVAL;
    pthread_mutex_lock(&m->cache.lock);
    if (filled < f->filled) {
        ajf_cache_unlock(&m->cache);
        return -EINVAL;
    }
    uint64_t end = f->info.offset + filled;
    size_t from = ajf_granule(f->info.offset + f->filled);
    size_t to = filled == f->info.length ? ajf_granule_up(end) : ajf_granule(end);
    if (to > from) {
        ajf_bits_fill(file->claimed, from, to, false);
        file->n_have += ajf_bits_fill(file->have, from, to, true);
        file->complete = file->n_have == file->n_granules;
    }
    AJF_COUNT_ADD(&m->stats, fetch_bytes, filled - f->filled);
    if (f->info.lane > AJF_LANE_DEMAND)
        AJF_COUNT_ADD(&m->stats, fetch_prefetch_bytes, filled - f->filled);
    f->filled = filled;
    bool wake = to > from && !ajf_list_empty(&file->readers), cancelled = f->cancelled && filled < f->info.length;
    bool proved = to > from && !ajf_list_empty(&file->opens_waiting);
    ajf_cache_unlock(&m->cache);
    if (proved)
        ajf_open_proved(m, file);
    if (wake)
        ajf_read_wake(m, file);
    return cancelled ? -ECANCELED : 0;
}

int ajf_read_done(struct ajf_fetch *f, size_t filled)
{
    int err = ajf_fetch_progress(f, filled);
    if (err == -EINVAL) {
        ajf_fetch_fail(f, EIO);
        return err;
    }
    if (!ajf_fetch_claim(f))
        return -EINVAL;
    if (filled < f->info.length)
        ajf_read_failed(f, err == -ECANCELED ? ECANCELED : EIO);
    return 0;
}

static size_t filled_of(struct ajf_fetch *f)
{
    pthread_mutex_lock(&f->m->cache.lock);
    size_t filled = f->filled;
    ajf_cache_unlock(&f->m->cache);
    return filled;
}

/*
 * The contents that came so far are wrong, too: the next read begins with a fresh file, also that of who is told so. The
 * kernel drops its pages a moment later, as soon as no READ is to fill one of them.
 */
static void disown(struct ajf_fetch *f)
{
    struct ajf *m = f->m;
    struct ajf_file *file = f->file;
    struct ajf_list failed;
    const uint64_t range[2] = {f->info.offset + filled_of(f), f->info.offset + f->info.length};
    ajf_list_init(&failed);
    pthread_mutex_lock(&m->cache.lock);
    take_readers_locked(m, file, &failed, is_hopeless, range);
    bool news = !file->abandoned;
    if (news) {
        ajf_inode_spoil(&m->inodes, file->nodeid);
        ajf_file_abandon_locked(m, file);
    }
    ajf_cache_unlock(&m->cache);
    if (news)
        ajf_notify_pages(&m->notify, file->nodeid);
    ajf_read_answer(m, file, &failed, EIO);
}

void ajf_read_failed(struct ajf_fetch *f, int err)
{
    if (err == ECANCELED)
        return; /* who wants it by now asks again when the fetch is given back */
    if (err == EBADMSG) {
        ajf_open_refused(f->m, f->file, EIO);
        disown(f);
        return;
    }
    bool lost = f->file->lazy && ajf_names_is_lost(err);
    if (lost)
        ajf_file_lost(f->m, f->file);
    ajf_open_refused(f->m, f->file, lost ? ESTALE : err);
    err = lost ? EIO : err; /* a read has no name to look up */
    ajf_read_fail(f->m, f->file, f->info.offset + filled_of(f), f->info.offset + f->info.length, err);
}

void ajf_read_end(struct ajf_fetch *f)
{
    struct ajf *m = f->m;
    struct ajf_file *file = f->file;
    pthread_mutex_lock(&m->cache.lock);
    end_fetch_locked(m, f);
    ajf_read_resume_locked(m, file); /* readers that came after the fetch had failed */
    if (ajf_list_empty(&file->fetches) && file->state == AJF_FILE_READY) {
        bool ahead = !ajf_list_empty(&file->ahead) && file->complete;
        bool wanted = file->opens || !ajf_list_empty(&file->opens_waiting) || !ajf_list_empty(&file->readers);
        if (!wanted && !ahead && (m->cache.transient || !file->n_have))
            ajf_file_retire_locked(m, file);
        else if (!file->opens || file->complete)
            ajf_file_close_handle_locked(m, file);
    }
    ajf_file_unref_locked(m, file);
    ajf_cache_unlock(&m->cache);
}
