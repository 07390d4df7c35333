# SPDX-License-Identifier: Apache-2.0
# Glue between csrc/wire/http.h and Python, a part of _wire.pyx.
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer

HEAD_BYTES = c.AJF_HTTP_HEAD_BYTES


def exchange(int fd, bytes request not None, bytearray head not None, body):
    cdef c.ajf_http_answer a
    cdef Py_buffer place, room
    cdef const char *text = request
    cdef size_t n = len(request)
    cdef int err
    place.buf, place.len = NULL, 0
    PyObject_GetBuffer(head, &room, PyBUF_WRITABLE)
    try:
        if room.len < c.AJF_HTTP_HEAD_BYTES:
            raise ValueError(f"{room.len} bytes for a head")
        if body is not None:
            PyObject_GetBuffer(body, &place, PyBUF_WRITABLE)
        try:
            with nogil:
                err = c.ajf_http_exchange(fd, text, n, room.buf, place.buf, <size_t>place.len, &a)
        finally:
            if body is not None:
                PyBuffer_Release(&place)
    finally:
        PyBuffer_Release(&room)
    if err < 0:
        raise OSError(-err, os.strerror(-err))
    return a.err, a.end, a.head, a.taken, a.filled, a.waited_ns / 1e9
