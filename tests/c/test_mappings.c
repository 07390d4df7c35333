/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that copy out of a mapping, or read in several places in turn (prefetch.h): how often they wait, and how
 * many bytes too much are fetched for them. The reads are those that the kernel makes of page faults.
 */
#include <stdlib.h>

#include "check.h"
#include "files/prefetch.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GRANULE (4 * KIB)
#define PIECE (512 * KIB)
#define SIZE (512 * MIB)
#define LIMIT (16 * MIB)

/*
 * A file whose bytes come at once when they are fetched. The kernel keeps what it has read, and nothing is kept for it
 * then: to fetch that again is of no use.
 */
struct world {
    struct ajf_prefetch prefetch;
    uint32_t reader;
    bool here[SIZE / GRANULE], kernel[SIZE / GRANULE]; /* who has the granule */
    uint64_t asked, fetched;       /* bytes */
    unsigned waits;                /* reads of the program for which something was missing */
};

static struct world *fresh(void)
{
    struct world *w = calloc(1, sizeof *w);
    NEED(w);
    w->reader = 1;
    return w;
}

static void fetch(struct world *w, struct ajf_span span)
{
    CHECK(span.to <= SIZE);
    for (uint64_t g = span.from / GRANULE; g * GRANULE < span.to; g++) {
        w->fetched += w->here[g] ? 0 : GRANULE;
        w->here[g] = true;
    }
}

/* One request. Whether it waited. */
static bool request(struct world *w, uint64_t offset, uint64_t end)
{
    bool waited = false;
    for (uint64_t g = offset / GRANULE; g * GRANULE < end; g++)
        waited = waited || !w->here[g];
    struct ajf_span span = ajf_prefetch_note(&w->prefetch, w->reader, offset, end - offset, SIZE, LIMIT);
    CHECK(span.from <= offset && span.to >= end);
    fetch(w, span);
    while (ajf_prefetch_also(&w->prefetch, SIZE, &span))
        fetch(w, span);
    for (uint64_t g = offset / GRANULE; g * GRANULE < end; g++)
        w->here[g] = false, w->kernel[g] = true;
    w->asked += end - offset;
    return waited;
}

/* The kernel reads what it lacks of [offset, end), in pieces, all at once. */
static void ask(struct world *w, uint64_t offset, uint64_t end)
{
    bool waited = false;
    end = end < SIZE ? end : SIZE;
    while (offset < end) {
        while (offset < end && w->kernel[offset / GRANULE])
            offset += GRANULE;
        uint64_t to = offset;
        while (to < end && to - offset < PIECE && !w->kernel[to / GRANULE])
            to += GRANULE;
        if (to > offset)
            waited = request(w, offset, to) || waited;
        offset = to;
    }
    w->waits += waited;
}

/* A page fault: a MiB around it. */
static void touch(struct world *w, uint64_t at)
{
    if (!w->kernel[at / GRANULE])
        ask(w, (at > PIECE ? at - PIECE : 0) / GRANULE * GRANULE, (at + PIECE) / GRANULE * GRANULE);
}

/* memcpy of [from, to). */
static void copy_up(struct world *w, uint64_t from, uint64_t to)
{
    touch(w, to - 1);
    for (uint64_t at = from; at < to; at += GRANULE)
        if (!w->kernel[at / GRANULE]) {
            touch(w, at);
            ask(w, at + PIECE, at + PIECE + MIB); /* the kernel's own read-ahead */
        }
}

/* The same, when the addresses are such that it goes down. */
static void copy_down(struct world *w, uint64_t from, uint64_t to)
{
    touch(w, from);
    for (uint64_t at = to; at > from; at -= GRANULE)
        touch(w, at - GRANULE);
}

static void a_copy_in_the_order_of_the_file_is_one_stream(void)
{
    struct world *w = fresh();
    touch(w, 0); /* the table of contents */
    for (uint64_t at = 0; at < SIZE; at += 16 * MIB) {
        unsigned waits = w->waits;
        copy_up(w, at, at + 16 * MIB);
        CHECK(w->waits - waits <= (at ? 1 : 2)); /* for its last bytes: they are beyond the window */
    }
    CHECK(w->fetched <= SIZE / 100 * 102); /* the window leaves them out */
    free(w);
}

static void a_copy_that_goes_down_is_a_stream(void)
{
    struct world *w = fresh();
    for (uint64_t at = 0; at < SIZE; at += 32 * MIB) {
        unsigned waits = w->waits;
        copy_down(w, at, at + 32 * MIB);
        CHECK(w->waits - waits <= (at ? 4 : 10));
    }
    CHECK(w->fetched <= SIZE / 100 * 102);
    free(w);
}

/* Of what a page fault reads, the lower half comes first: another thread of the daemon takes it. */
static void a_window_that_lies_below_is_not_above_when_a_piece_overtakes_another(void)
{
    const uint64_t top = 100 * MIB;
    struct world *w = fresh();
    copy_down(w, 32 * MIB, 48 * MIB); /* from now on a stream that goes down is trusted at once */
    request(w, top - PIECE, top);
    request(w, top - 2 * PIECE, top - PIECE);
    CHECK(w->here[(top - 3 * PIECE) / GRANULE]);
    request(w, top - 4 * PIECE, top - 3 * PIECE);
    CHECK(!w->here[(top + MIB) / GRANULE]);
    free(w);
}

static void copies_in_no_order_are_streams_and_end_where_they_end(void)
{
    uint64_t random = 3;
    struct world *w = fresh();
    for (unsigned i = 0; i < 16; i++) {
        uint64_t at = i * 5 % 16 * 32 * MIB;
        if (check_below(&random, 2))
            copy_up(w, at, at + 32 * MIB);
        else
            copy_down(w, at, at + 32 * MIB);
    }
    CHECK(w->waits <= 100); /* nine times as many, if each copy were a stranger */
    CHECK(w->fetched <= SIZE / 100 * 105);
    free(w);
}

static void places_that_a_thread_reads_in_turn_are_streams_when_it_comes_back(void)
{
    static const struct {
        unsigned places;
        uint64_t step;
        unsigned waits; /* at most; for 4 MiB, for the last bytes of each copy */
    } cases[] = {{2, MIB, 10}, {4, MIB, 14}, {8, MIB, 24}, {8, 256 * KIB, 14}, {8, 4 * MIB, 180}};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world *w = fresh();
        uint64_t stride = SIZE / cases[i].places;
        for (uint64_t at = 0; at < stride; at += cases[i].step)
            for (uint64_t place = 0; place < SIZE; place += stride)
                copy_up(w, place + at, place + at + cases[i].step);
        CHECK(w->waits <= cases[i].waits);
        CHECK(w->fetched <= SIZE / 100 * 102);
        free(w);
    }
}

/* The kernel names no thread of another container's. */
static void nobody_comes_back_if_it_is_not_known_who_reads(void)
{
    struct world *w = fresh();
    w->reader = 0;
    for (uint64_t at = 0; at < 8 * MIB; at += MIB)
        for (uint64_t place = 32 * MIB; place < SIZE; place += 96 * MIB)
            ask(w, place + at, place + at + MIB);
    CHECK(w->fetched * 16 <= w->asked * 17);
    free(w);
}

/* Each in a pread of its own: they take turns as one thread does in several places, and no thread comes back. */
static void preads_of_several_threads_at_once_are_no_streams(void)
{
    for (uint64_t length = 64 * KIB; length <= 16 * MIB; length *= 2) {
        struct world *w = fresh();
        for (uint64_t at = 0; at < length; at += PIECE)
            for (uint32_t thread = 0; thread < 6; thread++) {
                uint64_t from = (1 + thread) * 64 * MIB + at, left = length - at;
                w->reader = 1 + thread;
                ask(w, from, from + (left < PIECE ? left : PIECE));
            }
        CHECK(w->fetched * 16 <= w->asked * 17);
        free(w);
    }
}

/* Anywhere, of any length from 4 KiB to 16 MiB, all powers alike. */
static void preads_of_random_lengths_cost_a_fifth_at_most(void)
{
    uint64_t random = 13, asked = 0, fetched = 0;
    for (unsigned run = 0; run < 20; run++) {
        struct world *w = fresh();
        for (unsigned i = 0; i < 200; i++) {
            uint64_t length = (4 * KIB << check_below(&random, 12)) * (16 + check_below(&random, 17)) / 16;
            uint64_t from = check_below(&random, (SIZE - 34 * MIB) / GRANULE) * GRANULE + MIB;
            for (uint64_t at = from; at < from + length; at += PIECE) {
                uint64_t end = at + PIECE < from + length ? at + PIECE : from + length;
                request(w, at, (end + GRANULE - 1) / GRANULE * GRANULE);
            }
            for (uint64_t g = 0; g < SIZE / GRANULE; g++)
                w->here[g] = w->kernel[g] = false; /* it is long gone when somebody comes there again */
        }
        asked += w->asked;
        fetched += w->fetched;
        free(w);
    }
    CHECK(fetched * 10 <= asked * 12);
}

int main(void)
{
    RUN(a_copy_in_the_order_of_the_file_is_one_stream);
    RUN(a_copy_that_goes_down_is_a_stream);
    RUN(a_window_that_lies_below_is_not_above_when_a_piece_overtakes_another);
    RUN(copies_in_no_order_are_streams_and_end_where_they_end);
    RUN(places_that_a_thread_reads_in_turn_are_streams_when_it_comes_back);
    RUN(nobody_comes_back_if_it_is_not_known_who_reads);
    RUN(preads_of_several_threads_at_once_are_no_streams);
    RUN(preads_of_random_lengths_cost_a_fifth_at_most);
    CHECK_END();
}
