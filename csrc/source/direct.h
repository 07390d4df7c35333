/* SPDX-License-Identifier: Apache-2.0 */
/*
 * direct.h - a directory of this machine, asked by the thread that has the question.
 *
 * Its answers cost a few system calls. To hand the question to a fetcher, and to wake that, takes ten times as long. So
 * if the source is a directory (ajf_serve_directory), the thread that asks does the fetch itself: it looks, and gives
 * the answer that a fetcher would give (fetch.h).
 *
 * That is for plain answers. An error, a file that is another one than was asked for, a directory with more than some
 * thousand names: such a fetch goes into the queue as if nobody had tried, for the fetchers know what is to be said. So
 * does each fetch while `most` threads are inside, because a file system may hang. A request is parked before its fetch
 * is asked for; so its deadline answers it also when the thread that asked hangs.
 *
 * Threads: any, without a lock; ajf_direct_serve once, before or while the others ask. Errors: none, see above.
 */
#ifndef AJF_SOURCE_DIRECT_H
#define AJF_SOURCE_DIRECT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "source/fetch.h"

struct ajf;

struct ajf_direct {
    struct ajf_directory directory; /* constant once `on`; with a descriptor of its own */
    uint32_t most;                  /* constant */
    atomic_bool on;
    atomic_uint inside; /* threads that ask the file system */
};

/* Of `max_threads` that take requests, half may be inside. */
void ajf_direct_init(struct ajf_direct *d, uint32_t max_threads);
void ajf_direct_done(struct ajf_direct *d);
/* From now on fetches are answered from `directory`, whose descriptor stays the caller's. 0 or -errno. */
int ajf_direct_serve(struct ajf_direct *d, const struct ajf_directory *directory);
/* Whether a fetch of this kind may be answered at once. */
bool ajf_direct_may(const struct ajf_direct *d, enum ajf_fetch_kind kind);
/* Takes a fetch that is in no queue: this thread answers it, or a fetcher does. */
void ajf_direct_ask(struct ajf *m, struct ajf_fetch *f);

#endif
