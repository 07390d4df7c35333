/* SPDX-License-Identifier: Apache-2.0 */
/* How many small fetches are under way at once (pace.h), for servers of all kinds. */
#include "base/sync.h"
#include "check.h"
#include "source/pace.h"

#define MOST 32

static uint32_t after(struct ajf_pace *p, unsigned times, uint64_t took_us)
{
    for (unsigned i = 0; i < times; i++)
        ajf_pace_note(p, took_us * AJF_NS_PER_US);
    return ajf_pace_at_once(p, MOST);
}

static void while_nothing_is_known_two_begin(void)
{
    struct ajf_pace p = {.n = 0};
    CHECK_EQ(ajf_pace_at_once(&p, MOST), AJF_PACE_LEAST);
    CHECK_EQ(ajf_pace_at_once(&p, 1), 1);
    CHECK_EQ(ajf_pace_at_once(&p, 0), 0);
}

static void a_quick_server_gets_two_and_a_slow_one_all(void)
{
    struct ajf_pace quick = {.n = 0}, middling = {.n = 0}, slow = {.n = 0}, dead = {.n = 0};
    CHECK_EQ(after(&quick, 1, 120), AJF_PACE_LEAST);
    CHECK_EQ(after(&quick, 100, 250), AJF_PACE_LEAST);
    CHECK_EQ(after(&middling, 3, 1500), 10);
    CHECK_EQ(after(&slow, 1, 10000), MOST); /* the first answer tells */
    CHECK_EQ(after(&dead, 1, UINT64_C(10000000000)), MOST);
}

/* Of fetches that keep each other waiting, some get through. */
static void the_shortest_counts(void)
{
    struct ajf_pace p = {.n = 0};
    for (unsigned i = 0; i < 1000; i++)
        CHECK_EQ(after(&p, 1, i % AJF_PACE_SEEN ? 20000 : 140), AJF_PACE_LEAST);
}

static void what_was_quick_once_is_forgotten(void)
{
    struct ajf_pace p = {.n = 0};
    for (unsigned already = 0; already < 3 * AJF_PACE_SEEN; already++) {
        after(&p, already, 100);
        CHECK_EQ(after(&p, AJF_PACE_SEEN - 1, 10000), already ? AJF_PACE_LEAST : MOST);
        CHECK_EQ(after(&p, 1, 10000), MOST);
    }
}

int main(void)
{
    RUN(while_nothing_is_known_two_begin);
    RUN(a_quick_server_gets_two_and_a_slow_one_all);
    RUN(the_shortest_counts);
    RUN(what_was_quick_once_is_forgotten);
    CHECK_END();
}
