/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pace.h - how many small fetches it is worth having under way at once: a function of how long the last ones took.
 *
 * A fetch that waits for a server leaves the processors to others, so the longer it waits, the more of them make up for
 * it. One that is nearly all work gains nothing by company: threads that wait for each other, for the interpreter or
 * for a processor, cost more in being put to sleep and woken than their work takes.
 *
 * A server makes each of them wait; they themselves make most of the others wait, but not all. So the shortest of the
 * last ones counts.
 *
 * No locking, no clock, no memory: the owner serialises.
 */
#ifndef AJF_SOURCE_PACE_H
#define AJF_SOURCE_PACE_H

#include <stdint.h>

#define AJF_PACE_SEEN 16
#define AJF_PACE_LEAST 2 /* one is at work while another one waits */

struct ajf_pace {
    uint32_t took_us[AJF_PACE_SEEN]; /* the last ones, in a ring */
    uint32_t n;                      /* that were noted; from AJF_PACE_SEEN on, modulo that */
};

/* A fetch of few bytes has brought them, and took so long. */
void ajf_pace_note(struct ajf_pace *p, uint64_t took_ns);
/* How many at once, at most `most`; AJF_PACE_LEAST as long as nothing is known. */
uint32_t ajf_pace_at_once(const struct ajf_pace *p, uint32_t most);

#endif
