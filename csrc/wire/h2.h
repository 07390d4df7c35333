/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2.h - a client of one gRPC call at a time: block data from the socket straight into the page it is for.
 *
 * A library would hand every message over as an object of its own, under the interpreter's lock: 1.1 s of CPU for a
 * GiB where this takes 0.2. It does that and nothing else: connections are plain HTTP/2 (RFC 9113) without TLS, one
 * stream is open at a time, the answer is a stream of ReadResponse{1: Chunk{1: data}} (or of messages {1: data}) whose
 * data is handed out as a run of bytes, and headers of the answer are not decoded at all (so no HPACK state is kept).
 * A caller that does not get all the bytes that it asked for asks again through a complete gRPC library and learns the
 * reason there.
 *
 * Flow control is the socket's: windows are as large as the protocol has them and are topped up in time, so bytes
 * that nobody reads stay with the sender. Bytes of a message that has begun are taken in batches, for which a read may
 * wait 5 ms longer than for the next byte.
 *
 * Threads: a connection belongs to one thread at a time; ajf_h2_abort may be called from any. Blocking calls take
 * timeout_ms for the wait for the next 4 KiB of data, or for all that is asked for if that is less, < 0: for ever; what
 * else a peer sends does not prolong it, and 10,000 frames without data one after the other are -EPROTO.
 * Errors: -ETIMEDOUT, -ECANCELED (aborted), -EPROTO (the peer broke the protocol, or this is no gRPC server),
 * -ECONNRESET (it has ended the connection, or takes no more calls), -E2BIG, and what else connect, send and recv say.
 * After an error every call fails with the same one, and the connection can only be freed.
 */
#ifndef AJF_WIRE_H2_H
#define AJF_WIRE_H2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ajf_h2;

/* Connects (see ajf_connect). Whether the peer speaks HTTP/2 shows when the first answer is read. */
int ajf_h2_connect(const char *host, const char *port, int timeout_ms, struct ajf_h2 **ret_h);

/*
 * Starts a call: `path` is "/package.Service/Method", `message` the serialised request. The request side of the call
 * stays open until ajf_h2_leave or ajf_h2_finish. One call at a time; the one before must have been finished.
 * `channel_id` "": no such header. `nested`: the data of an answer lies in field 1 of field 1, else in field 1. -E2BIG:
 * the message is longer than 12 KiB, or all the names together than 1.8 KiB.
 */
int ajf_h2_call(struct ajf_h2 *h, const char *path, const char *authority, const char *channel_id, const void *message,
                size_t len, bool nested, int timeout_ms);

/*
 * At least one and at most `size` (> 0) bytes of data, or 0: the peer has ended the call, be it in the middle of a
 * message. Another frame is not waited for when there is data. An error comes after the data that came before it. The
 * buffer behind what is returned may have been written to, up to `size`.
 */
ssize_t ajf_h2_read(struct ajf_h2 *h, void *buffer, size_t size, int timeout_ms);

/* The data of the next message that has any, whole; or 0: the peer has ended the call. -EMSGSIZE: more than `size`. */
ssize_t ajf_h2_read_message(struct ajf_h2 *h, void *buffer, size_t size, int timeout_ms);

/*
 * Half-closes the call, before its end perhaps, and does not wait: -ETIMEDOUT when that cannot be sent at once. Only
 * ajf_h2_finish may follow. Idempotent.
 */
int ajf_h2_leave(struct ajf_h2 *h);

/*
 * Half-closes the call, unless it was left, and waits for its end, timeout_ms in all. 0: another call may be made. Of
 * data that still comes, up to `most` bytes are passed over; more are an error (-EPROTO). With timeout_ms 0 the end is
 * not waited for: the next call passes over what still comes of this one.
 */
int ajf_h2_finish(struct ajf_h2 *h, size_t most, int timeout_ms);

/* Makes a thread that waits in a call fail with -ECANCELED, now and later. */
void ajf_h2_abort(struct ajf_h2 *h);

/* Takes NULL. Closes the connection, which ends a call that is under way. */
void ajf_h2_free(struct ajf_h2 *h);

#endif
