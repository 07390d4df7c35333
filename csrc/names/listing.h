/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listing.h - one snapshot of a directory: entries sorted by name, each name once, and only names that a file can have.
 *
 * Entries and names never change once it is made; snapshots of a directory that has not changed share them. The fields
 * marked `lock` belong to the table of snapshots (dir.h) and are guarded by its lock.
 *
 * Threads: any; what is made is its maker's until the table has it.
 */
#ifndef AJF_NAMES_LISTING_H
#define AJF_NAMES_LISTING_H

#include <stdbool.h>

#include "base/list.h"
#include "base/types.h"
#include "names/ranks.h"
#include "names/run.h"

struct ajf;

/*
 * The kernel is told attributes with so many names of a directory: it makes an inode of each, of more than 1 KiB, and
 * there is a record of it here until it is forgotten.
 */
#define AJF_LISTING_TOLD (UINT32_C(1) << 20)

struct ajf_contents {
    size_t n;
    uint32_t told; /* entries that have attributes to be told */
    struct ajf_entry *entries;
    char *names;
    uint64_t bytes;
    uint32_t refs; /* lock; snapshots */
    bool current;  /* lock; one of them is */
};

struct ajf_listing {
    struct ajf_list by_node;
    struct ajf_list by_age; /* lock; among those that are current, or among those that are only open */
    uint32_t id;     /* low half of fi->fh of its open handle; the high half is the token of a FRESH open (inode.h) */
    uint64_t nodeid;
    uint64_t stamp, edition;
    uint64_t asked_ns, expires_ns, attr_expires_ns, negative_expires_ns;
    uint32_t refs;   /* lock; opens and readers, and 1 while current */
    uint32_t busy;   /* lock; of those, who look at the contents without the lock */
    bool current;    /* lock; what new opens get */
    bool offered;    /* lock; that a name is missing in it says nothing */
    _Atomic bool dropped; /* written with the lock; known to be out of date */
    struct ajf_run run; /* lock; which of its files are being read, in the order of their names ... */
    struct ajf_run run_by_number; /* lock; ... and of their inode numbers, once that order is known */
    struct ajf_ranks by_number;   /* lock; made when the files are read, but not in the order of their names */
    uint32_t astray;              /* lock; how many were not */
    struct ajf_contents *contents; /* NULL: given up (dir.h), */
    size_t n;                      /* and these are those of the contents */
    struct ajf_entry *entries;
    char *names;
};

/*
 * Copies what a source said, asked at asked_ns, with one reference. Logs how many names no file can have. 0, -ENOMEM,
 * or -EINVAL for an entry whose name lies outside the blob.
 */
int ajf_listing_new(struct ajf *m, uint64_t nodeid, const struct ajf_entry *entries, size_t n, const char *names,
                    size_t names_len, uint64_t asked_ns, struct ajf_listing **ret_l);
/* Whether both hold the same, in whatever order it was told. */
bool ajf_listing_is_equal(const struct ajf_listing *a, const struct ajf_listing *b);
/* Has `l` give up its contents for those of `as`, which are equal. */
void ajf_listing_share(struct ajf_listing *l, const struct ajf_listing *as);
/* Gives up the contents; how many bytes that frees. */
uint64_t ajf_listing_empty(struct ajf_listing *l);
/* When nobody has a reference any more. */
void ajf_listing_free(struct ajf_listing *l);

/* The index of a name; n when it is not there. */
size_t ajf_listing_find(const struct ajf_listing *l, const char *name, size_t len);
/* The order of names: that of their bytes. */
int ajf_listing_compare(const char *a, size_t a_len, const char *b, size_t b_len);
/* Another number for each snapshot, also of the same names. */
uint64_t ajf_listing_edition(const struct ajf_listing *l);

#endif
