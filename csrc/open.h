/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open.h - OPEN: the kernel asks, the source answers.
 *
 * An OPEN is granted at once when the file is there (file.h), else it parks on the file until the source has opened
 * it. What the source opened must be the version that was asked for; otherwise the answer is ESTALE and the kernel
 * looks the name up again.
 *
 * Threads: workers call ajf_open, fetchers the rest. Lock: cache->lock; requests are answered without it.
 */
#ifndef AJF_OPEN_H
#define AJF_OPEN_H

#include "ajf.h"
#include "fetch.h"
#include "fuse.h"

struct ajf;

/* OPEN for reading: answers `req`, at once or when the source has opened the file. */
void ajf_open(struct ajf *m, fuse_req_t req, uint64_t nodeid, const struct fuse_file_info *fi);

/* A new file that the source need not open: READY, without a byte. 0 or -ENOMEM. */
int ajf_open_lazily_locked(struct ajf *m, struct ajf_file *file);

/* The sides of ajf_fetch_opened, ajf_fetch_fail and ajf_fetch_release for an OPEN. Takes the descriptors. */
int ajf_open_answered(struct ajf_fetch *f, uint64_t handle, uint64_t version, uint64_t size,
                      const struct ajf_extent *extents, size_t n);
void ajf_open_failed(struct ajf_fetch *f, int err);
void ajf_open_end(struct ajf_fetch *f);

#endif
