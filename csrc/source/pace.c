/* SPDX-License-Identifier: Apache-2.0 */
#include "source/pace.h"

#include "base/sync.h"

#define WORK_US 150 /* of a small fetch; when so many at once take turns, none waits for another */

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

void ajf_pace_note(struct ajf_pace *p, uint64_t took_ns)
{
    uint64_t us = took_ns / AJF_NS_PER_US;
    p->took_us[p->n++ % AJF_PACE_SEEN] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
    if (p->n == 2 * AJF_PACE_SEEN)
        p->n = AJF_PACE_SEEN;
}

uint32_t ajf_pace_at_once(const struct ajf_pace *p, uint32_t most)
{
    uint32_t shortest = p->n ? UINT32_MAX : 0, n = least(p->n, AJF_PACE_SEEN);
    for (uint32_t i = 0; i < n; i++)
        shortest = least(shortest, p->took_us[i]);
    uint32_t worth = shortest / WORK_US;
    return least(worth > AJF_PACE_LEAST ? worth : AJF_PACE_LEAST, most);
}
