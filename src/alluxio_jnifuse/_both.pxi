# SPDX-License-Identifier: Apache-2.0
# Times and texts as C takes them, and the progress of a fetch: a part of _core.pyx and of _wire.pyx.
from cpython.bytes cimport PyBytes_AsStringAndSize


cdef double _number(double seconds) except? -1:
    if seconds != seconds:
        raise ValueError("NaN is no time")
    return seconds


cdef int _ms(double timeout) except? -2:
    return -1 if _number(timeout) < 0 else <int>min(timeout * 1000, 2.0e9)


cdef const char *_text(bytes text) except NULL:
    cdef char *start
    PyBytes_AsStringAndSize(text, &start, NULL)  # ValueError: a NUL would end it early
    return start


# `Fetch.progress` for a caller without the GIL, in a capsule of this name: `tell` returns 0, or -errno where the method
# would raise.
cdef struct Progress:
    int (*tell)(void *arg, size_t filled) noexcept nogil
    void *arg

cdef const char *PROGRESS = "alluxio_jnifuse.Progress"
