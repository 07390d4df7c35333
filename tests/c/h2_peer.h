/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2_peer.h - what the tests of h2.h have in common: a server that says what a test has written down, whatever it is
 * asked, and a line to it that is cut as a test wants. Of the program, h2.c calls readv and connect.c send: those here.
 */
#ifndef H2_PEER_H
#define H2_PEER_H

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "check.h"
#include "wire/h2.h"

enum { DATA = 0, HEADERS = 1, PRIORITY = 2, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7, WINDOW_UPDATE = 8,
       CONTINUATION = 9, UNKNOWN = 0x42 };
enum { ACK = 1, END_STREAM = 1, END_HEADERS = 4, PADDED = 8 };

#define PATIENCE_MS 20000 /* much longer than anything takes here */
#define PREFACE_BYTES 24

/* ------------------------------------------------------------------------------------------------------ bytes */

struct text {
    uint8_t *at;
    size_t len, room;
};

static inline void put(struct text *t, const void *bytes, size_t len)
{
    if (t->room - t->len < len) {
        t->room = 2 * t->room + len;
        t->at = realloc(t->at, t->room);
        NEED(t->at);
    }
    if (len)
        memcpy(t->at + t->len, bytes, len);
    t->len += len;
}

static inline void put_number(struct text *t, uint32_t value, unsigned n_bytes)
{
    while (n_bytes--)
        put(t, &(uint8_t){(uint8_t)(value >> 8 * n_bytes)}, 1);
}

static inline void drop(struct text *t)
{
    free(t->at);
    *t = (struct text){0};
}

static inline uint32_t number(const uint8_t *p, unsigned n_bytes)
{
    uint32_t v = 0;
    while (n_bytes--)
        v = v << 8 | *p++;
    return v;
}

static inline bool is_same(const struct text *a, const struct text *b)
{
    return a->len == b->len && (!a->len || !memcmp(a->at, b->at, a->len));
}

static inline void put_frame(struct text *t, uint8_t type, uint8_t flags, uint32_t stream, const void *payload,
                             size_t len)
{
    put_number(t, (uint32_t)len, 3);
    put(t, &type, 1);
    put(t, &flags, 1);
    put_number(t, stream, 4);
    put(t, payload, len);
}

static inline void put_padded(struct text *t, uint8_t flags, uint32_t stream, const void *data, size_t len, uint8_t pad)
{
    struct text payload = {0};
    put(&payload, &pad, 1);
    put(&payload, data, len);
    for (unsigned i = 0; i < pad; i++)
        put(&payload, "\x5a", 1);
    put_frame(t, DATA, flags | PADDED, stream, payload.at, payload.len);
    drop(&payload);
}

static inline void put_field(struct text *t, const void *data, size_t len)
{
    put(t, "\x0a", 1);
    for (size_t left = len;; left >>= 7) {
        put(t, &(uint8_t){(uint8_t)(left >= 128 ? left | 128 : left)}, 1);
        if (left < 128)
            break;
    }
    put(t, data, len);
}

/* A message with `len` bytes of data as the calls of these tests have them. */
static inline void put_message(struct text *t, bool nested, const void *data, size_t len)
{
    struct text inner = {0}, outer = {0};
    put_field(&inner, data, len);
    put_field(&outer, inner.at, inner.len);
    const struct text *m = nested ? &outer : &inner;
    put(t, "\0", 1);
    put_number(t, (uint32_t)m->len, 4);
    put(t, m->at, m->len);
    drop(&inner);
    drop(&outer);
}

static inline void put_begin(struct text *t)
{
    put_frame(t, SETTINGS, 0, 0, "\0\3\0\0\0\x64", 6); /* 100 streams */
    put_frame(t, SETTINGS, ACK, 0, NULL, 0);
}

/* Headers of an answer are never looked into. */
static inline void put_headers(struct text *t, uint8_t flags, uint32_t stream)
{
    put_frame(t, HEADERS, flags, stream, "\x88_headers", 9);
}

/* Something that may come between any two frames. */
static inline void put_interjection(struct text *t, uint64_t *seed, uint32_t stream)
{
    uint8_t junk[300];
    memset(junk, 0x0a, sizeof junk);
    switch (check_below(seed, 9)) {
    case 0:
        put_frame(t, PING, 0, 0, "pingpong", 8);
        break;
    case 1:
        put_frame(t, SETTINGS, 0, 0, "\0\4\0\1\0\0\0\x77\0\0\0\0", 12);
        break;
    case 2:
        put_frame(t, WINDOW_UPDATE, 0, 0, "\0\0\1\0", 4);
        break;
    case 3:
        put_frame(t, WINDOW_UPDATE, 0, stream, "\x7f\xff\xff\xff", 4);
        break;
    case 4:
        put_frame(t, UNKNOWN, 0xff, stream, junk, check_below(seed, sizeof junk));
        break;
    case 5:
        put_frame(t, PRIORITY, 0, stream, "\0\0\0\0\1", 5);
        break;
    case 6:
        put_frame(t, DATA, END_STREAM, stream + 1, junk, check_below(seed, sizeof junk)); /* of another stream */
        break;
    case 7:
        put_frame(t, PING, ACK, 0, "pongping", 8);
        break;
    default:
        put_frame(t, DATA, 0, stream, NULL, 0);
    }
}

/* A valid answer with that data, cut into messages and frames as it comes, or mostly into frames of one length. */
static inline void put_answer(struct text *t, uint64_t *seed, uint32_t stream, bool nested, const struct text *data)
{
    struct text messages = {0};
    for (size_t at = 0; at < data->len;) {
        size_t left = data->len - at, n = check_below(seed, 4) ? 1 + check_below(seed, left) : 0;
        if (n || check_below(seed, 2))
            put_message(&messages, nested, data->at + at, n);
        else
            put(&messages, "\0\0\0\0\0", 5); /* a message without any field */
        at += n;
    }
    uint64_t ending = check_below(seed, 4), usual = check_below(seed, 2) ? 0 : 1 + check_below(seed, 1 + data->len / 8);
    put_headers(t, END_HEADERS, stream);
    for (size_t at = 0; at < messages.len;) {
        size_t left = messages.len - at, n = 1 + check_below(seed, check_below(seed, 2) && left > 20 ? 20 : left);
        bool plain = usual && check_below(seed, 16);
        n = plain ? (left < usual ? left : usual) : n;
        uint8_t flags = ending == 0 && n == left ? END_STREAM : 0;
        if (!plain && !check_below(seed, 3))
            put_interjection(t, seed, stream);
        if (plain || check_below(seed, 4))
            put_frame(t, DATA, flags, stream, messages.at + at, n);
        else
            put_padded(t, flags, stream, messages.at + at, n, (uint8_t)check_random(seed));
        at += n;
    }
    if (ending == 1 || !messages.len)
        put_frame(t, DATA, END_STREAM, stream, NULL, 0);
    if (ending == 2) {
        put_headers(t, END_STREAM, stream);
        put_frame(t, CONTINUATION, END_HEADERS, stream, "the rest", 8);
    }
    if (ending == 3) {
        put_headers(t, END_STREAM | END_HEADERS, stream);
        put_frame(t, RST_STREAM, 0, stream, "\0\0\0\0", 4);
    }
    drop(&messages);
}

/* `len` bytes that say where they are. */
static inline struct text some_data(size_t len)
{
    struct text t = {0};
    for (size_t i = 0; i < len; i++)
        put(&t, &(uint8_t){(uint8_t)(i * 7 + (i >> 8) * 31)}, 1);
    return t;
}

/* -------------------------------------------------------------------------------------------------- the line */

static struct {
    size_t most;     /* bytes of one receive or send; 0: what there is */
    size_t edge;     /* no receive goes across this byte of the conversation */
    bool rough;      /* receives and sends are of random lengths up to `most`, interrupted and put off */
    uint64_t seed;
    size_t received; /* bytes */
    size_t receives; /* that brought any */
    size_t (*source)(uint8_t *to, size_t room); /* what is received, when no peer is to be asked */
} line;

static struct text sent; /* by the client, since `start` */

static inline size_t line_limit(size_t room)
{
    size_t limit = line.most ? line.most : room;
    if (line.rough) {
        uint64_t chance = check_below(&line.seed, 8);
        if (chance < 2) {
            errno = chance ? EINTR : EAGAIN;
            return 0;
        }
        limit = 1 + check_below(&line.seed, limit);
    }
    return limit < room ? limit : room;
}

ssize_t readv(int fd, const struct iovec *v, int count)
{
    static uint8_t buffer[1 << 16];
    size_t room = 0, done = 0;
    if (line.source) /* the first that has room; nothing behind it */
        return (ssize_t)line.source(v[!v->iov_len].iov_base, v[!v->iov_len].iov_len);
    for (int i = 0; i < count; i++)
        room += v[i].iov_len;
    room = line_limit(room < sizeof buffer ? room : sizeof buffer);
    if (!room)
        return -1;
    if (line.received < line.edge && room > line.edge - line.received)
        room = line.edge - line.received;
    ssize_t n = read(fd, buffer, room);
    for (size_t left = n > 0 ? (size_t)n : 0; left; v++) {
        size_t part = left < v->iov_len ? left : v->iov_len;
        if (part)
            memcpy(v->iov_base, buffer + done, part);
        done += part;
        left -= part;
    }
    line.received += done;
    line.receives += done > 0;
    return n;
}

ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    len = line_limit(len);
    if (!len)
        return -1;
    ssize_t n = sendto(fd, bytes, len, flags, NULL, 0);
    put(&sent, bytes, n > 0 ? (size_t)n : 0);
    return n;
}

/* The next frame that the client has sent behind *at (0: the first one); NULL: there is none. */
static inline const uint8_t *next_sent(size_t *at)
{
    *at = *at ? *at + 9 + number(sent.at + *at, 3) : PREFACE_BYTES;
    if (*at + 9 > sent.len)
        return NULL;
    NEED(*at + 9 + number(sent.at + *at, 3) <= sent.len);
    return sent.at + *at;
}

static inline unsigned count_sent(uint8_t type, uint8_t flags, uint32_t stream)
{
    unsigned n = 0;
    size_t at = 0;
    for (const uint8_t *f; (f = next_sent(&at));)
        n += f[3] == type && f[4] == flags && number(f + 5, 4) == stream;
    return n;
}

/* -------------------------------------------------------------------------------------------------- the peer */

static struct {
    int listener;
    char port[8];
    pthread_t thread;
    const struct text *script;
    void (*then)(int fd); /* what it does when it has said everything; NULL: it half-closes the connection */
} peer;

static inline void stay(int fd)
{
    (void)fd;
}

static inline void *peer_run(void *unused)
{
    char ignored[4096];
    int fd = accept(peer.listener, NULL, NULL);
    NEED(fd >= 0);
    (void)unused;
    for (size_t at = 0; at < peer.script->len;) {
        ssize_t n = sendto(fd, peer.script->at + at, peer.script->len - at, MSG_NOSIGNAL, NULL, 0);
        if (n < 0)
            break; /* the client has gone */
        at += (size_t)n;
    }
    if (peer.then)
        peer.then(fd);
    else
        shutdown(fd, SHUT_WR);
    while (read(fd, ignored, sizeof ignored) > 0)
        ;
    close(fd);
    return NULL;
}

static inline int call(struct ajf_h2 *h, bool nested)
{
    return ajf_h2_call(h, "/p.Service/Method", "host:1", "id", "request", 7, nested, PATIENCE_MS);
}

/* A connection on which the peer will say `script`. */
static inline struct ajf_h2 *start(const struct text *script, void (*then)(int fd))
{
    struct ajf_h2 *h = NULL;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    if (!peer.listener) {
        peer.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        NEED(!bind(peer.listener, (struct sockaddr *)&address, len) && !listen(peer.listener, 8));
        NEED(!getsockname(peer.listener, (struct sockaddr *)&address, &len));
        snprintf(peer.port, sizeof peer.port, "%u", ntohs(address.sin_port));
    }
    drop(&sent);
    line.received = line.receives = 0;
    peer.script = script;
    peer.then = then;
    NEED(!pthread_create(&peer.thread, NULL, peer_run, NULL));
    NEED(!ajf_h2_connect("127.0.0.1", peer.port, PATIENCE_MS, &h));
    return h;
}

static inline void end(struct ajf_h2 *h)
{
    ajf_h2_free(h);
    pthread_join(peer.thread, NULL);
}

/* Reads a call to its end by pieces of that size: 0 or an error. */
static inline int read_all(struct ajf_h2 *h, size_t piece, struct text *ret_data)
{
    uint8_t *buffer = malloc(piece);
    ssize_t n;
    NEED(buffer);
    while ((n = ajf_h2_read(h, buffer, piece, PATIENCE_MS)) > 0) {
        CHECK((size_t)n <= piece);
        put(ret_data, buffer, (size_t)n);
    }
    free(buffer);
    return (int)n;
}

/* One call to a peer that says `script`: 0 or an error, and the data that came before. */
static inline int hear(const struct text *script, bool nested, size_t piece, struct text *ret_data)
{
    struct ajf_h2 *h = start(script, NULL);
    int err = call(h, nested);
    if (!err)
        err = read_all(h, piece, ret_data);
    end(h);
    return err;
}

/* -------------------------------------------------------------------------------------------------- the tests */

static struct text script, data, got; /* of the test that runs */

/* A new script, with what every server begins with. */
static inline void begin(void)
{
    drop(&script);
    drop(&data);
    drop(&got);
    put_begin(&script);
}

static inline struct ajf_h2 *start_call(void (*then)(int fd))
{
    struct ajf_h2 *h = start(&script, then);
    CHECK_EQ(call(h, true), 0);
    return h;
}

static inline void put_one_answer(uint32_t stream, const char *text)
{
    struct text message = {0};
    put_message(&message, true, text, strlen(text));
    put_headers(&script, END_HEADERS, stream);
    put_frame(&script, DATA, 0, stream, message.at, message.len);
    put_headers(&script, END_HEADERS | END_STREAM, stream);
    drop(&message);
}

static inline void expect_read(struct ajf_h2 *h, const char *text)
{
    char buffer[64];
    for (size_t at = 0; at < strlen(text);) {
        ssize_t n = ajf_h2_read(h, buffer, strlen(text) - at, PATIENCE_MS);
        CHECK(n > 0 && !memcmp(buffer, text + at, (size_t)n));
        if (n <= 0)
            return;
        at += (size_t)n;
    }
}

#endif
