/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync.h - monotonic time and condition variables that wait on it.
 *
 * Locks are plain pthread mutexes, named at the fields they guard; their order stands in README.md.
 */
#ifndef AJF_BASE_SYNC_H
#define AJF_BASE_SYNC_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/*
 * For clang's analysis of locks (make c-locks, which defines AJF_ANALYSIS): the lock of a field, and a function that
 * gives a lock back. AJF_HELD (check.h) marks functions that are called with a lock. AJF_NOT_ANALYSED marks functions
 * that make or end a thing, when no other thread knows it, and those that give a lock back for a while.
 */
#ifdef AJF_ANALYSIS
#define AJF_GUARDED_BY(lock) __attribute__((guarded_by(lock)))
#define AJF_RELEASES(lock) __attribute__((release_capability(lock)))
#define AJF_NOT_ANALYSED __attribute__((no_thread_safety_analysis))
int pthread_mutex_lock(pthread_mutex_t *mutex) __attribute__((acquire_capability(*mutex)));
int pthread_mutex_unlock(pthread_mutex_t *mutex) __attribute__((release_capability(*mutex)));
#else
#define AJF_GUARDED_BY(lock)
#define AJF_RELEASES(lock)
#define AJF_NOT_ANALYSED
#endif

#define AJF_NS_PER_S UINT64_C(1000000000)
#define AJF_NS_PER_MS UINT64_C(1000000)
#define AJF_NS_PER_US UINT64_C(1000)
#define AJF_FOREVER UINT64_MAX

static inline uint64_t ajf_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * AJF_NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* At most AJF_COARSE_NS behind ajf_now_ns, for a fifth of its cost. */
#define AJF_COARSE_NS (UINT64_C(10) * AJF_NS_PER_MS)

static inline uint64_t ajf_now_coarse_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (uint64_t)ts.tv_sec * AJF_NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* The moment timeout_ms from now; negative = for ever. */
static inline uint64_t ajf_deadline_ns(int timeout_ms)
{
    return timeout_ms < 0 ? AJF_FOREVER : ajf_now_ns() + (uint64_t)timeout_ms * AJF_NS_PER_MS;
}

static inline void ajf_cond_init(pthread_cond_t *c)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
}

/* Waits until signalled or the moment `deadline_ns`; false when that moment has come. Spurious wake-ups happen. */
static inline bool ajf_cond_wait_until(pthread_cond_t *c, pthread_mutex_t *lock, uint64_t deadline_ns)
{
    if (deadline_ns == AJF_FOREVER) {
        pthread_cond_wait(c, lock);
        return true;
    }
    struct timespec ts = {.tv_sec = (time_t)(deadline_ns / AJF_NS_PER_S),
                          .tv_nsec = (long)(deadline_ns % AJF_NS_PER_S)};
    return pthread_cond_timedwait(c, lock, &ts) != ETIMEDOUT;
}

#endif
