/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lent.h - one READ answered from the files that the source lent (BORROWED, file.h).
 *
 * One extent is somebody's file as it is now: it may grow, shrink and change, and a read ends where the file ends.
 * Several are pieces that nobody changes while they are lent; one that has become shorter is EIO.
 *
 * Spliced, the pages of those files go through pipes to /dev/fuse by reference and are copied once, into the reader's.
 * Copied, the bytes are read into a buffer and written from there: what is small, at the end of a file,
 * scattered, does not fit a pipe, or could not be had. An error is an error of the whole READ: a short answer would be
 * taken for the end of the file.
 *
 * The caller holds a reference to the file, and no lock.
 */
#ifndef AJF_FILES_LENT_H
#define AJF_FILES_LENT_H

#include "files/file.h"

/*
 * Frees the tools that a worker has kept for ajf_lent_reply; destructor of m->lent_tools. Other threads keep none: they
 * may outlive the mount, and with it the key.
 */
void ajf_lent_tools_free(void *tools);

/* Bytes of the largest READ that fits a pipe of this process (pipe-max-size, CAP_SYS_RESOURCE); 0: none does. */
size_t ajf_lent_most_spliced(void);

/* Answers the request, spliced if it can be. On a worker: pipes stay, ours and libfuse's, until that thread ends. */
void ajf_lent_reply(struct ajf *m, const struct ajf_request *req, const struct ajf_file *file, size_t size,
                    uint64_t offset);

/* The same on any thread, copied; the thread keeps nothing. */
void ajf_lent_copy(struct ajf *m, const struct ajf_request *req, const struct ajf_file *file, size_t size,
                   uint64_t offset);

#endif
