/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/sums.h"

#include "wire/crc64.h"

static uint64_t sum_of(const uint8_t *data, size_t n, uint64_t identity, uint64_t index)
{
    const uint64_t mixed = (identity ^ index) * UINT64_C(0x9e3779b97f4a7c15) + index; /* Fibonacci hashing */
    uint64_t sum = ajf_crc64(mixed, data, n);
    return sum ? sum : 1;
}

void ajf_sums_make(const void *data, size_t n, uint64_t identity, uint64_t first, uint64_t *ret_sums)
{
    const uint8_t *p = data;
    for (size_t at = 0; at < n; at += AJF_SUM_BYTES, first++)
        *ret_sums++ = sum_of(p + at, n - at < AJF_SUM_BYTES ? n - at : AJF_SUM_BYTES, identity, first);
}

size_t ajf_sums_check(const void *data, size_t n, uint64_t identity, uint64_t first, const uint64_t *sums)
{
    const uint8_t *p = data;
    for (size_t at = 0; at < n; at += AJF_SUM_BYTES, first++)
        if (*sums++ != sum_of(p + at, n - at < AJF_SUM_BYTES ? n - at : AJF_SUM_BYTES, identity, first))
            return at;
    return n;
}
