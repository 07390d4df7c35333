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
 *                              by. Many reads of 32 KiB at most have as much as the run: preads come in larger
 *                              pieces.
 *   from the start of a file   a quarter of the run, a MiB at least; and when it is longer than 2 MiB, eight
 *   that is read there first   times what it exceeds that by. Most files are read to their end.
 *   where a thread came back   as much as the run: the thread went on here after it had read in two other places, or
 *                              in another one twice. So it is in no pread here. When it does the same in a second
 *                              place, it goes round: the places in between are read ahead before it comes to them.
 *   like others                where the shortest of the runs that came as far ended, if three of them are as good as
 *                              equal, but no more than the run.
 *   downwards                  twice what the stream went down, once that is more than pieces of a pread overtake each
 *                              other by; eight times after the first stream that did. Down to where another one was.
 *
 * A copy out of a mapping (memcpy) touches its last bytes and then goes up from the first ones, or touches the first
 * ones and goes down from the last. So a stream that meets what such a touch has read goes on with it as one. A window
 * leaves that out, since the kernel has it, and ends where more than that was read.
 *
 * A read that stands alone fetches itself and nothing else, unless it begins a file and is longer than programs read
 * that only look at headers. So random reads of up to 16 MiB, anywhere but at the start, cost at most 17/16 of what the
 * kernel asks for, however they are split, ordered and timed, and a little more if their lengths are random, too. A
 * file of up to 128 KiB is fetched whole.
 *
 * Streams that are read in turn share twice the limit.
 *
 * No locking, no clock, no memory: the owner serialises.
 */
#ifndef AJF_FILES_PREFETCH_H
#define AJF_FILES_PREFETCH_H

#include <stdbool.h>
#include <stdint.h>

#define AJF_STREAMS 16 /* eight places, and the ends of copies there */

struct ajf_stream {
    uint64_t start, front; /* bytes: where the run begins, furthest seen end */
    uint64_t seen;         /* bytes asked for between them; re-reads count once only roughly */
    uint64_t down;         /* bytes that start went down since front went up; 0: it goes up */
    uint64_t window;       /* bytes ahead of front, or below start if it goes down */
    uint64_t used_at;      /* clock of reads, for replacement; 0: there is no stream */
    uint64_t due;          /* from here on its window is still to be told by ajf_prefetch_also; 0: nothing is */
    uint32_t longest;      /* bytes of a read */
    uint32_t reader;       /* the thread that read it last; 0: unknown */
    uint8_t faith;         /* places in which that thread was before it came back; counted to 2 */
    uint8_t others;        /* streams with windows that are read in turn with it */
    uint8_t quiet;         /* reads in a row without one of those */
    bool first;            /* the file was read here before it was read anywhere else */
};

struct ajf_prefetch {
    struct ajf_stream stream[AJF_STREAMS];
    uint64_t clock;
    bool went_down; /* a stream did */
};

/* [from, to) is to be fetched. */
struct ajf_span {
    uint64_t from, to;
    bool ends; /* nothing is wanted beyond `to`, either */
};

/* Whether files of that size have streams. A smaller one is fetched whole, and needs no struct ajf_prefetch. */
bool ajf_prefetch_follows(uint64_t size);

/*
 * Notes a read of [offset, offset + length) of a file of `size` bytes by a thread (0: unknown), and returns what should
 * be fetched: the read, and at most `limit` bytes beyond the stream that it belongs to, at one of its ends; never
 * beyond size. `p`, here and below, may be NULL: then nothing is known, nor noted.
 */
struct ajf_span ajf_prefetch_note(struct ajf_prefetch *p, uint32_t reader, uint64_t offset, uint64_t length,
                                  uint64_t size, uint64_t limit);

/* More to be fetched ahead, beyond what was read already or elsewhere. To be called until it is false. */
bool ajf_prefetch_also(struct ajf_prefetch *p, uint64_t size, struct ajf_span *ret_span);

/* Whether the stream that was read last goes down. */
bool ajf_prefetch_is_down(const struct ajf_prefetch *p);

/*
 * Whether the stream that was read last is to come to any of [from, to): it is within its window, or so little behind
 * its front that a read may have been overtaken.
 */
bool ajf_prefetch_expects(const struct ajf_prefetch *p, uint64_t from, uint64_t to);

/*
 * Whether nobody is likely to come to [from, to) soon, though it was fetched ahead: it belongs to no stream, or to one
 * that was not read for a while, to which no thread has come back so far.
 */
bool ajf_prefetch_has_left(const struct ajf_prefetch *p, uint64_t from, uint64_t to);

#endif
