/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Received bytes are either consumed where they lie in `in` (frame headers, message headers) or go to the caller's
 * buffer: what is missing of a DATA frame is received into that buffer, and what follows it into `in`, by one readv.
 */
#include "h2.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum { FRAME_DATA = 0, FRAME_HEADERS = 1, FRAME_RST_STREAM = 3, FRAME_SETTINGS = 4, FRAME_PING = 6, FRAME_GOAWAY = 7,
       FRAME_WINDOW_UPDATE = 8 };
enum { FLAG_ACK = 1, FLAG_END_STREAM = 1, FLAG_END_HEADERS = 4, FLAG_PADDED = 8 };
enum { SETTING_ENABLE_PUSH = 2, SETTING_INITIAL_WINDOW_SIZE = 4, SETTING_MAX_FRAME_SIZE = 5 };

#define FRAME_HEADER_BYTES 9
#define WINDOW_BYTES UINT32_C(0x7fffffff)
#define INITIAL_WINDOW_BYTES UINT32_C(65535) /* of a connection, before any update */
#define TOP_UP_BYTES (UINT32_C(64) << 20)
#define MAX_FRAME_BYTES (UINT32_C(1) << 20)
#define IN_BYTES 4096
#define OUT_BYTES 2048       /* of a request's headers */
#define CHUNK_TAG 0x0a       /* field 1, length-delimited */
#define MAX_STREAM UINT32_C(0x3fffffff) /* then a new connection */

/* Where the parser is in a message: 5 bytes of gRPC, then tag and length of the response and of the chunk. */
enum part { PART_PREFIX, PART_RESPONSE_TAG, PART_RESPONSE_LENGTH, PART_CHUNK_TAG, PART_CHUNK_LENGTH, PART_DATA };

struct ajf_h2 {
    int fd;
    atomic_bool aborted;
    bool ended;          /* the peer has ended the call */
    bool nested;         /* the data of a message lies in a field of its field */
    bool broken;         /* GOAWAY or an error: no other call */
    uint32_t stream;     /* of the call */
    uint32_t frame_left; /* bytes of the DATA frame that were not consumed yet */
    uint32_t pad_left;   /* of them, padding at its end */
    bool frame_ends;     /* the DATA frame is the last one */
    enum part part;
    uint32_t part_done;    /* bytes of the part that were consumed */
    uint32_t message_left; /* bytes of the message behind the prefix */
    uint64_t length;       /* being decoded */
    uint32_t data_left;
    uint32_t stream_taken, connection_taken; /* bytes since the windows were topped up */
    size_t in_at, in_end;
    uint8_t in[IN_BYTES];
};

/* ------------------------------------------------------------------------------------------------- the socket */

static int wait_for(struct ajf_h2 *h, short events, int timeout_ms)
{
    struct pollfd p = {.fd = h->fd, .events = events};
    int n;
    do
        n = poll(&p, 1, timeout_ms);
    while (n < 0 && errno == EINTR);
    if (atomic_load(&h->aborted))
        return -ECANCELED;
    return n < 0 ? -errno : n ? 0 : -ETIMEDOUT;
}

static int fail(struct ajf_h2 *h, int err)
{
    h->broken = true;
    return atomic_load(&h->aborted) ? -ECANCELED : err;
}

static int send_all(struct ajf_h2 *h, const void *bytes, size_t len, int timeout_ms)
{
    const uint8_t *at = bytes;
    while (len) {
        ssize_t n = send(h->fd, at, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            int err = wait_for(h, POLLOUT, timeout_ms);
            if (err)
                return fail(h, err);
            continue;
        }
        if (n < 0)
            return fail(h, -errno);
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Into `buffer` first, when it is not NULL, and behind that into `in`, which is empty; returns what `buffer` got. */
static ssize_t receive(struct ajf_h2 *h, void *buffer, size_t size, int timeout_ms)
{
    struct iovec v[] = {{buffer, buffer ? size : 0}, {h->in + h->in_end, IN_BYTES - h->in_end}};
    for (;;) {
        ssize_t n = readv(h->fd, v, 2);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            /* Servers hold a small packet back until the one before is acknowledged, for which the kernel takes 40 ms. */
            setsockopt(h->fd, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
            int err = wait_for(h, POLLIN, timeout_ms);
            if (err)
                return fail(h, err);
            continue;
        }
        if (n <= 0)
            return fail(h, n ? -errno : -ECONNRESET);
        size_t direct = (size_t)n < v[0].iov_len ? (size_t)n : v[0].iov_len;
        h->in_end += (size_t)n - direct;
        return (ssize_t)direct;
    }
}

/* Makes `n` bytes (at most IN_BYTES) lie in `in` one behind the other. */
static int need(struct ajf_h2 *h, size_t n, int timeout_ms)
{
    if (h->in_end - h->in_at < n && h->in_at) {
        memmove(h->in, h->in + h->in_at, h->in_end - h->in_at);
        h->in_end -= h->in_at;
        h->in_at = 0;
    }
    while (h->in_end - h->in_at < n) {
        ssize_t err = receive(h, NULL, 0, timeout_ms);
        if (err < 0)
            return (int)err;
    }
    return 0;
}

static int skip(struct ajf_h2 *h, size_t n, int timeout_ms)
{
    while (n) {
        int err = need(h, 1, timeout_ms);
        if (err)
            return err;
        size_t here = h->in_end - h->in_at, take = here < n ? here : n;
        h->in_at += take;
        n -= take;
        if (h->in_at == h->in_end)
            h->in_at = h->in_end = 0;
    }
    return 0;
}

/* ---------------------------------------------------------------------------------------------------- writing */

static uint8_t *put_u32(uint8_t *p, uint32_t v)
{
    *p++ = (uint8_t)(v >> 24);
    *p++ = (uint8_t)(v >> 16);
    *p++ = (uint8_t)(v >> 8);
    *p++ = (uint8_t)v;
    return p;
}

static uint8_t *put_frame(uint8_t *p, uint32_t len, uint8_t type, uint8_t flags, uint32_t stream)
{
    p = put_u32(p, len << 8 | type);
    *p++ = flags;
    return put_u32(p, stream);
}

static uint8_t *put_setting(uint8_t *p, uint16_t id, uint32_t value)
{
    *p++ = (uint8_t)(id >> 8);
    *p++ = (uint8_t)id;
    return put_u32(p, value);
}

/* A literal string, not Huffman coded: RFC 7541, 5.2. NULL when there is no room before `end`. */
static uint8_t *put_string(uint8_t *p, const uint8_t *end, const char *text)
{
    size_t len = strlen(text);
    if (!p || (size_t)(end - p) < len + 6)
        return NULL;
    if (len < 127) {
        *p++ = (uint8_t)len;
    } else {
        size_t rest = len - 127;
        *p++ = 127;
        for (; rest >= 128; rest >>= 7)
            *p++ = (uint8_t)(rest | 128);
        *p++ = (uint8_t)rest;
    }
    memcpy(p, text, len);
    return p + len;
}

/* A field whose name is `index` of the static table, or `name` where that is 0; never indexed: RFC 7541, 6.2.2. */
static uint8_t *put_field(uint8_t *p, const uint8_t *end, uint8_t index, const char *name, const char *value)
{
    if (!p || end - p < 3)
        return NULL;
    *p++ = index < 15 ? index : 15;
    if (index >= 15)
        *p++ = (uint8_t)(index - 15);
    if (!index)
        p = put_string(p, end, name);
    return put_string(p, end, value);
}

static int top_up(struct ajf_h2 *h, uint32_t *taken, uint32_t stream, int timeout_ms)
{
    uint8_t out[FRAME_HEADER_BYTES + 4];
    if (*taken < TOP_UP_BYTES)
        return 0;
    put_u32(put_frame(out, 4, FRAME_WINDOW_UPDATE, 0, stream), *taken);
    *taken = 0;
    return send_all(h, out, sizeof out, timeout_ms);
}

static int greet(struct ajf_h2 *h, int timeout_ms)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    uint8_t out[sizeof preface - 1 + 2 * FRAME_HEADER_BYTES + 3 * 6 + 4], *p = out;
    memcpy(p, preface, sizeof preface - 1);
    p = put_frame(p + sizeof preface - 1, 3 * 6, FRAME_SETTINGS, 0, 0);
    p = put_setting(p, SETTING_ENABLE_PUSH, 0);
    p = put_setting(p, SETTING_INITIAL_WINDOW_SIZE, WINDOW_BYTES);
    p = put_setting(p, SETTING_MAX_FRAME_SIZE, MAX_FRAME_BYTES);
    p = put_frame(p, 4, FRAME_WINDOW_UPDATE, 0, 0);
    p = put_u32(p, WINDOW_BYTES - INITIAL_WINDOW_BYTES);
    return send_all(h, out, (size_t)(p - out), timeout_ms);
}

int ajf_h2_call(struct ajf_h2 *h, const char *path, const char *authority, const char *channel_id, const void *message,
                size_t len, bool nested, int timeout_ms)
{
    uint8_t out[OUT_BYTES], *p = out + FRAME_HEADER_BYTES;
    /* The request must fit in one frame and the initial window, as every ReadRequest does. */
    const uint8_t *end = out + OUT_BYTES - 2 * FRAME_HEADER_BYTES - 5 - (len < OUT_BYTES / 2 ? len : 0);
    if (h->broken || len >= OUT_BYTES / 2)
        return h->broken ? -ECONNRESET : -E2BIG;
    h->stream = h->stream ? h->stream + 2 : 1;
    h->ended = h->frame_ends = false;
    h->nested = nested;
    h->part = PART_PREFIX;
    h->frame_left = h->pad_left = h->part_done = h->message_left = h->data_left = h->stream_taken = 0;
    *p++ = 0x80 | 3; /* :method POST */
    *p++ = 0x80 | 6; /* :scheme http */
    p = put_field(p, end, 4, NULL, path);
    p = put_field(p, end, 1, NULL, authority);
    p = put_field(p, end, 31, NULL, "application/grpc");
    p = put_field(p, end, 0, "te", "trailers");
    p = put_field(p, end, 58, NULL, "alluxio-jnifuse");
    if (*channel_id)
        p = put_field(p, end, 0, "channel-id", channel_id);
    if (!p)
        return -E2BIG;
    put_frame(out, (uint32_t)(p - out) - FRAME_HEADER_BYTES, FRAME_HEADERS, FLAG_END_HEADERS, h->stream);
    p = put_frame(p, (uint32_t)len + 5, FRAME_DATA, 0, h->stream);
    *p++ = 0; /* not compressed */
    p = put_u32(p, (uint32_t)len);
    memcpy(p, message, len);
    return send_all(h, out, (size_t)(p - out) + len, timeout_ms);
}

/* ---------------------------------------------------------------------------------------------------- reading */

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int answer_ping(struct ajf_h2 *h, uint32_t len, uint8_t flags, int timeout_ms)
{
    uint8_t out[FRAME_HEADER_BYTES + 8];
    if (len != 8)
        return fail(h, -EPROTO);
    int err = need(h, 8, timeout_ms);
    if (err || flags & FLAG_ACK)
        return err ? err : skip(h, 8, timeout_ms);
    memcpy(put_frame(out, 8, FRAME_PING, FLAG_ACK, 0), h->in + h->in_at, 8);
    err = skip(h, 8, timeout_ms);
    return err ? err : send_all(h, out, sizeof out, timeout_ms);
}

static int answer_settings(struct ajf_h2 *h, uint32_t len, uint8_t flags, int timeout_ms)
{
    uint8_t out[FRAME_HEADER_BYTES];
    int err = skip(h, len, timeout_ms);
    if (err || flags & FLAG_ACK)
        return err;
    put_frame(out, 0, FRAME_SETTINGS, FLAG_ACK, 0);
    return send_all(h, out, sizeof out, timeout_ms);
}

static int begin_data(struct ajf_h2 *h, uint32_t len, uint8_t flags, int timeout_ms)
{
    h->stream_taken += len;
    h->connection_taken += len;
    h->frame_left = len;
    h->pad_left = 0;
    h->frame_ends = flags & FLAG_END_STREAM;
    if (flags & FLAG_PADDED) {
        int err = len ? need(h, 1, timeout_ms) : fail(h, -EPROTO);
        if (err)
            return err;
        h->pad_left = h->in[h->in_at++];
        if (h->pad_left >= len)
            return fail(h, -EPROTO);
        h->frame_left = len - 1;
    }
    int err = h->frame_ends ? 0 : top_up(h, &h->stream_taken, h->stream, timeout_ms);
    return err ? err : top_up(h, &h->connection_taken, 0, timeout_ms);
}

/* Takes one frame; of a DATA frame of the call only its header. */
static int next_frame(struct ajf_h2 *h, int timeout_ms)
{
    int err = need(h, FRAME_HEADER_BYTES, timeout_ms);
    if (err)
        return err;
    const uint8_t *p = h->in + h->in_at;
    uint32_t len = get_u32(p) >> 8, stream = get_u32(p + 5) & 0x7fffffff;
    uint8_t type = p[3], flags = p[4];
    bool ours = stream == h->stream;
    h->in_at += FRAME_HEADER_BYTES;
    if (len > MAX_FRAME_BYTES)
        return fail(h, -EPROTO); /* no HTTP/2: the first bytes of an HTTP/1 or TLS answer, say */
    switch (type) {
    case FRAME_DATA:
        if (ours && !h->ended)
            return begin_data(h, len, flags, timeout_ms);
        h->connection_taken += len;
        return skip(h, len, timeout_ms);
    case FRAME_HEADERS:
        err = skip(h, len, timeout_ms);
        h->ended = h->ended || (ours && flags & FLAG_END_STREAM);
        return err;
    case FRAME_RST_STREAM:
        h->ended = h->ended || ours;
        return skip(h, len, timeout_ms);
    case FRAME_SETTINGS:
        return answer_settings(h, len, flags, timeout_ms);
    case FRAME_PING:
        return answer_ping(h, len, flags, timeout_ms);
    case FRAME_GOAWAY:
        h->broken = true; /* the call under way may end, no other one begins */
        return skip(h, len, timeout_ms);
    default:
        return skip(h, len, timeout_ms);
    }
}

/* One byte of a message's headers. */
static int take_header_byte(struct ajf_h2 *h, uint8_t byte)
{
    if (h->part == PART_PREFIX) {
        h->length = h->part_done ? h->length << 8 | byte : 0;
        if (!h->part_done && byte)
            return -EPROTO; /* compressed, which was not offered */
        if (++h->part_done < 5)
            return 0;
        h->message_left = (uint32_t)h->length;
        h->part_done = 0;
        h->part = h->message_left ? PART_RESPONSE_TAG : PART_PREFIX;
        return 0;
    }
    if (!h->message_left--)
        return -EPROTO;
    if (h->part == PART_RESPONSE_TAG || h->part == PART_CHUNK_TAG) {
        h->part++;
        h->length = h->part_done = 0;
        return byte == CHUNK_TAG ? 0 : -EPROTO;
    }
    if (h->part_done >= 5)
        return -EPROTO;
    h->length |= (uint64_t)(byte & 0x7f) << (7 * h->part_done++);
    if (byte & 0x80)
        return 0;
    if (h->length != h->message_left)
        return -EPROTO; /* something besides the chunk */
    bool innermost = h->part == PART_CHUNK_LENGTH || !h->nested;
    h->part_done = 0;
    h->data_left = innermost ? h->message_left : 0;
    h->part = !h->message_left ? PART_PREFIX : innermost ? PART_DATA : PART_CHUNK_TAG;
    return 0;
}

static void consumed(struct ajf_h2 *h, uint32_t n)
{
    h->data_left -= n;
    h->frame_left -= n;
    if (!h->data_left)
        h->part = PART_PREFIX;
}

/* Comes to the next byte of data: 1, or 0 at the end of the call. */
static int find_data(struct ajf_h2 *h, int timeout_ms)
{
    for (;;) {
        int err = 0;
        if (h->frame_left > h->pad_left) {
            if (h->part == PART_DATA)
                return 1;
            err = need(h, 1, timeout_ms);
            if (!err && (err = take_header_byte(h, h->in[h->in_at++])))
                err = fail(h, err);
            h->frame_left -= !err;
        } else if (h->frame_left) {
            err = skip(h, h->frame_left, timeout_ms);
            h->frame_left = h->pad_left = 0;
        } else if (h->frame_ends || h->ended) {
            h->ended = true;
            return 0;
        } else {
            err = next_frame(h, timeout_ms);
        }
        if (err)
            return err;
    }
}

ssize_t ajf_h2_read(struct ajf_h2 *h, void *buffer, size_t size, int timeout_ms)
{
    size_t done = 0;
    while (done < size) {
        if (done && h->frame_left <= h->pad_left)
            break; /* there may be no other frame of data to wait for */
        int found = find_data(h, timeout_ms);
        if (found <= 0)
            return done ? (ssize_t)done : found;
        size_t here = h->frame_left - h->pad_left, in = h->in_end - h->in_at;
        if (here > h->data_left)
            here = h->data_left;
        if (here > size - done)
            here = size - done;
        if (in) {
            if (here > in)
                here = in;
            memcpy((uint8_t *)buffer + done, h->in + h->in_at, here);
            h->in_at += here;
        } else {
            h->in_at = h->in_end = 0;
            ssize_t n = receive(h, (uint8_t *)buffer + done, here, timeout_ms);
            if (n < 0)
                return n;
            here = (size_t)n;
        }
        if (h->in_at == h->in_end)
            h->in_at = h->in_end = 0;
        consumed(h, (uint32_t)here);
        done += here;
    }
    return (ssize_t)done;
}

int ajf_h2_finish(struct ajf_h2 *h, int timeout_ms)
{
    uint8_t out[FRAME_HEADER_BYTES];
    put_frame(out, 0, FRAME_DATA, FLAG_END_STREAM, h->stream);
    int err = send_all(h, out, sizeof out, timeout_ms);
    if (!err && !timeout_ms) { /* frames of a stream that is not the current one are skipped, but not half of one */
        if (h->frame_left)
            return fail(h, -EPROTO);
        return h->broken || h->stream >= MAX_STREAM ? -ECONNRESET : 0;
    }
    int found = err ? err : find_data(h, timeout_ms);
    if (found > 0)
        return fail(h, -EPROTO);
    return found < 0 ? found : h->broken || h->stream >= MAX_STREAM ? -ECONNRESET : 0;
}

/* ------------------------------------------------------------------------------------------------- connecting */

static int connect_to(const struct sockaddr *address, socklen_t len, int timeout_ms, int *ret_fd)
{
    int on = 1, err = 0;
    socklen_t size = sizeof err;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, address, len) < 0) {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        if (errno != EINPROGRESS)
            err = errno;
        else if (poll(&p, 1, timeout_ms) <= 0)
            err = ETIMEDOUT;
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size) < 0)
            err = errno;
    }
    if (err) {
        close(fd);
        return -err;
    }
    if (address->sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    *ret_fd = fd;
    return 0;
}

static int connect_host(const char *host, const char *port, int timeout_ms, int *ret_fd)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *found = NULL;
    if (host[0] == '/') {
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        if (strlen(host) >= sizeof un.sun_path)
            return -ENAMETOOLONG;
        memcpy(un.sun_path, host, strlen(host) + 1);
        return connect_to((const struct sockaddr *)&un, sizeof un, timeout_ms, ret_fd);
    }
    int err = getaddrinfo(host, port, &hints, &found) ? -EHOSTUNREACH : -ECONNREFUSED;
    for (const struct addrinfo *a = found; a && err; a = a->ai_next)
        err = connect_to(a->ai_addr, a->ai_addrlen, timeout_ms, ret_fd);
    if (found)
        freeaddrinfo(found);
    return err;
}

int ajf_h2_connect(const char *host, const char *port, int timeout_ms, struct ajf_h2 **ret_h)
{
    struct ajf_h2 *h = calloc(1, sizeof *h);
    if (!h)
        return -ENOMEM;
    int err = connect_host(host, port, timeout_ms, &h->fd);
    if (err) {
        free(h);
        return err;
    }
    err = greet(h, timeout_ms);
    if (err) {
        ajf_h2_free(h);
        return err;
    }
    *ret_h = h;
    return 0;
}

void ajf_h2_abort(struct ajf_h2 *h)
{
    atomic_store(&h->aborted, true);
    shutdown(h->fd, SHUT_RDWR);
}

void ajf_h2_free(struct ajf_h2 *h)
{
    if (!h)
        return;
    close(h->fd);
    free(h);
}
