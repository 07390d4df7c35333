/* SPDX-License-Identifier: Apache-2.0 */
#include "files/prefetch.h"

#include <stddef.h>

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
/*
 * The kernel has two read-ahead requests of 1 MiB under way per stream; each may overtake the other. For a page fault
 * it reads 1 MiB around the page.
 */
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
/* A thread that comes back. One other place may be a piece of the pread before that came late. */
#define FAITH 2
/* So many runs that are equal tell of another one. */
#define ALIKE 3
/* Downwards. */
#define DOWN_GROWTH 2
#define DOWN_AGAIN_GROWTH 8
/* After so many reads elsewhere a stream was left, and after as many of its own it is alone. */
#define QUIET 64

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

/* ------------------------------------------------------------------------------- to which stream a read belongs */

static bool touches_front(const struct ajf_stream *s, uint64_t offset, uint64_t end)
{
    return s->used_at && offset <= s->front + NEAR_BYTES && end + NEAR_BYTES >= s->front;
}

/* Half as much may be missing in between: that is another request. */
static bool adjoins(const struct ajf_stream *s, uint64_t offset, uint64_t end)
{
    return offset < s->start && end <= s->front && end + (end - offset) / 2 >= s->start;
}

/* It adjoins the start, or was overtaken by one that did. */
static bool goes_down(const struct ajf_stream *s, uint64_t offset, uint64_t end)
{
    bool late = s->down && offset >= s->start && offset <= s->start + NEAR_BYTES && end <= s->front;
    return s->used_at && (late || adjoins(s, offset, end));
}

static struct ajf_stream *merge(struct ajf_stream *low, struct ajf_stream *high)
{
    low->front = high->front;
    low->seen += high->seen;
    low->longest = low->longest > high->longest ? low->longest : high->longest;
    low->used_at = max_u64(low->used_at, high->used_at);
    low->down = low->window = 0; /* it is worth more now */
    high->used_at = 0;
    return low;
}

/* Of several, one that goes down there; else one that has come from below; else the one that is furthest. */
static bool fits_better(const struct ajf_stream *a, const struct ajf_stream *b, uint64_t offset, uint64_t end)
{
    bool down_a = a->down && goes_down(a, offset, end), down_b = b->down && goes_down(b, offset, end);
    if (down_a != down_b)
        return down_a;
    if ((a->start <= offset) != (b->start <= offset))
        return a->start <= offset;
    return a->front > b->front;
}

/*
 * Two that the read has in common: one came up to where a copy has touched its last bytes, or down to where one has
 * touched the first.
 */
static bool have_met(const struct ajf_stream *low, const struct ajf_stream *high, uint64_t offset, uint64_t end)
{
    bool met = offset <= low->front && end >= high->start && low->front <= high->front;
    return met && (high->down || high->front - high->start <= NEAR_BYTES);
}

static struct ajf_stream *stream_of(struct ajf_prefetch *p, uint64_t offset, uint64_t end)
{
    struct ajf_stream *best = NULL;
    for (int i = 0; i < AJF_STREAMS; i++) {
        struct ajf_stream *s = &p->stream[i];
        if (!touches_front(s, offset, end) && !goes_down(s, offset, end))
            continue;
        if (!best || fits_better(s, best, offset, end))
            best = s;
    }
    for (int i = 0; best && i < AJF_STREAMS; i++) {
        struct ajf_stream *s = &p->stream[i];
        if (s == best || !s->used_at)
            continue;
        if (s->start < best->start && have_met(s, best, offset, end))
            best = merge(s, best);
        else if (s->start >= best->start && have_met(best, s, offset, end))
            best = merge(best, s);
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

/* ---------------------------------------------------------------------------------------- what a stream is worth */

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
    if (s->faith == FAITH || (s->longest <= PIECE_BYTES && run >= MANY * s->longest))
        return run;
    uint64_t ahead = run / PART + GROWTH * excess(run, LONG_BYTES);
    return ahead >= LEAST_BYTES ? ahead : 0;
}

/*
 * Bytes ahead of the front that others make likely: of those that came as far, the shortest ones were as good as equal.
 * No more than the run: this may be the end of a copy. None before the second request: the first one that comes may not
 * be the lowest.
 */
static uint64_t likely(const struct ajf_prefetch *p, const struct ajf_stream *s)
{
    uint64_t way = s->front - s->start, least = UINT64_MAX;
    int alike = 0;
    for (int i = 0; i < AJF_STREAMS; i++) {
        const struct ajf_stream *o = &p->stream[i];
        if (o != s && o->used_at && run_of(o) >= way)
            least = min_u64(least, run_of(o));
    }
    for (int i = 0; i < AJF_STREAMS; i++) {
        const struct ajf_stream *o = &p->stream[i];
        alike += o != s && o->used_at && run_of(o) >= least && run_of(o) - least <= least / 8;
    }
    uint64_t ahead = alike >= ALIKE && s->seen > s->longest ? min_u64(least - way, run_of(s)) : 0;
    return ahead >= LEAST_BYTES ? ahead : 0;
}

/* Bytes below the start. */
static uint64_t worth_below(const struct ajf_prefetch *p, const struct ajf_stream *s)
{
    if (p->went_down)
        return s->down >= s->longest ? DOWN_AGAIN_GROWTH * s->down : 0;
    return s->down >= min_u64(NEAR_BYTES, MANY * (uint64_t)s->longest) ? DOWN_GROWTH * s->down : 0;
}

static void widen(struct ajf_prefetch *p, struct ajf_stream *s, uint64_t limit)
{
    uint64_t bytes = s->down ? worth_below(p, s) : max_u64(worth(s), likely(p, s));
    s->window = min_u64(bytes, min_u64(limit, 2 * limit / (1 + s->others)));
    p->went_down = p->went_down || (s->down && s->window);
}

/* ------------------------------------------------------------------------------------------- streams read in turn */

/*
 * A thread came back to `s`, where it was in so many other places before. If it had come back to another one just
 * before that, it goes round.
 */
static void go_round(struct ajf_prefetch *p, const struct ajf_stream *s, int places, uint64_t limit)
{
    const struct ajf_stream *last = NULL;
    for (int i = 0; i < AJF_STREAMS; i++) {
        const struct ajf_stream *o = &p->stream[i];
        if (o != s && o->used_at && o->reader == s->reader && (!last || o->used_at > last->used_at))
            last = o;
    }
    for (int i = 0; last && last->faith == FAITH && i < AJF_STREAMS; i++) {
        struct ajf_stream *o = &p->stream[i];
        if (o->used_at <= s->used_at || o->reader != s->reader || o->faith == FAITH || o->down)
            continue;
        o->faith = FAITH;
        o->others = (uint8_t)places;
        widen(p, o, limit);
        o->due = o->front;
    }
}

/* Looks at the streams that were read since `s` was; `on`: its reader goes on where it was. */
static void look_round(struct ajf_prefetch *p, struct ajf_stream *s, uint32_t reader, bool on, uint64_t limit)
{
    int places = 0, others = 0;
    for (int i = 0; i < AJF_STREAMS; i++) {
        const struct ajf_stream *o = &p->stream[i];
        if (o->used_at <= s->used_at)
            continue;
        places += o->reader == reader;
        others += o->window > 0;
    }
    if (places && on && reader && reader == s->reader && s->faith < FAITH) {
        s->faith = s->faith + places < FAITH ? (uint8_t)(s->faith + places) : FAITH;
        if (s->faith == FAITH)
            go_round(p, s, places, limit);
    }
    s->quiet = others ? 0 : (uint8_t)min_u64(s->quiet + 1, QUIET);
    if (s->quiet == QUIET)
        s->others = 0;
    else if (others > s->others)
        s->others = (uint8_t)others;
    else if (others && others < s->others)
        s->others--;
}

/* -------------------------------------------------------------------------------------------------- what to fetch */

/* Down to where another stream was. */
static struct ajf_span span_below(const struct ajf_prefetch *p, const struct ajf_stream *s, uint64_t end)
{
    uint64_t from = excess(s->start, s->window);
    for (int i = 0; i < AJF_STREAMS; i++) {
        const struct ajf_stream *o = &p->stream[i];
        if (o != s && o->used_at && o->start <= s->start)
            from = max_u64(from, min_u64(o->front, s->start));
    }
    return (struct ajf_span){.from = from, .to = end};
}

/*
 * The window of a stream from `from` on: up to where another one was, but not before `end`. The last bytes of a copy
 * that is on the way there are left out, since the kernel has them; what follows them is due.
 */
static struct ajf_span span_ahead(const struct ajf_prefetch *p, struct ajf_stream *s, uint64_t from, uint64_t end,
                                  uint64_t size)
{
    uint64_t to = s->window ? s->front + s->window : end, least = size;
    const struct ajf_stream *touched = NULL;
    for (int i = 0; i < AJF_STREAMS; i++) {
        const struct ajf_stream *o = &p->stream[i];
        if (o == s || !o->used_at || o->start < end)
            continue;
        if (o->front - o->start > NEAR_BYTES)
            least = min_u64(least, o->start);
        else if (!touched || o->start < touched->start)
            touched = o;
    }
    if (touched && touched->start < min_u64(to, least)) {
        least = touched->start;
        s->due = touched->front;
    }
    return (struct ajf_span){.from = from, .to = max_u64(min_u64(to, least), end), .ends = to >= least};
}

bool ajf_prefetch_follows(uint64_t size)
{
    return size > WHOLE_BYTES;
}

struct ajf_span ajf_prefetch_note(struct ajf_prefetch *p, uint32_t reader, uint64_t offset, uint64_t length,
                                  uint64_t size, uint64_t limit)
{
    uint64_t end = min_u64(offset + length, size), bytes = end - offset;
    if (limit && !ajf_prefetch_follows(size))
        return (struct ajf_span){.from = offset, .to = size};
    if (!limit || !p)
        return (struct ajf_span){.from = offset, .to = end};
    struct ajf_stream *s = stream_of(p, offset, end);
    struct ajf_stream alone = {
        .start = offset, .front = end, .seen = bytes, .longest = (uint32_t)bytes, .reader = reader, .first = !p->clock
    };
    if (!s) {
        s = replace(p);
        *s = alone;
        widen(p, s, limit);
    } else {
        bool up = end > s->front, down = s->down;
        look_round(p, s, reader, up && offset <= s->front, limit);
        if (adjoins(s, offset, end))
            s->down += min_u64(bytes, s->start - offset);
        else if (up || offset < s->start)
            s->down = 0;
        s->seen += bytes;
        s->longest = (uint32_t)max_u64(s->longest, bytes);
        s->start = min_u64(s->start, offset);
        s->front = max_u64(s->front, end);
        s->reader = reader;
        alone.first = false;
        if (!is_dense(s))
            *s = alone;
        if (up || down || s->down || !s->window) /* also when it goes down no longer: its window lies below it */
            widen(p, s, limit);
    }
    s->used_at = ++p->clock;
    if (s->down && offset == s->start)
        return span_below(p, s, end);
    if (s->down)
        return (struct ajf_span){.from = offset, .to = end};
    if (end >= s->front)
        return span_ahead(p, s, offset, end, size);
    s->due = s->front; /* it was overtaken, or two have met: the rest was read, or will be */
    return (struct ajf_span){.from = offset, .to = end};
}

bool ajf_prefetch_also(struct ajf_prefetch *p, uint64_t size, struct ajf_span *ret_span)
{
    for (int i = 0; p && i < AJF_STREAMS; i++) {
        struct ajf_stream *s = &p->stream[i];
        while (s->due) {
            uint64_t from = s->due;
            s->due = 0;
            if (from >= s->front + s->window)
                continue;
            *ret_span = span_ahead(p, s, from, from, size);
            if (ret_span->to > from)
                return true;
        }
    }
    return false;
}

static const struct ajf_stream *last_of(const struct ajf_prefetch *p)
{
    const struct ajf_stream *last = &p->stream[0];
    for (int i = 1; i < AJF_STREAMS; i++)
        if (p->stream[i].used_at > last->used_at)
            last = &p->stream[i];
    return last;
}

bool ajf_prefetch_is_down(const struct ajf_prefetch *p)
{
    return p && last_of(p)->down;
}

bool ajf_prefetch_expects(const struct ajf_prefetch *p, uint64_t from, uint64_t to)
{
    if (!p)
        return false;
    const struct ajf_stream *last = last_of(p);
    if (last->down)
        return last->window && from < last->start + NEAR_BYTES && to + last->window > last->start;
    return last->window && from < last->front + last->window && to + NEAR_BYTES > last->front;
}

bool ajf_prefetch_has_left(const struct ajf_prefetch *p, uint64_t from, uint64_t to)
{
    for (int i = 0; p && i < AJF_STREAMS; i++) {
        const struct ajf_stream *s = &p->stream[i];
        uint64_t below = NEAR_BYTES + (s->down ? s->window : 0), above = NEAR_BYTES + (s->down ? 0 : s->window);
        if (!s->used_at || (s->faith < FAITH && p->clock - s->used_at > QUIET))
            continue;
        if (to + below > s->start && from < s->front + above)
            return false;
    }
    return p;
}
