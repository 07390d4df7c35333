/* SPDX-License-Identifier: Apache-2.0 */
#include "base/stats_times.h"

#include <errno.h>
#include <sched.h>
#include <string.h>


_Static_assert(sizeof(struct ajf_histogram_line) == AJF_CACHE_LINE, "a duration is noted in one line");
_Static_assert(sizeof(struct ajf_histogram) % AJF_CACHE_LINE == 0, "and so in the next histogram");

void ajf_times_init(struct ajf_times *t)
{
    t->stripe = (void *)(((uintptr_t)t->room + AJF_CACHE_LINE - 1) / AJF_CACHE_LINE * AJF_CACHE_LINE);
}

/* A thread may be elsewhere when it writes: then it only takes longer. */
static struct ajf_times_stripe *stripe_of(const struct ajf_times *t)
{
    return &t->stripe[(unsigned)sched_getcpu() % AJF_STRIPES];
}

void ajf_times_note(struct ajf_times *t, enum ajf_timed what, uint64_t took_ns)
{
    ajf_histogram_note(&stripe_of(t)->took[what], took_ns);
}

enum ajf_errno ajf_times_errno(int err)
{
    switch (err) {
#define AJF_ERRNO(name)                                                                                                \
    case name:                                                                                                         \
        return AJF_ERRNO_##name;
#include "base/stats.def"
    default:
        return AJF_ERRNO_OTHER;
    }
}

void ajf_times_failed(struct ajf_times *t, enum ajf_timed what, int err)
{
    _Atomic uint64_t *failed = stripe_of(t)->failed[what];
    atomic_fetch_add_explicit(&failed[ajf_times_errno(err)], 1, memory_order_relaxed);
}

void ajf_times_add_up(const struct ajf_times *t, enum ajf_timed what, struct ajf_times_sum *ret_sum)
{
    memset(ret_sum, 0, sizeof *ret_sum);
    for (unsigned s = 0; s < AJF_STRIPES; s++) {
        const struct ajf_histogram *h = &t->stripe[s].took[what];
        for (unsigned range = 0; range < AJF_HISTOGRAM_RANGES; range++) {
            const struct ajf_histogram_line *line = &h->line[range / AJF_HISTOGRAM_TOGETHER];
            unsigned at = range % AJF_HISTOGRAM_TOGETHER;
            ret_sum->range[range] += atomic_load_explicit(&line->n[at], memory_order_relaxed);
            if (at == 0)
                ret_sum->sum_ns += atomic_load_explicit(&line->sum_ns, memory_order_relaxed);
        }
        for (unsigned err = 0; err < AJF_ERRNO_COUNT; err++)
            ret_sum->failed[err] += atomic_load_explicit(&t->stripe[s].failed[what][err], memory_order_relaxed);
    }
    for (unsigned range = 0; range < AJF_HISTOGRAM_RANGES; range++)
        ret_sum->n += ret_sum->range[range];
}
