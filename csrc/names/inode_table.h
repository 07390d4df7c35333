/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inode_table.h - the inside of inode.h, for the files that implement it.
 *
 * Threads: the caller holds table->lock, or reads what is constant of a record that is published.
 */
#ifndef AJF_NAMES_INODE_TABLE_H
#define AJF_NAMES_INODE_TABLE_H

#include "names/inode.h"

#define AJF_NAME_UNIT_BYTES 16

static inline struct ajf_inode *ajf_inode_at(const struct ajf_inodes *t, uint64_t nodeid)
{
    return (struct ajf_inode *)t->records.base + nodeid;
}

static inline char *ajf_inode_name_of(const struct ajf_inodes *t, const struct ajf_inode *i)
{
    return (char *)t->names.base + (size_t)i->name_at * AJF_NAME_UNIT_BYTES;
}

/* The record of a name, 0: there is none. */
uint32_t ajf_inode_find_locked(struct ajf_inodes *t, uint64_t parent, const char *name, size_t len);

#endif
