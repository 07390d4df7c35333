/* SPDX-License-Identifier: Apache-2.0 */
/* Which page goes first (order.h). */
#include "check.h"
#include "memory/order.h"

#define N 100

static struct ajf_order order;
static struct ajf_rank ranks[N];

static void begin(enum ajf_evictor evictor)
{
    ajf_order_init(&order, evictor);
    for (int i = 0; i < N; i++) {
        ajf_rank_init(&ranks[i]);
        ajf_order_add(&order, &ranks[i]);
    }
}

/* The number of the rank that would go, and takes it out. */
static long evict(void)
{
    struct ajf_rank *r = ajf_order_draw(&order);
    NEED(r);
    ajf_order_del(r, true);
    return r - ranks;
}

static void lru_is_by_last_touch(void)
{
    begin(AJF_EVICT_LRU);
    for (int i = 0; i < N; i += 2)
        ajf_order_touch(&order, &ranks[i]);
    for (int i = 1; i < N; i += 2)
        CHECK_EQ(evict(), i);
    for (int i = 0; i < N; i += 2)
        CHECK_EQ(evict(), i);
    CHECK(!ajf_order_draw(&order));
}

static void fifo_is_by_arrival(void)
{
    begin(AJF_EVICT_FIFO);
    for (int i = 0; i < N; i += 2)
        ajf_order_touch(&order, &ranks[i]);
    for (int i = 0; i < N; i++)
        CHECK_EQ(evict(), i);
}

static void lfu_is_by_number_of_touches(void)
{
    begin(AJF_EVICT_LFU);
    for (int i = 0; i < N; i++)
        for (int touches = 0; touches < 1 << (N - 1 - i) / 20; touches++)
            ajf_order_touch(&order, &ranks[i]);
    uint32_t last = 0;
    for (int i = 0; i < N; i++) {
        struct ajf_rank *r = ajf_order_first(&order);
        CHECK(r->touches >= last);
        last = r->touches;
        ajf_order_del(r, false);
    }
    CHECK_EQ(last, 16);
}

static void lfu_is_by_last_touch_among_equals(void)
{
    begin(AJF_EVICT_LFU);
    for (int i = N - 1; i >= 0; i--)
        for (int touches = 0; touches < 5; touches++)
            ajf_order_touch(&order, &ranks[i]);
    for (int i = N - 1; i >= 0; i--)
        CHECK_EQ(evict(), i);
}

static void random_lru_draws_among_the_coldest(void)
{
    bool seen[AJF_ORDER_DRAWN] = {false};
    begin(AJF_EVICT_RANDOM_LRU);
    for (int i = 0; i < 1000; i++) {
        long n = ajf_order_draw(&order) - ranks;
        CHECK(n >= 0 && n < AJF_ORDER_DRAWN);
        seen[n] = true;
    }
    for (int i = 0; i < AJF_ORDER_DRAWN; i++)
        CHECK(seen[i]);
    for (int i = 0; i < N; i++)
        evict();
    CHECK(!ajf_order_draw(&order));
}

static void every_rank_is_walked_once(void)
{
    for (int evictor = AJF_EVICT_LRU; evictor <= AJF_EVICT_RANDOM_LRU; evictor++) {
        begin(evictor);
        for (int i = 0; i < N; i++)
            for (int touches = 0; touches < i % 9; touches++)
                ajf_order_touch(&order, &ranks[i]);
        int walked = 0;
        for (struct ajf_rank *r = ajf_order_first(&order); r; r = ajf_order_next(&order, r))
            walked++;
        CHECK_EQ(walked, N);
    }
}

static void what_is_put_first_goes_first(void)
{
    begin(AJF_EVICT_LRU);
    ajf_order_del(&ranks[50], false);
    ajf_order_add_first(&order, &ranks[50]);
    CHECK_EQ(evict(), 50);
    CHECK_EQ(evict(), 0);
}

int main(void)
{
    RUN(lru_is_by_last_touch);
    RUN(fifo_is_by_arrival);
    RUN(lfu_is_by_number_of_touches);
    RUN(lfu_is_by_last_touch_among_equals);
    RUN(random_lru_draws_among_the_coldest);
    RUN(every_rank_is_walked_once);
    RUN(what_is_put_first_goes_first);
    CHECK_END();
}
