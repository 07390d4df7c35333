/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `claimed` is what keeps fetches apart: a granule is claimed from the moment a fetch for it is queued until it is
 * there, or until the fetcher has given the fetch back. So memory is never handed to two writers, and a fetcher that
 * comes back late finds its range still reserved.
 */
#include "files/fill.h"

#include <errno.h>

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

/* Sees to it that [offset, offset + length) comes, and what the pattern of reads suggests behind it. */
int ajf_fill_want_locked(struct ajf *m, struct ajf_file *file, uint64_t offset, uint64_t length, bool hit)
{
    AJF_HELD(&m->cache.lock);
    uint64_t end = offset + length, page = m->cache.page_bytes;
    file->read_ns = ajf_now_ns();
    uint64_t to = ajf_prefetch_note(&file->prefetch, offset, length, file->size, ajf_fill_furthest(m));
    if (to - end >= page && to < file->size) /* whole pages: they can be huge; but only of a wide window one more */
        to = min_u64((to + (to - end >= WIDE_PAGES * page ? page - 1 : 0)) / page * page, file->size);
    size_t from_g = ajf_granule(offset), end_g = ajf_granule_up(end), to_g = ajf_granule_up(to);
    if (hit) {
        /* Ahead in lumps: not before half of the window is missing. */
        size_t missing = ajf_bits_find(file->pages.have, file->pages.claimed, end_g, to_g, false);
        return to_g - missing >= (to_g - end_g + 1) / 2 ? claim_locked(m, file, missing, to_g, 0) : 0;
    }
    promote_locked(m, file, offset, end);
    return claim_locked(m, file, from_g, to_g, end_g);
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
