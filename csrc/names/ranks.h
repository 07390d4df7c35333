/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ranks.h - the order of a listing's entries by a key, beside their own: a pure function of the keys.
 *
 * Programs that copy or search a directory (cp -r, and in large ones find, du and grep -r) sort what it holds by inode
 * number, which is the order of the data on disks, and read it so.
 */
#ifndef AJF_NAMES_RANKS_H
#define AJF_NAMES_RANKS_H

#include <stddef.h>
#include <stdint.h>

struct ajf_ranks {
    uint32_t *entry_at; /* by place; NULL: not made */
    uint32_t *place_of; /* by entry */
};

/* Ascending; entries with equal keys stay in their order. -ENOMEM. */
int ajf_ranks_make(const uint64_t *keys, size_t n, struct ajf_ranks *ret_ranks);
void ajf_ranks_done(struct ajf_ranks *r);

#endif
