/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.h - what is done with files, told to one program that records it.
 *
 * A recording is of one kind: which files are opened, each by the path that it has at that moment, from the root; or
 * what was done with each while it was open (use.h). It is told as *items*, strings of bytes (AJF_IOC_TRACED), in a
 * ring. The program takes whole ones. Nothing waits for it: an item that finds no room is lost, and
 * counted. Without a recording the ring has no memory, and a note is the load of a flag.
 *
 * A recording belongs to the process that began it, which is known by its pidfd. It ends when that process says so. If
 * the process has died, the recording ends with the first item that finds no room, or when another process begins one.
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

/* The number of a recording modulo AJF_TRACE_KINDS. */
enum ajf_trace_kind { AJF_TRACE_OPENS = 1, AJF_TRACE_USES, AJF_TRACE_KINDS };

struct ajf_trace {
    pthread_mutex_t lock;
    _Atomic uint32_t recording; /* set under the lock. 0: there is none */
    uint32_t last AJF_GUARDED_BY(lock); /* the one before */
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
int ajf_trace_begin(struct ajf_trace *t, enum ajf_trace_kind kind, pid_t pid);
/* Moves as many of the oldest items to `ret_taken` as fit. 0, or -ENODATA: there is no recording. */
int ajf_trace_take(struct ajf_trace *t, struct ajf_traced *ret_taken);
/* Ends the recording, if there is one. */
void ajf_trace_end(struct ajf_trace *t);

/* The recording, if it is of that kind, or 0. */
static inline uint32_t ajf_trace_of(const struct ajf_trace *t, enum ajf_trace_kind kind)
{
    uint32_t recording = atomic_load_explicit(&t->recording, memory_order_relaxed);
    return __builtin_expect(recording % AJF_TRACE_KINDS == kind, false) ? recording : 0;
}
/*
 * Adds an item, of one part or two. 0, -EAGAIN (it finds no room now), -EMSGSIZE (it never does), or
 * -ENODATA: that recording has ended.
 */
int ajf_trace_add(struct ajf_trace *t, uint32_t recording, const void *first, size_t n, const void *second, size_t m);
/* Counts an item that the recording lacks. A recording whose process has died ends. */
void ajf_trace_lose(struct ajf_trace *t, uint32_t recording);
/* Adds the path of a live record, or loses it. */
void ajf_trace_put(struct ajf_trace *t, uint32_t recording, uint64_t nodeid);

/* A file is opened: tells its path, if that is recorded. */
static inline void ajf_trace_note(struct ajf_trace *t, uint64_t nodeid)
{
    uint32_t recording = ajf_trace_of(t, AJF_TRACE_OPENS);
    if (recording)
        ajf_trace_put(t, recording, nodeid);
}

#endif
