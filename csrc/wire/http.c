/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/http.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/sync.h"

#define STATUS_AT 9 /* behind "HTTP/1.1 " */

static int send_all(int fd, const char *bytes, size_t len)
{
    while (len) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return -errno;
        bytes += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* How many bytes came; if none, why is noted. */
static size_t receive(int fd, void *buffer, size_t size, int flags, struct ajf_http_answer *a)
{
    uint64_t since = ajf_now_ns();
    ssize_t n;
    do
        n = recv(fd, buffer, size, flags);
    while (n < 0 && errno == EINTR);
    a->err = n > 0 ? 0 : n ? -errno : -ENOTCONN;
    a->waited_ns = ajf_now_ns() - since;
    return n > 0 ? (size_t)n : 0;
}

/* The start of a header's value; NULL: the line is another header's. */
static const char *value_of(const char *line, const char *end, const char *name, size_t len)
{
    bool is = (size_t)(end - line) > len && !strncasecmp(line, name, len) && line[len] == ':';
    return is ? line + len + 1 : NULL;
}

/* Whether nothing but a number stands there, and it is `size`. */
static bool is_number(const char *at, const char *end, size_t size)
{
    uint64_t value = 0;
    while (at < end && *at == ' ')
        at++;
    if (at == end || end - at > 18)
        return false;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return false;
        value = value * 10 + (uint64_t)(*at - '0');
    }
    return value == size;
}

/* Whether a head says that `size` bytes follow it. */
static bool announces(const char *head, size_t len, size_t size)
{
    static const char version[] = "HTTP/1.1 ", length[] = "content-length", coding[] = "transfer-encoding";
    const char *end = head + len - 2; /* of the last header: the empty line does not count */
    unsigned lengths = 0;
    if (len < STATUS_AT + 8 || memcmp(head, version, STATUS_AT) ||
        (memcmp(head + STATUS_AT, "200", 3) && memcmp(head + STATUS_AT, "206", 3)) ||
        (head[STATUS_AT + 3] != ' ' && head[STATUS_AT + 3] != '\r'))
        return false;
    for (const char *line = head; line < end;) {
        const char *stop = memmem(line, (size_t)(end - line), "\r\n", 2);
        if (!stop)
            return false;
        const char *value = value_of(line, stop, length, sizeof length - 1);
        if (value_of(line, stop, coding, sizeof coding - 1) || (value && !is_number(value, stop, size)))
            return false;
        lengths += value != NULL;
        line = stop + 2;
    }
    return lengths == 1;
}

int ajf_http_exchange(int fd, const void *request, size_t len, void *in, void *body, size_t size,
                      struct ajf_http_answer *ret_answer)
{
    struct ajf_http_answer a = {.err = 0};
    int err = send_all(fd, request, len);
    if (err)
        return err;
    a.end = receive(fd, in, AJF_HTTP_HEAD_BYTES, 0, &a);
    const char *blank = a.end ? memmem(in, a.end, "\r\n\r\n", 4) : NULL;
    if (blank)
        a.head = a.taken = (size_t)(blank + 4 - (const char *)in);
    if (a.head && size && announces(in, a.head, size)) {
        a.filled = a.end - a.head < size ? a.end - a.head : size;
        memcpy(body, (const char *)in + a.head, a.filled);
        a.taken += a.filled;
        if (a.filled < size)
            a.filled += receive(fd, (char *)body + a.filled, size - a.filled, MSG_WAITALL, &a);
    }
    *ret_answer = a;
    return 0;
}
