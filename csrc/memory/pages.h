/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pages.h - which bytes of one file lie in memory, and in which pages.
 *
 * No locking: cache->lock is held (cache.h).
 */
#ifndef AJF_MEMORY_PAGES_H
#define AJF_MEMORY_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "memory/memfile.h"
#include "memory/order.h"

#define AJF_GRANULE_BYTES UINT64_C(4096) /* the kernel's page: finer reads do not exist */

struct ajf_page {
    struct ajf_rank rank;   /* in no order while not resident, or open in passthrough */
    struct ajf_list free;   /* slab chunk without memory: in cache->free_chunks */
    struct ajf_pages *pages; /* NULL: a slab chunk */
    struct ajf_list small;  /* slab chunk: the struct ajf_pages in it */
    uint64_t charged;       /* bytes of the budget */
    uint32_t frame;         /* transient window: where its bytes lie, if not in its file's memory; 0: they do */
    uint64_t born_ns;       /* when it became resident, */
    uint64_t grown_ns;      /* and when it last grew, or a small file came into it */
    uint32_t index;         /* of the page within the file, or of the chunk within the slab */
    uint32_t pins;
    uint32_t filled;        /* slab chunk: bytes handed out */
    uint64_t taken;         /* bytes handed to the kernel, of what is resident; again is counted again */
    bool spent;             /* transient window: all of it was taken, will hardly be wanted again */
};

#define AJF_PAGES_LEAF 64

/*
 * The bytes of one file that lie in memory: which are there (`have`) and which are on their way (`claimed`), by
 * granules of 4 KiB. The counts of a page are allocated when the first fetch of it starts, AJF_PAGES_LEAF pages at
 * a time.
 */
struct ajf_pages {
    uint64_t size;
    uint64_t page_bytes;       /* of a page that is not a chunk of the slab */
    struct ajf_memfile memory; /* .fd -1: none yet */
    bool small;                /* it lies in a chunk of the slab */
    bool whole;                /* evicted whole, by dropping: somebody may still hold its memory (passthrough) */
    bool complete;             /* every granule is there */
    struct ajf_page *chunk;    /* small: the chunk that holds it; NULL: none does */
    size_t chunk_offset;       /* within the chunk, bytes */
    struct ajf_list in_chunk;
    uint64_t *have, *claimed;  /* NULL: it was not begun */
    size_t n_granules, n_have;
    struct ajf_page **leaves;  /* of AJF_PAGES_LEAF pages each; NULL: none of them was used */
    size_t n_pages;
    uint32_t pins;             /* of all its pages */
};

/* Nothing lies in memory, and nothing is counted of it. */
void ajf_pages_init(struct ajf_pages *p);
/* Its bytes will come into memory: those of a small file into a chunk of the slab. 0 or -ENOMEM. */
int ajf_pages_begin(struct ajf_pages *p, uint64_t size, uint64_t page_bytes, bool small);
/* Nothing of it is in memory any more. */
void ajf_pages_done(struct ajf_pages *p);
/* Makes the pages under [offset, offset + length) of a file that is not small. 0 or -ENOMEM. */
int ajf_pages_make(struct ajf_pages *p, uint64_t offset, size_t length);
/* Whether all of [offset, offset + length) is there. */
bool ajf_pages_have(const struct ajf_pages *p, uint64_t offset, uint64_t length);

static inline size_t ajf_granule(uint64_t offset)
{
    return (size_t)(offset / AJF_GRANULE_BYTES);
}

static inline size_t ajf_granule_up(uint64_t offset)
{
    return (size_t)((offset + AJF_GRANULE_BYTES - 1) / AJF_GRANULE_BYTES);
}

#endif
