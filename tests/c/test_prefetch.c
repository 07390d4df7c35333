/* SPDX-License-Identifier: Apache-2.0 */
/* How far ahead files are read (prefetch.h): by patterns of reads as the kernel really makes them. */
#include "check.h"
#include "prefetch.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define SIZE (UINT64_C(1) << 30)
#define LIMIT (8 * MIB)

static struct ajf_prefetch fresh(void)
{
    return (struct ajf_prefetch){.clock = 0};
}

/* Every answer: at least what is read, at most the limit beyond the furthest read, never beyond the file. */
static uint64_t note(struct ajf_prefetch *p, uint64_t offset, uint64_t length, uint64_t size, uint64_t limit)
{
    static uint64_t furthest;
    if (!p->clock)
        furthest = 0;
    uint64_t to = ajf_prefetch_note(p, offset, length, size, limit), end = offset + length < size ? offset + length : size;
    furthest = end > furthest ? end : furthest;
    CHECK(to >= end);
    CHECK(to <= size);
    CHECK(to <= furthest + limit || size <= 128 * KIB);
    return to;
}

static void a_stream_is_read_ahead_of_itself_up_to_the_limit(void)
{
    struct ajf_prefetch p = fresh();
    uint64_t ahead = 0;
    for (uint64_t at = 0; at < 64 * MIB; at += 128 * KIB) {
        uint64_t to = note(&p, at, 128 * KIB, SIZE, LIMIT), now = to - (at + 128 * KIB);
        CHECK(now >= ahead || now == LIMIT);
        ahead = now;
    }
    CHECK_EQ(ahead, LIMIT);
}

static void a_stream_from_the_middle_opens_its_window_too(void)
{
    struct ajf_prefetch p = fresh();
    uint64_t to = 0;
    CHECK_EQ(note(&p, 300 * MIB, 128 * KIB, SIZE, LIMIT), 300 * MIB + 128 * KIB);
    for (unsigned i = 1; i < 16; i++)
        to = note(&p, 300 * MIB + i * 128 * KIB, 128 * KIB, SIZE, LIMIT);
    CHECK_EQ(to, 302 * MIB + LIMIT);
}

/* Requests of 1 MiB (or 256 KiB) that overtake each other by one, two or three places, as with several workers. */
static void out_of_order_arrival_does_not_break_a_stream(void)
{
    static const unsigned orders[][4] = {{1, 0, 3, 2}, {0, 2, 1, 3}, {2, 0, 3, 1}, {3, 1, 0, 2}};
    for (unsigned o = 0; o < 4; o++) {
        for (uint64_t step = 256 * KIB; step <= MIB; step *= 2) {
            struct ajf_prefetch p = fresh();
            uint64_t to = 0, largest = 0;
            for (unsigned i = 0; i < 64; i++) {
                unsigned place = i / 4 * 4 + orders[o][i % 4];
                /* The last in a group may be 4 MiB behind the front with 1 MiB steps: more than the kernel has under way. */
                if (step == MIB && (orders[o][0] == 3 || orders[o][0] == 2))
                    place = i ^ 1;
                to = note(&p, place * step, step, SIZE, LIMIT);
                largest = to > largest ? to : largest;
            }
            CHECK(largest >= 64 * step + LIMIT / 2);
        }
    }
}

static void random_reads_fetch_themselves_and_nothing_else(void)
{
    uint64_t random = 7, extra = 0, asked = 0;
    struct ajf_prefetch p = fresh();
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t at = check_below(&random, SIZE / (64 * KIB)) * 64 * KIB;
        uint64_t to = note(&p, at, 64 * KIB, SIZE, LIMIT);
        asked += 64 * KIB;
        extra += to - (at + 64 * KIB);
    }
    /* By chance some fall beside each other; bytes fetched over bytes asked must stay under 1.2. */
    CHECK(extra * 10 <= asked * 2);
}

static void random_reads_of_a_small_file_stay_random(void)
{
    uint64_t random = 9, extra = 0, asked = 0;
    struct ajf_prefetch p = fresh();
    for (unsigned i = 0; i < 200; i++) { /* until about a tenth was read */
        uint64_t at = check_below(&random, 64 * MIB / (4 * KIB)) * 4 * KIB;
        extra += note(&p, at, 4 * KIB, 64 * MIB, LIMIT) - (at + 4 * KIB);
        asked += 4 * KIB;
    }
    CHECK(extra <= asked);
}

static void several_interleaved_streams_are_all_followed(void)
{
    struct ajf_prefetch p = fresh();
    uint64_t to[AJF_STREAMS] = {0};
    for (uint64_t i = 0; i < 32; i++)
        for (uint64_t s = 0; s < AJF_STREAMS; s++)
            to[s] = note(&p, s * 100 * MIB + i * 128 * KIB, 128 * KIB, SIZE, LIMIT) - (s * 100 * MIB + 4 * MIB);
    for (uint64_t s = 0; s < AJF_STREAMS; s++)
        CHECK_EQ(to[s], LIMIT);
}

static void more_streams_than_are_followed_cost_nothing_but_their_reads(void)
{
    struct ajf_prefetch p = fresh();
    for (uint64_t i = 0; i < 16; i++)
        for (uint64_t s = 0; s < 3 * AJF_STREAMS; s++) {
            uint64_t at = s * 40 * MIB + 8 * MIB + i * 128 * KIB;
            CHECK_EQ(note(&p, at, 128 * KIB, SIZE, LIMIT), at + 128 * KIB);
        }
}

/* Every fourth MiB: the gaps are not wanted, so they must not be fetched. */
static void a_skipping_pattern_is_not_a_stream(void)
{
    struct ajf_prefetch p = fresh();
    uint64_t extra = 0, asked = 0;
    for (uint64_t i = 1; i < 200; i++) {
        uint64_t at = i * 4 * MIB;
        extra += note(&p, at, 128 * KIB, SIZE, LIMIT) - (at + 128 * KIB);
        asked += 128 * KIB;
    }
    CHECK_EQ(extra, 0);
    p = fresh();
    for (uint64_t i = 1; i < 200; i++) { /* near enough to be one neighbourhood: an eighth of it is read */
        uint64_t at = 500 * MIB + i * MIB;
        extra += note(&p, at, 128 * KIB, SIZE, LIMIT) - (at + 128 * KIB);
        asked += 128 * KIB;
    }
    CHECK(extra * 10 <= asked * 2);
}

static void reading_the_same_place_again_and_again_is_not_a_stream(void)
{
    struct ajf_prefetch p = fresh();
    for (unsigned i = 0; i < 1000; i++)
        CHECK_EQ(note(&p, 100 * MIB, 4 * KIB, SIZE, LIMIT), 100 * MIB + 4 * KIB);
}

static void nothing_is_wanted_beyond_the_end(void)
{
    struct ajf_prefetch p = fresh();
    uint64_t size = 10 * MIB + 123, to = 0;
    for (uint64_t at = 0; at < size; at += MIB)
        to = note(&p, at, MIB, size, LIMIT);
    CHECK_EQ(to, size);
    CHECK_EQ(ajf_prefetch_note(&p, size - 1, 1, size, LIMIT), size);
    CHECK_EQ(ajf_prefetch_note(&p, size - 100, MIB, size, LIMIT), size);
}

static void small_files_are_fetched_whole(void)
{
    struct ajf_prefetch p = fresh();
    CHECK_EQ(ajf_prefetch_note(&p, 4096, 1, 128 * KIB, LIMIT), 128 * KIB);
    CHECK_EQ(ajf_prefetch_note(&p, 0, 4096, 5000, LIMIT), 5000);
}

static void a_limit_of_zero_is_never_ahead(void)
{
    struct ajf_prefetch p = fresh();
    for (uint64_t at = 0; at < 32 * MIB; at += 128 * KIB)
        CHECK_EQ(ajf_prefetch_note(&p, at, 128 * KIB, SIZE, 0), at + 128 * KIB);
    CHECK_EQ(ajf_prefetch_note(&p, 0, 4096, 5000, 0), 4096);
}

/* A mapping at the end of the address space of files: sums must not wrap. */
static void offsets_near_the_top_do_not_wrap(void)
{
    struct ajf_prefetch p = fresh();
    uint64_t size = INT64_MAX, at = size - 4 * MIB;
    for (unsigned i = 0; i < 40; i++)
        CHECK(ajf_prefetch_note(&p, at + i * 64 * KIB, 128 * KIB, size, LIMIT) <= size);
}

int main(void)
{
    RUN(a_stream_is_read_ahead_of_itself_up_to_the_limit);
    RUN(a_stream_from_the_middle_opens_its_window_too);
    RUN(out_of_order_arrival_does_not_break_a_stream);
    RUN(random_reads_fetch_themselves_and_nothing_else);
    RUN(random_reads_of_a_small_file_stay_random);
    RUN(several_interleaved_streams_are_all_followed);
    RUN(more_streams_than_are_followed_cost_nothing_but_their_reads);
    RUN(a_skipping_pattern_is_not_a_stream);
    RUN(reading_the_same_place_again_and_again_is_not_a_stream);
    RUN(nothing_is_wanted_beyond_the_end);
    RUN(small_files_are_fetched_whole);
    RUN(a_limit_of_zero_is_never_ahead);
    RUN(offsets_near_the_top_do_not_wrap);
    CHECK_END();
}
