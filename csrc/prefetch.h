/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prefetch.h - how far ahead to read: a pure function of the reads of one file so far.
 *
 * The kernel splits a stream into requests and delivers them out of order over several threads, and several readers
 * may be in one file at different places. So up to AJF_STREAMS places are followed at once; a read belongs to a
 * stream when it touches the neighbourhood of its front, whatever its order; and a stream's window opens only while
 * what was read of it is dense. A single read anywhere fetches itself and nothing else.
 *
 * No locking, no clock, no memory: the owner serialises.
 */
#ifndef AJF_PREFETCH_H
#define AJF_PREFETCH_H

#include <stdint.h>

#define AJF_STREAMS 8

struct ajf_stream {
    uint64_t start, front; /* bytes: first seen, furthest seen end */
    uint64_t seen;         /* bytes asked for between them; re-reads count once only roughly */
    uint64_t window;       /* bytes ahead of front; 0 = not sequential (yet) */
    uint64_t used_at;      /* clock of reads, for replacement */
};

struct ajf_prefetch {
    struct ajf_stream stream[AJF_STREAMS];
    uint64_t clock;
};

/*
 * Notes a read of [offset, offset + length) of a file of `size` bytes, and returns the offset up to which the file
 * should be fetched: at least the end of the read, at most `limit` bytes further, never beyond size.
 */
uint64_t ajf_prefetch_note(struct ajf_prefetch *p, uint64_t offset, uint64_t length, uint64_t size, uint64_t limit);

#endif
