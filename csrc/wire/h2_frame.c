/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/h2_frame.h"

#include <stddef.h>
#include <string.h>

uint8_t *ajf_h2_put_u32(uint8_t *p, uint32_t v)
{
    *p++ = (uint8_t)(v >> 24);
    *p++ = (uint8_t)(v >> 16);
    *p++ = (uint8_t)(v >> 8);
    *p++ = (uint8_t)v;
    return p;
}

uint8_t *ajf_h2_put_frame(uint8_t *p, uint32_t len, uint8_t type, uint8_t flags, uint32_t stream)
{
    p = ajf_h2_put_u32(p, len << 8 | type);
    *p++ = flags;
    return ajf_h2_put_u32(p, stream);
}

static uint8_t *put_setting(uint8_t *p, uint16_t id, uint32_t value)
{
    *p++ = (uint8_t)(id >> 8);
    *p++ = (uint8_t)id;
    return ajf_h2_put_u32(p, value);
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

uint8_t *ajf_h2_put_greeting(uint8_t *p, uint32_t window, uint32_t max_frame)
{
    memcpy(p, AJF_H2_PREFACE, sizeof AJF_H2_PREFACE - 1);
    p = ajf_h2_put_frame(p + sizeof AJF_H2_PREFACE - 1, 3 * AJF_H2_SETTING_BYTES, AJF_H2_FRAME_SETTINGS, 0, 0);
    p = put_setting(p, AJF_H2_SETTING_ENABLE_PUSH, 0);
    p = put_setting(p, AJF_H2_SETTING_INITIAL_WINDOW_SIZE, window);
    p = put_setting(p, AJF_H2_SETTING_MAX_FRAME_SIZE, max_frame);
    p = ajf_h2_put_frame(p, 4, AJF_H2_FRAME_WINDOW_UPDATE, 0, 0);
    return ajf_h2_put_u32(p, window - AJF_H2_INITIAL_WINDOW_BYTES);
}

uint8_t *ajf_h2_put_request(uint8_t *p, const uint8_t *end, const char *path, const char *authority,
                            const char *channel_id)
{
    *p++ = 0x20 | 0; /* size of the dynamic table, in case that the peer has changed it: RFC 7541, 4.2 */
    *p++ = 0x80 | 3; /* :method POST */
    *p++ = 0x80 | 6; /* :scheme http */
    p = put_field(p, end, 4, NULL, path);
    p = put_field(p, end, 1, NULL, authority);
    p = put_field(p, end, 31, NULL, "application/grpc");
    p = put_field(p, end, 0, "te", "trailers");
    p = put_field(p, end, 58, NULL, "alluxio-jnifuse");
    return *channel_id ? put_field(p, end, 0, "channel-id", channel_id) : p;
}
