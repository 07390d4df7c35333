# SPDX-License-Identifier: Apache-2.0
# Glue between csrc/h2.h and Python, a part of _core.pyx.


cdef class BlockConnection:
    cdef c.ajf_h2 *_h

    def __cinit__(self):
        self._h = NULL

    def __init__(self, str host not None, str port not None, double timeout):
        cdef bytes host_text = os.fsencode(host), port_text = port.encode()
        cdef const char *where = host_text
        cdef const char *service = port_text
        cdef int err, ms = _ms(timeout)
        if self._h is not NULL:
            raise RuntimeError("BlockConnection is initialised once")
        with nogil:
            err = c.ajf_h2_connect(where, service, ms, &self._h)
        if err < 0:
            raise OSError(-err, os.strerror(-err), f"{host}:{port}")

    def __dealloc__(self):
        c.ajf_h2_free(self._h)

    def call(self, str path not None, str authority not None, str channel_id not None, bytes message not None,
             double timeout, bint nested=True):
        cdef bytes p = path.encode(), a = authority.encode(), i = channel_id.encode()
        cdef const char *method = p
        cdef const char *host = a
        cdef const char *identity = i
        cdef const char *request = message
        cdef size_t n = len(message)
        cdef c.bool deep = nested
        cdef int err, ms = _ms(timeout)
        self._open()
        with nogil:
            err = c.ajf_h2_call(self._h, method, host, identity, request, n, deep, ms)
        if err < 0:
            raise OSError(-err, os.strerror(-err))

    def read_into(self, unsigned char[::1] buffer, size_t done, size_t end, size_t step, double timeout, progress):
        cdef size_t reported = done
        cdef ssize_t n = 1
        cdef int ms = _ms(timeout)
        self._open()
        if end > <size_t>buffer.shape[0]:
            raise ValueError(f"{end} bytes do not fit in a buffer of {buffer.shape[0]}")
        if not step:
            raise ValueError("a step of no bytes")
        while done < end and n > 0:
            with nogil:
                while done < end and done - reported < step:
                    n = c.ajf_h2_read(self._h, &buffer[done], min(end - done, step - (done - reported)), ms)
                    if n <= 0:
                        break
                    done += <size_t>n
            if done > reported:
                reported = done
                progress(done)
        if n < 0:
            raise OSError(-n, os.strerror(-n))
        return done

    def read_message(self, size_t size, double timeout):
        cdef bytearray buffer = bytearray(size)
        cdef unsigned char[::1] view = buffer
        cdef ssize_t n
        cdef int ms = _ms(timeout)
        self._open()
        if not size:
            raise ValueError("a size of no bytes")
        with nogil:
            n = c.ajf_h2_read_message(self._h, &view[0], size, ms)
        if n < 0:
            raise OSError(-n, os.strerror(-n))
        return bytes(buffer[:n])

    def finish(self, double timeout):
        cdef int err, ms = _ms(timeout)
        self._open()
        with nogil:
            err = c.ajf_h2_finish(self._h, ms)
        return err == 0

    def abort(self):
        if self._h is not NULL:
            c.ajf_h2_abort(self._h)

    def close(self):
        cdef c.ajf_h2 *h = self._h
        self._h = NULL
        with nogil:
            c.ajf_h2_free(h)

    cdef _open(self):
        if self._h is NULL:
            raise ValueError("the connection was closed")
