/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/h2_message.h"

#include <errno.h>

#include "wire/h2_frame.h"

#define TAG 0x0a         /* field 1, length-delimited */
#define MOST_LENGTH 5    /* bytes of a 32-bit length */

static int take_prefix(struct ajf_h2_message *m, uint8_t byte)
{
    m->length = m->done ? m->length << 8 | byte : 0;
    if (!m->done && byte)
        return -EPROTO; /* compressed, which was not offered */
    if (++m->done < AJF_H2_PREFIX_BYTES)
        return 0;
    m->left = (uint32_t)m->length;
    m->done = 0;
    m->part = m->left ? AJF_H2_OUTER_TAG : AJF_H2_PREFIX;
    return 0;
}

int ajf_h2_message_take(struct ajf_h2_message *m, uint8_t byte)
{
    if (m->part == AJF_H2_PREFIX)
        return take_prefix(m, byte);
    if (!m->left--)
        return -EPROTO;
    if (m->part == AJF_H2_OUTER_TAG || m->part == AJF_H2_INNER_TAG) {
        m->part++;
        m->length = m->done = 0;
        return byte == TAG ? 0 : -EPROTO;
    }
    if (m->done >= MOST_LENGTH)
        return -EPROTO;
    m->length |= (uint64_t)(byte & 0x7f) << (7 * m->done++);
    if (byte & 0x80)
        return 0;
    if (m->length != m->left)
        return -EPROTO; /* something besides the data */
    bool innermost = m->part == AJF_H2_INNER_LENGTH || !m->nested;
    m->done = 0;
    m->data_left = innermost ? m->left : 0;
    m->part = m->left && !innermost ? AJF_H2_INNER_TAG : AJF_H2_PREFIX;
    return 0;
}

uint8_t *ajf_h2_put_prefix(uint8_t *p, uint32_t len)
{
    *p++ = 0; /* not compressed */
    return ajf_h2_put_u32(p, len);
}
