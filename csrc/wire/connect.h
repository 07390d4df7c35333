/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connect.h - stream sockets that do not block, and waiting for them. No state; any thread.
 */
#ifndef AJF_WIRE_CONNECT_H
#define AJF_WIRE_CONNECT_H

#include <stddef.h>
#include <stdint.h>

/*
 * Connects to host:port, or to the socket at the absolute path `host`. The host's addresses are tried in turn, each
 * for timeout_ms (< 0: for ever). Errors: -EHOSTUNREACH (no such name), -ETIMEDOUT, -ENAMETOOLONG, connect's.
 */
int ajf_connect(const char *host, const char *port, int timeout_ms, int *ret_fd);

/* Waits for `events` (poll.h), or an error, of `fd`: 0, or -ETIMEDOUT at the moment `deadline_ns`. Signals pass. */
int ajf_poll_until(int fd, short events, uint64_t deadline_ns);

/* Sends all of it: 0, -ETIMEDOUT, or what send says. */
int ajf_send_all(int fd, const void *bytes, size_t len, uint64_t deadline_ns);

#endif
