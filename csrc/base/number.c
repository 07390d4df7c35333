/* SPDX-License-Identifier: Apache-2.0 */
#include "base/number.h"

#include <string.h>

#define LOWEST (UINT64_C(1) << 62)

uint64_t ajf_number_mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return h ^ h >> 32;
}

uint64_t ajf_number_mix_name(uint64_t h, const char *name, size_t len)
{
    uint64_t word;
    h = ajf_number_mix(h, len + 1);
    for (; len >= sizeof word; name += sizeof word, len -= sizeof word) {
        memcpy(&word, name, sizeof word);
        h = ajf_number_mix(h, word);
    }
    word = 0;
    memcpy(&word, name, len);
    return len ? ajf_number_mix(h, word) : h;
}

uint64_t ajf_number_of(uint64_t h)
{
    return (h & (LOWEST - 1)) | LOWEST;
}

uint64_t ajf_number_next(uint64_t number)
{
    return ajf_number_of(number + 1);
}
