# SPDX-License-Identifier: Apache-2.0
# One fetch of csrc/source/fetch.h: what is wanted from the source, and the answers; a part of _core.pyx.

cdef tuple _parts(extent, set mine):
    # The fields of an extent, whose descriptor is added to `mine`; () if it has no descriptor.
    cdef int fd
    try:
        parts = tuple(extent)
        fd = parts[0]
    except Exception:
        return ()
    if fd >= 0:
        mine.add(fd)
    return parts


cdef class Core


cdef int _tell(void *fetch, size_t filled) noexcept nogil:
    return c.ajf_fetch_progress(<c.ajf_fetch *>fetch, filled)


cdef void _end(c.ajf_fetch *f, bint complete, size_t filled) noexcept nogil:
    if complete:
        c.ajf_fetch_done(f, filled)
    c.ajf_fetch_release(f)


cdef void _told(capsule) noexcept:
    cdef Fetch fetch = <Fetch>PyCapsule_GetContext(capsule)
    fetch._leave()
    Py_DECREF(fetch)


@cython.final
@cython.no_gc
cdef class Fetch:
    cdef c.ajf_fetch *_f
    cdef c.ajf_fetch_info_s _info
    cdef Progress _progress
    cdef Core _core  # the mount outlives its fetches
    cdef int _views  # how many there are of the buffer
    cdef int _calls  # how many are under way without the GIL
    cdef bint _over  # it was given back, or the last of these calls will do that
    cdef bint _complete  # `done` is still to be told, with all of the buffer
    cdef readonly bytes path

    def __init__(self):
        raise TypeError("fetches come from Core.next_fetch")

    def __dealloc__(self):
        self._give_back()

    cdef _give_back(self):
        cdef c.ajf_fetch *f = self._f
        cdef size_t filled = self._info.length
        cdef bint complete = self._complete
        self._f = NULL
        if f is not NULL and self._core._forks == _forks:
            with nogil:
                _end(f, complete, filled)

    cdef c.ajf_fetch *_hand_over(self, Core core) except? NULL:
        # Returns the fetch that the caller has to _end; NULL: there is nothing left to do.
        cdef c.ajf_fetch *f = self._f
        if self._core is not core:
            raise ValueError("the fetch is another mount's")
        if self._views or self._calls or self._over or core._forks != _forks:
            self.release()
            return NULL
        self._over = True
        self._f = NULL
        return f

    cdef c.ajf_fetch *_enter(self) except NULL:
        # Begins a call without the GIL, which _leave ends.
        if self._f is NULL or self._over:
            raise ValueError("the fetch was given back")
        if self._core._forks != _forks:
            raise ValueError("the fetch is the parent process's")
        self._calls += 1
        return self._f

    cdef _leave(self):
        self._calls -= 1
        if self._over and not self._calls:
            self._give_back()

    @property
    def in_use(self):
        return self._views > 0 or self._calls > 0

    def release(self):
        if self._complete and self.in_use:
            self._complete = False
            self.done(self._info.length)
        if self._views:
            raise BufferError(f"{self._views} views of the buffer are left")
        self._over = True
        if not self._calls:
            self._give_back()

    @property
    def kind(self):
        return <int>self._info.kind

    @property
    def lane(self):
        return <int>self._info.lane

    @property
    def version(self):
        return self._info.version

    @property
    def handle(self):
        return self._info.handle

    @property
    def size(self):
        return self._info.size

    @property
    def offset(self):
        return self._info.offset

    @property
    def length(self):
        return self._info.length

    def __getbuffer__(self, Py_buffer *view, int flags):
        if self._f is NULL or self._over or self._info.buffer is NULL:
            raise BufferError("only a READ that was not given back has a buffer")
        PyBuffer_FillInfo(view, self, self._info.buffer, <Py_ssize_t>self._info.length, 0, flags)
        self._views += 1

    def __releasebuffer__(self, Py_buffer *view):
        self._views -= 1

    cdef _check(self, int err):
        if err == -EINVAL:
            raise ValueError(f"malformed or second answer for {self.path!r}")
        if err < 0:
            _raise(err, f"answer for {self.path!r}")

    def progress(self, size_t filled):
        cdef c.ajf_fetch *f
        cdef int err
        f = self._enter()
        with nogil:
            err = c.ajf_fetch_progress(f, filled)
        self._leave()
        if err == -EINVAL:
            raise ValueError(f"{filled} of {self._info.length} bytes filled: backwards, beyond, or already answered")
        if err < 0:
            raise Cancelled

    def progress_capsule(self):
        # It counts as a call under way until the capsule is freed.
        self._progress.tell = _tell
        self._progress.arg = self._enter()
        try:
            capsule = PyCapsule_New(&self._progress, PROGRESS, NULL)
        except MemoryError:
            self._leave()
            raise
        PyCapsule_SetContext(capsule, <void *>self)
        Py_INCREF(self)
        PyCapsule_SetDestructor(capsule, _told)
        return capsule

    def check_wanted(self):
        cdef c.ajf_fetch *f
        cdef int err
        f = self._enter()
        with nogil:
            err = c.ajf_fetch_wanted(f)
        self._leave()
        if err < 0:
            raise Cancelled

    def answer_attr(self, attr):
        cdef c.ajf_attr a
        cdef c.ajf_fetch *f
        cdef int err
        _fill(&a, attr)
        f = self._enter()
        with nogil:
            err = c.ajf_fetch_attr(f, &a)
        self._leave()
        self._check(err)

    def answer_grown(self, attr):
        cdef c.ajf_attr a
        cdef c.ajf_fetch *f
        cdef int err
        _fill(&a, attr)
        f = self._enter()
        with nogil:
            err = c.ajf_fetch_grown(f, &a)
        self._leave()
        self._check(err)

    def answer_list(self, entries, bytes names not None):
        cdef const unsigned char[::1] view = _flat(entries)
        cdef size_t n = len(view) // sizeof(c.ajf_entry), names_len = len(names)
        cdef const char *blob = names
        cdef const c.ajf_entry *first = <const c.ajf_entry *>&view[0] if n else NULL
        cdef c.ajf_fetch *f = self._enter()
        cdef int err
        with nogil:
            err = c.ajf_fetch_list(f, first, n, blob, names_len)
        self._leave()
        self._check(err)

    def answer_link(self, bytes target not None):
        cdef const char *text = target
        cdef size_t n = len(target)
        cdef c.ajf_fetch *f
        cdef int err
        f = self._enter()
        with nogil:
            err = c.ajf_fetch_link(f, text, n)
        self._leave()
        self._check(err)

    def answer_statfs(self, uint64_t block_size, uint64_t blocks, uint64_t blocks_free, uint64_t blocks_available,
                      uint64_t files, uint64_t files_free, unsigned name_max):
        cdef c.ajf_statfs s
        cdef c.ajf_fetch *f
        cdef int err
        s.block_size, s.blocks, s.blocks_free, s.blocks_available = block_size, blocks, blocks_free, blocks_available
        s.files, s.files_free, s.name_max = files, files_free, name_max
        f = self._enter()
        with nogil:
            err = c.ajf_fetch_statfs(f, &s)
        self._leave()
        self._check(err)

    def answer_opened(self, handle, version, size, extents, attr=None):
        cdef uint64_t named, opened, length
        cdef uint32_t mode = 0, uid = 0, gid = 0
        cdef bint told = attr is not None
        cdef list lent = []
        cdef set mine = set()  # descriptors that the core has not taken
        cdef c.ajf_extent *copy = NULL
        cdef c.ajf_fetch *f
        cdef size_t n, i
        cdef int err
        try:
            for extent in extents:
                lent.append(_parts(extent, mine))
            named, opened, length, n = handle, version, size, len(lent)
            if told:
                mode, uid, gid = attr.mode, attr.uid, attr.gid
            if len(mine) != len(lent):
                raise ValueError("each extent needs a descriptor of its own")
            copy = <c.ajf_extent *>malloc((n + 1) * sizeof(c.ajf_extent))
            if copy is NULL:
                raise MemoryError
            for i in range(n):
                copy[i].fd, copy[i].fd_offset, copy[i].length = lent[i]
            f = self._enter()
            mine.clear()
            with nogil:
                if told:
                    c.ajf_fetch_permissions(f, mode, uid, gid)
                err = c.ajf_fetch_opened(f, named, opened, length, copy, n)
            self._leave()
        finally:
            free(copy)
            for fd in mine:
                os.close(fd)
        self._check(err)

    def done(self, size_t filled=0):
        cdef c.ajf_fetch *f
        cdef int err
        f = self._enter()
        with nogil:
            err = c.ajf_fetch_done(f, filled)
        self._leave()
        self._check(err)

    def complete(self):
        self._enter()
        self._leave()
        self._complete = True

    def fail(self, int err):
        cdef c.ajf_fetch *f = self._enter()
        with nogil:
            c.ajf_fetch_fail(f, err)
        self._leave()


cdef _fill(c.ajf_attr *a, attr):
    a.ino, a.size, a.blocks, a.version = attr.ino, attr.size, attr.blocks, attr.version
    a.mtime_ns, a.ctime_ns, a.atime_ns = attr.mtime_ns, attr.ctime_ns, attr.atime_ns
    a.mode, a.nlink, a.uid, a.gid = attr.mode, attr.nlink, attr.uid, attr.gid
