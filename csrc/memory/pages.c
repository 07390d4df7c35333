/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/pages_inside.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"

void ajf_pages_init(struct ajf_pages *p)
{
    *p = (struct ajf_pages){.memory = {.fd = -1}};
    ajf_list_init(&p->in_chunk);
}

int ajf_pages_begin(struct ajf_pages *p, uint64_t size, uint64_t page_bytes, bool small)
{
    size_t words = AJF_BITS_WORDS(ajf_granule_up(size)) + 1;
    p->size = size;
    p->page_bytes = page_bytes;
    p->small = small;
    p->n_granules = ajf_granule_up(size);
    p->n_pages = p->small ? 0 : (size + page_bytes - 1) / page_bytes;
    if (p->n_pages > UINT32_MAX) /* struct ajf_page has their numbers in 32 bits */
        return -ENOMEM;
    p->have = calloc(words, sizeof *p->have); /* of a large file, memory that nobody has touched yet */
    p->claimed = calloc(words, sizeof *p->claimed);
    p->leaves = calloc(p->n_pages / AJF_PAGES_LEAF + 1, sizeof *p->leaves);
    if (!p->have || !p->claimed || !p->leaves) {
        ajf_pages_done(p);
        return -ENOMEM;
    }
    p->complete = !p->n_granules;
    return 0;
}

void ajf_pages_done(struct ajf_pages *p)
{
    for (size_t n = 0; n < p->n_pages && p->leaves; n += AJF_PAGES_LEAF)
        free(p->leaves[n / AJF_PAGES_LEAF]);
    free(p->leaves);
    free(p->have);
    free(p->claimed);
    ajf_pages_init(p);
}

int ajf_pages_make(struct ajf_pages *p, uint64_t offset, size_t length)
{
    size_t to = (size_t)((offset + length + p->page_bytes - 1) / p->page_bytes);
    for (size_t n = (size_t)(offset / p->page_bytes) / AJF_PAGES_LEAF * AJF_PAGES_LEAF; n < to; n += AJF_PAGES_LEAF) {
        struct ajf_page **leaf = &p->leaves[n / AJF_PAGES_LEAF];
        if (*leaf)
            continue;
        *leaf = calloc(ajf_leaf_pages(p, n), sizeof **leaf);
        if (!*leaf)
            return -ENOMEM;
        for (size_t i = 0; i < ajf_leaf_pages(p, n); i++) {
            (*leaf)[i].index = (uint32_t)(n + i);
            (*leaf)[i].pages = p;
            ajf_rank_init(&(*leaf)[i].rank);
        }
    }
    return 0;
}

bool ajf_pages_have(const struct ajf_pages *p, uint64_t offset, uint64_t length)
{
    return p->complete || ajf_bits_all(p->have, ajf_granule(offset), ajf_granule_up(offset + length));
}
