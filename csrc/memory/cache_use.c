/* SPDX-License-Identifier: Apache-2.0 */
/* Pages that are there: pinned, read, open in passthrough. */
#include "memory/cache.h"

#include "base/check.h"
#include "memory/pages_inside.h"
#include "mount.h"

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

void ajf_cache_pin_locked(struct ajf_pages *p, uint64_t offset, size_t length, struct ajf_cache *c)
{
    AJF_HELD(&c->lock);
    FOR_PAGES (p, page, offset, length)
        page->pins++;
    p->pins++;
}

void ajf_cache_unpin_locked(struct ajf *m, struct ajf_pages *p, uint64_t offset, size_t length)
{
    AJF_HELD(&m->cache.lock);
    FOR_PAGES (p, page, offset, length) {
        AJF_MUST(page->pins);
        page->pins--;
    }
    AJF_MUST(p->pins);
    p->pins--;
    m->cache.owner->has_room(m);
}

uint8_t *ajf_cache_at(const struct ajf_cache *c, const struct ajf_pages *p, uint64_t offset)
{
    if (p->small)
        return c->slab.map + (uint64_t)p->chunk->index * c->page_bytes + p->chunk_offset + offset;
    return p->memory.map + offset;
}

/* Counts what the kernel was handed of a page; whether that was all. The kernel reads ahead in any order. */
static bool take(const struct ajf_cache *c, struct ajf_page *page, uint64_t offset, size_t length)
{
    uint64_t start = page->index * c->page_bytes, end = min_u64(start + c->page_bytes, page->pages->size);
    page->taken += min_u64(offset + length, end) - max_u64(offset, start);
    return page->taken >= min_u64(page->charged, end - start);
}

void ajf_cache_touch_locked(struct ajf_cache *c, struct ajf_pages *p, uint64_t offset, size_t length)
{
    AJF_HELD(&c->lock);
    FOR_PAGES (p, page, offset, length) {
        if (!ajf_rank_is_ordered(&page->rank))
            continue;
        page->spent = c->transient && page->pages && take(c, page, offset, length);
        if (page->spent) {
            ajf_order_del(&page->rank, false);
            ajf_order_add_first(&c->order, &page->rank);
        } else {
            ajf_order_touch(&c->order, &page->rank);
        }
    }
}

static uint64_t charge_of(const struct ajf_pages *p)
{
    uint64_t bytes = 0;
    FOR_USED_PAGES (p, page)
        bytes += page->charged;
    return bytes;
}

bool ajf_cache_may_shelve_locked(const struct ajf_cache *c, const struct ajf_pages *p)
{
    AJF_HELD(&c->lock);
    return c->shelved + charge_of(p) <= c->limit / 4 * 3;
}

void ajf_cache_shelve_locked(struct ajf_cache *c, struct ajf_pages *p, bool shelved)
{
    AJF_HELD(&c->lock);
    uint64_t bytes = charge_of(p);
    c->shelved = shelved ? c->shelved + bytes : c->shelved - bytes;
    FOR_USED_PAGES (p, page) {
        ajf_order_del(&page->rank, false);
        if (!shelved && page->charged)
            ajf_order_add(&c->order, &page->rank);
    }
}
