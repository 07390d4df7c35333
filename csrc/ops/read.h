/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read.h - one READ of the kernel: answered from what is there, or parked on the bytes.
 *
 * A read that misses parks on its file and makes sure that somebody fetches what is missing; whoever makes the last
 * byte present answers it: a fetcher thread, outside the interpreter and outside the locks. Replies are written from
 * populated memory, straight from the page; the pages are pinned meanwhile.
 *
 * Threads: workers call ajf_read, fetchers the rest. Lock: cache->lock.
 */
#ifndef AJF_OPS_READ_H
#define AJF_OPS_READ_H

#include "files/file.h"
#include "kernel/wait.h"

struct ajf_read {
    struct ajf_wait wait;
    struct ajf_file *file;
    struct ajf_list link; /* cache->lock; file->readers */
    uint64_t offset;
    size_t length;        /* clamped to the file's size */
};

void ajf_read(struct ajf *m, fuse_req_t req, uint64_t nodeid, size_t size, uint64_t offset);

/* A fetcher took a READ fetch: gives it its buffer. False when it came to nothing (it was ended, or waits for room). */
bool ajf_read_begin(struct ajf *m, struct ajf_fetch *f);
/* The sides of ajf_fetch_done, ajf_fetch_fail and ajf_fetch_release for a READ. */
int ajf_read_done(struct ajf_fetch *f, size_t filled);
void ajf_read_failed(struct ajf_fetch *f, int err);
void ajf_read_end(struct ajf_fetch *f);

/* Queues fetches of the whole file, which nobody waits for. 0 or -ENOMEM. */
int ajf_read_ahead_locked(struct ajf *m, struct ajf_file *file);
/* Sees to it that a small file comes as a whole: somebody waits for its first bytes. 0 or -ENOMEM. */
int ajf_read_first_locked(struct ajf *m, struct ajf_file *file);
/* Whether a fetcher is inside the source with bytes of [from, to): it may never come back. */
bool ajf_read_is_stuck_locked(const struct ajf *m, const struct ajf_file *file, uint64_t from, uint64_t to);
/* The file became READY: fetches what its parked readers want. */
void ajf_read_resume_locked(struct ajf *m, struct ajf_file *file);
/* The file turned out to be lent: serves its parked readers (lent.h), on a fetcher's thread. */
void ajf_read_serve_borrowed(struct ajf *m, struct ajf_file *file);
/* Takes the readers that need any of [from, to) and have nobody to wait for, for ajf_read_answer to refuse them. */
void ajf_read_take_hopeless_locked(struct ajf *m, struct ajf_file *file, uint64_t from, uint64_t to,
                                   struct ajf_list *ret_readers);
void ajf_read_answer(struct ajf *m, struct ajf_file *file, struct ajf_list *readers, int err);
/* Nothing more will come for [from, to): answers the readers that need any of it and have nobody to wait for. */
void ajf_read_fail(struct ajf *m, struct ajf_file *file, uint64_t from, uint64_t to, int err);
/* Answers the readers whose bytes are all there. */
void ajf_read_wake(struct ajf *m, struct ajf_file *file);
/* Drops the queued fetches of a file that nobody waits for, and cancels those under way. */
void ajf_read_cancel_locked(struct ajf *m, struct ajf_file *file);

#endif
