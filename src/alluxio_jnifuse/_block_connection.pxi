# SPDX-License-Identifier: Apache-2.0
# Glue between csrc/wire/h2.h and Python, a part of _wire.pyx.


cdef _capsule_of(progress):
    # The capsule with the struct Progress of a fetch, if `progress` is a method of one; None if it is anything else.
    owner = getattr(progress, "__self__", None)
    capsule = getattr(owner, "progress_capsule", None)
    return None if capsule is None or progress != owner.progress else capsule()


@cython.final
cdef class BlockConnection:
    cdef c.ajf_h2 *_h
    cdef bint _begun
    cdef bint _busy  # a thread is in a call
    cdef bint _over  # it was closed; the thread that is in a call frees it
    cdef readonly size_t filled

    def __init__(self, str host not None, str port not None, double timeout):
        cdef bytes host_text = os.fsencode(host), port_text = port.encode()
        cdef const char *where = _text(host_text)
        cdef const char *service = _text(port_text)
        cdef c.ajf_h2 *h = NULL
        cdef int err, ms = _ms(timeout)
        if self._begun:
            raise RuntimeError("BlockConnection is initialised once")
        self._begun = True
        with nogil:
            err = c.ajf_h2_connect(where, service, ms, &h)
        self._h = h
        if err < 0:
            raise OSError(-err, os.strerror(-err), f"{host}:{port}")

    def __dealloc__(self):
        c.ajf_h2_free(self._h)

    cdef c.ajf_h2 *_enter(self) except NULL:
        # Begins a call without the GIL, which _leave ends.
        if self._h is NULL or self._over:
            raise ValueError("the connection was closed")
        if self._busy:
            raise RuntimeError("another thread uses the connection")
        self._busy = True
        return self._h

    cdef _leave(self):
        self._busy = False
        if self._over:
            self._free()

    cdef _free(self):
        cdef c.ajf_h2 *h = self._h
        self._h = NULL
        with nogil:
            c.ajf_h2_free(h)

    def call(self, str path not None, str authority not None, str channel_id not None, bytes message not None,
             double timeout, bint nested=True):
        cdef bytes p = path.encode(), a = authority.encode(), i = channel_id.encode()
        cdef const char *method = _text(p)
        cdef const char *host = _text(a)
        cdef const char *identity = _text(i)
        cdef const char *request = message
        cdef size_t n = len(message)
        cdef c.bool deep = nested
        cdef int err, ms = _ms(timeout)
        cdef c.ajf_h2 *h = self._enter()
        with nogil:
            err = c.ajf_h2_call(h, method, host, identity, request, n, deep, ms)
        self._leave()
        if err < 0:
            raise OSError(-err, os.strerror(-err))

    def read_into(self, unsigned char[::1] buffer not None, size_t done, size_t end, size_t step, double timeout,
                  progress):
        cdef int ms = _ms(timeout)
        cdef c.ajf_h2 *h
        if not done <= end <= <size_t>buffer.shape[0]:
            raise ValueError(f"bytes [{done}, {end}) do not fit in a buffer of {buffer.shape[0]}")
        if not step:
            raise ValueError("a step of no bytes")
        if not self._busy:
            self.filled = done
        h = self._enter()
        try:
            capsule = _capsule_of(progress)
            if capsule is None:
                return self._fill(h, buffer, end, step, ms, progress)
            return self._fill_fetch(h, buffer, end, step, ms, progress, capsule)
        finally:
            self._leave()

    cdef _fill(self, c.ajf_h2 *h, unsigned char[::1] buffer, size_t end, size_t step, int ms, progress):
        cdef size_t done
        cdef ssize_t n = 1
        while self.filled < end and n > 0:
            with nogil:
                n = self._step(h, &buffer[0], end, step, ms, &done)
            if done > self.filled:
                self.filled = done
                progress(done)
        return self._checked(n)

    cdef _fill_fetch(self, c.ajf_h2 *h, unsigned char[::1] buffer, size_t end, size_t step, int ms, progress, capsule):
        # Like _fill, but the steps need no GIL.
        cdef Progress *told = <Progress *>PyCapsule_GetPointer(capsule, PROGRESS)
        cdef size_t done
        cdef ssize_t n = 1
        cdef int err
        while self.filled < end and n > 0:
            err = 0
            with nogil:
                while self.filled < end and n > 0 and not err:
                    n = self._step(h, &buffer[0], end, step, ms, &done)
                    if done > self.filled:
                        self.filled = done
                        err = told.tell(told.arg, done)
            if err:
                progress(self.filled)  # it raises what `err` stands for
        return self._checked(n)

    cdef ssize_t _step(self, c.ajf_h2 *h, unsigned char *buffer, size_t end, size_t step, int ms,
                       size_t *ret_done) noexcept nogil:
        # Receives `step` bytes, or fewer if they come a few at a time: the caller then looks whether its reader has
        # left.
        cdef size_t done = self.filled
        cdef ssize_t n = 1
        cdef int bits = 0
        if end - done > step:
            end = done + step
        while done < end and n > 0 and bits < 4:
            n = c.ajf_h2_read(h, &buffer[done], end - done, ms)
            if n > 0:
                done += <size_t>n
            bits += n < 4096
        ret_done[0] = done
        return n

    cdef _checked(self, ssize_t n):
        if n < 0:
            raise OSError(-n, os.strerror(-n))
        return self.filled

    def read_message(self, size_t size, double timeout):
        cdef int ms = _ms(timeout)
        if not size:
            raise ValueError("a size of no bytes")
        cdef bytearray buffer = bytearray(size)
        cdef unsigned char[::1] view = buffer
        cdef ssize_t n
        cdef c.ajf_h2 *h = self._enter()
        with nogil:
            n = c.ajf_h2_read_message(h, &view[0], size, ms)
        self._leave()
        if n < 0:
            raise OSError(-n, os.strerror(-n))
        return bytes(buffer[:n])

    def leave(self):
        cdef int err
        cdef c.ajf_h2 *h = self._enter()
        with nogil:
            err = c.ajf_h2_leave(h)
        self._leave()
        return err == 0

    def finish(self, double timeout, size_t most=0):
        cdef int err, ms = _ms(timeout)
        cdef c.ajf_h2 *h = self._enter()
        with nogil:
            err = c.ajf_h2_finish(h, most, ms)
        self._leave()
        return err == 0

    def abort(self):
        if self._h is not NULL:
            c.ajf_h2_abort(self._h)

    def close(self):
        self._over = True
        if self._busy:
            self.abort()
        else:
            self._free()
