/* SPDX-License-Identifier: Apache-2.0 */
#include "prefetch.h"

#include <stdbool.h>
#include <stddef.h>

#define KIB UINT64_C(1024)
/* The kernel has two read-ahead requests of 1 MiB under way per stream; each may overtake the other. */
#define NEAR_BYTES (2048 * KIB)
/* A first read at 0 of at least this is the start of a stream: tools that read whole files ask for 128 KiB at once. */
#define EAGER_BYTES (64 * KIB)
/* Opens with this window, then doubles with every read that goes on. */
#define FIRST_WINDOW_BYTES (1024 * KIB)
/* Files up to this size are fetched whole: one request costs more than its bytes. */
#define WHOLE_BYTES (128 * KIB)

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
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

uint64_t ajf_prefetch_note(struct ajf_prefetch *p, uint64_t offset, uint64_t length, uint64_t size, uint64_t limit)
{
    uint64_t end = min_u64(offset + length, size);
    if (!limit)
        return end;
    if (size <= WHOLE_BYTES)
        return size;
    struct ajf_stream *s = stream_of(p, offset, end);
    if (!s) {
        s = replace(p);
        bool eager = offset == 0 && length >= EAGER_BYTES;
        *s = (struct ajf_stream){.start = offset, .front = end, .seen = end - offset};
        s->window = eager ? FIRST_WINDOW_BYTES : 0;
    } else {
        if (end > s->front) {
            s->front = end;
            if (offset < s->start)
                s->start = offset;
            s->seen += end - offset;
            /* Dense: at least three quarters of the way was read, and more than one read long. */
            bool dense = s->seen * 4 >= (s->front - s->start) * 3 && s->seen > length;
            s->window = dense ? min_u64(s->window ? s->window * 2 : FIRST_WINDOW_BYTES, limit) : 0;
        } else {
            s->seen += end - offset;
        }
    }
    s->used_at = ++p->clock;
    uint64_t to = s->window ? s->front + min_u64(s->window, limit) : end;
    return min_u64(to > end ? to : end, size);
}
