/* SPDX-License-Identifier: Apache-2.0 */
/* Which files of a directory are looked for ahead (run.h). */
#include "check.h"
#include "names/run.h"

#define N 1000

static size_t looked_to; /* of the last note */

/* Notes an entry; how many entries are to be looked through, all of which the owner takes. */
static size_t note(struct ajf_run *r, size_t index)
{
    size_t from = 0, to = 0;
    if (!ajf_run_note(r, N, index, &from, &to))
        return 0;
    CHECK(from > index);
    CHECK(from < to && to <= N && to <= index + 1 + AJF_RUN_WINDOW);
    CHECK(from >= r->begun);
    r->begun = looked_to = to;
    return to - from;
}

static void in_order_every_entry_is_looked_at_once_and_before_its_turn(void)
{
    struct ajf_run r = {0};
    size_t looked = 0, alone = 0;
    looked_to = 0;
    for (size_t i = 0; i < N; i++) {
        alone += i >= looked_to;
        looked += note(&r, i);
    }
    CHECK(alone <= 4);
    CHECK_EQ(looked, N - alone);
    ajf_run_done(&r);
}

static void out_of_order_a_little_is_in_order(void)
{
    struct ajf_run r = {0};
    size_t looked = 0;
    for (size_t i = 0; i < 400; i++)
        looked += note(&r, i ^ 3);
    CHECK(looked >= 390);
    ajf_run_done(&r);
}

static void backwards_there_is_nothing_ahead(void)
{
    struct ajf_run r = {0};
    size_t looked = 0;
    for (size_t i = 400; i > 300; i--)
        looked += note(&r, i);
    CHECK(looked <= 2 * AJF_RUN_WINDOW); /* what lies behind the first one, once */
    ajf_run_done(&r);
}

static void in_no_order_nothing_is_looked_for(void)
{
    static const size_t order[] = {500, 30, 970, 200, 750, 0, 400, 999};
    struct ajf_run r = {0};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        CHECK_EQ(note(&r, order[i]), 0);
    ajf_run_done(&r);
}

static void every_other_entry_is_no_order(void)
{
    struct ajf_run r = {0};
    for (size_t i = 0; i < N; i += 2)
        CHECK_EQ(note(&r, i), 0);
    ajf_run_done(&r);
}

static void every_other_entry_is_if_the_rest_is_passed(void)
{
    struct ajf_run r = {0};
    size_t looked = 0;
    for (size_t i = 0; i < N; i += 2) {
        if (i)
            ajf_run_pass(&r, i - 1);
        looked += note(&r, i);
    }
    CHECK(looked >= N - 8);
    ajf_run_done(&r);
}

static void a_second_pass_is_in_order_again(void)
{
    struct ajf_run r = {0};
    size_t looked = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < N; i++)
            looked += note(&r, i);
    CHECK(looked >= 2 * N - 10);
    ajf_run_done(&r);
}

static void the_same_entry_again_and_again_is_no_order(void)
{
    struct ajf_run r = {0};
    for (size_t i = 0; i < 100; i++)
        CHECK_EQ(note(&r, 7), 0);
    ajf_run_done(&r);
}

static void any_order_stays_within_bounds(void)
{
    uint64_t random = 3;
    for (int round = 0; round < 20; round++) {
        struct ajf_run r = {0};
        for (int i = 0; i < 5000; i++) {
            size_t at = check_below(&random, 10) ? check_below(&random, N) : (size_t)i % N;
            note(&r, at);
            CHECK(ajf_run_has(&r, at));
            CHECK(r.first <= r.front && r.front < N);
            CHECK(r.length <= r.front - r.first + 1);
        }
        ajf_run_done(&r);
    }
}

static bool is_even(const void *arg, size_t index)
{
    return index % *(const size_t *)arg == 0;
}

static void what_was_asked_for_in_another_order_is_known(void)
{
    struct ajf_run r;
    const size_t two = 2;
    size_t from, to;
    CHECK_EQ(ajf_run_init(&r, 200, is_even, &two), 0);
    CHECK(!ajf_run_in_order(&r));
    for (size_t i = 0; i < 200; i++)
        CHECK_EQ(ajf_run_has(&r, i), i % 2 == 0);
    for (size_t i = 101; i < 105; i += 2)
        CHECK(!ajf_run_note(&r, 200, i, &from, &to)); /* one of two is no order */
    ajf_run_done(&r);
    CHECK_EQ(ajf_run_init(&r, 200, is_even, &(size_t){1000}), 0);
    for (size_t i = 10; i < 12; i++)
        CHECK(!ajf_run_note(&r, 200, i, &from, &to));
    CHECK(ajf_run_note(&r, 200, 12, &from, &to));
    CHECK_EQ(from, 13);
    ajf_run_done(&r);
}

int main(void)
{
    RUN(what_was_asked_for_in_another_order_is_known);
    RUN(in_order_every_entry_is_looked_at_once_and_before_its_turn);
    RUN(out_of_order_a_little_is_in_order);
    RUN(backwards_there_is_nothing_ahead);
    RUN(in_no_order_nothing_is_looked_for);
    RUN(every_other_entry_is_no_order);
    RUN(every_other_entry_is_if_the_rest_is_passed);
    RUN(a_second_pass_is_in_order_again);
    RUN(the_same_entry_again_and_again_is_no_order);
    RUN(any_order_stays_within_bounds);
    CHECK_END();
}
