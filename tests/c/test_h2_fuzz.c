/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls over HTTP/2 (h2.h) with peers that say what nobody should: valid conversations with bytes changed, left out,
 * repeated and cut off. What is heard and how it ends is compared with what `understand` makes of the same bytes.
 *
 *     test_h2_fuzz [ROUNDS [SEED]]
 */
#include "h2_peer.h"

#define ROUNDS 6000
#define MOST_FRAME (UINT32_C(1) << 20)
#define REQUEST_BYTES 12

/* Whole messages of `t`, and what there is of the last one: 0 or -EPROTO. From the start, not step by step. */
static int understand_messages(const struct text *t, bool nested, struct text *ret_data)
{
    const uint8_t *p = t->at, *end = t->at + t->len;
    ret_data->len = 0;
    while (p < end) {
        if (*p)
            return -EPROTO;
        if (end - p < 5)
            return 0;
        uint64_t left = number(p + 1, 4);
        p += 5;
        for (unsigned depth = nested ? 2 : 1; left && depth; depth--) {
            uint64_t length = 0;
            if (p == end)
                return 0;
            if (*p++ != 0x0a)
                return -EPROTO;
            left--;
            for (unsigned i = 0;; i++) {
                if (p == end)
                    return 0;
                if (!left || i == 5)
                    return -EPROTO;
                left--;
                length |= (uint64_t)(*p & 127) << 7 * i;
                if (*p++ < 128)
                    break;
            }
            if (length != left)
                return -EPROTO;
        }
        uint64_t here = (uint64_t)(end - p) < left ? (uint64_t)(end - p) : left;
        put(ret_data, p, here);
        p += here;
    }
    return 0;
}

/* The data of the call in `t` and how it ends. */
static int understand(const struct text *t, bool nested, struct text *ret_data)
{
    struct text messages = {0};
    int64_t window = 65535 - REQUEST_BYTES;
    int err = 0;
    bool greeted = false;
    ret_data->len = 0;
    for (size_t at = 0; !err;) {
        const uint8_t *f = t->at + at, *payload = f + 9;
        if (t->len - at < 9) {
            err = -ECONNRESET;
            break;
        }
        uint32_t len = number(f, 3), stream = number(f + 5, 4) & INT32_MAX;
        uint8_t type = f[3], flags = f[4];
        size_t there = t->len - at - 9 < len ? t->len - at - 9 : len;
        bool ends = false;
        at += 9 + there;
        if (len > MOST_FRAME || (!greeted && (type != SETTINGS || flags & ACK || stream))) {
            err = -EPROTO;
            break;
        }
        greeted = true;
        if (type == DATA && stream == 1) {
            size_t pad = flags & PADDED && there ? *payload : 0, before = flags & PADDED ? 1 : 0;
            if (before && (!len || (there && pad >= len)))
                err = -EPROTO;
            else if (there > before)
                put(&messages, payload + before, (there < len - pad ? there : len - pad) - before);
            int malformed = err ? 0 : understand_messages(&messages, nested, ret_data);
            err = malformed ? malformed : err;
            ends = flags & END_STREAM;
        } else if (type == HEADERS && stream == 1) {
            ends = flags & END_STREAM;
        } else if (type == RST_STREAM && stream == 1) {
            ends = true;
        } else if (type == SETTINGS && !(flags & ACK)) {
            err = len % 6 ? -EPROTO : 0;
        } else if (type == PING) {
            err = len != 8 ? -EPROTO : 0;
        } else if (type == GOAWAY) {
            if (len < 8)
                err = -EPROTO;
            else if (there < 8 || (number(payload, 4) & INT32_MAX) < 1)
                err = -ECONNRESET;
        } else if (type == WINDOW_UPDATE) {
            if (len != 4)
                err = -EPROTO;
            else if (there == 4 && !stream && (window += number(payload, 4) & INT32_MAX) > INT32_MAX)
                err = -EPROTO;
        }
        if (!err && there < len)
            err = -ECONNRESET;
        if (!err && ends)
            break;
    }
    drop(&messages);
    return err;
}

static void mutate(struct text *t, uint64_t *seed)
{
    struct text old = *t;
    size_t from = check_below(seed, t->len + 1), n = check_below(seed, 1 + check_below(seed, 40)), to;
    n = n < old.len - from ? n : old.len - from;
    switch (check_below(seed, 6)) {
    case 0:
        t->len = from; /* cut off */
        return;
    case 1: /* left out */
        memmove(t->at + from, t->at + from + n, t->len - from - n);
        t->len -= n;
        return;
    case 2: /* repeated elsewhere */
        to = check_below(seed, t->len + 1);
        *t = (struct text){0};
        put(t, old.at, to);
        put(t, old.at + from, n);
        put(t, old.at + to, old.len - to);
        drop(&old);
        return;
    case 3: /* other bytes */
        while (n--)
            t->at[from + n] = (uint8_t)check_random(seed);
        return;
    default: /* another bit */
        if (from < t->len)
            t->at[from] ^= (uint8_t)(1 << check_below(seed, 8));
    }
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : ROUNDS;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    unsigned ends[3] = {0};
    for (uint64_t round = first; round < first + rounds; round++) {
        struct text meant = {0};
        uint64_t seed = round;
        bool nested = check_below(&seed, 4);
        begin();
        data = some_data(check_below(&seed, check_below(&seed, 4) ? 100 : 9000));
        put_answer(&script, &seed, 1, nested, &data);
        for (uint64_t n = check_below(&seed, 4); n; n--)
            mutate(&script, &seed);
        line.rough = check_below(&seed, 2);
        line.most = check_below(&seed, 3) ? 1 + check_below(&seed, 1 << check_below(&seed, 14)) : 0;
        line.seed = seed;
        int want = understand(&script, nested, &meant);
        int err = hear(&script, nested, 1 + check_below(&seed, 1 << check_below(&seed, 14)), &got);
        if (err != want || !is_same(&got, &meant))
            CHECK_SAY("round %" PRIu64 ": %zu bytes and %d, not %zu and %d", round, got.len, err, meant.len, want);
        ends[!want ? 0 : want == -EPROTO ? 1 : 2]++;
        drop(&meant);
    }
    begin();
    drop(&script);
    drop(&sent);
    for (unsigned i = 0; i < 3; i++)
        CHECK(ends[i] >= rounds / 20); /* or the conversations are of no use */
    CHECK_END();
}
