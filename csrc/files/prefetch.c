/* SPDX-License-Identifier: Apache-2.0 */
#include "files/prefetch.h"

#include <stddef.h>

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
/* The kernel has two read-ahead requests of 1 MiB under way per stream; each may overtake the other. */
#define NEAR_BYTES (2 * MIB)
/* Files up to this size are fetched whole: one request costs more than its bytes. */
#define WHOLE_BYTES (128 * KIB)

/* From the start of a file. For a read of up to 32 KiB the kernel asks for 64. */
#define EAGER_BYTES (128 * KIB)
#define HEAD_BYTES (1 * MIB)
#define HEAD_PART 4
#define HEAD_LONG_BYTES (2 * MIB)
#define HEAD_GROWTH 8
/* Anywhere else. With its own read-ahead the kernel makes 18 MiB of a pread of 16. */
#define PART 16
#define LEAST_BYTES (64 * KIB)
#define LONG_BYTES (18 * MIB)
#define GROWTH 2
/* Many small reads: neither the kernel's read-ahead nor the pieces of a pread. */
#define PIECE_BYTES (32 * KIB)
#define MANY 8

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t excess(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static struct ajf_stream *stream_of(struct ajf_prefetch *p, uint64_t offset, uint64_t end)
{
    struct ajf_stream *best = NULL;
    for (int i = 0; i < AJF_STREAMS; i++) {
        struct ajf_stream *s = &p->stream[i];
        if (s->used_at && offset <= s->front + NEAR_BYTES && end + NEAR_BYTES >= s->front &&
            (!best || s->front > best->front))
            best = s;
    }
    return best;
}

static struct ajf_stream *replace(struct ajf_prefetch *p)
{
    struct ajf_stream *oldest = &p->stream[0];
    for (int i = 1; i < AJF_STREAMS; i++)
        if (p->stream[i].used_at < oldest->used_at)
            oldest = &p->stream[i];
    return oldest;
}

static uint64_t run_of(const struct ajf_stream *s)
{
    return min_u64(s->seen, s->front - s->start);
}

/* The missing part may be under way, or be the quarter that a reader leaves out. */
static bool is_dense(const struct ajf_stream *s)
{
    uint64_t way = s->front - s->start;
    return excess(way, s->seen) <= max_u64(way / 4, NEAR_BYTES);
}

/* Bytes ahead of the front that the run is worth. */
static uint64_t worth(const struct ajf_stream *s)
{
    uint64_t run = run_of(s);
    if (s->first && !s->start) {
        if (run <= s->longest && run < EAGER_BYTES)
            return 0;
        return max_u64(run / HEAD_PART + HEAD_GROWTH * excess(run, HEAD_LONG_BYTES), HEAD_BYTES);
    }
    if (s->longest <= PIECE_BYTES && run >= MANY * s->longest)
        return run;
    uint64_t ahead = run / PART + GROWTH * excess(run, LONG_BYTES);
    return ahead >= LEAST_BYTES ? ahead : 0;
}

uint64_t ajf_prefetch_note(struct ajf_prefetch *p, uint64_t offset, uint64_t length, uint64_t size, uint64_t limit)
{
    uint64_t end = min_u64(offset + length, size), bytes = end - offset;
    if (!limit)
        return end;
    if (size <= WHOLE_BYTES)
        return size;
    struct ajf_stream *s = stream_of(p, offset, end);
    if (!s) {
        s = replace(p);
        *s = (struct ajf_stream){.start = offset, .front = end, .seen = bytes, .longest = bytes, .first = !p->clock};
        s->window = min_u64(worth(s), limit);
    } else {
        bool forward = end > s->front;
        s->seen += bytes;
        s->longest = max_u64(s->longest, bytes);
        s->start = min_u64(s->start, offset);
        s->front = max_u64(s->front, end);
        if (!is_dense(s))
            *s = (struct ajf_stream){.start = offset, .front = end, .seen = bytes, .longest = bytes};
        if (forward)
            s->window = min_u64(worth(s), limit);
    }
    s->used_at = ++p->clock;
    return min_u64(s->window ? s->front + s->window : end, size);
}

bool ajf_prefetch_expects(const struct ajf_prefetch *p, uint64_t from, uint64_t to)
{
    const struct ajf_stream *last = &p->stream[0];
    for (int i = 1; i < AJF_STREAMS; i++)
        if (p->stream[i].used_at > last->used_at)
            last = &p->stream[i];
    return last->window && from < last->front + last->window && to + NEAR_BYTES > last->front;
}
