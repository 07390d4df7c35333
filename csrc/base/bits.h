/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bits.h - ranges of bits in arrays of words: which granules of a file are there, or on their way.
 */
#ifndef AJF_BASE_BITS_H
#define AJF_BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AJF_BITS_WORDS(n) (((n) + 63) / 64)

/* The bits of word `w` that lie in [from, to). */
static inline uint64_t ajf_bits_mask(size_t w, size_t from, size_t to)
{
    size_t lo = w * 64, a = from > lo ? from - lo : 0, b = to < lo + 64 ? to - lo : 64;
    return a >= b ? 0 : (b == 64 ? ~UINT64_C(0) : (UINT64_C(1) << b) - 1) & ~((UINT64_C(1) << a) - 1);
}

/* Sets or clears [from, to); returns how many bits changed. */
static inline size_t ajf_bits_fill(uint64_t *bits, size_t from, size_t to, bool value)
{
    size_t changed = 0;
    for (size_t w = from / 64; w * 64 < to; w++) {
        uint64_t mask = ajf_bits_mask(w, from, to), old = bits[w], new = value ? old | mask : old & ~mask;
        if (new != old) /* memory that nobody has written yet stays so */
            bits[w] = new;
        changed += (size_t)__builtin_popcountll(old ^ new);
    }
    return changed;
}

/* First position in [from, to) whose bit, in `a` or `b` (may be NULL), is `value`; `to` when there is none. */
static inline size_t ajf_bits_find(const uint64_t *a, const uint64_t *b, size_t from, size_t to, bool value)
{
    for (size_t w = from / 64; w * 64 < to; w++) {
        uint64_t word = a[w] | (b ? b[w] : 0);
        uint64_t hit = (value ? word : ~word) & ajf_bits_mask(w, from, to);
        if (hit)
            return w * 64 + (size_t)__builtin_ctzll(hit);
    }
    return to;
}

static inline bool ajf_bits_all(const uint64_t *bits, size_t from, size_t to)
{
    return ajf_bits_find(bits, NULL, from, to, false) == to;
}

#endif
