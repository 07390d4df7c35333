/* SPDX-License-Identifier: Apache-2.0 */
#include "names/run.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"

#define LEAST_FILES 3             /* asked for in order before anything is looked for ahead */
#define STEP (AJF_RUN_WINDOW / 4) /* some at a time: each look costs a little */

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t max(size_t a, size_t b)
{
    return a > b ? a : b;
}

bool ajf_run_has(const struct ajf_run *r, size_t index)
{
    return r->asked && r->asked[index / 64] >> index % 64 & 1;
}

/* Three of four. */
bool ajf_run_in_order(const struct ajf_run *r)
{
    return r->length >= LEAST_FILES && r->length * 4 >= (r->front - r->first + 1) * 3;
}

static void begin(struct ajf_run *r, size_t index)
{
    r->first = r->front = index;
    r->begun = index + 1;
    r->length = 1;
}

/* Once more from `index` on: what was asked for behind it is forgotten. */
static void begin_anew(struct ajf_run *r, size_t n, size_t index)
{
    ajf_bits_fill(r->asked, index, n, false);
    r->front = index;
    r->begun = index + 1;
    r->first = min(r->first, index);
    r->length = min(r->length, index - r->first + 1);
}

int ajf_run_init(struct ajf_run *r, size_t n, bool (*was_asked)(const void *arg, size_t index), const void *arg)
{
    uint64_t *asked = calloc(AJF_BITS_WORDS(n), sizeof *asked);
    if (!asked)
        return -ENOMEM;
    *r = (struct ajf_run){.asked = asked}; /* and no stretch yet */
    for (size_t i = 0; i < n; i++)
        if (was_asked(arg, i))
            ajf_bits_fill(asked, i, i + 1, true);
    return 0;
}

void ajf_run_pass(struct ajf_run *r, size_t index)
{
    if (r->asked && !ajf_run_has(r, index)) {
        ajf_bits_fill(r->asked, index, index + 1, true);
        r->length++;
    }
}

bool ajf_run_note(struct ajf_run *r, size_t n, size_t index, size_t *ret_from, size_t *ret_to)
{
    if (!r->asked) {
        if (!(r->asked = calloc(AJF_BITS_WORDS(n), sizeof *r->asked)))
            return false;
        begin(r, index);
    } else if (ajf_run_has(r, index)) {
        begin_anew(r, n, index);
    } else if (r->length && index + AJF_RUN_NEAR >= r->first && index <= r->front + AJF_RUN_NEAR) {
        r->first = min(r->first, index);
        r->front = max(r->front, index);
        r->length++;
    } else {
        begin(r, index);
    }
    ajf_bits_fill(r->asked, index, index + 1, true);
    size_t from = max(index + 1, r->begun), to = index + 1 + AJF_RUN_WINDOW;
    if (!ajf_run_in_order(r) || from + STEP > to)
        return false;
    *ret_from = min(from, n);
    *ret_to = min(to, n);
    return from < n;
}

void ajf_run_done(struct ajf_run *r)
{
    free(r->asked);
    r->asked = NULL;
}
