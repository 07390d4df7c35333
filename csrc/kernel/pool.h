/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.h - the threads that take the kernel's requests.
 *
 * A worker reads one request and serves it: it answers, or parks it, but does not wait for data. When it takes the
 * last idle worker's place, and there are fewer than max_threads, it starts another first; when it is done and
 * max_idle_threads are idle already, it ends. So the pool grows with a burst and shrinks behind it, and an idle pool
 * costs nothing.
 *
 * To wake a thread takes longer than to answer most requests: 20 us and more where an idle processor is a halted
 * virtual one. So while requests come close behind each other, one of the workers with nothing to do looks for the next
 * one, again and again for up to options.busy_poll_us, before it sleeps like the others. A request may still wake one
 * of these: the first to come takes it.
 *
 * With clone_fd or io_uring the loop is libfuse's own: it alone can give each thread a channel of its own, and ends
 * the threads of its rings. The same limits hold, but its threads are not counted here.
 *
 * Threads: ajf_pool_start and ajf_pool_stop belong to the life-cycle thread. Lock: pool->lock, a leaf.
 */
#ifndef AJF_KERNEL_POOL_H
#define AJF_KERNEL_POOL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/sync.h"

struct ajf;

struct ajf_pool {
    pthread_mutex_t lock;
    pthread_cond_t ended_cond;
    struct ajf_list alive AJF_GUARDED_BY(lock), dead AJF_GUARDED_BY(lock); /* struct worker */
    uint32_t n_alive AJF_GUARDED_BY(lock), n_idle AJF_GUARDED_BY(lock), n_started AJF_GUARDED_BY(lock);
    bool stopping AJF_GUARDED_BY(lock);
    uint64_t busy_poll_ns;       /* constant; 0 where there is one processor, which the caller needs */
    uint64_t done_ns AJF_GUARDED_BY(lock); /* when the last request had been served */
    uint32_t brisk AJF_GUARDED_BY(lock); /* how many in turn came soon after that */
    atomic_bool looking;         /* a worker is */
    bool ended AJF_GUARDED_BY(lock); /* no thread reads requests any more */
    struct ajf *m;
};

void ajf_pool_init(struct ajf_pool *p, struct ajf *m);
void ajf_pool_done(struct ajf_pool *p);
int ajf_pool_start(struct ajf_pool *p);
/*
 * Wakes and joins all workers; each finishes the request it is serving. -ETIMEDOUT: some still did at `deadline_ns`,
 * and go on doing so.
 */
int ajf_pool_stop(struct ajf_pool *p, uint64_t deadline_ns);
/* 0 when the last worker has ended, or -ETIMEDOUT. */
int ajf_pool_wait(struct ajf_pool *p, int timeout_ms);

#endif
