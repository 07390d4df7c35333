/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2_message.h - where the data lies in gRPC messages {1: {1: data}} or {1: data}, told byte by byte.
 *
 * Its owner gives ajf_h2_message_take each byte that comes while data_left is 0, and takes data_left down by the bytes
 * of data that he has received himself. A new call begins with all zeros but `nested`.
 */
#ifndef AJF_WIRE_H2_MESSAGE_H
#define AJF_WIRE_H2_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#define AJF_H2_PREFIX_BYTES 5 /* before each message: whether it is compressed, and its length */

struct ajf_h2_message {
    bool nested;        /* the data lies in a field of the message's field */
    uint32_t data_left; /* bytes of data that follow */
    /* private */
    enum { AJF_H2_PREFIX, AJF_H2_OUTER_TAG, AJF_H2_OUTER_LENGTH, AJF_H2_INNER_TAG, AJF_H2_INNER_LENGTH } part;
    uint32_t done;      /* bytes of the part that were taken */
    uint32_t left;      /* bytes of the message behind the prefix */
    uint64_t length;    /* being decoded */
};

/* 0, or -EPROTO: compressed, or something besides the data. */
int ajf_h2_message_take(struct ajf_h2_message *m, uint8_t byte);
/* Writes the prefix of a message of `len` bytes, and returns where it ended. */
uint8_t *ajf_h2_put_prefix(uint8_t *p, uint32_t len);

#endif
