/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prefetch.h - how far ahead to read: a pure function of the reads of one file so far.
 *
 * The kernel splits whatever a program reads into requests and delivers them out of order over several threads, and
 * several readers may be in one file at different places. So up to AJF_STREAMS places are followed at once; a read
 * belongs to a stream when it touches the neighbourhood of its front, whatever its order.
 *
 * Requests that follow each other are no evidence of a stream: one pread of 16 MiB is a hundred of them. How far they
 * went tells the two apart. So what is fetched ahead is a share of the *run*, of what was read without gaps to speak
 * of:
 *
 *   somewhere in the file      a sixteenth of the run, and when it is longer than 18 MiB, twice what it exceeds that
 * by.
 *                              As much as the run if it is many reads of 32 KiB at most: preads come in larger pieces.
 *   from the start of a file   a quarter of the run, a MiB at least; and when it is longer than 2 MiB, eight
 *   that is read there first   times what it exceeds that by. Most files are read to their end.
 *
 * A read that stands alone fetches itself and nothing else, unless it begins a file and is longer than programs read
 * that only look at headers. So random reads of up to 16 MiB, anywhere but at the start, cost at most 17/16 of what the
 * kernel asks for, however they are split, ordered and timed. A file of up to 128 KiB is fetched whole.
 *
 * No locking, no clock, no memory: the owner serialises.
 */
#ifndef AJF_FILES_PREFETCH_H
#define AJF_FILES_PREFETCH_H

#include <stdbool.h>
#include <stdint.h>

#define AJF_STREAMS 8

struct ajf_stream {
    uint64_t start, front; /* bytes: where the run begins, furthest seen end */
    uint64_t seen;         /* bytes asked for between them; re-reads count once only roughly */
    uint64_t longest;      /* bytes of a read */
    uint64_t window;       /* bytes ahead of front */
    uint64_t used_at;      /* clock of reads, for replacement */
    bool first;            /* the file was read here before it was read anywhere else */
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

/*
 * Whether the stream that was read last is to come to any of [from, to): it is within its window, or so little behind
 * its front that a read may have been overtaken.
 */
bool ajf_prefetch_expects(const struct ajf_prefetch *p, uint64_t from, uint64_t to);

#endif
