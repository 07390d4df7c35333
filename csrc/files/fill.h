/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fill.h - which bytes of a file are asked of the source: those that somebody waits for, and those ahead of them.
 *
 * The answers are handled in arrive.c.
 *
 * Threads: any. Lock: cache->lock.
 */
#ifndef AJF_FILES_FILL_H
#define AJF_FILES_FILL_H

#include "files/file.h"
#include "kernel/wait.h"

/*
 * Sees to it that [offset, offset + length) comes, which thread `reader` reads (0: unknown), and what the pattern of
 * reads suggests around it. 0 or -ENOMEM.
 */
int ajf_fill_want_locked(struct ajf *m, struct ajf_file *file, uint32_t reader, uint64_t offset, uint64_t length,
                         bool hit);
/* Queues fetches of the whole file, which nobody waits for. 0 or -ENOMEM. */
int ajf_fill_ahead_locked(struct ajf *m, struct ajf_file *file);
/* Sees to it that a small file comes as a whole: somebody waits for its first bytes. 0 or -ENOMEM. */
int ajf_fill_first_locked(struct ajf *m, struct ajf_file *file);
/* The file became READY, or a fetch of it has ended: fetches what its parked readers want. */
void ajf_fill_resume_locked(struct ajf *m, struct ajf_file *file);
/* Drops the queued fetches of a file that nobody waits for, and cancels those under way. */
void ajf_fill_cancel_locked(struct ajf *m, struct ajf_file *file);
/* A fetch has ended: nobody writes what it has claimed. */
void ajf_fill_end_locked(struct ajf *m, struct ajf_file_fetch *f);
/* Whether a fetcher is inside the source with bytes of [from, to): it may never come back. */
bool ajf_fill_is_stuck_locked(const struct ajf *m, const struct ajf_file *file, uint64_t from, uint64_t to);
/* There may be room in memory: puts the fetches that found none back in the queue. */
void ajf_fill_feed_locked(struct ajf *m);
/* How far ahead of a read prefetch goes, bytes. */
uint64_t ajf_fill_furthest(const struct ajf *m);

#endif
