/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats.h - counters of one mount (AJF_STAT of stats.def). Relaxed atomics: each is exact, a set of them is not a
 * snapshot.
 */
#ifndef AJF_BASE_STATS_H
#define AJF_BASE_STATS_H

#include <stdatomic.h>
#include <stdint.h>

enum ajf_stat {
#define AJF_STAT(name, help) AJF_STAT_##name,
#include "base/stats.def"
    AJF_STAT_COUNT
};

struct ajf_stats {
    _Atomic uint64_t value[AJF_STAT_COUNT];
};

#define AJF_COUNT_ADD(stats, name, n)                                                                                  \
    atomic_fetch_add_explicit(&(stats)->value[AJF_STAT_##name], (uint64_t)(n), memory_order_relaxed)
#define AJF_COUNT_SUB(stats, name, n)                                                                                  \
    atomic_fetch_sub_explicit(&(stats)->value[AJF_STAT_##name], (uint64_t)(n), memory_order_relaxed)
#define AJF_COUNT(stats, name) AJF_COUNT_ADD(stats, name, 1)

#endif
