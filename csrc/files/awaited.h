/* SPDX-License-Identifier: Apache-2.0 */
/*
 * awaited.h - which pages somebody will still come for, so that others are evicted before them.
 *
 * No locking: cache->lock is held.
 */
#ifndef AJF_FILES_AWAITED_H
#define AJF_FILES_AWAITED_H

#include "memory/pages.h"

/* Whether a parked READ waits for what is beside the page, or for the rest of it: then it needs the page as well. */
bool ajf_page_is_needed(const struct ajf_cache *c, const struct ajf_page *page);
/* Whether a page is likely to be handed to the kernel yet: it is new, or before a reader who is still there. */
bool ajf_page_is_awaited(const struct ajf_cache *c, const struct ajf_page *page);

#endif
