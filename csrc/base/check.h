/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h - what must hold, looked at in the C programs of the tests and nowhere else (AJF_CHECKS, Makefile).
 *
 * A check that fails ends the program: AJF_HELD, this thread holds a lock; AJF_MUST, a condition.
 */
#ifndef AJF_BASE_CHECK_H
#define AJF_BASE_CHECK_H

#ifdef AJF_CHECKS

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void ajf_check(int holds, const char *what, const char *file, int line)
{
    if (holds)
        return;
    fprintf(stderr, "%s:%d: must hold: %s\n", file, line, what);
    abort();
}

#define AJF_MUST(condition) ajf_check((condition), #condition, __FILE__, __LINE__)
/* The owner as the C library of Linux notes it. */
#define AJF_HELD(lock) ajf_check((lock)->__data.__owner == gettid(), "holds " #lock, __FILE__, __LINE__)

#elif defined(AJF_ANALYSIS)

#include <pthread.h>

void ajf_is_held(const pthread_mutex_t *mutex) __attribute__((assert_capability(*mutex))); /* it is never linked */
#define AJF_MUST(condition) ((void)0)
#define AJF_HELD(lock) ajf_is_held(lock)

#else

#define AJF_MUST(condition) ((void)0)
#define AJF_HELD(lock) ((void)0)

#endif

#endif
