/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lent.h - one READ answered from the files that the source lent (BORROWED, file.h).
 *
 * One extent is somebody's file as it is now: it may grow, shrink and change, and a read ends where the file ends.
 * Several are pieces that nobody changes while they are lent; one that has become shorter is EIO.
 *
 * Spliced, the pages of those files go through a pipe to /dev/fuse by reference and are copied once, into the
 * reader's. Copied, the bytes are read into a buffer of the thread and written from there: what is small, at the end
 * of a file, scattered, or does not fit a pipe.
 *
 * The caller holds a reference to the file, and no lock.
 */
#ifndef AJF_LENT_H
#define AJF_LENT_H

#include "file.h"

/* Bytes of the largest READ that fits a pipe of this process (pipe-max-size, CAP_SYS_RESOURCE); 0: none does. */
size_t ajf_lent_most_spliced(void);

/* Answers the request, spliced if it can be. On a worker: libfuse keeps the pipe until that thread ends. */
void ajf_lent_reply(struct ajf *m, fuse_req_t req, const struct ajf_file *file, size_t size, uint64_t offset);

/* The same on any thread, copied. */
void ajf_lent_copy(struct ajf *m, fuse_req_t req, const struct ajf_file *file, size_t size, uint64_t offset);

#endif
