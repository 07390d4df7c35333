/* SPDX-License-Identifier: Apache-2.0 */
/*
 * order.h - which page goes first when room is needed: the evictors of Alluxio's client cache.
 *
 * An *order* holds ranks, which are embedded in pages. LRU: what was not touched for longest. FIFO: what came first.
 * LFU: what was touched least often, to a power of two; among those, the one not touched for longest. Random LRU: one
 * of the AJF_ORDER_DRAWN that LRU would take next.
 *
 * Pure; the owner of the order serialises (cache.h).
 */
#ifndef AJF_MEMORY_ORDER_H
#define AJF_MEMORY_ORDER_H

#include "base/list.h"
#include "base/options.h"

#define AJF_ORDER_LISTS 32 /* one for each power of two of touches */
#define AJF_ORDER_DRAWN 16

struct ajf_rank {
    struct ajf_list link; /* in no list while the page is in no order */
    uint32_t touches;
};

struct ajf_order {
    enum ajf_evictor evictor;
    struct ajf_list lists[AJF_ORDER_LISTS]; /* coldest first; all but LFU use the first one only */
    uint64_t random;
};

void ajf_order_init(struct ajf_order *o, enum ajf_evictor evictor);
void ajf_rank_init(struct ajf_rank *r);
static inline bool ajf_rank_is_ordered(const struct ajf_rank *r)
{
    return !ajf_list_empty(&r->link);
}

/* Of a rank that is in no order: behind (before) all it is compared with. Its earlier touches still count. */
void ajf_order_add(struct ajf_order *o, struct ajf_rank *r);
void ajf_order_add_first(struct ajf_order *o, struct ajf_rank *r);
/* Of a rank that is in the order. */
void ajf_order_touch(struct ajf_order *o, struct ajf_rank *r);
/* Takes it out; `forget`: and what it was touched. Idempotent. */
void ajf_order_del(struct ajf_rank *r, bool forget);

/* The first candidate for a page that may go: by random LRU one of the coldest, else the coldest. NULL: none. */
struct ajf_rank *ajf_order_draw(struct ajf_order *o);
/* The coldest, and the one that follows; NULL behind the last. */
struct ajf_rank *ajf_order_first(struct ajf_order *o);
struct ajf_rank *ajf_order_next(struct ajf_order *o, struct ajf_rank *r);

#endif
