/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open.h - OPEN: the kernel asks, the source answers.
 *
 * An OPEN is granted at once when the file is there (file.h), else it parks on the file until the source has opened
 * it. What the source opened must be the version that was asked for; otherwise the answer is ESTALE and the kernel
 * looks the name up again.
 *
 * A file that is opened lazily is proved by its bytes: the source is not asked to open it, and whoever looked it up may
 * have done so long ago. So its first open waits until the first of its bytes are there, which are wanted next in any
 * case. When the source has another version by then, nothing of this one has been seen, and the answer is ESTALE here,
 * too. An open does not wait when others are open, when there are bytes, or when the kernel was given some before and
 * may have them still: it would be of no use then to learn that there are no more. Nor does one with O_NOATIME wait:
 * that is a backup program, which opens every file and reads those that have changed.
 *
 * The kernel permitted an open by the mode and owner that it was shown. Where the source tells what they are now
 * (ajf_confirm_opens) and they differ, the record is stale: the name is looked up anew, and the new record's are checked.
 *
 * Threads: workers call ajf_open, fetchers the rest. Lock: cache->lock; requests are answered without it.
 */
#ifndef AJF_OPS_OPEN_H
#define AJF_OPS_OPEN_H

#include "base/types.h"
#include "kernel/fuse.h"
#include "source/queue.h"

struct ajf;

/* OPEN for reading: answers `req`, at once or when the source has opened the file. */
void ajf_open(struct ajf *m, fuse_req_t req, uint64_t nodeid, const struct fuse_file_info *fi);

/* OPEN that the source has confirmed (ajf_confirm_opens): as ajf_open. */
void ajf_open_confirmed(struct ajf *m, fuse_req_t req, uint64_t nodeid, const struct fuse_file_info *fi);

/* The first bytes of a file are there, or will not come (`err`, positive): answers the opens that wait for them. */
void ajf_open_proved(struct ajf *m, struct ajf_file *file);
void ajf_open_refused(struct ajf *m, struct ajf_file *file, int err);

/* A new file that the source need not open: READY, without a byte. 0 or -ENOMEM. */
int ajf_open_lazily_locked(struct ajf *m, struct ajf_file *file);

/* The sides of ajf_fetch_opened, ajf_fetch_fail and ajf_fetch_release for an OPEN. Takes the descriptors. */
int ajf_open_answered(struct ajf_fetch *f, uint64_t handle, uint64_t version, uint64_t size,
                      const struct ajf_extent *extents, size_t n);
void ajf_open_failed(struct ajf_fetch *f, int err);
void ajf_open_end(struct ajf_fetch *f);

#endif
