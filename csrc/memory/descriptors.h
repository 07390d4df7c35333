/* SPDX-License-Identifier: Apache-2.0 */
/*
 * descriptors.h - how many descriptors files may take: each lent piece, each file of memory, each handle of a source
 * that opens a file for it.
 *
 * Some of what the process may open (RLIMIT_NOFILE) is not for files: listings, attributes, connections, pipes and the
 * counters need descriptors, too. Of the rest a user may have three times as many as are free then: a user who opens as
 * many as possible leaves some for the next one, and a user who opens a few is never refused.
 *
 * No locking: the owner serialises (cache->lock).
 */
#ifndef AJF_MEMORY_DESCRIPTORS_H
#define AJF_MEMORY_DESCRIPTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AJF_DESCRIPTORS_NOBODY UINT32_MAX /* no user */

struct ajf_descriptors_user {
    uint32_t uid;
    uint64_t n;
};

struct ajf_descriptors {
    uint64_t most; /* how many files may take; constant */
    uint64_t used;
    struct ajf_descriptors_user *users; /* who has some */
    size_t n_users, n_room;
    uint64_t told_ns; /* when the log was told that somebody was refused, last */
};

/* The limit counts as it is now. */
void ajf_descriptors_init(struct ajf_descriptors *d);
void ajf_descriptors_done(struct ajf_descriptors *d);

/* How many a user has. */
uint64_t ajf_descriptors_of(const struct ajf_descriptors *d, uint32_t uid);
/* Whether a user may have `n` more. */
bool ajf_descriptors_may_take(const struct ajf_descriptors *d, uint32_t uid, uint64_t n);
/* Counts `n` for a user, or takes them off. */
void ajf_descriptors_take(struct ajf_descriptors *d, uint32_t uid, uint64_t n);
void ajf_descriptors_give(struct ajf_descriptors *d, uint32_t uid, uint64_t n);

#endif
