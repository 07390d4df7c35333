/* SPDX-License-Identifier: Apache-2.0 */
/* How far ahead files are read (prefetch.h): by patterns of reads as the kernel really makes them. */
#include "check.h"
#include "files/prefetch.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define SIZE (UINT64_C(1) << 30)
#define LIMIT (8 * MIB)
#define READER 7

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
    struct ajf_span span = ajf_prefetch_note(p, READER, offset, length, size, limit), also;
    uint64_t to = span.to;
    uint64_t end = offset + length < size ? offset + length : size;
    furthest = end > furthest ? end : furthest;
    CHECK(span.from <= offset);
    CHECK(span.from + limit + 2 * MIB >= offset);
    while (ajf_prefetch_also(p, size, &also))
        CHECK(also.from < also.to && also.to <= size);
    CHECK(to >= end);
    CHECK(to <= size);
    CHECK(to <= furthest + limit || size <= 128 * KIB);
    return to;
}

static void a_stream_is_read_ahead_of_itself_up_to_the_limit(void)
{
    struct ajf_prefetch p = fresh();
    uint64_t last = 0;
    for (uint64_t at = 0; at < 64 * MIB; at += 128 * KIB) {
        uint64_t to = note(&p, at, 128 * KIB, SIZE, LIMIT);
        CHECK(to >= last);
        last = to;
    }
    CHECK_EQ(last, 64 * MIB + LIMIT);
}

/* Bytes that are fetched beyond those that are asked for: what each answer adds to the furthest one of its stream. */
struct tally {
    uint64_t asked, end;
};

static void tell(struct tally *t, struct ajf_prefetch *p, uint64_t offset, uint64_t length)
{
    uint64_t to = note(p, offset, length, SIZE, LIMIT);
    t->asked += length;
    t->end = to > t->end ? to : t->end;
}

/* How the kernel delivers what follows each other: in order, or the pieces of each four overtaking each other. */
static const unsigned ORDERS[][4] = {{0, 1, 2, 3}, {1, 0, 3, 2}, {0, 2, 1, 3},
                                     {2, 0, 3, 1}, {3, 1, 0, 2}, {3, 2, 1, 0}};
#define N_ORDERS (sizeof ORDERS / sizeof ORDERS[0])

static unsigned place_of(unsigned order, unsigned i)
{
    return i / 4 * 4 + ORDERS[order][i % 4];
}

/* More than four pieces of 512 KiB are not under way at once. */
static bool is_possible(unsigned order, uint64_t piece)
{
    return piece <= 512 * KIB || order < 2;
}

/* One read of the program, at `offset`, which begins a stream; what is fetched beyond its pieces. */
static uint64_t beyond_a_pread(struct ajf_prefetch *p, uint64_t offset, uint64_t length, uint64_t piece, unsigned order)
{
    struct tally t = {0, 0};
    unsigned whole = (unsigned)(length / piece / 4 * 4), i;
    for (i = 0; i < whole; i++)
        tell(&t, p, offset + place_of(order, i) * piece, piece);
    for (uint64_t at = offset + i * piece; at < offset + length; at += piece)
        tell(&t, p, at, at + piece > offset + length ? offset + length - at : piece);
    return t.end - (offset + length);
}

/* What a stream at `offset` must have read before its window is as wide as it may be. */
static uint64_t run_to_the_limit(struct ajf_prefetch *p, uint64_t offset, uint64_t piece, unsigned order)
{
    for (unsigned i = 0; i < 128 * MIB / piece; i++) {
        uint64_t at = offset + place_of(order, i) * piece;
        if (note(p, at, piece, SIZE, LIMIT) >= at + piece + LIMIT)
            return (i + 1) * piece;
    }
    return UINT64_MAX;
}

static void a_single_pread_is_no_stream_however_it_comes(void)
{
    for (unsigned order = 0; order < N_ORDERS; order++)
        for (uint64_t piece = 64 * KIB; piece <= MIB; piece *= 2)
            for (uint64_t length = 4 * KIB; length <= 16 * MIB; length = length * 3 / 2 + 4 * KIB) {
                struct ajf_prefetch p = fresh();
                if (!is_possible(order, piece))
                    continue;
                uint64_t beyond = beyond_a_pread(&p, 100 * MIB + 12 * KIB, length, piece, order);
                CHECK(beyond * 16 <= length);
            }
}

static void preads_far_apart_stay_no_streams(void)
{
    uint64_t random = 11;
    for (uint64_t length = 4 * KIB; length <= 16 * MIB; length *= 2) {
        struct ajf_prefetch p = fresh();
        uint64_t beyond = 0;
        for (unsigned i = 0; i < 30; i++) {
            uint64_t place = (i * 7 % 30 + 1) * 32 * MIB + check_below(&random, 2048) * 4 * KIB;
            beyond += beyond_a_pread(&p, place, length, 512 * KIB, i % 3);
        }
        CHECK(beyond * 16 <= 30 * length);
    }
}

static void the_start_of_a_file_is_trusted_when_it_is_read_first(void)
{
    struct ajf_prefetch p = fresh();
    CHECK_EQ(note(&p, 0, 16 * KIB, SIZE, LIMIT), 16 * KIB); /* a header */
    CHECK_EQ(note(&p, 16 * KIB, 32 * KIB, SIZE, LIMIT), 48 * KIB + MIB);
    p = fresh();
    CHECK_EQ(note(&p, 0, 64 * KIB, SIZE, LIMIT), 64 * KIB); /* so much is asked for when a program reads 32 KiB */
    p = fresh();
    CHECK_EQ(note(&p, 0, 256 * KIB, SIZE, LIMIT), 256 * KIB + MIB);
    p = fresh();
    note(&p, SIZE - 64 * KIB, 64 * KIB, SIZE, LIMIT); /* a footer */
    CHECK(beyond_a_pread(&p, 0, 8 * MIB, 512 * KIB, 0) <= 512 * KIB);
}

static void the_start_of_a_file_costs_a_little_for_a_program_that_stops_there(void)
{
    struct ajf_prefetch p = fresh();
    CHECK(beyond_a_pread(&p, 0, 2 * MIB, 256 * KIB, 0) <= MIB);
}

static void a_stream_from_the_start_gets_all_its_window_within_a_few_mib(void)
{
    for (unsigned order = 0; order < N_ORDERS; order++)
        for (uint64_t piece = 64 * KIB; piece <= MIB; piece *= 2) {
            struct ajf_prefetch p = fresh();
            if (is_possible(order, piece))
                CHECK(run_to_the_limit(&p, 0, piece, order) <= 6 * MIB);
        }
}

static void a_stream_from_the_middle_gets_it_when_it_is_longer_than_preads_are(void)
{
    for (unsigned order = 0; order < N_ORDERS; order++)
        for (uint64_t piece = 64 * KIB; piece <= MIB; piece *= 2) {
            struct ajf_prefetch p = fresh();
            if (is_possible(order, piece))
                CHECK(run_to_the_limit(&p, 300 * MIB, piece, order) <= 36 * MIB);
        }
}

/* direct_io, or a mapping without read-ahead. */
static void many_small_reads_are_a_stream_soon(void)
{
    struct ajf_prefetch p = fresh();
    CHECK(run_to_the_limit(&p, 300 * MIB, 4 * KIB, 0) <= 9 * MIB);
}

static void a_stream_after_random_reads_is_one(void)
{
    uint64_t random = 5;
    struct ajf_prefetch p = fresh();
    for (unsigned i = 0; i < 1000; i++)
        note(&p, check_below(&random, SIZE / MIB) * MIB, 700 * KIB, SIZE, LIMIT);
    CHECK(run_to_the_limit(&p, 300 * MIB, 512 * KIB, 1) <= 40 * MIB);
}

/* Where it left out a lot it begins anew: what was read before counts for nothing. */
static void a_stream_behind_a_gap_is_one(void)
{
    struct ajf_prefetch p = fresh();
    for (unsigned i = 0; i < 40; i++)
        note(&p, 200 * MIB + i * 2 * MIB, 128 * KIB, SIZE, LIMIT);
    CHECK(run_to_the_limit(&p, 200 * MIB + 39 * 2 * MIB + 128 * KIB, 512 * KIB, 0) <= 36 * MIB);
}

static void a_backward_reader_is_not_read_ahead_of(void)
{
    struct ajf_prefetch p = fresh();
    uint64_t beyond = 0, asked = 0;
    for (unsigned i = 0; i < 200; i++) {
        uint64_t at = 500 * MIB - i * MIB; /* tac: blocks backwards, each of them forwards */
        for (uint64_t part = 0; part < MIB; part += 256 * KIB) {
            uint64_t to = note(&p, at + part, 256 * KIB, SIZE, LIMIT);
            beyond += to > 501 * MIB ? to - 501 * MIB : 0; /* all below was read before */
            asked += 256 * KIB;
        }
    }
    CHECK(beyond * 16 <= asked);
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
    for (uint64_t i = 0; i < 300; i++)
        for (uint64_t s = 0; s < AJF_STREAMS; s++) {
            uint64_t at = s * 50 * MIB + i * 128 * KIB;
            to[s] = note(&p, at, 128 * KIB, SIZE, LIMIT) - (at + 128 * KIB);
        }
    for (uint64_t s = 0; s < AJF_STREAMS; s++)
        CHECK_EQ(to[s], 2 * LIMIT / AJF_STREAMS);
}

static void more_streams_than_are_followed_cost_nothing_but_their_reads(void)
{
    struct ajf_prefetch p = fresh();
    for (uint64_t i = 0; i < 16; i++)
        for (uint64_t s = 0; s < 3 * AJF_STREAMS; s++) {
            uint64_t at = s * 20 * MIB + 8 * MIB + i * 128 * KIB;
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
    CHECK_EQ(ajf_prefetch_note(&p, READER, size - 1, 1, size, LIMIT).to, size);
    CHECK_EQ(ajf_prefetch_note(&p, READER, size - 100, MIB, size, LIMIT).to, size);
}

static void small_files_are_fetched_whole(void)
{
    struct ajf_prefetch p = fresh();
    CHECK_EQ(ajf_prefetch_note(&p, READER, 4096, 1, 128 * KIB, LIMIT).to, 128 * KIB);
    CHECK_EQ(ajf_prefetch_note(&p, READER, 0, 4096, 5000, LIMIT).to, 5000);
}

static void a_limit_of_zero_is_never_ahead(void)
{
    struct ajf_prefetch p = fresh();
    for (uint64_t at = 0; at < 32 * MIB; at += 128 * KIB)
        CHECK_EQ(ajf_prefetch_note(&p, READER, at, 128 * KIB, SIZE, 0).to, at + 128 * KIB);
    CHECK_EQ(ajf_prefetch_note(&p, READER, 0, 4096, 5000, 0).to, 4096);
}

/* A mapping at the end of the address space of files: sums must not wrap. */
static void offsets_near_the_top_do_not_wrap(void)
{
    struct ajf_prefetch p = fresh();
    uint64_t size = INT64_MAX, at = size - 4 * MIB;
    for (unsigned i = 0; i < 40; i++)
        CHECK(ajf_prefetch_note(&p, READER, at + i * 64 * KIB, 128 * KIB, size, LIMIT).to <= size);
}

static void what_a_reader_is_coming_to_is_expected(void)
{
    struct ajf_prefetch p = fresh();
    CHECK(!ajf_prefetch_expects(&p, 0, SIZE));
    for (uint64_t at = 0; at < 20 * MIB; at += MIB)
        note(&p, at, MIB, SIZE, LIMIT);
    CHECK(ajf_prefetch_expects(&p, 27 * MIB, 29 * MIB)); /* its window ends at 28 */
    CHECK(!ajf_prefetch_expects(&p, 28 * MIB, 30 * MIB));
    CHECK(ajf_prefetch_expects(&p, 18 * MIB, 20 * MIB)); /* some of it may have been overtaken */
    CHECK(!ajf_prefetch_expects(&p, 16 * MIB, 18 * MIB));
    note(&p, 500 * MIB, MIB, SIZE, LIMIT); /* he is elsewhere */
    CHECK(!ajf_prefetch_expects(&p, 20 * MIB, 28 * MIB));
}

int main(void)
{
    RUN(what_a_reader_is_coming_to_is_expected);
    RUN(a_stream_is_read_ahead_of_itself_up_to_the_limit);
    RUN(a_single_pread_is_no_stream_however_it_comes);
    RUN(preads_far_apart_stay_no_streams);
    RUN(the_start_of_a_file_is_trusted_when_it_is_read_first);
    RUN(the_start_of_a_file_costs_a_little_for_a_program_that_stops_there);
    RUN(a_stream_from_the_start_gets_all_its_window_within_a_few_mib);
    RUN(a_stream_from_the_middle_gets_it_when_it_is_longer_than_preads_are);
    RUN(many_small_reads_are_a_stream_soon);
    RUN(a_stream_after_random_reads_is_one);
    RUN(a_stream_behind_a_gap_is_one);
    RUN(a_backward_reader_is_not_read_ahead_of);
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
