/* SPDX-License-Identifier: Apache-2.0 */
#include "names/ranks.h"

#include <errno.h>
#include <stdlib.h>

struct pair {
    uint64_t key;
    uint32_t entry;
};

static int compare(const void *va, const void *vb)
{
    const struct pair *a = va, *b = vb;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return (a->entry > b->entry) - (a->entry < b->entry);
}

int ajf_ranks_make(const uint64_t *keys, size_t n, struct ajf_ranks *ret_ranks)
{
    struct pair *pairs = malloc((n + 1) * sizeof *pairs);
    struct ajf_ranks r = {malloc((n + 1) * sizeof(uint32_t)), malloc((n + 1) * sizeof(uint32_t))};
    if (!pairs || !r.entry_at || !r.place_of) {
        free(pairs);
        ajf_ranks_done(&r);
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++)
        pairs[i] = (struct pair){keys[i], (uint32_t)i};
    qsort(pairs, n, sizeof *pairs, compare);
    for (size_t place = 0; place < n; place++) {
        r.entry_at[place] = pairs[place].entry;
        r.place_of[pairs[place].entry] = (uint32_t)place;
    }
    free(pairs);
    *ret_ranks = r;
    return 0;
}

void ajf_ranks_done(struct ajf_ranks *r)
{
    free(r->entry_at);
    free(r->place_of);
    *r = (struct ajf_ranks){NULL, NULL};
}
