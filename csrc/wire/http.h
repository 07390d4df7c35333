/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - one small exchange of HTTP/1.1 on a connected socket that blocks: a request without a body, and its answer.
 *
 * This is the short way for what nearly always happens: the head comes in one piece, and says that as many bytes follow
 * as the caller has a place for, where they are received. Anything else is left to the caller, who goes on from where
 * this has ended: no byte that was received is lost.
 *
 * One call waits at most three times, each as long as the socket's own timeouts say (SO_SNDTIMEO, SO_RCVTIMEO): for
 * room for the request, for a piece of the head, and for the body.
 *
 * Threads: one at a time for a socket; shutdown(2) by another one ends a wait. No state.
 */
#ifndef AJF_WIRE_HTTP_H
#define AJF_WIRE_HTTP_H

#include <stddef.h>
#include <stdint.h>

#define AJF_HTTP_HEAD_BYTES 2048 /* that are received with the head at most: what lies behind it is copied */

/* The part of an answer that has come. */
struct ajf_http_answer {
    int err;            /* of the last receive: 0, -EAGAIN (not in time), -ENOTCONN (hung up), what else recv says */
    uint64_t waited_ns; /* in it */
    size_t end;         /* bytes in `in` */
    size_t head;        /* of them, the head with the empty line behind it; 0: it is not complete */
    size_t taken;       /* of them, those that are done with: the head, and what was copied to the body */
    size_t filled;      /* bytes in `body`; the rest did not come in time, or will not come */
};

/*
 * Sends the request, and receives its answer: 0, or -errno when it could not be sent. `in` has AJF_HTTP_HEAD_BYTES.
 * `body` is filled only if the status is 200 or 206, and the head says by one Content-Length, and not otherwise, that
 * `size` bytes follow it.
 */
int ajf_http_exchange(int fd, const void *request, size_t len, void *in, void *body, size_t size,
                      struct ajf_http_answer *ret_answer);

#endif
