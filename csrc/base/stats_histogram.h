/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats_histogram.h - how long things took: a count for each range of durations, four ranges for each power of two.
 *
 * Range n begins with ajf_histogram_from_us(n) and ends before the next one begins; the first ones are 1 us wide, the
 * others at most a quarter of what they hold. The last one has no end. So any quantile is known to within 25 %, from
 * 1 us to 100 s, and histograms are added up range by range.
 *
 * To note a duration touches one cache line, which holds some neighbouring ranges and the sum of what is in them: in a
 * busy machine a line that is not in the cache costs more than all the rest.
 *
 * Threads: any may note; a reader sees each count exactly, but not all at one moment. Errors: none.
 */
#ifndef AJF_BASE_STATS_HISTOGRAM_H
#define AJF_BASE_STATS_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define AJF_HISTOGRAM_RANGES 103 /* the last one begins with 100.7 s */

#define AJF_HISTOGRAM_TOGETHER 7 /* ranges of a cache line */

struct ajf_histogram_line {
    _Atomic uint64_t sum_ns;
    _Atomic uint64_t n[AJF_HISTOGRAM_TOGETHER];
};

struct ajf_histogram {
    struct ajf_histogram_line line[(AJF_HISTOGRAM_RANGES + AJF_HISTOGRAM_TOGETHER - 1) / AJF_HISTOGRAM_TOGETHER];
};

static inline unsigned ajf_histogram_range(uint64_t us)
{
    if (us < 4)
        return (unsigned)us;
    unsigned power = 63 - (unsigned)__builtin_clzll(us);
    unsigned range = 4 * (power - 1) + (unsigned)(us >> (power - 2) & 3);
    return range < AJF_HISTOGRAM_RANGES ? range : AJF_HISTOGRAM_RANGES - 1;
}

static inline uint64_t ajf_histogram_from_us(unsigned range)
{
    return range < 4 ? range : (uint64_t)(4 + range % 4) << (range / 4 - 1);
}

static inline void ajf_histogram_note(struct ajf_histogram *h, uint64_t took_ns)
{
    unsigned range = ajf_histogram_range(took_ns / 1000);
    struct ajf_histogram_line *line = &h->line[range / AJF_HISTOGRAM_TOGETHER];
    atomic_fetch_add_explicit(&line->n[range % AJF_HISTOGRAM_TOGETHER], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&line->sum_ns, took_ns, memory_order_relaxed);
}

#endif
