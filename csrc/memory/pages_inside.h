/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pages_inside.h - single pages of a file, for the page cache (cache.h).
 *
 * No locking: cache->lock is held.
 */
#ifndef AJF_MEMORY_PAGES_INSIDE_H
#define AJF_MEMORY_PAGES_INSIDE_H

#include "memory/pages.h"

/* The page that a byte lies in; NULL: it was not used yet. */
static inline struct ajf_page *ajf_page_at(const struct ajf_pages *p, uint64_t offset)
{
    if (p->small)
        return p->chunk;
    uint64_t index = offset / p->page_bytes;
    struct ajf_page *leaf = p->leaves[index / AJF_PAGES_LEAF];
    return leaf ? &leaf[index % AJF_PAGES_LEAF] : NULL;
}

/* Each page under [offset, offset + length) that was used. */
#define FOR_PAGES(p, page, offset, length)                                                                             \
    for (uint64_t at_ = (offset), end_ = (offset) + (length), step_ = (p)->page_bytes; at_ < end_;                     \
         at_ = (at_ / step_ + 1) * step_)                                                                              \
        for (struct ajf_page *page = ajf_page_at((p), at_); page; page = NULL)

/* How many pages there are in the leaf that begins with page `n`. */
static inline size_t ajf_leaf_pages(const struct ajf_pages *p, size_t n)
{
    return p->n_pages - n < AJF_PAGES_LEAF ? p->n_pages - n : AJF_PAGES_LEAF;
}

/* Each page of a file that may have been used; of a small one, none. */
#define FOR_USED_PAGES(p, page)                                                                                        \
    for (size_t n_ = 0; n_ < (p)->n_pages; n_ += AJF_PAGES_LEAF)                                                       \
        for (struct ajf_page *page = (p)->leaves[n_ / AJF_PAGES_LEAF],                                                 \
                             *end_ = page ? page + ajf_leaf_pages((p), n_) : page;                                     \
             page != end_; page++)

#endif
