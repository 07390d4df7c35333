/* SPDX-License-Identifier: Apache-2.0 */
/*
 * invalidate.h - forgetting a part of the tree before its time: daemon first, then kernel.
 *
 * Threads: any; takes locks.
 */
#ifndef AJF_OPS_INVALIDATE_H
#define AJF_OPS_INVALIDATE_H

#include <stddef.h>

struct ajf;

/* See ajf_invalidate (ajf.h). */
void ajf_invalidate_path(struct ajf *m, const char *path, size_t len);

#endif
