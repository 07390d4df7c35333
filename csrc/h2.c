/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Received bytes are either consumed where they lie in `in` (frame headers, message headers) or go to the caller's
 * buffer: what is missing of a DATA frame is received into that buffer, and what follows it into `in`, by one readv.
 *
 * Servers cut a message into many frames of one length (gRPC's into 32 KiB), and a system call for each costs more than
 * its bytes. So the same readv takes the frames that are likely to follow: their headers go to a place of their own, and
 * their data behind the data before. Where a header turns out to be another one than expected, what was received from
 * there on is moved to memory that takes the place of `in`, and is parsed again.
 */
#include "h2.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "connect.h"
#include "sync.h"

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
#define MOST_FRAMES 8                   /* that are received ahead at once: 256 KiB of those that gRPC sends */
#define BATCH_BYTES (UINT32_C(128) << 10) /* worth waiting for together: a wake-up costs as much as copying 100 KiB */
#define BATCH_NS (5 * AJF_NS_PER_MS)    /* for so long: a slow peer's bytes are taken as they come */
#define HEADERS_BYTES 2048              /* of a request, with that of the frame */
#define MAX_REQUEST_BYTES 12288         /* paths are long; but it goes out in one frame, in windows that are open */
#define SETTING_BYTES 6
#define PREFIX_BYTES 5                  /* of gRPC, before each message */
#define CHUNK_TAG 0x0a                  /* field 1, length-delimited */
#define MAX_STREAM UINT32_C(0x3fffffff) /* then a new connection */

/* Where the parser is in a message: 5 bytes of gRPC, then tag and length of the response and of the chunk. */
enum part { PART_PREFIX, PART_RESPONSE_TAG, PART_RESPONSE_LENGTH, PART_CHUNK_TAG, PART_CHUNK_LENGTH, PART_DATA };

struct ajf_h2 {
    int fd;
    atomic_bool aborted;
    int error;             /* the first one, or 0 */
    int timeout_ms;        /* of the function under way */
    uint64_t deadline_ns;  /* for the next byte of data, when it is waited for; else 0 */
    bool greeted;          /* the peer speaks HTTP/2 */
    bool leaving;          /* GOAWAY: the call under way may end, no other one begins */
    int64_t may_send;      /* bytes of DATA on the connection */
    int64_t may_send_each; /* and on a new stream */
    uint32_t stream;       /* of the call */
    bool ended;            /* the peer has ended the call */
    bool reset;            /* and wants to hear no more of it */
    bool nested;           /* the data of a message lies in a field of its field */
    bool frame_ends;       /* the DATA frame is the last one */
    uint32_t frame_left;   /* bytes of the DATA frame that were not consumed yet */
    uint32_t pad_left;     /* of them, padding at its end */
    enum part part;
    uint32_t part_done;    /* bytes of the part that were consumed */
    uint32_t message_left; /* bytes of the message behind the prefix */
    uint64_t length;       /* being decoded */
    uint32_t data_left;
    uint32_t stream_taken, connection_taken; /* bytes since the windows were topped up */
    uint32_t frame_bytes;  /* the usual length of a DATA frame */
    unsigned trust;        /* how many frames of that length are expected to follow one */
    size_t low_water;      /* of the socket: bytes that make poll return */
    size_t in_at, in_end;
    uint8_t *in;           /* `own`, or memory of its own with more than that holds, which is not received into */
    uint8_t own[IN_BYTES];
};

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ------------------------------------------------------------------------------------------------- the socket */

/* The first error is the one that all further calls get; after ajf_h2_abort there is only one. */
static int fail(struct ajf_h2 *h, int err)
{
    if (!h->error)
        h->error = atomic_load(&h->aborted) ? -ECANCELED : err;
    return h->error;
}

/* Begins a function of the interface. */
static int enter(struct ajf_h2 *h, int timeout_ms)
{
    h->timeout_ms = timeout_ms;
    h->deadline_ns = 0;
    return atomic_load(&h->aborted) ? fail(h, -ECANCELED) : h->error;
}

static int wait_for(struct ajf_h2 *h, short events)
{
    if (!h->deadline_ns)
        h->deadline_ns = ajf_deadline_ns(h->timeout_ms);
    int err = ajf_poll_until(h->fd, events, h->deadline_ns);
    return err ? fail(h, err) : 0;
}

static int send_all(struct ajf_h2 *h, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    while (len) {
        ssize_t n = send(h->fd, at, len, MSG_NOSIGNAL);
        if (n >= 0) {
            at += n;
            len -= (size_t)n;
        } else if (errno == EAGAIN) {
            int err = wait_for(h, POLLOUT);
            if (err)
                return err;
        } else if (errno != EINTR) {
            return fail(h, -errno);
        }
    }
    return 0;
}

/* Has poll return when `bytes` can be received (or the peer has ended the connection), not before. */
static void set_low_water(struct ajf_h2 *h, size_t bytes)
{
    if (h->low_water != bytes && setsockopt(h->fd, SOL_SOCKET, SO_RCVLOWAT, &(int){(int)bytes}, sizeof(int)) == 0)
        h->low_water = bytes;
}

/* Waits for up to `worth` bytes together, but not long: then for any. */
static int wait_for_input(struct ajf_h2 *h, size_t worth)
{
    /* Servers hold a small packet back until the one before is acknowledged: the kernel would take 40 ms. */
    setsockopt(h->fd, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
    set_low_water(h, worth);
    if (worth <= 1)
        return wait_for(h, POLLIN);
    if (!h->deadline_ns)
        h->deadline_ns = ajf_deadline_ns(h->timeout_ms);
    uint64_t batch_ns = ajf_now_ns() + BATCH_NS;
    int err = ajf_poll_until(h->fd, POLLIN, batch_ns < h->deadline_ns ? batch_ns : h->deadline_ns);
    return err && err != -ETIMEDOUT ? fail(h, err) : 0;
}

/* At least one byte, into `v`. `worth`: so many, at least one, are sure to come, if not at once. */
static ssize_t receive(struct ajf_h2 *h, const struct iovec *v, int n_v, size_t worth)
{
    for (;;) {
        if (atomic_load(&h->aborted)) /* what the peer has sent before can still be received */
            return fail(h, -ECANCELED);
        ssize_t n = readv(h->fd, v, n_v);
        if (n > 0)
            return n;
        if (!n || (errno != EINTR && errno != EAGAIN))
            return fail(h, n ? -errno : -ECONNRESET);
        if (errno == EINTR)
            continue;
        int err = wait_for_input(h, worth);
        if (err)
            return err;
        worth = 1;
    }
}

/* Goes on in `own`, with what is left in `in`, which is no more than fits. */
static void settle(struct ajf_h2 *h)
{
    memmove(h->own, h->in + h->in_at, h->in_end - h->in_at);
    if (h->in != h->own)
        free(h->in);
    h->in = h->own;
    h->in_end -= h->in_at;
    h->in_at = 0;
}

/* Makes `n` bytes (at most IN_BYTES) lie in `in` one behind the other. */
static int need(struct ajf_h2 *h, size_t n)
{
    if (h->in_end - h->in_at >= n)
        return 0;
    settle(h);
    while (h->in_end < n) {
        ssize_t got = receive(h, &(struct iovec){h->in + h->in_end, IN_BYTES - h->in_end}, 1, 1);
        if (got < 0)
            return (int)got;
        h->in_end += (size_t)got;
    }
    return 0;
}

static int skip(struct ajf_h2 *h, size_t n)
{
    while (n) {
        int err = need(h, 1);
        if (err)
            return err;
        size_t here = h->in_end - h->in_at, take = here < n ? here : n;
        h->in_at += take;
        n -= take;
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

/* A field whose name is `index` of the static table, or `name` where that is 0; not indexed: RFC 7541, 6.2.2. */
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

static int top_up(struct ajf_h2 *h, uint32_t *taken, uint32_t stream)
{
    uint8_t out[FRAME_HEADER_BYTES + 4];
    if (*taken < TOP_UP_BYTES)
        return 0;
    put_u32(put_frame(out, 4, FRAME_WINDOW_UPDATE, 0, stream), *taken);
    *taken = 0;
    return send_all(h, out, sizeof out);
}

static int greet(struct ajf_h2 *h)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    uint8_t out[sizeof preface - 1 + 2 * FRAME_HEADER_BYTES + 3 * SETTING_BYTES + 4], *p = out;
    memcpy(p, preface, sizeof preface - 1);
    p = put_frame(p + sizeof preface - 1, 3 * SETTING_BYTES, FRAME_SETTINGS, 0, 0);
    p = put_setting(p, SETTING_ENABLE_PUSH, 0);
    p = put_setting(p, SETTING_INITIAL_WINDOW_SIZE, WINDOW_BYTES);
    p = put_setting(p, SETTING_MAX_FRAME_SIZE, MAX_FRAME_BYTES);
    p = put_frame(p, 4, FRAME_WINDOW_UPDATE, 0, 0);
    p = put_u32(p, WINDOW_BYTES - INITIAL_WINDOW_BYTES);
    return send_all(h, out, (size_t)(p - out));
}

/* Whether the peer would take another request, of `len` bytes, at once. */
static bool is_usable(const struct ajf_h2 *h, size_t len)
{
    int64_t least = h->may_send < h->may_send_each ? h->may_send : h->may_send_each;
    return !h->leaving && h->stream < MAX_STREAM && least >= (int64_t)len + PREFIX_BYTES;
}

int ajf_h2_call(struct ajf_h2 *h, const char *path, const char *authority, const char *channel_id, const void *message,
                size_t len, bool nested, int timeout_ms)
{
    uint8_t out[HEADERS_BYTES + FRAME_HEADER_BYTES + PREFIX_BYTES + MAX_REQUEST_BYTES], *p = out + FRAME_HEADER_BYTES;
    const uint8_t *end = out + HEADERS_BYTES;
    int err = enter(h, timeout_ms);
    if (!err)
        err = skip(h, h->frame_left); /* padding of the call before */
    if (err)
        return err;
    h->frame_left = h->pad_left = h->part_done = h->message_left = h->data_left = h->stream_taken = 0;
    h->ended = h->reset = h->frame_ends = false;
    h->nested = nested;
    h->part = PART_PREFIX;
    if (len > MAX_REQUEST_BYTES)
        return fail(h, -E2BIG);
    if (!is_usable(h, len))
        return fail(h, -ECONNRESET);
    *p++ = 0x20 | 0; /* size of the dynamic table, in case that the peer has changed it: RFC 7541, 4.2 */
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
        return fail(h, -E2BIG);
    h->stream = h->stream ? h->stream + 2 : 1;
    put_frame(out, (uint32_t)(p - out) - FRAME_HEADER_BYTES, FRAME_HEADERS, FLAG_END_HEADERS, h->stream);
    p = put_frame(p, (uint32_t)len + PREFIX_BYTES, FRAME_DATA, 0, h->stream);
    *p++ = 0; /* not compressed */
    p = put_u32(p, (uint32_t)len);
    memcpy(p, message, len);
    h->may_send -= (int64_t)len + PREFIX_BYTES;
    return send_all(h, out, (size_t)(p - out) + len);
}

/* ---------------------------------------------------------------------------------------------------- reading */

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int answer_ping(struct ajf_h2 *h, uint32_t len, uint8_t flags)
{
    uint8_t out[FRAME_HEADER_BYTES + 8];
    if (len != 8)
        return fail(h, -EPROTO);
    int err = need(h, 8);
    if (err || flags & FLAG_ACK)
        return err ? err : skip(h, 8);
    memcpy(put_frame(out, 8, FRAME_PING, FLAG_ACK, 0), h->in + h->in_at, 8);
    err = skip(h, 8);
    return err ? err : send_all(h, out, sizeof out);
}

static int take_settings(struct ajf_h2 *h, uint32_t len, uint8_t flags)
{
    uint8_t out[FRAME_HEADER_BYTES];
    if (flags & FLAG_ACK)
        return skip(h, len);
    if (len % SETTING_BYTES)
        return fail(h, -EPROTO);
    for (; len; len -= SETTING_BYTES) {
        int err = need(h, SETTING_BYTES);
        if (err)
            return err;
        const uint8_t *p = h->in + h->in_at;
        if ((p[0] << 8 | p[1]) == SETTING_INITIAL_WINDOW_SIZE)
            h->may_send_each = get_u32(p + 2);
        h->in_at += SETTING_BYTES;
    }
    put_frame(out, 0, FRAME_SETTINGS, FLAG_ACK, 0);
    return send_all(h, out, sizeof out);
}

static int take_goaway(struct ajf_h2 *h, uint32_t len)
{
    int err = len < 8 ? fail(h, -EPROTO) : need(h, 8);
    if (err)
        return err;
    h->leaving = true;
    if ((get_u32(h->in + h->in_at) & WINDOW_BYTES) < h->stream && !h->ended)
        return fail(h, -ECONNRESET); /* the call has not even begun there */
    return skip(h, len);
}

static int take_window_update(struct ajf_h2 *h, uint32_t len, uint32_t stream)
{
    int err = len != 4 ? fail(h, -EPROTO) : need(h, 4);
    if (err)
        return err;
    if (!stream)
        h->may_send += get_u32(h->in + h->in_at) & WINDOW_BYTES;
    return h->may_send > WINDOW_BYTES ? fail(h, -EPROTO) : skip(h, 4);
}

static int begin_data(struct ajf_h2 *h, uint32_t len, uint8_t flags)
{
    h->stream_taken += len;
    h->connection_taken += len;
    h->frame_left = len;
    h->pad_left = 0;
    h->frame_ends = flags & FLAG_END_STREAM;
    if (len > h->frame_bytes) { /* shorter ones are the ends of messages */
        h->frame_bytes = len;
        h->trust = 0;
    } else if (len && len == h->frame_bytes && h->trust < MOST_FRAMES) {
        h->trust++;
    }
    if (flags & FLAG_PADDED) {
        int err = len ? need(h, 1) : fail(h, -EPROTO);
        if (err)
            return err;
        h->pad_left = h->in[h->in_at++];
        if (h->pad_left >= len)
            return fail(h, -EPROTO);
        h->frame_left = len - 1;
    }
    int err = h->frame_ends ? 0 : top_up(h, &h->stream_taken, h->stream);
    return err ? err : top_up(h, &h->connection_taken, 0);
}

/* Takes one frame; of a DATA frame of the call only its header. */
static int next_frame(struct ajf_h2 *h)
{
    int err = need(h, FRAME_HEADER_BYTES);
    if (err)
        return err;
    const uint8_t *p = h->in + h->in_at;
    uint32_t len = get_u32(p) >> 8, stream = get_u32(p + 5) & 0x7fffffff;
    uint8_t type = p[3], flags = p[4];
    bool ours = stream == h->stream;
    h->in_at += FRAME_HEADER_BYTES;
    if (len > MAX_FRAME_BYTES || (!h->greeted && (type != FRAME_SETTINGS || flags & FLAG_ACK || stream)))
        return fail(h, -EPROTO); /* no HTTP/2: the first bytes of an HTTP/1 or TLS answer, say */
    h->greeted = true;
    switch (type) {
    case FRAME_DATA:
        if (ours && !h->ended)
            return begin_data(h, len, flags);
        h->connection_taken += len;
        err = skip(h, len);
        return err ? err : top_up(h, &h->connection_taken, 0);
    case FRAME_HEADERS:
        err = skip(h, len);
        h->ended = h->ended || (ours && flags & FLAG_END_STREAM);
        return err;
    case FRAME_RST_STREAM:
        h->ended = h->ended || ours;
        h->reset = h->reset || ours;
        return skip(h, len);
    case FRAME_SETTINGS:
        return take_settings(h, len, flags);
    case FRAME_PING:
        return answer_ping(h, len, flags);
    case FRAME_GOAWAY:
        return take_goaway(h, len);
    case FRAME_WINDOW_UPDATE:
        return take_window_update(h, len, stream);
    default:
        return skip(h, len);
    }
}

/* One byte of a message's headers. */
static int take_header_byte(struct ajf_h2 *h, uint8_t byte)
{
    if (h->part == PART_PREFIX) {
        h->length = h->part_done ? h->length << 8 | byte : 0;
        if (!h->part_done && byte)
            return -EPROTO; /* compressed, which was not offered */
        if (++h->part_done < PREFIX_BYTES)
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

/* Comes to the next byte of data: 1, or 0 at the end of the call. */
static int find_data(struct ajf_h2 *h)
{
    for (;;) {
        int err = 0;
        if (h->frame_left > h->pad_left) {
            if (h->part == PART_DATA)
                return 1;
            err = need(h, 1);
            if (!err && (err = take_header_byte(h, h->in[h->in_at++])))
                err = fail(h, err);
            h->frame_left -= !err;
        } else if (h->frame_left) {
            err = skip(h, h->frame_left);
            h->frame_left = h->pad_left = 0;
        } else if (h->frame_ends || h->ended) {
            h->ended = true;
            return 0;
        } else {
            err = next_frame(h);
        }
        if (err)
            return err;
    }
}

static void count_data(struct ajf_h2 *h, size_t n)
{
    h->data_left -= (uint32_t)n;
    h->frame_left -= (uint32_t)n;
}

/* What is received at once: the rest of a frame, `n` more, and what comes behind them. */
struct batch {
    struct iovec v[2 + 2 * MOST_FRAMES];
    uint8_t headers[MOST_FRAMES][FRAME_HEADER_BYTES];
    unsigned n;
    size_t bytes; /* of data */
};

/* The data of the frame goes to `buffer`, and as much of those expected behind it as has room in `size` bytes. */
static void lay_out(struct ajf_h2 *h, struct batch *b, uint8_t *buffer, size_t size)
{
    size_t frame = h->frame_left - h->pad_left, end = min_size(h->data_left, size);
    struct iovec *v = b->v;
    b->n = 0;
    b->bytes = min_size(frame, end);
    *v++ = (struct iovec){buffer, b->bytes};
    bool last = frame > b->bytes || h->pad_left || h->frame_ends;
    while (!last && b->bytes < end && b->n < h->trust) {
        size_t len = min_size(end - b->bytes, h->frame_bytes);
        *v++ = (struct iovec){b->headers[b->n++], FRAME_HEADER_BYTES};
        *v++ = (struct iovec){buffer + b->bytes, len};
        b->bytes += len;
    }
    *v = (struct iovec){h->in, IN_BYTES};
}

/* Whether the i-th header behind the first frame is the one that was expected. */
static bool is_expected(const struct ajf_h2 *h, const struct batch *b, unsigned i)
{
    const uint8_t *p = b->headers[i];
    uint32_t len = get_u32(p) >> 8;
    size_t expected = b->v[2 + 2 * i].iov_len;
    return p[3] == FRAME_DATA && !p[4] && get_u32(p + 5) == h->stream && len <= MAX_FRAME_BYTES &&
           (len == expected || (len > expected && i + 1 == b->n));
}

/* The `n` bytes that were received into `v` and what follows it will be parsed. */
static void take_back(struct ajf_h2 *h, const struct iovec *v, size_t n)
{
    uint8_t *in = malloc(n);
    if (!in) {
        fail(h, -ENOMEM);
        return;
    }
    for (size_t done = 0; done < n; v++) {
        size_t len = min_size(v->iov_len, n - done);
        memcpy(in + done, v->iov_base, len);
        done += len;
    }
    h->in = in;
    h->in_end = n;
    h->frame_bytes = h->trust = 0;
}

/* Receives up to `size` bytes of data while `in` is empty. An error comes after the data that came before it. */
static ssize_t receive_data(struct ajf_h2 *h, uint8_t *buffer, size_t size)
{
    struct batch b;
    settle(h);
    lay_out(h, &b, buffer, size);
    ssize_t got = receive(h, b.v, 2 + 2 * (int)b.n, min_size(b.bytes, BATCH_BYTES));
    if (got < 0)
        return got;
    size_t left = (size_t)got, done = min_size(left, b.v[0].iov_len);
    count_data(h, done);
    left -= done;
    for (unsigned i = 0; i < b.n && left; i++) {
        const struct iovec *header = &b.v[1 + 2 * i], *data = header + 1;
        if (left < FRAME_HEADER_BYTES) {
            memcpy(h->in, header->iov_base, left);
            break;
        }
        if (!is_expected(h, &b, i)) {
            take_back(h, header, left);
            return (ssize_t)done;
        }
        left -= FRAME_HEADER_BYTES;
        size_t len = min_size(left, data->iov_len);
        if (begin_data(h, get_u32(b.headers[i]) >> 8, 0))
            return (ssize_t)done; /* the connection is lost */
        count_data(h, len);
        done += len;
        left -= len;
    }
    h->in_end = left;
    return (ssize_t)done;
}

/* Up to `size` bytes of data, as many as are here: from `in`, or received straight into `buffer`. */
static ssize_t take_data(struct ajf_h2 *h, void *buffer, size_t size)
{
    size_t in = h->in_end - h->in_at;
    ssize_t n;
    if (in) {
        size_t len = min_size(min_size(h->frame_left - h->pad_left, h->data_left), min_size(size, in));
        memcpy(buffer, h->in + h->in_at, len);
        h->in_at += len;
        count_data(h, len);
        n = (ssize_t)len;
    } else if ((n = receive_data(h, buffer, size)) < 0) {
        return n;
    }
    if (!h->data_left)
        h->part = PART_PREFIX;
    h->deadline_ns = 0; /* patience begins anew */
    return n;
}

ssize_t ajf_h2_read(struct ajf_h2 *h, void *buffer, size_t size, int timeout_ms)
{
    size_t done = 0;
    int err = enter(h, timeout_ms);
    if (err)
        return err;
    while (done < size) {
        if (done && h->frame_left <= h->pad_left)
            break; /* there may be no other frame of data to wait for */
        ssize_t n = find_data(h);
        if (n > 0)
            n = take_data(h, (uint8_t *)buffer + done, size - done);
        if (n <= 0)
            return done ? (ssize_t)done : n; /* an error stays, for the next time */
        done += (size_t)n;
    }
    return (ssize_t)done;
}

ssize_t ajf_h2_read_message(struct ajf_h2 *h, void *buffer, size_t size, int timeout_ms)
{
    int err = enter(h, timeout_ms), found = err ? err : find_data(h);
    if (found <= 0)
        return found;
    size_t len = h->data_left;
    if (len > size)
        return fail(h, -EMSGSIZE);
    for (size_t done = 0; done < len;) {
        ssize_t n = ajf_h2_read(h, (uint8_t *)buffer + done, len - done, timeout_ms);
        if (n <= 0)
            return n ? n : fail(h, -EPROTO); /* half a message is none */
        done += (size_t)n;
    }
    return (ssize_t)len;
}

int ajf_h2_finish(struct ajf_h2 *h, int timeout_ms)
{
    uint8_t out[FRAME_HEADER_BYTES];
    int err = enter(h, timeout_ms);
    if (!err && !h->reset) {
        put_frame(out, 0, FRAME_DATA, FLAG_END_STREAM, h->stream);
        err = send_all(h, out, sizeof out);
    }
    if (err)
        return err;
    /* Without waiting: frames of a stream that is not the current one are passed over. */
    int found = timeout_ms ? find_data(h) : h->frame_left > h->pad_left;
    if (found)
        return found < 0 ? found : fail(h, -EPROTO);
    return is_usable(h, MAX_REQUEST_BYTES) ? 0 : fail(h, -ECONNRESET);
}

/* -------------------------------------------------------------------------------------------------- begin and end */

int ajf_h2_connect(const char *host, const char *port, int timeout_ms, struct ajf_h2 **ret_h)
{
    struct ajf_h2 *h = calloc(1, sizeof *h);
    if (!h)
        return -ENOMEM;
    int err = ajf_connect(host, port, timeout_ms, &h->fd);
    if (err) {
        free(h);
        return err;
    }
    h->in = h->own;
    h->low_water = 1;
    h->timeout_ms = timeout_ms;
    h->may_send = h->may_send_each = INITIAL_WINDOW_BYTES;
    err = greet(h);
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
    if (h->in != h->own)
        free(h->in);
    free(h);
}
