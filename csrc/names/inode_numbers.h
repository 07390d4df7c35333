/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inode_numbers.h - the index of the records that have a made-up inode number (number.h).
 *
 * No locking: table->lock is held (inode.h).
 */
#ifndef AJF_NAMES_INODE_NUMBERS_H
#define AJF_NAMES_INODE_NUMBERS_H

#include <stdint.h>

struct ajf_inode;

/* Records by made-up number (attr.ino), chained through number_next. */
struct ajf_numbers {
    uint32_t *buckets; /* NULL until the first is added */
    uint32_t n_buckets, n;
};

/* -ENOMEM: only when there is no index yet. */
int ajf_numbers_add(struct ajf_numbers *s, struct ajf_inode *records, uint32_t n);
void ajf_numbers_remove(struct ajf_numbers *s, struct ajf_inode *records, uint32_t n);
/* The first record with `number`, or the next one after record `n`; 0 when there is none. */
uint32_t ajf_numbers_first(const struct ajf_numbers *s, const struct ajf_inode *records, uint64_t number);
uint32_t ajf_numbers_after(const struct ajf_inode *records, uint32_t n);
void ajf_numbers_done(struct ajf_numbers *s);

#endif
