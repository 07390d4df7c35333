# SPDX-License-Identifier: Apache-2.0
# Glue between csrc/wire/crc64.h, csrc/wire/sums.h and Python, a part of _wire.pyx.

SUM_BYTES = c.AJF_SUM_BYTES


cdef const void *_start(const unsigned char[::1] data) noexcept:
    return &data[0] if data.shape[0] else NULL


# So much takes less time than it takes a thread that waits for the GIL to be woken.
cdef enum:
    BRIEF_BYTES = 128 << 10


def crc64(const unsigned char[::1] data not None, uint64_t crc=0):
    cdef const void *start = _start(data)
    cdef size_t n = data.shape[0]
    if n <= BRIEF_BYTES:
        return c.ajf_crc64(crc, start, n)
    with nogil:
        crc = c.ajf_crc64(crc, start, n)
    return crc


def crc64_combine(uint64_t crc_a, uint64_t crc_b, uint64_t length_b):
    return c.ajf_crc64_combine(crc_a, crc_b, length_b)


def make_sums(const unsigned char[::1] data not None, uint64_t identity, uint64_t first):
    cdef const void *start = _start(data)
    cdef size_t n = data.shape[0]
    cdef bytearray sums = bytearray((n + SUM_BYTES - 1) // SUM_BYTES * sizeof(uint64_t))
    cdef uint64_t *made = <uint64_t *><char *>sums
    with nogil:
        c.ajf_sums_make(start, n, identity, first, made)
    return sums


def check_sums(const unsigned char[::1] data not None, uint64_t identity, uint64_t first,
               const uint64_t[::1] sums not None):
    cdef const void *start = _start(data)
    cdef size_t n = data.shape[0]
    cdef const uint64_t *known
    if <size_t>sums.shape[0] < (n + c.AJF_SUM_BYTES - 1) // c.AJF_SUM_BYTES:
        raise ValueError(f"{sums.shape[0]} sums for {n} bytes")
    if not n:
        return 0
    known = &sums[0]
    with nogil:
        n = c.ajf_sums_check(start, n, identity, first, known)
    return n
