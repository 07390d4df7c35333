/* SPDX-License-Identifier: Apache-2.0 */
/*
 * awaited.h - which bytes of a file somebody will still come for, so that others are evicted before them.
 *
 * No locking: cache->lock is held.
 */
#ifndef AJF_FILES_AWAITED_H
#define AJF_FILES_AWAITED_H

#include "memory/pages.h"

/* Whether a parked READ waits for any of [from, to). */
bool ajf_awaited_needs(const struct ajf_pages *p, uint64_t from, uint64_t to);
/* Whether somebody who reads the file, or has since then, is on the way to any of [from, to). */
bool ajf_awaited_expects(const struct ajf_pages *p, uint64_t from, uint64_t to, uint64_t since_ns);
/* Whether those who have read the file are not likely to come to any of [from, to) soon. */
bool ajf_awaited_has_left(const struct ajf_pages *p, uint64_t from, uint64_t to);

#endif
