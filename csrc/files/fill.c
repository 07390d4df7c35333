/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `claimed` is what keeps fetches apart: a granule is claimed from the moment a fetch for it is queued until it is
 * there, or until the fetcher has given the fetch back. So memory is never handed to two writers, and a fetcher that
 * comes back late finds its range still reserved.
 */
#include "files/fill.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/check.h"
#include "files/readers.h"
#include "mount.h"

/* A window that one page more makes little wider. */
#define WIDE_PAGES 4

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static int push_fetch_locked(struct ajf *m, struct ajf_file *file, size_t from, size_t to, enum ajf_lane lane)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_fetch *f = ajf_fetch_new(m, m->fill_ops, AJF_FETCH_READ, lane, file->nodeid, NULL);
    if (!f)
        return -ENOMEM;
    f->turns = &file->turns;
    ajf_file_fetch_of(f)->file = file;
    file->refs++;
    f->info.version = file->version;
    f->info.handle = file->handle;
    f->info.size = file->size;
    f->info.offset = from * AJF_GRANULE_BYTES;
    f->info.length = min_u64(to * AJF_GRANULE_BYTES, file->size) - f->info.offset;
    if (f->info.offset <= file->gap && file->gap < f->info.offset + f->info.length)
        file->gap = 0;
    ajf_bits_fill(file->pages.claimed, from, to, true);
    ajf_list_add(&file->fetches, &ajf_file_fetch_of(f)->by_file);
    ajf_queue_push(&m->queue, f);
    return 0;
}

/* Queues fetches for what of [from, to) is neither there nor on its way; pieces below `demand` are urgent. */
static int claim_lanes_locked(struct ajf *m, struct ajf_file *file, size_t from, size_t to, size_t demand,
                              enum ajf_lane beyond)
{
    AJF_HELD(&m->cache.lock);
    const struct ajf_pages *p = &file->pages;
    size_t piece = m->cache.fetch_bytes / AJF_GRANULE_BYTES;
    while ((from = ajf_bits_find(p->have, p->claimed, from, to, false)) < to) {
        size_t end = ajf_bits_find(p->have, p->claimed, from, to, true), edge = (from / piece + 1) * piece;
        if (end > edge)
            end = edge;
        bool early = m->cache.transient && from >= demand && beyond == AJF_LANE_PREFETCH;
        if (early && !ajf_cache_has_room_locked(&m->cache, (end - from) * AJF_GRANULE_BYTES)) {
            /* For the next caller: a fetch that is only dropped wakes no thread. */
            if (!ajf_prefetch_is_down(file->prefetch))
                file->gap = from * AJF_GRANULE_BYTES;
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
    AJF_HELD(&m->cache.lock);
    return claim_lanes_locked(m, file, from, to, demand, AJF_LANE_PREFETCH);
}

int ajf_fill_ahead_locked(struct ajf *m, struct ajf_file *file)
{
    AJF_HELD(&m->cache.lock);
    return claim_lanes_locked(m, file, 0, file->pages.n_granules, 0, AJF_LANE_AHEAD);
}

static void promote_locked(struct ajf *m, struct ajf_file *file, uint64_t offset, uint64_t end)
{
    AJF_HELD(&m->cache.lock);
    AJF_LIST_FOR(l, &file->fetches)
    {
        struct ajf_fetch *f = &AJF_CONTAINER(l, struct ajf_file_fetch, by_file)->fetch;
        if (f->info.offset < end && offset < f->info.offset + f->info.length)
            ajf_queue_promote(&m->queue, f);
    }
}

int ajf_fill_first_locked(struct ajf *m, struct ajf_file *file)
{
    AJF_HELD(&m->cache.lock);
    promote_locked(m, file, 0, file->size);
    return claim_locked(m, file, 0, file->pages.n_granules, file->pages.n_granules);
}

/* How far ahead of a read prefetch goes, bytes. */
uint64_t ajf_fill_furthest(const struct ajf *m)
{
    return min_u64(m->options.prefetch_bytes, m->cache.limit / 4);
}

static size_t missing_of(const struct ajf_pages *p, size_t from, size_t to)
{
    size_t n = 0;
    while ((from = ajf_bits_find(p->have, p->claimed, from, to, false)) < to) {
        size_t end = ajf_bits_find(p->have, p->claimed, from, to, true);
        n += end - from;
        from = end;
    }
    return n;
}

/* In pieces, the last one first: its reader goes down. */
static int claim_down_locked(struct ajf *m, struct ajf_file *file, size_t from, size_t to)
{
    AJF_HELD(&m->cache.lock);
    size_t piece = m->cache.fetch_bytes / AJF_GRANULE_BYTES;
    int err = 0;
    while (!err && to > from) {
        size_t edge = (to - 1) / piece * piece, begin = edge > from ? edge : from;
        err = claim_locked(m, file, begin, to, 0);
        to = begin;
    }
    return err;
}

/* [from, to) as whole pages: they can be huge; but only of a wide window one more. */
static size_t end_of_window(const struct ajf *m, const struct ajf_file *file, uint64_t from, struct ajf_span want)
{
    uint64_t page = m->cache.page_bytes, bytes = want.to - from;
    if (bytes < page || want.to == file->size || want.ends)
        return ajf_granule_up(want.to);
    uint64_t to = (want.to + (bytes >= WIDE_PAGES * page ? page - 1 : 0)) / page * page;
    return ajf_granule_up(min_u64(to, file->size));
}

/* Ahead in lumps: not before half of it is missing. */
static int claim_lump_locked(struct ajf *m, struct ajf_file *file, size_t from, size_t to)
{
    AJF_HELD(&m->cache.lock);
    size_t missing = ajf_bits_find(file->pages.have, file->pages.claimed, from, to, false);
    return to - missing >= (to - from + 1) / 2 ? claim_locked(m, file, missing, to, 0) : 0;
}

/* Sees to it that [offset, offset + length) comes, and what the pattern of reads suggests around it. */
int ajf_fill_want_locked(struct ajf *m, struct ajf_file *file, uint32_t reader, uint64_t offset, uint64_t length,
                         bool hit)
{
    AJF_HELD(&m->cache.lock);
    uint64_t end = offset + length;
    file->read_ns = ajf_now_ns();
    if (!file->prefetch && ajf_prefetch_follows(file->size))
        file->prefetch = calloc(1, sizeof *file->prefetch); /* out of memory: nothing is read ahead */
    struct ajf_span want = ajf_prefetch_note(file->prefetch, reader, offset, length, file->size, ajf_fill_furthest(m));
    size_t from_g = ajf_granule(offset), end_g = ajf_granule_up(end), to_g = end_of_window(m, file, end, want);
    size_t below_g = ajf_granule(want.from);
    int err;
    if (hit) {
        err = claim_lump_locked(m, file, end_g, to_g);
    } else {
        promote_locked(m, file, offset, end);
        err = claim_locked(m, file, from_g, to_g, end_g);
    }
    if (!err && below_g < from_g && (!hit || missing_of(&file->pages, below_g, from_g) >= (from_g - below_g) / 2))
        err = claim_down_locked(m, file, below_g, from_g);
    while (!err && ajf_prefetch_also(file->prefetch, file->size, &want))
        err = claim_lump_locked(m, file, ajf_granule(want.from), end_of_window(m, file, want.from, want));
    return err;
}

void ajf_fill_end_locked(struct ajf *m, struct ajf_file_fetch *f)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_file *file = f->file;
    const struct ajf_fetch_info *info = &f->fetch.info;
    size_t from = ajf_granule(info->offset + f->filled), to = ajf_granule_up(info->offset + info->length);
    if (f->filled < info->length)
        ajf_bits_fill(file->pages.claimed, from, to, false);
    ajf_list_del(&f->by_file);
    if (f->prepared)
        ajf_cache_unpin_locked(m, &file->pages, info->offset, info->length);
    f->prepared = false;
}

void ajf_fill_cancel_locked(struct ajf *m, struct ajf_file *file)
{
    AJF_HELD(&m->cache.lock);
    AJF_LIST_FOR_SAFE(l, &file->fetches)
    {
        struct ajf_file_fetch *f = AJF_CONTAINER(l, struct ajf_file_fetch, by_file);
        if (!f->starved && !ajf_queue_cancel(&m->queue, &f->fetch)) {
            f->cancelled = true;
            continue;
        }
        ajf_list_del(&f->fetch.link);
        AJF_COUNT(&m->stats, fetch_cancelled);
        ajf_fill_end_locked(m, f);
        ajf_file_unref_locked(m, file);
        ajf_fetch_free(&f->fetch);
    }
}

bool ajf_fill_is_stuck_locked(const struct ajf *m, const struct ajf_file *file, uint64_t from, uint64_t to)
{
    AJF_HELD(&m->cache.lock);
    AJF_LIST_FOR(l, &file->fetches)
    {
        const struct ajf_file_fetch *f = AJF_CONTAINER(l, struct ajf_file_fetch, by_file);
        const struct ajf_fetch_info *info = &f->fetch.info;
        if (f->prepared && info->offset < to && from < info->offset + info->length)
            return true;
    }
    return ajf_file_is_opening_long_locked(m, file, AJF_WAIT_DATA);
}

void ajf_fill_resume_locked(struct ajf *m, struct ajf_file *file)
{
    AJF_HELD(&m->cache.lock);
    if (file->state != AJF_FILE_READY || !file->pages.have || file->abandoned)
        return;
    if (!ajf_list_empty(&file->readers) && !file->has_handle && ajf_file_reopen_locked(m, file) == 0)
        return;
    AJF_LIST_FOR(l, &file->readers)
    {
        const struct ajf_read *r = AJF_CONTAINER(l, struct ajf_read, link);
        size_t from = ajf_granule(r->offset), to = ajf_granule_up(r->offset + r->length);
        claim_locked(m, file, from, to, to); /* out of memory: the deadline answers */
    }
    if (file->lazy && !file->pages.n_have && !ajf_list_empty(&file->opens_waiting))
        ajf_fill_first_locked(m, file);
}

void ajf_fill_feed_locked(struct ajf *m)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_list *starved = &m->files.starved;
    while (!ajf_list_empty(starved)) {
        struct ajf_fetch *f = AJF_CONTAINER(ajf_list_pop(starved), struct ajf_fetch, link);
        bool queued = ajf_queue_push(&m->queue, f);
        ajf_file_fetch_of(f)->starved = !queued;
        if (!queued) { /* the session ends, and its file with it */
            ajf_list_add_front(starved, &f->link);
            return;
        }
    }
}
