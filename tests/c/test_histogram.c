/* SPDX-License-Identifier: Apache-2.0 */
/* How long things took (stats_histogram.h), and the sums over threads (stats_times.h). */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/stats_times.h"
#include "check.h"

#define VALUES 1000000
#define THREADS 24
#define NOTES 20000

static void ranges_join_without_a_gap(void)
{
    CHECK_EQ(ajf_histogram_from_us(0), 0);
    for (unsigned range = 0; range < AJF_HISTOGRAM_RANGES; range++) {
        uint64_t from = ajf_histogram_from_us(range);
        CHECK_EQ(ajf_histogram_range(from), range);
        if (range)
            CHECK_EQ(ajf_histogram_range(from - 1), range - 1);
    }
    CHECK_EQ(ajf_histogram_range(UINT64_MAX), AJF_HISTOGRAM_RANGES - 1);
    CHECK(ajf_histogram_from_us(AJF_HISTOGRAM_RANGES - 1) >= 100000000); /* 100 s */
}

/* From 1 us on, and a duration of less than a us is in the first one. */
static void a_range_is_at_most_a_quarter_of_what_it_holds(void)
{
    for (unsigned range = 1; range + 1 < AJF_HISTOGRAM_RANGES; range++) {
        uint64_t from = ajf_histogram_from_us(range), width = ajf_histogram_from_us(range + 1) - from;
        CHECK(width == 1 || 4 * width <= from);
    }
}

static void powers_of_two_begin_ranges(void)
{
    for (unsigned power = 0; power < 27; power++)
        CHECK_EQ(ajf_histogram_from_us(ajf_histogram_range(UINT64_C(1) << power)), UINT64_C(1) << power);
}

static struct ajf_times *times_new(void)
{
    struct ajf_times *t = calloc(1, sizeof *t);
    NEED(t);
    ajf_times_init(t);
    return t;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Values of all sizes, and the sum of them all. */
static void the_exact_percentile_lies_in_the_range_that_tells_it(void)
{
    static const unsigned per_mille[] = {1, 10, 250, 500, 750, 900, 990, 999, 1000};
    struct ajf_times *t = times_new();
    uint64_t *ns = malloc(VALUES * sizeof *ns), state = 17, sum = 0;
    struct ajf_times_sum told;
    NEED(ns);
    for (unsigned i = 0; i < VALUES; i++) {
        unsigned shift = 28 + (unsigned)(check_random(&state) % 36); /* up to 2^36 ns, 69 s */
        ns[i] = check_random(&state) >> shift;
        sum += ns[i];
        ajf_times_note(t, AJF_TIMED_op_read, ns[i]);
    }
    qsort(ns, VALUES, sizeof *ns, by_size);
    ajf_times_add_up(t, AJF_TIMED_op_read, &told);
    CHECK_EQ(told.n, VALUES);
    CHECK_EQ(told.sum_ns, sum);
    for (unsigned i = 0; i < sizeof per_mille / sizeof *per_mille; i++) {
        uint64_t rank = (uint64_t)VALUES * per_mille[i] / 1000, seen = 0;
        unsigned range = 0;
        while ((seen += told.range[range]) < rank)
            range++;
        uint64_t exact_us = ns[rank - 1] / 1000;
        CHECK(ajf_histogram_from_us(range) <= exact_us);
        CHECK(range + 1 == AJF_HISTOGRAM_RANGES || exact_us < ajf_histogram_from_us(range + 1));
    }
    free(ns);
    free(t);
}

static void *note(void *times)
{
    for (unsigned i = 0; i < NOTES; i++) {
        ajf_times_note(times, AJF_TIMED_op_lookup, 1000 * (uint64_t)i);
        ajf_times_note(times, AJF_TIMED_source_ahead, 1);
        if (i % 2)
            ajf_times_failed(times, AJF_TIMED_op_lookup, ENOENT);
        if (i % 4 == 0)
            ajf_times_failed(times, AJF_TIMED_op_lookup, 511); /* nobody's errno */
    }
    return NULL;
}

static void nothing_is_lost_among_threads(void)
{
    struct ajf_times *t = times_new();
    pthread_t threads[THREADS];
    struct ajf_times_sum told;
    for (unsigned i = 0; i < THREADS; i++)
        NEED(!pthread_create(&threads[i], NULL, note, t));
    for (unsigned i = 0; i < THREADS; i++)
        NEED(!pthread_join(threads[i], NULL));
    ajf_times_add_up(t, AJF_TIMED_op_lookup, &told);
    CHECK_EQ(told.n, THREADS * NOTES);
    CHECK_EQ(told.sum_ns, (uint64_t)THREADS * NOTES * (NOTES - 1) / 2 * 1000);
    CHECK_EQ(told.range[2], THREADS);
    CHECK_EQ(told.failed[AJF_ERRNO_ENOENT], THREADS * NOTES / 2);
    CHECK_EQ(told.failed[AJF_ERRNO_OTHER], THREADS * NOTES / 4);
    ajf_times_add_up(t, AJF_TIMED_source_ahead, &told);
    CHECK_EQ(told.range[0], THREADS * NOTES);
    ajf_times_add_up(t, AJF_TIMED_op_read, &told);
    CHECK_EQ(told.n, 0);
    free(t);
}

/* On each processor that it may run on. */
static void a_thread_notes_where_it_runs(void)
{
    cpu_set_t before, one;
    NEED(!sched_getaffinity(0, sizeof before, &before));
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &before))
            continue;
        struct ajf_times *t = times_new();
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        NEED(!sched_setaffinity(0, sizeof one, &one));
        ajf_times_note(t, AJF_TIMED_op_read, 1500);
        CHECK_EQ(atomic_load(&t->stripe[cpu % AJF_STRIPES].took[AJF_TIMED_op_read].line[0].n[1]), 1);
        free(t);
    }
    NEED(!sched_setaffinity(0, sizeof before, &before));
}

int main(void)
{
    RUN(ranges_join_without_a_gap);
    RUN(a_range_is_at_most_a_quarter_of_what_it_holds);
    RUN(powers_of_two_begin_ranges);
    RUN(the_exact_percentile_lies_in_the_range_that_tells_it);
    RUN(nothing_is_lost_among_threads);
    RUN(a_thread_notes_where_it_runs);
    CHECK_END();
}
