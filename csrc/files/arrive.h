/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arrive.h - what becomes of a fetch of bytes: it gets its buffer, its bytes are there, or will not come.
 *
 * Threads: fetchers. Lock: cache->lock; requests are answered without it.
 */
#ifndef AJF_FILES_ARRIVE_H
#define AJF_FILES_ARRIVE_H

#include "source/fetch_queue.h"

/* Of a READ that the source is asked for: a struct ajf_file_fetch. */
extern const struct ajf_fetch_ops ajf_arrive_ops;

#endif
