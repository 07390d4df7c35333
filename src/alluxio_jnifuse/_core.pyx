# cython: language_level=3, freethreading_compatible=False
# SPDX-License-Identifier: Apache-2.0
"""Glue between csrc/ajf.h and Python: convert, call without the GIL, check, convert back. No policy."""

import os

from cpython.buffer cimport PyBuffer_FillInfo
from libc.errno cimport EINVAL, ENOMEM, ESHUTDOWN, ETIMEDOUT, errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from . cimport _ajf as c

cdef extern from "fcntl.h" nogil:
    enum:
        FALLOC_FL_PUNCH_HOLE
        FALLOC_FL_KEEP_SIZE

    int fallocate(int fd, int mode, int64_t offset, int64_t length)

STAT = c.AJF_FETCH_STAT
LIST = c.AJF_FETCH_LIST
READLINK = c.AJF_FETCH_READLINK
STATFS = c.AJF_FETCH_STATFS
OPEN = c.AJF_FETCH_OPEN
READ = c.AJF_FETCH_READ
CLOSE = c.AJF_FETCH_CLOSE
FORGET = c.AJF_FETCH_FORGET

LANE_METADATA = c.AJF_LANE_METADATA
LANE_DEMAND = c.AJF_LANE_DEMAND
LANE_PREFETCH = c.AJF_LANE_PREFETCH
LANE_AHEAD = c.AJF_LANE_AHEAD

LOG_DEBUG = c.AJF_LOG_DEBUG
LOG_INFO = c.AJF_LOG_INFO
LOG_WARN = c.AJF_LOG_WARN
LOG_ERROR = c.AJF_LOG_ERROR

ENTRY_BYTES = sizeof(c.ajf_entry)

IOC_REFRESH = c.AJF_IOC_REFRESH
IOC_REFRESH_BYTES = sizeof(c.ajf_refresh)

_FEATURES = {
    "passthrough": c.AJF_FEATURE_PASSTHROUGH,
    "io_uring": c.AJF_FEATURE_IO_URING,
    "readdirplus": c.AJF_FEATURE_READDIRPLUS,
    "cache_symlinks": c.AJF_FEATURE_CACHE_SYMLINKS,
    "parallel_dirops": c.AJF_FEATURE_PARALLEL_DIROPS,
    "huge_pages": c.AJF_FEATURE_HUGE_PAGES,
}


class Cancelled(Exception):
    """Nobody wants the rest of this fetch; the fetcher should give it back."""


class Stopped(Exception):
    """The mount was stopped; the calling thread should end."""


cdef _raise(int err, what):
    raise OSError(-err, f"{what}: {os.strerror(-err)}")


cdef int _ms(double timeout):
    return -1 if timeout < 0 else <int>min(timeout * 1000, 2.0e9)


cdef _flat(entries):
    flat = memoryview(entries).cast("B")
    if len(flat) % sizeof(c.ajf_entry):
        raise ValueError(f"{len(flat)} bytes of entries are not a multiple of {sizeof(c.ajf_entry)}")
    return flat


cdef frozenset _feature_names(unsigned bits):
    return frozenset(name for name, bit in _FEATURES.items() if bits & <unsigned>bit)


cdef class Fetch:
    cdef c.ajf_fetch *_f
    cdef c.ajf_fetch_info_s _info
    cdef object _core  # the mount outlives its fetches
    cdef int _exports  # views of the buffer
    cdef readonly bytes path

    def __cinit__(self):
        self._f = NULL
        self._exports = 0

    def __init__(self):
        raise TypeError("fetches come from Core.next_fetch")

    def __dealloc__(self):
        self._give_back()

    cdef _give_back(self):
        cdef c.ajf_fetch *f = self._f
        self._f = NULL
        if f is not NULL:
            with nogil:
                c.ajf_fetch_release(f)

    cdef c.ajf_fetch *_held(self) except NULL:
        if self._f is NULL:
            raise ValueError("the fetch was given back")
        return self._f

    def release(self):
        if self._exports:
            raise BufferError(f"{self._exports} views of the buffer are left")
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
        if self._f is NULL or self._info.buffer is NULL:
            raise BufferError("only a READ that was not given back has a buffer")
        PyBuffer_FillInfo(view, self, self._info.buffer, <Py_ssize_t>self._info.length, 0, flags)
        self._exports += 1

    def __releasebuffer__(self, Py_buffer *view):
        self._exports -= 1

    cdef _check(self, int err):
        if err == -EINVAL:
            raise ValueError(f"malformed or second answer for {self.path!r}")
        if err < 0:
            _raise(err, f"answer for {self.path!r}")

    def progress(self, size_t filled):
        cdef c.ajf_fetch *f
        cdef int err
        f = self._held()
        with nogil:
            err = c.ajf_fetch_progress(f, filled)
        self._check_progress(err, filled)

    cdef _check_progress(self, int err, size_t filled):
        if err == -EINVAL:
            raise ValueError(f"{filled} of {self._info.length} bytes filled: backwards, beyond, or already answered")
        if err < 0:
            raise Cancelled

    def answer_attr(self, attr):
        cdef c.ajf_attr a
        cdef c.ajf_fetch *f
        cdef int err
        _fill(&a, attr)
        f = self._held()
        with nogil:
            err = c.ajf_fetch_attr(f, &a)
        self._check(err)

    def answer_list(self, entries, bytes names not None):
        cdef const unsigned char[::1] view = _flat(entries)
        cdef size_t n = len(view) // sizeof(c.ajf_entry), names_len = len(names)
        cdef const char *blob = names
        cdef const c.ajf_entry *first = <const c.ajf_entry *>&view[0] if n else NULL
        cdef c.ajf_fetch *f = self._held()
        cdef int err
        with nogil:
            err = c.ajf_fetch_list(f, first, n, blob, names_len)
        self._check(err)

    def answer_link(self, bytes target not None):
        cdef const char *text = target
        cdef size_t n = len(target)
        cdef c.ajf_fetch *f
        cdef int err
        f = self._held()
        with nogil:
            err = c.ajf_fetch_link(f, text, n)
        self._check(err)

    def answer_statfs(self, uint64_t block_size, uint64_t blocks, uint64_t blocks_free, uint64_t blocks_available,
                      uint64_t files, uint64_t files_free, unsigned name_max):
        cdef c.ajf_statfs s
        cdef c.ajf_fetch *f
        cdef int err
        s.block_size, s.blocks, s.blocks_free, s.blocks_available = block_size, blocks, blocks_free, blocks_available
        s.files, s.files_free, s.name_max = files, files_free, name_max
        f = self._held()
        with nogil:
            err = c.ajf_fetch_statfs(f, &s)
        self._check(err)

    def answer_opened(self, uint64_t handle, uint64_t version, uint64_t size, extents):
        cdef size_t n = len(extents), i
        cdef c.ajf_fetch *f
        cdef int err
        cdef c.ajf_extent *copy = <c.ajf_extent *>malloc((n + 1) * sizeof(c.ajf_extent))
        if copy is NULL:
            raise MemoryError
        try:
            for i in range(n):
                copy[i].fd, copy[i].fd_offset, copy[i].length = extents[i]
            f = self._held()
            with nogil:
                err = c.ajf_fetch_opened(f, handle, version, size, copy, n)
        finally:
            free(copy)
        self._check(err)

    def done(self, size_t filled=0):
        cdef c.ajf_fetch *f
        cdef int err
        f = self._held()
        with nogil:
            err = c.ajf_fetch_done(f, filled)
        self._check(err)

    def fail(self, int err):
        cdef c.ajf_fetch *f = self._held()
        with nogil:
            c.ajf_fetch_fail(f, err)


cdef _fill(c.ajf_attr *a, attr):
    a.ino, a.size, a.blocks, a.version = attr.ino, attr.size, attr.blocks, attr.version
    a.mtime_ns, a.ctime_ns, a.atime_ns = attr.mtime_ns, attr.ctime_ns, attr.atime_ns
    a.mode, a.nlink, a.uid, a.gid = attr.mode, attr.nlink, attr.uid, attr.gid


cdef class Core:
    cdef c.ajf *_m

    def __cinit__(self):
        self._m = NULL

    def __init__(self, options):
        cdef c.ajf_options o
        cdef int err
        if self._m is not NULL:
            raise RuntimeError("Core is initialised once")
        given = dict(options)
        o = given  # every field, by name: KeyError-like ValueError when one is missing
        unknown = set(given) - set(option_names())
        if unknown:
            raise ValueError(f"unknown core options: {', '.join(sorted(unknown))}")
        with nogil:
            err = c.ajf_new(&o, &self._m)
        if err < 0:
            _raise(err, "creating the mount's tables")

    def __dealloc__(self):
        if self._m is not NULL:
            with nogil:
                c.ajf_free(self._m)

    def open_lazily(self, uint64_t size, uint32_t ahead):
        c.ajf_open_lazily(self._m, size, ahead)

    def set_root(self, attr):
        cdef c.ajf_attr a
        _fill(&a, attr)
        c.ajf_set_root(self._m, &a)

    def invalidate(self, bytes path not None):
        cdef const char *text = path
        cdef size_t n = len(path)
        with nogil:
            c.ajf_invalidate(self._m, text, n)

    def expire(self, double age):
        cdef uint64_t ns = <uint64_t>(age * 1e9)
        with nogil:
            c.ajf_expire(self._m, ns)

    def offer_list(self, bytes path not None, entries, bytes names not None, double age):
        cdef const unsigned char[::1] view = _flat(entries)
        cdef size_t n = len(view) // sizeof(c.ajf_entry), names_len = len(names), path_len = len(path)
        cdef const char *text = path
        cdef const char *blob = names
        cdef const c.ajf_entry *first = <const c.ajf_entry *>&view[0] if n else NULL
        cdef uint64_t age_ns = <uint64_t>(max(age, 0.0) * 1e9)
        cdef int err
        with nogil:
            err = c.ajf_offer_list(self._m, text, path_len, first, n, blob, names_len, age_ns)
        if err == -EINVAL:
            raise ValueError(f"malformed listing of {path!r}")

    def mount(self, bytes mountpoint not None, str mount_options not None):
        cdef bytes text = mount_options.encode()
        cdef const char *where = mountpoint
        cdef const char *how = text
        cdef int err
        with nogil:
            err = c.ajf_mount(self._m, where, how)
        if err < 0:
            _raise(err, f"mounting {os.fsdecode(mountpoint)}")

    def start(self, double timeout):
        cdef int err, ms = _ms(timeout)
        with nogil:
            err = c.ajf_start(self._m, ms)
        if err < 0:
            _raise(err, "starting the session")

    def wait_end(self, double timeout):
        cdef int err, ms = _ms(timeout)
        with nogil:
            err = c.ajf_wait_end(self._m, ms)
        return err == 0

    def stop(self):
        with nogil:
            c.ajf_stop(self._m)

    def next_fetch(self, double timeout):
        cdef int err, ms = _ms(timeout)
        cdef Fetch fetch = Fetch.__new__(Fetch)
        cdef uint32_t missing = 0
        with nogil:
            err = c.ajf_fetch_next(self._m, ms, &fetch._f, &missing)
        if err == -ETIMEDOUT:
            return None, missing
        if err < 0:
            raise Stopped
        c.ajf_fetch_info(fetch._f, &fetch._info)
        fetch._core = self
        fetch.path = fetch._info.path[:fetch._info.path_len]
        return fetch, missing

    def next_log(self, double timeout):
        cdef c.ajf_log_entry entry
        cdef int err, ms = _ms(timeout)
        with nogil:
            err = c.ajf_log_next(self._m, ms, &entry)
        if err == -ETIMEDOUT:
            return None
        if err < 0:
            raise Stopped
        return <int>entry.level, entry.time_ns, (<bytes>entry.text).decode("utf-8", "backslashreplace")

    def stats(self):
        cdef size_t i
        return {c.ajf_stats_name(i).decode(): c.ajf_stats_value(self._m, i) for i in range(c.ajf_stats_count())}

    def features(self):
        return _feature_names(c.ajf_features_granted(self._m))

    def device(self):
        cdef unsigned major = 0, minor = 0
        cdef int err
        with nogil:
            err = c.ajf_device(self._m, &major, &minor)
        if err < 0:
            _raise(err, "looking for the mount in /proc/self/mountinfo")
        return major, minor


def libfuse_version():
    return c.ajf_libfuse_version().decode()


def compiled_features():
    return _feature_names(c.ajf_features_compiled())


def option_names():
    cdef c.ajf_options o
    memset(&o, 0, sizeof(o))
    return tuple(<dict>o)


def unmount(bytes mountpoint not None, bint lazy):
    cdef const char *where = mountpoint
    cdef c.bool detach = lazy
    cdef int err
    with nogil:
        err = c.ajf_unmount(where, detach)
    if err < 0:
        raise OSError(-err, os.strerror(-err), os.fsdecode(mountpoint))


include "_local_files.pxi"
include "_block_connection.pxi"
include "_checksums.pxi"
