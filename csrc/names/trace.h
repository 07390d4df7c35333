/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.h - which files are opened, in their order, told to one program that records it.
 *
 * A file is noted by the path that it has at that moment, in a ring of bytes: each path from the root, and its NUL. The
 * program takes whole paths (AJF_IOC_TRACED). Nothing waits for it: a path that finds no room is lost, and counted.
 * Without a recording the ring has no memory, and a note is the load of a flag.
 *
 * A recording belongs to the process that began it, which is known by its pidfd. It ends when that process says so. If
 * the process has died, the recording ends with the first path that finds no room, or when another process begins one.
 *
 * Threads: any. Lock: trace->lock, a leaf; a path is built before it is taken.
 */
#ifndef AJF_NAMES_TRACE_H
#define AJF_NAMES_TRACE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/stats.h"
#include "base/sync.h"
#include "base/types.h"
#include "names/inode.h"

#define AJF_TRACE_BYTES (1u << 20) /* 17,000 paths of 60 bytes: a program that takes them every 50 ms loses none */

struct ajf_trace {
    pthread_mutex_t lock;
    _Atomic bool on; /* there is a ring */
    char *ring AJF_GUARDED_BY(lock); /* AJF_TRACE_BYTES, or NULL */
    size_t head AJF_GUARDED_BY(lock), used AJF_GUARDED_BY(lock);
    uint64_t lost AJF_GUARDED_BY(lock); /* of this recording */
    int process AJF_GUARDED_BY(lock); /* the pidfd, of a recording */
    struct ajf_inodes *inodes;
    struct ajf_stats *stats;
};

void ajf_trace_init(struct ajf_trace *t, struct ajf_inodes *inodes, struct ajf_stats *stats);
void ajf_trace_done(struct ajf_trace *t);

/*
 * Begins a recording of the process `pid`. 0, -EBUSY (another process has one), -ENOMEM, or what pidfd_open(2) says:
 * -EINVAL (a thread that is not the first of its process), -ESRCH, -EMFILE, -ENOSYS (before Linux 5.3).
 */
int ajf_trace_begin(struct ajf_trace *t, pid_t pid);
/* Moves as many of the oldest paths to `ret_taken` as fit. 0, or -ENODATA: there is no recording. */
int ajf_trace_take(struct ajf_trace *t, struct ajf_traced *ret_taken);
/* Ends the recording, if there is one. */
void ajf_trace_end(struct ajf_trace *t);

/* Notes the file of a live record. */
void ajf_trace_put(struct ajf_trace *t, uint64_t nodeid);
/* The same, if there is a recording. */
static inline void ajf_trace_note(struct ajf_trace *t, uint64_t nodeid)
{
    if (__builtin_expect(atomic_load_explicit(&t->on, memory_order_relaxed), false))
        ajf_trace_put(t, nodeid);
}

#endif
