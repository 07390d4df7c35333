/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open.h - OPEN: the kernel asks, the source answers.
 *
 * An OPEN is granted at once when the file is there (file.h), else it parks on the file until the source has opened
 * it. The source must have opened the version that was asked for; otherwise the answer is ESTALE and the kernel
 * looks the name up again.
 *
 * A file that is opened lazily is proved by its bytes: the source is not asked to open it, and it may have been looked
 * up long ago. So its first open waits until the first of its bytes are there, which are wanted next in any case. When
 * the source has another version by then, nothing of this one has been seen, and the answer is ESTALE here, too. An
 * open does not wait when others are open, when there are bytes, or when the kernel was given some before and may have
 * them still: it would be of no use then to learn that there are no more. Nor does one with O_NOATIME wait: that is a
 * backup program, which opens every file and reads those that have changed.
 *
 * The kernel permitted an open by the mode and owner that it was shown. If the source tells what they are now
 * (ajf_confirm_opens) and they differ, the record is stale: the name is looked up anew, and the new record's are
 * checked.
 *
 * Threads: workers call ajf_open, fetchers the rest. Lock: cache->lock; requests are answered without it.
 */
#ifndef AJF_OPS_OPEN_H
#define AJF_OPS_OPEN_H

#include "base/types.h"
#include "kernel/request.h"
#include "source/fetch_queue.h"

struct ajf;

/* OPEN for reading: answers `req`, at once or when the source has opened the file. */
void ajf_open(struct ajf *m, const struct ajf_request *req, uint64_t nodeid, const struct fuse_file_info *fi);

/* The functions for an OPEN of the source: a struct ajf_file_fetch. */
extern const struct ajf_fetch_ops ajf_open_ops;

#endif
