/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.h - the threads that take the kernel's requests.
 *
 * A worker reads one request and serves it: it answers or parks it, and does not wait for data. If no other worker is
 * idle, and there are fewer than max_threads, it starts one before it serves. If max_idle_threads are idle when it is
 * done, it ends. So the pool grows with a burst and shrinks after it, and an idle pool costs nothing.
 *
 * Waking a thread takes longer than answering most requests: 20 us and more if an idle processor is a halted virtual
 * one. So while requests come fast, one of the idle workers polls for the next one, for up to options.busy_poll_us,
 * before it sleeps like the others. A request may wake one of the sleepers as well; the worker that is first takes it.
 *
 * With clone_fd or io_uring the loop is libfuse's: only libfuse can give each thread a channel of its own, and end the
 * threads of its rings. The same limits hold, but these threads are not counted here.
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
    uint64_t busy_poll_ns;       /* constant; 0 if there is one processor only, which the caller needs */
    uint64_t done_ns AJF_GUARDED_BY(lock); /* when a worker last had served a request */
    uint32_t brisk AJF_GUARDED_BY(lock); /* how many requests in turn came soon after that */
    atomic_bool looking;         /* a worker polls */
    bool ended AJF_GUARDED_BY(lock); /* no thread reads requests any more */
    struct ajf *m;
};

void ajf_pool_init(struct ajf_pool *p, struct ajf *m);
void ajf_pool_done(struct ajf_pool *p);
int ajf_pool_start(struct ajf_pool *p);
/*
 * Wakes and joins all workers; each finishes the request that it serves. -ETIMEDOUT: at `deadline_ns` some still were
 * serving one; they are left alone.
 */
int ajf_pool_stop(struct ajf_pool *p, uint64_t deadline_ns);
/* 0 when the last worker has ended, or -ETIMEDOUT. */
int ajf_pool_wait(struct ajf_pool *p, int timeout_ms);

#endif
