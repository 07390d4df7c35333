/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2_frame.h - what an HTTP/2 client writes (RFC 9113, RFC 7541), as bytes: no socket, no state.
 *
 * `put` functions write at `p` and return where they ended; the caller has the room.
 */
#ifndef AJF_WIRE_H2_FRAME_H
#define AJF_WIRE_H2_FRAME_H

#include <stdint.h>

enum {
    AJF_H2_FRAME_DATA = 0,
    AJF_H2_FRAME_HEADERS = 1,
    AJF_H2_FRAME_RST_STREAM = 3,
    AJF_H2_FRAME_SETTINGS = 4,
    AJF_H2_FRAME_PING = 6,
    AJF_H2_FRAME_GOAWAY = 7,
    AJF_H2_FRAME_WINDOW_UPDATE = 8,
};
enum { AJF_H2_FLAG_ACK = 1, AJF_H2_FLAG_END_STREAM = 1, AJF_H2_FLAG_END_HEADERS = 4, AJF_H2_FLAG_PADDED = 8 };
enum { AJF_H2_SETTING_ENABLE_PUSH = 2, AJF_H2_SETTING_INITIAL_WINDOW_SIZE = 4, AJF_H2_SETTING_MAX_FRAME_SIZE = 5 };

#define AJF_H2_FRAME_HEADER_BYTES 9
#define AJF_H2_SETTING_BYTES 6
#define AJF_H2_INITIAL_WINDOW_BYTES UINT32_C(65535) /* of a connection, before any update */
#define AJF_H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define AJF_H2_GREETING_BYTES (sizeof AJF_H2_PREFACE - 1 + 2 * AJF_H2_FRAME_HEADER_BYTES + 3 * AJF_H2_SETTING_BYTES + 4)

static inline uint32_t ajf_h2_get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

uint8_t *ajf_h2_put_u32(uint8_t *p, uint32_t v);
/* The header of a frame with `len` bytes. */
uint8_t *ajf_h2_put_frame(uint8_t *p, uint32_t len, uint8_t type, uint8_t flags, uint32_t stream);
/* The first bytes of a connection, which open all windows to `window` bytes; AJF_H2_GREETING_BYTES of them. */
uint8_t *ajf_h2_put_greeting(uint8_t *p, uint32_t window, uint32_t max_frame);
/* The header fields of a gRPC call (see ajf_h2_call); NULL when there is no room before `end`. */
uint8_t *ajf_h2_put_request(uint8_t *p, const uint8_t *end, const char *path, const char *authority,
                            const char *channel_id);

#endif
