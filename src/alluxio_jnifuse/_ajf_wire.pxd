# SPDX-License-Identifier: Apache-2.0
# Mirror of the headers of csrc/wire/: declarations only.
from libc.stdint cimport uint64_t


cdef extern from "<stdbool.h>" nogil:  # a truth value to Cython, a bool to the compiler
    ctypedef bint bool


cdef extern from "wire/h2.h" nogil:
    ctypedef struct ajf_h2 "struct ajf_h2":
        pass

    int ajf_h2_connect(const char *host, const char *port, int timeout_ms, ajf_h2 **ret_h)
    int ajf_h2_call(ajf_h2 *h, const char *path, const char *authority, const char *channel_id, const void *message,
                    size_t len, bool nested, int timeout_ms)
    ssize_t ajf_h2_read(ajf_h2 *h, void *buffer, size_t size, int timeout_ms)
    ssize_t ajf_h2_read_message(ajf_h2 *h, void *buffer, size_t size, int timeout_ms)
    int ajf_h2_leave(ajf_h2 *h)
    int ajf_h2_finish(ajf_h2 *h, size_t most, int timeout_ms)
    void ajf_h2_abort(ajf_h2 *h)
    void ajf_h2_free(ajf_h2 *h)


cdef extern from "wire/http.h" nogil:
    enum:
        AJF_HTTP_HEAD_BYTES

    struct ajf_http_answer:
        int err
        size_t end, head, taken, filled
        uint64_t waited_ns

    int ajf_http_exchange(int fd, const void *request, size_t len, void *head, void *body, size_t size,
                          ajf_http_answer *ret_answer)


cdef extern from "wire/crc64.h" nogil:
    uint64_t ajf_crc64(uint64_t crc, const void *data, size_t n)
    uint64_t ajf_crc64_combine(uint64_t crc_a, uint64_t crc_b, uint64_t length_b)


cdef extern from "wire/sums.h" nogil:
    enum:
        AJF_SUM_BYTES

    void ajf_sums_make(const void *data, size_t n, uint64_t identity, uint64_t first, uint64_t *ret_sums)
    size_t ajf_sums_check(const void *data, size_t n, uint64_t identity, uint64_t first, const uint64_t *sums)
