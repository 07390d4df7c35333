/* SPDX-License-Identifier: Apache-2.0 */
/*
 * use.h - how a file was read while it was open, told to a program that records it (trace.h).
 *
 * A *use* begins when a file is opened of which nothing is open, and ends when the last handle is released. A file that
 * was open before the recording began is in use from its next READ on. A READ that the kernel answers by itself, from
 * its memory or in passthrough, is not seen.
 *
 * A use is told (struct ajf_use_told) when it ends, or when the program asks for those that have not ended yet.
 *
 * Without a recording of uses no file has one, and what is called here returns at once.
 *
 * Threads: any. Lock: cache->lock guards each use, and which there are; uses->lock, a leaf, who called last.
 */
#ifndef AJF_FILES_USE_H
#define AJF_FILES_USE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/sync.h"
#include "kernel/caller.h"
#include "kernel/request.h"

#define AJF_USES_MOST 65536 /* at once; those of more files are lost, and counted */
#define AJF_USE_FRONTS 4
#define AJF_USE_CALLERS 32

struct ajf;
struct ajf_use;

/* The use of one file. Guarded by cache->lock. */
struct ajf_usage {
    struct ajf_list link; /* uses->list, if it has a use */
    struct ajf_use *use;  /* NULL: it is not open, or not recorded */
    uint64_t nodeid;      /* constant; referenced by the file */
    uint64_t fetched;     /* bytes since the last use ended, or since this one began */
    uint32_t lost;        /* the recording that lacks its use */
};

/* Those of a mount. */
struct ajf_uses {
    struct ajf_list list; /* cache->lock; struct ajf_usage, those that have a use */
    uint32_t n;           /* cache->lock */
    pthread_mutex_t lock;
    struct ajf_caller callers[AJF_USE_CALLERS] AJF_GUARDED_BY(lock); /* a ring: who called last, */
    uint64_t found_ns[AJF_USE_CALLERS] AJF_GUARDED_BY(lock);         /* when that was looked up */
    unsigned next AJF_GUARDED_BY(lock);
};

void ajf_uses_init(struct ajf_uses *u);
void ajf_uses_done(struct ajf_uses *u);
void ajf_usage_init(struct ajf_usage *u, uint64_t nodeid);

/* The caller of a request; with its process, if uses are recorded. Not to be called under a lock. */
struct ajf_caller ajf_use_caller(struct ajf *m, const struct ajf_request *req);

/* Whether the next request begins a use: its caller is to be looked up first. */
bool ajf_use_is_due_locked(struct ajf *m, const struct ajf_usage *u);
/* The file is opened, the first of its opens or one more: its use begins, or goes on. */
void ajf_use_open_locked(struct ajf *m, struct ajf_usage *u, const struct ajf_caller *caller, bool first);
/* A READ of it: answered at once (`hit`), or parked. */
void ajf_use_read_locked(struct ajf *m, struct ajf_usage *u, const struct ajf_caller *caller, uint64_t offset,
                         size_t length, bool hit);
/* How long a parked OPEN or READ has waited so far, since the use began. */
uint64_t ajf_use_wait_locked(const struct ajf_usage *u, const struct ajf_request *req);
/* It is answered. */
void ajf_use_waited_locked(struct ajf_usage *u, const struct ajf_request *req, bool failed);
/* Another file takes the place of one that is open. */
void ajf_use_move_locked(struct ajf_usage *from, struct ajf_usage *to);
/*
 * Nothing of it is open any more: tells the use, unless its recording has ended, and forgets it. `size` in bytes;
 * `mode`: enum ajf_file_mode.
 */
void ajf_use_end_locked(struct ajf *m, struct ajf_usage *u, uint64_t size, int mode);
/*
 * Tells a use that has not ended, and begins it anew. Requests that still wait have done so for `parked_ns` in all, and
 * `longest_ns` at most. False: there is no room now.
 */
bool ajf_use_tell_locked(struct ajf *m, struct ajf_usage *u, uint64_t size, int mode, uint64_t parked_ns,
                         uint64_t longest_ns);

#endif
