/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats_times.h - how long each kind of thing took that a mount does, and how often it failed with which errno: the
 * rows AJF_TIMED and AJF_ERRNO of stats.def.
 *
 * Many threads note at once. Each does so in one of some stripes, which the processor that it runs on chooses: so what
 * it writes to is in that processor's cache, whichever thread was there before. A reader adds the stripes up. Two
 * processors may share a stripe: it is right all the same.
 *
 * Threads: any, between init and the end of its memory. A reader sees each number exactly, but not all at one moment;
 * none ever falls. Errors: none.
 */
#ifndef AJF_BASE_STATS_TIMES_H
#define AJF_BASE_STATS_TIMES_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/stats_histogram.h"

enum ajf_timed {
#define AJF_TIMED(name, help) AJF_TIMED_##name,
#include "base/stats.def"
    AJF_TIMED_COUNT
};

enum ajf_errno {
#define AJF_ERRNO(name) AJF_ERRNO_##name,
#include "base/stats.def"
    AJF_ERRNO_OTHER,
    AJF_ERRNO_COUNT
};

#define AJF_STRIPES 8
#define AJF_CACHE_LINE 64 /* bytes; larger ones are slower, not wrong */

struct ajf_times_stripe {
    _Alignas(AJF_CACHE_LINE) struct ajf_histogram took[AJF_TIMED_COUNT];
    _Atomic uint64_t failed[AJF_TIMED_COUNT][AJF_ERRNO_COUNT];
};

/* Pages of what never happens, and of processors that there are not, are never touched. */
struct ajf_times {
    struct ajf_times_stripe *stripe; /* AJF_STRIPES of them in `room`, from the first cache line on */
    char room[AJF_STRIPES * sizeof(struct ajf_times_stripe) + AJF_CACHE_LINE];
};

/* All stripes of one kind. `n`: how many were noted. */
struct ajf_times_sum {
    uint64_t n, sum_ns;
    uint64_t range[AJF_HISTOGRAM_RANGES];
    uint64_t failed[AJF_ERRNO_COUNT];
};

/* `t` is all zeros. */
void ajf_times_init(struct ajf_times *t);
void ajf_times_note(struct ajf_times *t, enum ajf_timed what, uint64_t took_ns);
/* `err`: positive errno. */
void ajf_times_failed(struct ajf_times *t, enum ajf_timed what, int err);
void ajf_times_add_up(const struct ajf_times *t, enum ajf_timed what, struct ajf_times_sum *ret_sum);
enum ajf_errno ajf_times_errno(int err);

#endif
