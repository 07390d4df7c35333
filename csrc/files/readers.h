/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readers.h - the READs that are parked on a file, and how they are answered.
 *
 * A READ parks on its file until its bytes are there. The thread that makes the last of them present answers it: a
 * fetcher's, outside the locks. Replies are written from populated memory, straight from the page; the pages are pinned
 * meanwhile.
 *
 * Threads: any. Lock: cache->lock guards the lists; requests are answered without it.
 */
#ifndef AJF_FILES_READERS_H
#define AJF_FILES_READERS_H

#include "files/file.h"
#include "kernel/wait.h"

struct ajf_read {
    struct ajf_wait wait;
    struct ajf_file *file; /* a reference */
    struct ajf_list link;  /* cache->lock; file->readers */
    uint64_t offset;
    size_t length;         /* clamped to the file's size */
};

/* Answers with bytes that are there, from the pages, which the caller has pinned. */
void ajf_readers_reply_pages(struct ajf *m, const struct ajf_request *req, const struct ajf_file *file, uint64_t offset,
                             size_t length);
/* Afterwards: the caller's pins, and a reference. Takes the lock. */
void ajf_readers_unpin(struct ajf *m, struct ajf_file *file, uint64_t offset, size_t length);

/* Answers the readers whose bytes are all there. */
void ajf_readers_wake(struct ajf *m, struct ajf_file *file);
/* The file turned out to be lent: serves its readers (lent.h), on a fetcher's thread. */
void ajf_readers_serve_borrowed(struct ajf *m, struct ajf_file *file);
/* Takes the readers that need any of [from, to) and have nobody to wait for, for ajf_readers_answer to refuse them. */
void ajf_readers_take_hopeless_locked(struct ajf *m, struct ajf_file *file, uint64_t from, uint64_t to,
                                      struct ajf_list *ret_readers);
void ajf_readers_answer(struct ajf *m, struct ajf_file *file, struct ajf_list *readers, int err);
/* Nothing more will come for [from, to): answers the readers that need any of it and have nobody to wait for. */
void ajf_readers_fail(struct ajf *m, struct ajf_file *file, uint64_t from, uint64_t to, int err);

#endif
