/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/order.h"

void ajf_order_init(struct ajf_order *o, enum ajf_evictor evictor)
{
    o->evictor = evictor;
    o->random = 1;
    for (int i = 0; i < AJF_ORDER_LISTS; i++)
        ajf_list_init(&o->lists[i]);
}

void ajf_rank_init(struct ajf_rank *r)
{
    ajf_list_init(&r->link);
    r->touches = 0;
}

static unsigned list_of(const struct ajf_order *o, const struct ajf_rank *r)
{
    return o->evictor == AJF_EVICT_LFU ? 31u - (unsigned)__builtin_clz(r->touches | 1) : 0;
}

void ajf_order_add(struct ajf_order *o, struct ajf_rank *r)
{
    ajf_list_add(&o->lists[list_of(o, r)], &r->link);
}

void ajf_order_add_first(struct ajf_order *o, struct ajf_rank *r)
{
    ajf_list_add_front(&o->lists[0], &r->link);
}

void ajf_order_touch(struct ajf_order *o, struct ajf_rank *r)
{
    if (r->touches < UINT32_MAX)
        r->touches++;
    if (o->evictor == AJF_EVICT_FIFO)
        return;
    ajf_list_del(&r->link);
    ajf_order_add(o, r);
}

void ajf_order_del(struct ajf_rank *r, bool forget)
{
    ajf_list_del(&r->link);
    if (forget)
        r->touches = 0;
}

/* The first of the lists from `i` on. */
static struct ajf_rank *first_from(struct ajf_order *o, unsigned i)
{
    for (; i < AJF_ORDER_LISTS; i++)
        if (!ajf_list_empty(&o->lists[i]))
            return AJF_CONTAINER(o->lists[i].next, struct ajf_rank, link);
    return NULL;
}

struct ajf_rank *ajf_order_first(struct ajf_order *o)
{
    return first_from(o, 0);
}

struct ajf_rank *ajf_order_next(struct ajf_order *o, struct ajf_rank *r)
{
    unsigned list = list_of(o, r);
    if (r->link.next != &o->lists[list])
        return AJF_CONTAINER(r->link.next, struct ajf_rank, link);
    return first_from(o, list + 1);
}

struct ajf_rank *ajf_order_draw(struct ajf_order *o)
{
    struct ajf_rank *r = ajf_order_first(o), *next;
    if (!r || o->evictor != AJF_EVICT_RANDOM_LRU)
        return r;
    o->random = o->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407); /* Knuth's MMIX */
    for (unsigned skip = (unsigned)(o->random >> 60) % AJF_ORDER_DRAWN; skip && (next = ajf_order_next(o, r)); skip--)
        r = next;
    return r;
}
