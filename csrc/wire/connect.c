/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/connect.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/sync.h"

#define BUSY_MS 10 /* between two attempts to get into the queue of a Unix socket */

int ajf_poll_until(int fd, short events, uint64_t deadline_ns)
{
    struct pollfd p = {.fd = fd, .events = events};
    for (;;) {
        uint64_t now = ajf_now_ns(), left = deadline_ns > now ? deadline_ns - now : 0;
        int n = poll(&p, 1, deadline_ns == AJF_FOREVER ? -1 : (int)((left + AJF_NS_PER_MS - 1) / AJF_NS_PER_MS));
        if (n >= 0)
            return n ? 0 : -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

int ajf_send_all(int fd, const void *bytes, size_t len, uint64_t deadline_ns)
{
    const uint8_t *at = bytes;
    while (len) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        int err = n >= 0 || errno == EINTR ? 0 : errno == EAGAIN ? ajf_poll_until(fd, POLLOUT, deadline_ns) : -errno;
        if (err)
            return err;
        at += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int connect_to(const struct sockaddr *address, socklen_t len, int timeout_ms, int *ret_fd)
{
    int on = 1, err;
    socklen_t size = sizeof err;
    uint64_t deadline_ns = ajf_deadline_ns(timeout_ms);
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    /* EAGAIN: the queue of a Unix socket is full, which poll cannot wait for. */
    while ((err = connect(fd, address, len) ? errno : 0) == EAGAIN && ajf_now_ns() < deadline_ns)
        poll(NULL, 0, BUSY_MS);
    if (err == EINPROGRESS) {
        err = -ajf_poll_until(fd, POLLOUT, deadline_ns);
        if (!err && getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size) < 0)
            err = errno;
    }
    if (err) {
        close(fd);
        return err == EAGAIN ? -ETIMEDOUT : -err;
    }
    if (address->sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    *ret_fd = fd;
    return 0;
}

int ajf_connect(const char *host, const char *port, int timeout_ms, int *ret_fd)
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
