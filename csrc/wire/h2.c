/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Received bytes are either consumed where they lie in `in` (frame headers, message headers) or go to the caller's
 * buffer: what is missing of a DATA frame is received into that buffer, and what follows it into `in`, by one readv.
 *
 * Servers cut a message into many frames of one length (gRPC's into 32 KiB), and a system call for each costs more than
 * its bytes. So the same readv takes the frames that are likely to follow: their headers go to a place of their own,
 * and their data behind the data before. If a header turns out to be another one than expected, the bytes from there on
 * are moved to memory that takes the place of `in`, and are parsed again.
 */
#include "wire/h2.h"

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

#include "base/sync.h"
#include "wire/connect.h"
#include "wire/h2_frame.h"
#include "wire/h2_message.h"

#define WINDOW_BYTES UINT32_C(0x7fffffff)
#define TOP_UP_BYTES (UINT32_C(64) << 20)
#define MAX_FRAME_BYTES (UINT32_C(1) << 20)
#define IN_BYTES 4096
#define MOST_FRAMES 8                     /* that are received ahead at once: 256 KiB of those that gRPC sends */
#define BATCH_BYTES (UINT32_C(128) << 10) /* worth waiting for together: a wake-up costs as much as copying 100 KiB */
#define BATCH_NS (5 * AJF_NS_PER_MS)      /* for so long: a slow peer's bytes are taken as they come */
#define LEAST_BYTES 4096                  /* of data that renew the patience: with each single byte a peer could drip */
#define MOST_IDLE 10000                   /* frames without data one after the other: pings, settings, headers */
#define HEADERS_BYTES 2048                /* of a request, with that of the frame */
#define MAX_REQUEST_BYTES 12288           /* paths are long; but it goes out in one frame, in windows that are open */
#define MAX_STREAM UINT32_C(0x3fffffff)   /* then a new connection */

struct ajf_h2 {
    int fd;
    atomic_bool aborted;
    int error;             /* the first one, or 0 */
    int timeout_ms;        /* of the function under way */
    uint64_t deadline_ns;  /* for the next LEAST_BYTES of data, since they are waited for; else 0 */
    size_t came;           /* of them */
    unsigned idle;         /* frames without data that came meanwhile */
    bool greeted;          /* the peer speaks HTTP/2 */
    bool leaving;          /* GOAWAY: the call under way may end, no other one begins */
    int64_t may_send;      /* bytes of DATA on the connection */
    int64_t may_send_each; /* and on a new stream */
    uint32_t stream;       /* of the call */
    bool ended;            /* the peer has ended the call */
    bool reset;            /* and wants to hear no more of it */
    bool left;             /* it was half-closed */
    bool frame_ends;       /* the DATA frame is the last one */
    uint32_t frame_left;   /* bytes of the DATA frame that were not consumed yet */
    uint32_t pad_left;     /* of them, padding at its end */
    struct ajf_h2_message message;
    uint32_t stream_taken, connection_taken; /* bytes since the windows were topped up */
    uint32_t frame_bytes;  /* the usual length of a DATA frame */
    unsigned trust;        /* how many frames of that length are expected to follow one */
    size_t low_water;      /* of the socket: bytes that make poll return; 0: as it was made */
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
    h->deadline_ns = h->came = h->idle = 0;
    return atomic_load(&h->aborted) ? fail(h, -ECANCELED) : h->error;
}

/* Until the deadline, which fails, or until an earlier moment, which does not. */
static int wait_for(struct ajf_h2 *h, short events, uint64_t until_ns)
{
    if (!h->deadline_ns)
        h->deadline_ns = ajf_deadline_ns(h->timeout_ms);
    bool early = until_ns < h->deadline_ns;
    int err = ajf_poll_until(h->fd, events, early ? until_ns : h->deadline_ns);
    return err && !(early && err == -ETIMEDOUT) ? fail(h, err) : 0;
}

static int send_all(struct ajf_h2 *h, const void *bytes, size_t len)
{
    if (!h->deadline_ns)
        h->deadline_ns = ajf_deadline_ns(h->timeout_ms);
    int err = ajf_send_all(h->fd, bytes, len, h->deadline_ns);
    return err ? fail(h, err) : 0;
}

/* Waits for up to `worth` bytes together, but not long: then for any. */
static int wait_for_input(struct ajf_h2 *h, size_t worth)
{
    /* Servers hold a small packet back until the one before is acknowledged: the kernel would take 40 ms. */
    setsockopt(h->fd, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
    if (h->low_water != worth && setsockopt(h->fd, SOL_SOCKET, SO_RCVLOWAT, &(int){(int)worth}, sizeof(int)) == 0)
        h->low_water = worth;
    return wait_for(h, POLLIN, worth > 1 ? ajf_now_ns() + BATCH_NS : AJF_FOREVER);
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
        if (n && errno == EINTR)
            continue;
        if (!n || errno != EAGAIN)
            return fail(h, n ? -errno : -ECONNRESET);
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
    int err = 0;
    while (n && !(err = need(h, 1))) {
        size_t take = min_size(h->in_end - h->in_at, n);
        h->in_at += take;
        n -= take;
    }
    return err;
}

/* ---------------------------------------------------------------------------------------------------- writing */

static int top_up(struct ajf_h2 *h, uint32_t *taken, uint32_t stream)
{
    uint8_t out[AJF_H2_FRAME_HEADER_BYTES + 4];
    if (*taken < TOP_UP_BYTES)
        return 0;
    ajf_h2_put_u32(ajf_h2_put_frame(out, 4, AJF_H2_FRAME_WINDOW_UPDATE, 0, stream), *taken);
    *taken = 0;
    return send_all(h, out, sizeof out);
}

/* Whether the peer would take another request, of `len` bytes, at once. */
static bool is_usable(const struct ajf_h2 *h, size_t len)
{
    int64_t least = h->may_send < h->may_send_each ? h->may_send : h->may_send_each;
    return !h->leaving && h->stream < MAX_STREAM && least >= (int64_t)len + AJF_H2_PREFIX_BYTES;
}

int ajf_h2_call(struct ajf_h2 *h, const char *path, const char *authority, const char *channel_id, const void *message,
                size_t len, bool nested, int timeout_ms)
{
    uint8_t out[HEADERS_BYTES + AJF_H2_FRAME_HEADER_BYTES + AJF_H2_PREFIX_BYTES + MAX_REQUEST_BYTES];
    uint8_t *headers = out + AJF_H2_FRAME_HEADER_BYTES;
    int err = enter(h, timeout_ms);
    if (err || (err = skip(h, h->frame_left))) /* padding of the call before */
        return err;
    h->frame_left = h->pad_left = h->stream_taken = 0;
    h->ended = h->reset = h->left = h->frame_ends = false;
    h->message = (struct ajf_h2_message){.nested = nested};
    if (len > MAX_REQUEST_BYTES)
        return fail(h, -E2BIG);
    if (!is_usable(h, len))
        return fail(h, -ECONNRESET);
    uint8_t *p = ajf_h2_put_request(headers, out + HEADERS_BYTES, path, authority, channel_id);
    if (!p)
        return fail(h, -E2BIG);
    h->stream = h->stream ? h->stream + 2 : 1;
    ajf_h2_put_frame(out, (uint32_t)(p - headers), AJF_H2_FRAME_HEADERS, AJF_H2_FLAG_END_HEADERS, h->stream);
    p = ajf_h2_put_frame(p, (uint32_t)len + AJF_H2_PREFIX_BYTES, AJF_H2_FRAME_DATA, 0, h->stream);
    p = ajf_h2_put_prefix(p, (uint32_t)len);
    memcpy(p, message, len);
    h->may_send -= (int64_t)len + AJF_H2_PREFIX_BYTES;
    return send_all(h, out, (size_t)(p - out) + len);
}

/* ---------------------------------------------------------------------------------------------------- reading */

static int answer_ping(struct ajf_h2 *h, uint32_t len, uint8_t flags)
{
    uint8_t out[AJF_H2_FRAME_HEADER_BYTES + 8];
    int err = len != 8 ? fail(h, -EPROTO) : need(h, 8);
    if (err)
        return err;
    memcpy(ajf_h2_put_frame(out, 8, AJF_H2_FRAME_PING, AJF_H2_FLAG_ACK, 0), h->in + h->in_at, 8);
    h->in_at += 8;
    return flags & AJF_H2_FLAG_ACK ? 0 : send_all(h, out, sizeof out);
}

static int take_settings(struct ajf_h2 *h, uint32_t len, uint8_t flags)
{
    uint8_t out[AJF_H2_FRAME_HEADER_BYTES];
    if (flags & AJF_H2_FLAG_ACK)
        return skip(h, len);
    if (len % AJF_H2_SETTING_BYTES)
        return fail(h, -EPROTO);
    for (; len; len -= AJF_H2_SETTING_BYTES) {
        int err = need(h, AJF_H2_SETTING_BYTES);
        if (err)
            return err;
        const uint8_t *p = h->in + h->in_at;
        if ((p[0] << 8 | p[1]) == AJF_H2_SETTING_INITIAL_WINDOW_SIZE)
            h->may_send_each = ajf_h2_get_u32(p + 2);
        h->in_at += AJF_H2_SETTING_BYTES;
    }
    ajf_h2_put_frame(out, 0, AJF_H2_FRAME_SETTINGS, AJF_H2_FLAG_ACK, 0);
    return send_all(h, out, sizeof out);
}

static int take_goaway(struct ajf_h2 *h, uint32_t len)
{
    int err = len < 8 ? fail(h, -EPROTO) : need(h, 8);
    if (err)
        return err;
    h->leaving = true;
    if ((ajf_h2_get_u32(h->in + h->in_at) & WINDOW_BYTES) < h->stream && !h->ended)
        return fail(h, -ECONNRESET); /* the call has not even begun there */
    return skip(h, len);
}

static int take_window_update(struct ajf_h2 *h, uint32_t len, uint32_t stream)
{
    int err = len != 4 ? fail(h, -EPROTO) : need(h, 4);
    if (err)
        return err;
    if (!stream)
        h->may_send += ajf_h2_get_u32(h->in + h->in_at) & WINDOW_BYTES;
    return h->may_send > WINDOW_BYTES ? fail(h, -EPROTO) : skip(h, 4);
}

static int begin_data(struct ajf_h2 *h, uint32_t len, uint8_t flags)
{
    h->stream_taken += len;
    h->connection_taken += len;
    h->frame_left = len;
    h->pad_left = 0;
    h->frame_ends = flags & AJF_H2_FLAG_END_STREAM;
    if (len > h->frame_bytes) { /* shorter ones are the ends of messages */
        h->frame_bytes = len;
        h->trust = 0;
    } else if (len && len == h->frame_bytes && h->trust < MOST_FRAMES) {
        h->trust++;
    }
    if (flags & AJF_H2_FLAG_PADDED) {
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

/* A frame renews no patience, and those without data are counted: a peer may send them faster than they are read. */
static int count_frame(struct ajf_h2 *h, bool idle)
{
    if (!h->deadline_ns)
        h->deadline_ns = ajf_deadline_ns(h->timeout_ms);
    if ((h->idle += idle) > MOST_IDLE)
        return fail(h, -EPROTO);
    return ajf_now_ns() < h->deadline_ns ? 0 : fail(h, -ETIMEDOUT);
}

/* Takes one frame; of a DATA frame of the call only its header. */
static int next_frame(struct ajf_h2 *h)
{
    int err = need(h, AJF_H2_FRAME_HEADER_BYTES);
    if (err)
        return err;
    const uint8_t *p = h->in + h->in_at;
    uint32_t len = ajf_h2_get_u32(p) >> 8, stream = ajf_h2_get_u32(p + 5) & 0x7fffffff;
    uint8_t type = p[3], flags = p[4];
    bool ours = stream == h->stream;
    h->in_at += AJF_H2_FRAME_HEADER_BYTES;
    if (len > MAX_FRAME_BYTES || (!h->greeted && (type != AJF_H2_FRAME_SETTINGS || flags & AJF_H2_FLAG_ACK || stream)))
        return fail(h, -EPROTO); /* no HTTP/2: the first bytes of an HTTP/1 or TLS answer, say */
    h->greeted = true;
    if ((err = count_frame(h, type != AJF_H2_FRAME_DATA || !len)))
        return err;
    switch (type) {
    case AJF_H2_FRAME_DATA:
        if (ours && !h->ended)
            return begin_data(h, len, flags);
        h->connection_taken += len;
        err = skip(h, len);
        return err ? err : top_up(h, &h->connection_taken, 0);
    case AJF_H2_FRAME_HEADERS:
        h->ended = h->ended || (ours && flags & AJF_H2_FLAG_END_STREAM);
        return skip(h, len);
    case AJF_H2_FRAME_RST_STREAM:
        h->ended = h->ended || ours;
        h->reset = h->reset || ours;
        return skip(h, len);
    case AJF_H2_FRAME_SETTINGS:
        return take_settings(h, len, flags);
    case AJF_H2_FRAME_PING:
        return answer_ping(h, len, flags);
    case AJF_H2_FRAME_GOAWAY:
        return take_goaway(h, len);
    case AJF_H2_FRAME_WINDOW_UPDATE:
        return take_window_update(h, len, stream);
    default:
        return skip(h, len);
    }
}

/* Comes to the next byte of data: 1, or 0 at the end of the call. */
static int find_data(struct ajf_h2 *h)
{
    for (;;) {
        int err = 0;
        if (h->frame_left > h->pad_left) {
            if (h->message.data_left)
                return 1;
            err = need(h, 1);
            if (!err && (err = ajf_h2_message_take(&h->message, h->in[h->in_at++])))
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
    h->message.data_left -= (uint32_t)n;
    h->frame_left -= (uint32_t)n;
}

/* Received at once: the rest of a frame, `n` more, and the bytes behind them. */
struct batch {
    struct iovec v[2 + 2 * MOST_FRAMES];
    uint8_t headers[MOST_FRAMES][AJF_H2_FRAME_HEADER_BYTES];
    unsigned n;
    size_t bytes; /* of data */
};

/* The data of the frame goes to `buffer`, and as much of those expected behind it as has room in `size` bytes. */
static void lay_out(struct ajf_h2 *h, struct batch *b, uint8_t *buffer, size_t size)
{
    size_t frame = h->frame_left - h->pad_left, end = min_size(h->message.data_left, size);
    struct iovec *v = b->v;
    b->n = 0;
    b->bytes = min_size(frame, end);
    *v++ = (struct iovec){buffer, b->bytes};
    bool last = frame > b->bytes || h->pad_left || h->frame_ends;
    while (!last && b->bytes < end && b->n < h->trust) {
        size_t len = min_size(end - b->bytes, h->frame_bytes);
        *v++ = (struct iovec){b->headers[b->n++], AJF_H2_FRAME_HEADER_BYTES};
        *v++ = (struct iovec){buffer + b->bytes, len};
        b->bytes += len;
    }
    *v = (struct iovec){h->in, IN_BYTES};
}

/* Whether the i-th header behind the first frame is the one that was expected. */
static bool is_expected(const struct ajf_h2 *h, const struct batch *b, unsigned i)
{
    const uint8_t *p = b->headers[i];
    uint32_t len = ajf_h2_get_u32(p) >> 8;
    size_t expected = b->v[2 + 2 * i].iov_len;
    return p[3] == AJF_H2_FRAME_DATA && !p[4] && ajf_h2_get_u32(p + 5) == h->stream && len <= MAX_FRAME_BYTES &&
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
        if (left < AJF_H2_FRAME_HEADER_BYTES) {
            memcpy(h->in, header->iov_base, left);
            break;
        }
        if (!is_expected(h, &b, i)) {
            take_back(h, header, left);
            return (ssize_t)done;
        }
        left -= AJF_H2_FRAME_HEADER_BYTES;
        size_t len = min_size(left, data->iov_len);
        if (begin_data(h, ajf_h2_get_u32(b.headers[i]) >> 8, 0))
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
        size_t len = min_size(min_size(h->frame_left - h->pad_left, h->message.data_left), min_size(size, in));
        memcpy(buffer, h->in + h->in_at, len);
        h->in_at += len;
        count_data(h, len);
        n = (ssize_t)len;
    } else if ((n = receive_data(h, buffer, size)) < 0) {
        return n;
    }
    if ((h->came += (size_t)n) >= LEAST_BYTES)
        h->deadline_ns = h->came = h->idle = 0; /* patience begins anew */
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
    size_t len = h->message.data_left;
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

int ajf_h2_leave(struct ajf_h2 *h)
{
    uint8_t out[AJF_H2_FRAME_HEADER_BYTES];
    int err = enter(h, 0);
    if (err || h->reset || h->left)
        return err;
    h->left = true;
    ajf_h2_put_frame(out, 0, AJF_H2_FRAME_DATA, AJF_H2_FLAG_END_STREAM, h->stream);
    return send_all(h, out, sizeof out);
}

int ajf_h2_finish(struct ajf_h2 *h, size_t most, int timeout_ms)
{
    int found = 0, err = ajf_h2_leave(h);
    err = err ? err : enter(h, timeout_ms);
    /* Without waiting: frames of a stream that is not the current one are passed over. */
    while (!err && (found = timeout_ms ? find_data(h) : h->frame_left > h->pad_left) > 0) {
        size_t n = min_size(min_size(h->frame_left - h->pad_left, h->message.data_left), most);
        err = n ? skip(h, n) : fail(h, -EPROTO);
        count_data(h, n);
        most -= n;
    }
    if (err || found)
        return err ? err : found;
    return is_usable(h, MAX_REQUEST_BYTES) ? 0 : fail(h, -ECONNRESET);
}

/* -------------------------------------------------------------------------------------------------- begin and end */

int ajf_h2_connect(const char *host, const char *port, int timeout_ms, struct ajf_h2 **ret_h)
{
    uint8_t out[AJF_H2_GREETING_BYTES];
    struct ajf_h2 *h = calloc(1, sizeof *h);
    if (!h)
        return -ENOMEM;
    int err = ajf_connect(host, port, timeout_ms, &h->fd);
    if (err) {
        free(h);
        return err;
    }
    h->in = h->own;
    h->timeout_ms = timeout_ms;
    h->may_send = h->may_send_each = AJF_H2_INITIAL_WINDOW_BYTES;
    ajf_h2_put_greeting(out, WINDOW_BYTES, MAX_FRAME_BYTES);
    err = send_all(h, out, sizeof out);
    if (err)
        ajf_h2_free(h);
    else
        *ret_h = h;
    return err;
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
