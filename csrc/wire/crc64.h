/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crc64.h - the CRC-64 of ECMA-182 in the form that xz and OSS use: reflected, begun and ended with all ones.
 *
 * The value of "123456789" is 0x995dc9bbdf1939fa. If the processor multiplies without carries (PCLMULQDQ), it runs near
 * the speed of memory; otherwise it uses tables. Beside the mount: needs no struct ajf.
 *
 * Threads: any; pure.
 */
#ifndef AJF_WIRE_CRC64_H
#define AJF_WIRE_CRC64_H

#include <stddef.h>
#include <stdint.h>

/* The CRC of what `crc` is the CRC of (0: nothing), followed by `n` bytes. */
uint64_t ajf_crc64(uint64_t crc, const void *data, size_t n);

/* The CRC of A followed by B, of which B is `length_b` bytes long. */
uint64_t ajf_crc64_combine(uint64_t crc_a, uint64_t crc_b, uint64_t length_b);

#endif
