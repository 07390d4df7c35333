/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sums.h - checksums of cached bytes, one for each granule of 4 KiB; what the stores on disk verify pages with.
 *
 * The sum of a granule is the CRC-64 (crc64.h) of its bytes, begun with the identity of the file and the number of the
 * granule: right bytes in the wrong place do not pass. 0 means that there are no bytes; no granule has that sum. The
 * last granule of a file is as long as the file goes.
 *
 * Threads: any; pure.
 */
#ifndef AJF_WIRE_SUMS_H
#define AJF_WIRE_SUMS_H

#include <stddef.h>
#include <stdint.h>

#define AJF_SUM_BYTES 4096 /* what the core fetches at least: AJF_GRANULE_BYTES */

/* The sums of `n` bytes from granule `first` on, (n + 4095) / 4096 of them. */
void ajf_sums_make(const void *data, size_t n, uint64_t identity, uint64_t first, uint64_t *ret_sums);

/* How many bytes from the beginning of `data` on agree with `sums`: `n`, or a multiple of 4096. */
size_t ajf_sums_check(const void *data, size_t n, uint64_t identity, uint64_t first, const uint64_t *sums);

#endif
