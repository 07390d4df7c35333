/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h - the assertions of the C tests. A program runs its cases with RUN, and ends with CHECK_END: 0 or 1.
 *
 * A failed CHECK says where and what, is counted, and the case goes on; NEED also ends the process, where going on
 * would only crash. Threads: any.
 */
#ifndef CHECK_H
#define CHECK_H

#include <inttypes.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static _Atomic unsigned check_failures __attribute__((unused));

#define CHECK_SAY(...)                                                                                                 \
    do {                                                                                                               \
        atomic_fetch_add(&check_failures, 1u);                                                                         \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                                                \
        fprintf(stderr, __VA_ARGS__);                                                                                  \
        fputc('\n', stderr);                                                                                           \
    } while (0)

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            CHECK_SAY("in %s: not true: %s", __func__, #condition);                                                    \
    } while (0)

/* Integers; signed ones show as two's complement in the message only. */
#define CHECK_EQ(got, want)                                                                                            \
    do {                                                                                                               \
        int64_t got_ = (int64_t)(got), want_ = (int64_t)(want);                                                        \
        if (got_ != want_)                                                                                             \
            CHECK_SAY("in %s: %s is %" PRId64 ", not %" PRId64 " (%s)", __func__, #got, got_, want_, #want);           \
    } while (0)

#define NEED(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            CHECK_SAY("in %s: cannot go on: %s", __func__, #condition);                                                \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#define RUN(test)                                                                                                      \
    do {                                                                                                               \
        unsigned before_ = atomic_load(&check_failures);                                                               \
        test();                                                                                                        \
        if (atomic_load(&check_failures) != before_)                                                                   \
            fprintf(stderr, "FAILED %s\n", #test);                                                                     \
    } while (0)

#define CHECK_END() return atomic_load(&check_failures) ? 1 : 0

/* splitmix64: the same numbers from the same seed everywhere. */
static inline uint64_t check_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* A number below `n` (> 0). */
static inline uint64_t check_below(uint64_t *state, uint64_t n)
{
    return check_random(state) % n;
}

#endif
