/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read.h - one READ of the kernel: answered from what is there, or parked on the bytes.
 *
 * A read that misses parks on its file (readers.h) and makes sure that somebody fetches what is missing (fill.h).
 *
 * Threads: workers. Lock: cache->lock; the request is answered without it.
 */
#ifndef AJF_OPS_READ_H
#define AJF_OPS_READ_H

#include "kernel/request.h"

struct ajf;

void ajf_read(struct ajf *m, const struct ajf_request *req);

#endif
