/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.h - memory that grows in place: a sparse memfd, mapped once at its full reserved size.
 *
 * Addresses never move (no mremap), so records may be read without a lock; untouched pages cost nothing. It ends with
 * the process: nobody else has the descriptor. A process that was handed it could map the same memory.
 */
#ifndef AJF_BASE_ARENA_H
#define AJF_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

struct ajf_arena {
    int fd;
    uint8_t *base;
    size_t reserved; /* bytes */
};

int ajf_arena_init(struct ajf_arena *a, const char *name, size_t reserved);
void ajf_arena_done(struct ajf_arena *a);

#endif
