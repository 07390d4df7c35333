/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of one file that lie in memory: which are there, and which are used. */
#include "memory/pages_inside.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/check.h"
#include "mount.h"

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

void ajf_pages_init(struct ajf_pages *p)
{
    *p = (struct ajf_pages){.memory = {.fd = -1}};
    ajf_list_init(&p->in_chunk);
}

int ajf_pages_begin(struct ajf_pages *p, const struct ajf_cache *c, uint64_t size)
{
    size_t words = AJF_BITS_WORDS(ajf_granule_up(size)) + 1;
    p->size = size;
    p->small = size <= c->slab_limit;
    p->n_granules = ajf_granule_up(size);
    p->n_pages = p->small ? 0 : (size + c->page_bytes - 1) / c->page_bytes;
    if (p->n_pages > UINT32_MAX) /* struct ajf_page has their numbers in 32 bits */
        return -ENOMEM;
    p->have = calloc(words, sizeof *p->have); /* of a large file, memory that nobody has touched yet */
    p->claimed = calloc(words, sizeof *p->claimed);
    p->leaves = calloc(p->n_pages / AJF_PAGES_LEAF + 1, sizeof *p->leaves);
    if (!p->have || !p->claimed || !p->leaves) {
        ajf_pages_done(p);
        return -ENOMEM;
    }
    p->complete = !p->n_granules;
    return 0;
}

void ajf_pages_done(struct ajf_pages *p)
{
    for (size_t n = 0; n < p->n_pages && p->leaves; n += AJF_PAGES_LEAF)
        free(p->leaves[n / AJF_PAGES_LEAF]);
    free(p->leaves);
    free(p->have);
    free(p->claimed);
    ajf_pages_init(p);
}

int ajf_pages_make(const struct ajf_cache *c, struct ajf_pages *p, uint64_t offset, size_t length)
{
    size_t to = (size_t)((offset + length + c->page_bytes - 1) / c->page_bytes);
    for (size_t n = (size_t)(offset / c->page_bytes) / AJF_PAGES_LEAF * AJF_PAGES_LEAF; n < to; n += AJF_PAGES_LEAF) {
        struct ajf_page **leaf = &p->leaves[n / AJF_PAGES_LEAF];
        if (*leaf)
            continue;
        *leaf = calloc(ajf_leaf_pages(p, n), sizeof **leaf);
        if (!*leaf)
            return -ENOMEM;
        for (size_t i = 0; i < ajf_leaf_pages(p, n); i++) {
            (*leaf)[i].index = (uint32_t)(n + i);
            (*leaf)[i].pages = p;
            ajf_rank_init(&(*leaf)[i].rank);
        }
    }
    return 0;
}

bool ajf_pages_have(const struct ajf_pages *p, uint64_t offset, uint64_t length)
{
    return p->complete || ajf_bits_all(p->have, ajf_granule(offset), ajf_granule_up(offset + length));
}

void ajf_cache_pin_locked(struct ajf_pages *p, uint64_t offset, size_t length, struct ajf_cache *c)
{
    AJF_HELD(&c->lock);
    FOR_PAGES (c, p, page, offset, length)
        page->pins++;
    p->pins++;
}

void ajf_cache_unpin_locked(struct ajf *m, struct ajf_pages *p, uint64_t offset, size_t length)
{
    AJF_HELD(&m->cache.lock);
    FOR_PAGES (&m->cache, p, page, offset, length) {
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
    FOR_PAGES (c, p, page, offset, length) {
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
