/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memfile.h - where the bytes of cached files lie: anonymous files in memory, on huge pages where that can be had.
 *
 * The store is a private tmpfs (fsopen/fsmount, visible nowhere) with huge=advise, or plain memfds where that is not
 * permitted. A memory file is mapped twice: `map` gets 4 KiB pages, `huge` asks for huge ones; both show the same
 * bytes. So a random read costs what it touches, and a stream fills 2 MiB at a time (fuse-facts: 13 GB/s against
 * 2.6). Bytes are given back by punching holes (never under a passthrough handle) or by dropping the whole file.
 *
 * No locking: the owner of a struct ajf_memfile serialises (cache.h).
 */
#ifndef AJF_MEMORY_MEMFILE_H
#define AJF_MEMORY_MEMFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AJF_HUGE_BYTES (UINT64_C(2) << 20) /* size of a transparent huge page on x86-64 and arm64 with 4K pages */

struct ajf_store {
    int dir;   /* root of the private tmpfs, or -1 */
    bool huge; /* huge pages are to be had */
};

void ajf_store_init(struct ajf_store *s);
void ajf_store_done(struct ajf_store *s);

struct ajf_memfile {
    int fd;
    uint8_t *map;  /* plain pages */
    uint8_t *huge; /* huge pages; NULL when there are none */
    size_t size, mapped; /* bytes of the file; of each mapping (rounded up to huge pages) */
};

/* A sparse file of `size` bytes. -ENOMEM, -EMFILE, ... */
int ajf_memfile_init(struct ajf_memfile *mem, const struct ajf_store *s, const char *name, size_t size);
void ajf_memfile_done(struct ajf_memfile *mem);
/* Gives the bytes of [offset, offset + length) back to the machine; they read as zeros. */
void ajf_memfile_punch(struct ajf_memfile *mem, size_t offset, size_t length);

#endif
