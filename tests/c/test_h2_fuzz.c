/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls over HTTP/2 (h2.h) with peers that say what nobody should: valid conversations with bytes changed, left out,
 * repeated and cut off. What is heard and how it ends is compared with what `understand` makes of the same bytes.
 *
 *     test_h2_fuzz [-n ROUNDS | -t SECONDS] [-s SEED] [-o FILE] [INPUT...]
 *
 * First the inputs are tried as they are, those of the corpus unless some are named; then they, and conversations that
 * are made here, are changed. A round depends on its number alone, the first of which is SEED. FILE always has the last
 * input: it is there in the end if that failed, and can be named as an INPUT.
 */
#include <glob.h>
#include <time.h>

#include "h2_peer.h"

#define CORPUS "tests/fuzz/corpus/h2/*.bin"

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

/* What the peer of a try says, behind whether messages are nested and a number that decides how the line is cut. */
#define INPUT_HEAD 9

static void put_input(struct text *t, bool nested, uint64_t cuts, const struct text *said)
{
    put(t, &(uint8_t){nested}, 1);
    put(t, &cuts, sizeof cuts);
    put(t, said->at, said->len);
}

/* Compares what is heard with what is to be; returns how that ends: 0, 1 for nonsense, 2 for a connection that ends. */
static unsigned try(const struct text *input, const char *name)
{
    struct text meant = {0};
    uint64_t cuts;
    bool nested = input->at[0] & 1;
    memcpy(&cuts, input->at + 1, sizeof cuts);
    drop(&script);
    drop(&got);
    put(&script, input->at + INPUT_HEAD, input->len - INPUT_HEAD);
    line.rough = check_below(&cuts, 2);
    line.most = check_below(&cuts, 3) ? 1 + check_below(&cuts, 1 << check_below(&cuts, 14)) : 0;
    line.seed = cuts;
    int want = understand(&script, nested, &meant);
    int err = hear(&script, nested, 1 + check_below(&cuts, 1 << check_below(&cuts, 14)), &got);
    if (err != want || !is_same(&got, &meant))
        CHECK_SAY("%s: %zu bytes and %d, not %zu and %d", name, got.len, err, meant.len, want);
    drop(&meant);
    return !want ? 0 : want == -EPROTO ? 1 : 2;
}

/* A valid answer. */
static void make_input(struct text *t, uint64_t *seed)
{
    bool nested = check_below(seed, 4);
    begin();
    data = some_data(check_below(seed, check_below(seed, 4) ? 100 : 9000));
    put_answer(&script, seed, 1, nested, &data);
    put_input(t, nested, check_random(seed), &script);
}

static void mutate_input(struct text *t, uint64_t *seed)
{
    struct text said = {0};
    uint64_t cuts = check_random(seed);
    bool nested = t->at[0] & 1;
    put(&said, t->at + INPUT_HEAD, t->len - INPUT_HEAD);
    for (uint64_t n = check_below(seed, 4); n; n--)
        mutate(&said, seed);
    t->len = 0;
    put_input(t, nested, cuts, &said);
    drop(&said);
}

static struct text load(const char *path)
{
    struct text t = {0};
    uint8_t piece[4096];
    FILE *file = fopen(path, "rb");
    NEED(file);
    for (size_t n; (n = fread(piece, 1, sizeof piece, file));)
        put(&t, piece, n);
    fclose(file);
    NEED(t.len >= INPUT_HEAD);
    return t;
}

/* Whatever becomes of this process, its last input can be tried again. */
static void note(const char *path, const struct text *input)
{
    FILE *file = path ? fopen(path, "wb") : NULL;
    if (!file)
        return;
    fwrite(input->at, 1, input->len, file);
    fclose(file);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    uint64_t rounds = ROUNDS, first = 1, done = 0, ends[3] = {0};
    double seconds = 0, began = now_s();
    const char *noted = NULL;
    glob_t corpus = {0};
    for (int option; (option = getopt(argc, argv, "n:t:s:o:")) >= 0;) {
        if (option == 'n')
            rounds = strtoull(optarg, NULL, 0);
        else if (option == 't')
            seconds = strtod(optarg, NULL), rounds = UINT64_MAX;
        else if (option == 's')
            first = strtoull(optarg, NULL, 0);
        else if (option == 'o')
            noted = optarg;
        else
            return 2;
    }
    NEED(optind < argc || !glob(CORPUS, 0, NULL, &corpus)); /* they run in the top directory */
    char **paths = optind < argc ? argv + optind : corpus.gl_pathv;
    size_t n_paths = optind < argc ? (size_t)(argc - optind) : corpus.gl_pathc;
    for (size_t i = 0; i < n_paths; i++) {
        struct text input = load(paths[i]);
        try(&input, paths[i]);
        drop(&input);
    }
    while (done < rounds && !check_failures && (!seconds || now_s() - began < seconds)) {
        char name[40];
        uint64_t seed = first + done++;
        snprintf(name, sizeof name, "round %" PRIu64, seed);
        struct text input = {0};
        if (check_below(&seed, 4))
            make_input(&input, &seed);
        else
            input = load(paths[check_below(&seed, n_paths)]);
        mutate_input(&input, &seed);
        note(noted, &input);
        ends[try(&input, name)]++;
        drop(&input);
    }
    double took = now_s() - began;
    printf("%-14s %9" PRIu64 " inputs in %4.0f s, %6.0f/s, seed %" PRIu64 "\n", "h2", done, took, (double)done / took,
           first);
    begin();
    drop(&script);
    drop(&sent);
    for (unsigned i = 0; i < 3 && done >= ROUNDS; i++)
        CHECK(ends[i] >= done / 20); /* or the conversations are of no use */
    if (noted && !check_failures)
        unlink(noted);
    globfree(&corpus);
    CHECK_END();
}
