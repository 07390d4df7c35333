/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Eviction walks from the cold end past what is pinned. Punching holes happens under the lock: it frees memory that
 * the very next step wants, and costs what the kernel's own reclaim would. The memory of whole files goes to the trash.
 */
#include "memory/cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "memory/pages_inside.h"
#include "mount.h"

#define MIB (UINT64_C(1) << 20)
/*
 * One READ fetch: long enough that its round trip and the hand-over from thread to thread do not matter, short enough
 * that readers of other files get in, and not more than that part of the budget, which several readers share.
 */
#define FETCH_BYTES (8 * MIB)
#define FETCH_PART 16
/* Files up to this size share chunks: one descriptor and one mapping each would run out long before memory does. */
#define SLAB_BYTES (1 * MIB)
/* From here on a fetch is a stream and worth a huge page of zeros first. */
#define HUGE_FETCH_BYTES (1 * MIB)
/* Below this budget, evicting a huge page at a time would be too coarse. */
#define HUGE_LIMIT_BYTES (64 * MIB)
/* A budget below this cannot hold one fetch and the page it evicts. */
#define LEAST_BYTES (16 * MIB)

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

AJF_NOT_ANALYSED int ajf_cache_init(struct ajf_cache *c, const struct ajf_options *o,
                                    const struct ajf_cache_owner *owner, struct ajf_stats *stats)
{
    memset(c, 0, sizeof *c);
    c->owner = owner;
    ajf_store_init(&c->store);
    ajf_descriptors_init(&c->descriptors);
    c->transient = !o->cache_enabled;
    c->limit = c->transient ? o->transient_bytes : o->cache_bytes;
    if (c->limit < LEAST_BYTES)
        c->limit = LEAST_BYTES;
    if (c->limit < HUGE_LIMIT_BYTES)
        c->store.huge = false;
    c->page_bytes = c->store.huge && o->page_bytes < AJF_HUGE_BYTES ? AJF_HUGE_BYTES : o->page_bytes;
    if (c->page_bytes > c->limit / 16)
        c->page_bytes = c->store.huge ? AJF_HUGE_BYTES : MIB;
    uint64_t fetch_pages = min_u64(FETCH_BYTES, c->limit / FETCH_PART) / c->page_bytes;
    c->fetch_bytes = max_u64(1, fetch_pages) * c->page_bytes;
    c->overflow = max_u64(c->limit / 16, c->fetch_bytes + 2 * c->page_bytes);
    c->slab_limit = min_u64(SLAB_BYTES, c->page_bytes);
    c->n_chunks = (c->limit + c->overflow) / c->page_bytes + 2;
    c->slab.fd = -1;
    ajf_frames_init(&c->frames, c->page_bytes, c->n_chunks);
    c->rest = (struct ajf_alarm){.at_ns = AJF_FOREVER, .ring = ajf_cache_rest};
    c->rests_ns = AJF_RESTS_NS;
    c->stats = stats;
    ajf_order_init(&c->order, c->transient ? AJF_EVICT_LRU : (enum ajf_evictor)o->evictor);
    ajf_list_init(&c->free_chunks);
    pthread_mutex_init(&c->lock, NULL);
    return 0;
}

AJF_NOT_ANALYSED void ajf_cache_done(struct ajf_cache *c)
{
    if (c->chunks)
        ajf_memfile_done(&c->slab);
    free(c->chunks);
    ajf_frames_done(&c->frames);
    ajf_descriptors_done(&c->descriptors);
    ajf_store_done(&c->store);
    pthread_mutex_destroy(&c->lock);
}

struct ajf_waste *ajf_cache_unlock_first(struct ajf_cache *c)
{
    struct ajf_waste *waste = ajf_trash_take(&c->trash);
    pthread_mutex_unlock(&c->lock);
    return waste;
}

void ajf_cache_unlock(struct ajf_cache *c)
{
    ajf_trash_dispose(ajf_cache_unlock_first(c));
}

/* ------------------------------------------------------------------------------------------ charge, evict, drop */

/* Spare frames count as used, and go first. */
static void trim_locked(struct ajf_cache *c)
{
    AJF_HELD(&c->lock);
    if (c->frames.n_spare)
        ajf_frames_trim(&c->frames, (uint32_t)((c->limit > c->used ? c->limit - c->used : 0) / c->page_bytes));
}

static void charge_locked(struct ajf_cache *c, struct ajf_page *page, uint64_t bytes)
{
    AJF_HELD(&c->lock);
    page->grown_ns = ajf_now_ns();
    if (!page->charged) {
        AJF_COUNT(c->stats, pages_born);
        page->born_ns = page->grown_ns;
    }
    page->charged += bytes;
    if (page->spent) {
        page->spent = false;
        ajf_order_touch(&c->order, &page->rank);
    }
    c->used += bytes;
    AJF_COUNT_ADD(c->stats, cache_used_bytes, bytes);
    trim_locked(c);
}

static void discharge_locked(struct ajf_cache *c, struct ajf_page *page)
{
    AJF_HELD(&c->lock);
    if (!page->charged)
        return;
    AJF_COUNT(c->stats, pages_died);
    AJF_COUNT_SUB(c->stats, cache_used_bytes, page->charged);
    c->used -= page->charged;
    page->charged = page->taken = 0;
    page->spent = false;
    ajf_order_del(&page->rank, true);
}

/* Nothing of the file is there any more; its memory is the caller's business. */
static void empty_locked(struct ajf_pages *p)
{
    if (p->n_have)
        ajf_bits_fill(p->have, 0, p->n_granules, false);
    p->n_have = 0;
    p->complete = !p->n_granules;
}

static void leave_chunk_locked(struct ajf_pages *p)
{
    ajf_list_del(&p->in_chunk);
    p->chunk = NULL;
    empty_locked(p);
}

static void free_chunk_locked(struct ajf_cache *c, struct ajf_page *chunk)
{
    AJF_HELD(&c->lock);
    ajf_memfile_punch(&c->slab, (uint64_t)chunk->index * c->page_bytes, c->page_bytes);
    discharge_locked(c, chunk);
    chunk->filled = 0;
    if (c->open_chunk == chunk)
        c->open_chunk = NULL;
    ajf_list_add(&c->free_chunks, &chunk->free);
}

struct ajf_waste *ajf_cache_rest(struct ajf *m)
{
    struct ajf_cache *c = &m->cache;
    pthread_mutex_lock(&c->lock);
    uint64_t now = ajf_now_ns();
    if (now >= c->frames.laid_ns + c->rests_ns)
        ajf_frames_trim(&c->frames, 0);
    atomic_store(&c->rest.at_ns, ajf_frames_resident(&c->frames) ? now + c->rests_ns : AJF_FOREVER);
    return ajf_cache_unlock_first(c);
}

static void drop_memory_locked(struct ajf_cache *c, struct ajf_pages *p)
{
    AJF_HELD(&c->lock);
    if (p->memory.fd >= 0) {
        ajf_trash_memory(&c->trash, &p->memory);
        AJF_COUNT(c->stats, backings_died);
        c->backed--;
        ajf_descriptors_give(&c->descriptors, AJF_DESCRIPTORS_NOBODY, 1);
    }
    FOR_USED_PAGES (p, page) {
        discharge_locked(c, page);
        if (page->frame)
            ajf_frames_keep(&c->frames, page->frame);
        page->frame = 0;
    }
    trim_locked(c);
    empty_locked(p);
}

void ajf_cache_drop_locked(struct ajf *m, struct ajf_pages *p)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_cache *c = &m->cache;
    if (!p->small && p->have) {
        drop_memory_locked(c, p);
    } else if (p->chunk) {
        struct ajf_page *chunk = p->chunk;
        leave_chunk_locked(p);
        if (ajf_list_empty(&chunk->small) && !chunk->pins && chunk != c->open_chunk)
            free_chunk_locked(c, chunk);
    }
    m->cache.owner->has_room(m);
}

void ajf_cache_close_slab_locked(struct ajf_cache *c)
{
    AJF_HELD(&c->lock);
    struct ajf_page *chunk = c->open_chunk;
    c->open_chunk = NULL; /* one that still has files goes with the last of them */
    if (chunk && ajf_list_empty(&chunk->small) && !chunk->pins)
        free_chunk_locked(c, chunk);
}

static void evict_chunk_locked(struct ajf *m, struct ajf_page *chunk)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_list *l;
    while ((l = chunk->small.next) != &chunk->small) {
        struct ajf_pages *p = AJF_CONTAINER(l, struct ajf_pages, in_chunk);
        leave_chunk_locked(p);
        m->cache.owner->emptied(m, p);
    }
    free_chunk_locked(&m->cache, chunk);
}

/* Gives back, or keeps for another page, the memory of a page of a file. */
static void empty_page_locked(struct ajf_cache *c, struct ajf_page *page)
{
    AJF_HELD(&c->lock);
    struct ajf_memfile *mem = &page->pages->memory;
    uint64_t offset = page->index * c->page_bytes;
    if (!page->frame)
        ajf_memfile_punch(mem, offset, c->page_bytes);
    else if (ajf_frames_lift(&c->frames, page->frame, mem, offset))
        page->frame = 0;
}

static bool evict_page_locked(struct ajf *m, struct ajf_page *page)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_cache *c = &m->cache;
    struct ajf_pages *p = page->pages;
    if (!p) {
        evict_chunk_locked(m, page);
        return true;
    }
    if (p->whole) {
        if (p->pins)
            return false;
        drop_memory_locked(c, p);
    } else {
        size_t from = ajf_granule(page->index * c->page_bytes), to = ajf_granule((page->index + 1) * c->page_bytes);
        if (to > p->n_granules)
            to = p->n_granules;
        p->n_have -= ajf_bits_fill(p->have, from, to, false);
        p->complete = false;
        empty_page_locked(c, page);
        discharge_locked(c, page);
    }
    if (!p->n_have && !c->owner->emptied(m, p) && !p->pins)
        drop_memory_locked(c, p);
    return true;
}

/* Whether a parked READ waits for what is beside the page, or for the rest of it: then it needs the page as well. */
static bool is_needed(const struct ajf_cache *c, const struct ajf_page *page)
{
    uint64_t start = page->index * c->page_bytes;
    return page->pages && c->owner->needs(page->pages, start, start + c->page_bytes); /* small files come whole */
}

/* Whether a page is likely to be handed to the kernel yet: it is new, or before a reader who is still there. */
static bool is_awaited(const struct ajf_cache *c, const struct ajf_page *page)
{
    uint64_t since = ajf_now_ns() - AJF_AWAITED_NS, start = page->index * c->page_bytes;
    if (is_needed(c, page))
        return true;
    if (page->spent || (page->pages && c->owner->has_left(page->pages, start, start + c->page_bytes)))
        return false;
    return page->grown_ns > since ||
           (page->pages && c->owner->expects(page->pages, start, start + c->page_bytes, since));
}

/* The pages that are spared when something has to go. */
enum spared { AWAITED, NEEDED, NOTHING };

static bool spares(const struct ajf_cache *c, const struct ajf_page *page, enum spared what)
{
    return what == AWAITED ? is_awaited(c, page) : what == NEEDED && is_needed(c, page);
}

/* From `rank` on. */
static bool evict_from_locked(struct ajf *m, struct ajf_rank *rank, enum spared what)
{
    AJF_HELD(&m->cache.lock);
    for (; rank; rank = ajf_order_next(&m->cache.order, rank)) {
        struct ajf_page *page = AJF_CONTAINER(rank, struct ajf_page, rank);
        if (page->pins || spares(&m->cache, page, what))
            continue;
        if (evict_page_locked(m, page)) {
            AJF_COUNT(&m->stats, pages_evicted);
            return true;
        }
    }
    return false;
}

static bool evict_sparing_locked(struct ajf *m, enum spared what)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_order *o = &m->cache.order;
    struct ajf_rank *first = ajf_order_first(o), *drawn = ajf_order_draw(o);
    return evict_from_locked(m, drawn, what) || (drawn != first && evict_from_locked(m, first, what));
}

static bool evict_one_locked(struct ajf *m, bool polite)
{
    AJF_HELD(&m->cache.lock);
    if (polite)
        return evict_sparing_locked(m, AWAITED);
    return evict_sparing_locked(m, NEEDED) || evict_sparing_locked(m, NOTHING);
}

void ajf_cache_expire_locked(struct ajf *m, uint64_t born_ns)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_cache *c = &m->cache;
    struct ajf_order *o = &c->order;
    for (struct ajf_rank *rank = ajf_order_first(o), *next; rank; rank = next) {
        struct ajf_page *page = AJF_CONTAINER(rank, struct ajf_page, rank);
        struct ajf_pages *p = page->pages;
        next = ajf_order_next(o, rank);
        if (page->born_ns >= born_ns || page->pins)
            continue;
        bool beside = p && next && AJF_CONTAINER(next, struct ajf_page, rank)->pages == p; /* it may go with it */
        if (p)
            c->owner->hold(p);
        bool evicted = evict_page_locked(m, page), dropped = p && p->memory.fd < 0;
        bool gone = p && c->owner->let_go(m, p);
        if (evicted && beside && (gone || dropped))
            next = ajf_order_first(o);
    }
    m->cache.owner->has_room(m);
}

static bool make_room_locked(struct ajf *m, uint64_t bytes, enum ajf_urgency urgency)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_cache *c = &m->cache;
    /* In a transient window prefetch must not push out what was prefetched and not yet read, and leave demand no other
     * choice: half of it is enough. */
    bool polite = c->transient && urgency != AJF_DEMAND;
    while (c->used + bytes > (c->transient && urgency == AJF_AHEAD ? c->limit / 2 : c->limit)) {
        if (!evict_one_locked(m, polite))
            return urgency == AJF_DEMAND && c->used + bytes <= c->limit + c->overflow;
    }
    return true;
}

bool ajf_cache_has_room_locked(struct ajf_cache *c, uint64_t bytes)
{
    AJF_HELD(&c->lock);
    uint64_t room = c->limit / 2 > c->used ? c->limit / 2 - c->used : 0;
    struct ajf_rank *rank = ajf_order_first(&c->order);
    for (; rank && room < bytes; rank = ajf_order_next(&c->order, rank)) {
        const struct ajf_page *page = AJF_CONTAINER(rank, struct ajf_page, rank);
        if (is_awaited(c, page))
            continue;
        room += page->pins ? 0 : page->charged;
    }
    return room >= bytes;
}

/* --------------------------------------------------------------------------------------------------- preparing */

static int open_slab_locked(struct ajf_cache *c)
{
    AJF_HELD(&c->lock);
    int err = ajf_memfile_init(&c->slab, &c->store, "ajf-slab", c->n_chunks * c->page_bytes);
    if (err)
        return err;
    c->chunks = calloc(c->n_chunks, sizeof *c->chunks);
    if (!c->chunks) {
        ajf_memfile_done(&c->slab);
        return -ENOMEM;
    }
    return 0;
}

static struct ajf_page *take_chunk_locked(struct ajf_cache *c)
{
    AJF_HELD(&c->lock);
    struct ajf_list *l = ajf_list_pop(&c->free_chunks);
    if (l)
        return AJF_CONTAINER(l, struct ajf_page, free);
    if (c->chunks_used == c->n_chunks)
        return NULL;
    struct ajf_page *chunk = &c->chunks[c->chunks_used];
    chunk->index = (uint32_t)c->chunks_used++;
    ajf_rank_init(&chunk->rank);
    ajf_list_init(&chunk->free);
    ajf_list_init(&chunk->small);
    return chunk;
}

/* Gives a small file its place in a chunk. */
static int place_locked(struct ajf *m, struct ajf_pages *p, enum ajf_urgency urgency)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_cache *c = &m->cache;
    uint32_t need = (uint32_t)(p->n_granules * AJF_GRANULE_BYTES);
    int err = c->chunks ? 0 : open_slab_locked(c);
    if (err)
        return err;
    if (!c->open_chunk || c->open_chunk->filled + need > c->page_bytes) {
        struct ajf_page *full = c->open_chunk;
        c->open_chunk = NULL;
        if (full && ajf_list_empty(&full->small) && !full->pins)
            free_chunk_locked(c, full);
        if (!make_room_locked(m, c->page_bytes, urgency))
            return -EAGAIN;
        struct ajf_page *chunk = take_chunk_locked(c);
        if (!chunk)
            return -EAGAIN;
        charge_locked(c, chunk, c->page_bytes);
        ajf_order_add(&c->order, &chunk->rank);
        c->open_chunk = chunk;
    }
    p->chunk = c->open_chunk;
    p->chunk_offset = p->chunk->filled;
    p->chunk->filled += need;
    p->chunk->grown_ns = ajf_now_ns();
    ajf_list_add(&p->chunk->small, &p->in_chunk);
    return 0;
}

bool ajf_cache_close_idle_locked(struct ajf *m)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_cache *c = &m->cache;
    for (struct ajf_rank *r = c->backed ? ajf_order_first(&c->order) : NULL; r; r = ajf_order_next(&c->order, r)) {
        struct ajf_pages *p = AJF_CONTAINER(r, struct ajf_page, rank)->pages;
        if (!p || p->pins || p->memory.fd < 0)
            continue;
        c->owner->hold(p);
        ajf_cache_drop_locked(m, p);
        c->owner->emptied(m, p);
        c->owner->let_go(m, p);
        return true;
    }
    return false;
}

/* Out of descriptors or mappings: cached files hold most of them. */
static bool is_short(int err)
{
    return err == -EMFILE || err == -ENFILE || err == -ENOMEM;
}

static int back_locked(struct ajf *m, struct ajf_pages *p)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_cache *c = &m->cache;
    while (c->descriptors.used >= c->descriptors.most && ajf_cache_close_idle_locked(m))
        ajf_trash_free_memory(&c->trash);
    int err = ajf_memfile_init(&p->memory, &c->store, "ajf-file", p->size);
    for (int i = 0; i < 64 && is_short(err) && ajf_cache_close_idle_locked(m); i++) {
        ajf_trash_free_memory(&c->trash);
        err = ajf_memfile_init(&p->memory, &c->store, "ajf-file", p->size);
    }
    if (err)
        return err;
    AJF_COUNT(c->stats, backings_born);
    c->backed++;
    ajf_descriptors_take(&c->descriptors, AJF_DESCRIPTORS_NOBODY, 1);
    return 0;
}

/* A stream that begins on untouched pages gets huge ones. */
static bool wants_huge(const struct ajf_cache *c, struct ajf_pages *p, uint64_t offset, size_t length)
{
    if (!p->memory.huge || length < HUGE_FETCH_BYTES || offset % c->page_bytes)
        return false;
    FOR_PAGES (p, page, offset, length)
        if (page->charged)
            return false;
    return true;
}

/* Of a fetch, what is in the page. */
static uint64_t part(const struct ajf_cache *c, const struct ajf_page *page, uint64_t offset, size_t length)
{
    uint64_t start = page->index * c->page_bytes, from = max_u64(offset, start);
    uint64_t to = min_u64(offset + length, start + c->page_bytes);
    return (ajf_granule_up(to) - ajf_granule(from)) * AJF_GRANULE_BYTES;
}

static uint64_t cost(const struct ajf_cache *c, const struct ajf_page *page, uint64_t offset, size_t length, bool huge)
{
    return huge ? c->page_bytes : min_u64(part(c, page, offset, length), c->page_bytes - page->charged);
}

/*
 * A huge page is charged whole. The part that a fetch leaves out may never be asked for, and the page shall not be
 * awaited for it: it counts as handed over until it is fetched, too.
 */
static void expect_locked(struct ajf_cache *c, struct ajf_page *page, uint64_t bytes, uint64_t charged)
{
    AJF_HELD(&c->lock);
    uint64_t whole = min_u64(c->page_bytes, page->pages->size - page->index * c->page_bytes);
    if (charged > bytes) {
        page->taken += whole > bytes ? whole - bytes : 0;
    } else if (charged < bytes) {
        page->taken -= min_u64(page->taken, bytes - charged);
        if (page->spent)
            ajf_order_touch(&c->order, &page->rank);
        page->spent = false;
    }
}

static void lay_locked(struct ajf *m, struct ajf_page *page)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_cache *c = &m->cache;
    page->frame = ajf_frames_lay(&c->frames, &c->store, &page->pages->memory, page->index * c->page_bytes);
    if (page->frame && atomic_load(&c->rest.at_ns) == AJF_FOREVER)
        ajf_alarm_set(&c->rest, ajf_now_ns() + c->rests_ns);
}

int ajf_cache_prepare_locked(struct ajf *m, struct ajf_pages *p, uint64_t offset, size_t length,
                             enum ajf_urgency urgency, void **ret_buffer)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_cache *c = &m->cache;
    if (p->small) {
        int err = p->chunk ? 0 : place_locked(m, p, urgency);
        if (err)
            return err;
        ajf_cache_pin_locked(p, offset, length, c);
        *ret_buffer = ajf_cache_at(c, p, offset);
        return 0;
    }
    int err = ajf_pages_make(p, offset, length);
    if (!err && p->memory.fd < 0)
        err = back_locked(m, p);
    if (err)
        return err;
    ajf_cache_pin_locked(p, offset, length, c); /* so that making room does not take what is there already */
    bool huge = wants_huge(c, p, offset, length);
    uint64_t bytes = 0;
    FOR_PAGES (p, page, offset, length)
        bytes += cost(c, page, offset, length, huge);
    if (!make_room_locked(m, bytes, urgency)) {
        FOR_PAGES (p, page, offset, length)
            page->pins--;
        p->pins--;
        return -EAGAIN;
    }
    bool framed = false;
    FOR_PAGES (p, page, offset, length) {
        uint64_t n = cost(c, page, offset, length, huge);
        if (huge && c->transient && !page->frame)
            lay_locked(m, page);
        framed = framed || page->frame;
        if (n && !ajf_rank_is_ordered(&page->rank))
            ajf_order_add(&c->order, &page->rank);
        if (n)
            charge_locked(c, page, n);
        if (c->transient)
            expect_locked(c, page, part(c, page, offset, length), n);
    }
    *ret_buffer = (huge && !framed ? p->memory.huge : p->memory.map) + offset;
    return 0;
}
