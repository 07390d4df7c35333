# SPDX-License-Identifier: Apache-2.0
# Glue between csrc/h2.h and Python, a part of _core.pyx.


cdef class BlockConnection:
    cdef c.ajf_h2 *_h
    cdef readonly size_t filled

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
        cdef int ms = _ms(timeout)
        self.filled = done
        self._open()
        if end > <size_t>buffer.shape[0]:
            raise ValueError(f"{end} bytes do not fit in a buffer of {buffer.shape[0]}")
        if not step:
            raise ValueError("a step of no bytes")
        owner = getattr(progress, "__self__", None)
        if isinstance(owner, Fetch) and progress == owner.progress:
            return self._fill_fetch(buffer, end, step, ms, owner)
        return self._fill(buffer, end, step, ms, progress)

    cdef _fill(self, unsigned char[::1] buffer, size_t end, size_t step, int ms, progress):
        cdef size_t done
        cdef ssize_t n = 1
        while self.filled < end and n > 0:
            with nogil:
                n = self._step(&buffer[0], end, step, ms, &done)
            if done > self.filled:
                self.filled = done
                progress(done)
        return self._checked(n)

    cdef _fill_fetch(self, unsigned char[::1] buffer, size_t end, size_t step, int ms, Fetch fetch):
        # As _fill, without coming back to the interpreter for each step.
        cdef size_t done
        cdef ssize_t n = 1
        cdef int err = 0
        cdef c.ajf_fetch *f = fetch._held()
        fetch._exports += 1  # it cannot be given back meanwhile
        try:
            with nogil:
                while self.filled < end and n > 0 and not err:
                    n = self._step(&buffer[0], end, step, ms, &done)
                    if done > self.filled:
                        self.filled = done
                        err = c.ajf_fetch_progress(f, done)
        finally:
            fetch._exports -= 1
        fetch._check_progress(err, self.filled)
        return self._checked(n)

    cdef ssize_t _step(self, unsigned char *buffer, size_t end, size_t step, int ms, size_t *ret_done) noexcept nogil:
        cdef size_t done = self.filled
        cdef ssize_t n = 1
        end = min(end, done + step)
        while done < end and n > 0:
            n = c.ajf_h2_read(self._h, &buffer[done], end - done, ms)
            if n > 0:
                done += <size_t>n
        ret_done[0] = done
        return n

    cdef _checked(self, ssize_t n):
        if n < 0:
            raise OSError(-n, os.strerror(-n))
        return self.filled

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
