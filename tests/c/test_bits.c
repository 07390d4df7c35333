/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of bits (bits.h) against an array of bools, and lists (list.h). */
#include <string.h>

#include "base/bits.h"
#include "base/list.h"
#include "check.h"

#define BITS 400

static size_t naive_fill(bool *bits, size_t from, size_t to, bool value)
{
    size_t changed = 0;
    for (size_t i = from; i < to; i++) {
        changed += bits[i] != value;
        bits[i] = value;
    }
    return changed;
}

static size_t naive_find(const bool *a, const bool *b, size_t from, size_t to, bool value)
{
    for (size_t i = from; i < to; i++)
        if ((a[i] || (b && b[i])) == value)
            return i;
    return to;
}

static void ranges_agree_with_an_array_of_bools(void)
{
    uint64_t a[AJF_BITS_WORDS(BITS)] = {0}, b[AJF_BITS_WORDS(BITS)] = {0}, random = 3;
    bool naive_a[BITS] = {false}, naive_b[BITS] = {false};
    for (unsigned i = 0; i < 200000; i++) {
        size_t from = check_below(&random, BITS + 1), to = from + check_below(&random, BITS + 1 - from);
        bool value = check_below(&random, 2), of_a = check_below(&random, 2);
        if (check_below(&random, 4) == 0) {
            from = from / 64 * 64;
            to = (to + 63) / 64 * 64 > BITS ? to : (to + 63) / 64 * 64;
        }
        CHECK_EQ(ajf_bits_fill(of_a ? a : b, from, to, value), naive_fill(of_a ? naive_a : naive_b, from, to, value));
        from = check_below(&random, BITS + 1);
        to = from + check_below(&random, BITS + 1 - from);
        CHECK_EQ(ajf_bits_find(a, b, from, to, value), naive_find(naive_a, naive_b, from, to, value));
        CHECK_EQ(ajf_bits_find(a, NULL, from, to, !value), naive_find(naive_a, NULL, from, to, !value));
        CHECK_EQ(ajf_bits_all(a, from, to), naive_find(naive_a, NULL, from, to, false) == to);
    }
}

static void an_empty_range_changes_nothing_and_is_full(void)
{
    uint64_t bits[2] = {0, 0};
    for (size_t i = 0; i <= 128; i++) {
        CHECK_EQ(ajf_bits_fill(bits, i, i, true), 0);
        CHECK_EQ(ajf_bits_find(bits, NULL, i, i, true), i);
        CHECK(ajf_bits_all(bits, i, i));
    }
    CHECK_EQ(bits[0] | bits[1], 0);
}

static void words_are_enough_for_their_bits(void)
{
    CHECK_EQ(AJF_BITS_WORDS(0), 0);
    CHECK_EQ(AJF_BITS_WORDS(1), 1);
    CHECK_EQ(AJF_BITS_WORDS(64), 1);
    CHECK_EQ(AJF_BITS_WORDS(65), 2);
}

struct item {
    int value;
    struct ajf_list link;
};

static void lists_keep_their_order(void)
{
    struct ajf_list head, *l;
    struct item items[10];
    ajf_list_init(&head);
    CHECK(ajf_list_empty(&head));
    CHECK(!ajf_list_pop(&head));
    for (int i = 0; i < 10; i++) {
        items[i].value = i;
        ajf_list_add(&head, &items[i].link);
    }
    ajf_list_del(&items[9].link);
    ajf_list_add_front(&head, &items[9].link);
    int want = 9;
    AJF_LIST_FOR(pos, &head)
    {
        CHECK_EQ(AJF_CONTAINER(pos, struct item, link)->value, want);
        want = (want + 1) % 10;
    }
    for (int i = 0; i < 10; i++) {
        l = ajf_list_pop(&head);
        CHECK_EQ(AJF_CONTAINER(l, struct item, link)->value, (i + 9) % 10);
        CHECK(ajf_list_empty(l)); /* a node in no list says so */
    }
    CHECK(ajf_list_empty(&head));
}

static void removing_is_idempotent_and_safe_inside_the_loop(void)
{
    struct ajf_list head, other;
    struct item items[6];
    int seen = 0;
    ajf_list_init(&head);
    ajf_list_init(&other);
    for (int i = 0; i < 6; i++)
        ajf_list_add(&head, &items[i].link);
    AJF_LIST_FOR_SAFE(pos, &head)
    {
        ajf_list_del(pos);
        ajf_list_del(pos);
        if (seen++ % 2)
            ajf_list_add(&other, pos);
    }
    CHECK_EQ(seen, 6);
    CHECK(ajf_list_empty(&head));
    for (seen = 0; ajf_list_pop(&other); seen++)
        ;
    CHECK_EQ(seen, 3);
}

int main(void)
{
    RUN(ranges_agree_with_an_array_of_bools);
    RUN(an_empty_range_changes_nothing_and_is_full);
    RUN(words_are_enough_for_their_bits);
    RUN(lists_keep_their_order);
    RUN(removing_is_idempotent_and_safe_inside_the_loop);
    CHECK_END();
}
