# cython: language_level=3, freethreading_compatible=False, subinterpreters_compatible=no
# SPDX-License-Identifier: Apache-2.0
"""Glue between csrc/ajf.h and Python: convert, call without the GIL, check, convert back. No policy.

Calls without the GIL are counted under it: an object that is given back meanwhile goes with the last of them. The
classes are final and hidden from the cyclic collector: nothing that they hold refers back to them, and the collector
would clear in any order, a fetch's core before the fetch.
"""

import os
from _thread import allocate_lock

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.pycapsule cimport PyCapsule_GetContext, PyCapsule_New, PyCapsule_SetContext, PyCapsule_SetDestructor
from cpython.ref cimport Py_DECREF, Py_INCREF
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

cdef extern from * nogil:
    """
    #ifdef __GLIBC__
    #include <malloc.h>
    static int keep_heap_small(int bytes)
    {
        return mallopt(M_MMAP_THRESHOLD, bytes) && mallopt(M_TRIM_THRESHOLD, bytes);
    }
    #else
    static int keep_heap_small(int bytes)
    {
        (void)bytes;
        return 1;
    }
    #endif
    """
    bint keep_heap_small(int size)

cdef extern from "sys/inotify.h" nogil:
    enum:
        IN_CLOEXEC
        IN_CLOSE_NOWRITE
        IN_IGNORED
        IN_OPEN
        IN_UNMOUNT

    int inotify_init1(int flags)
    int inotify_add_watch(int fd, const char *path, uint32_t mask)
    int inotify_rm_watch(int fd, int watch)

cdef extern from * nogil:
    """
    #include <sys/syscall.h>
    #include <unistd.h>
    /* Pages of the kernel's cache that hold a part of a file; -1: it does not say (before Linux 6.5, or not to us). */
    static int64_t pages_cached(int fd, uint64_t length)
    {
        const uint64_t range[2] = {0, length};
        uint64_t counts[5] = {0}; /* cached, dirty, and others */
        return syscall(451, fd, range, counts, 0u) ? -1 : (int64_t)counts[0]; /* cachestat, on all architectures */
    }
    """
    int64_t pages_cached(int fd, uint64_t length)

cdef extern from "sys/prctl.h" nogil:
    enum:
        PR_SET_DUMPABLE

    int prctl(int option, ...)

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
HELPER_PATH = c.AJF_HELPER_PATH.decode()

WATCH_OPENED = <uint32_t>IN_OPEN
WATCH_CLOSED = <uint32_t>IN_CLOSE_NOWRITE
WATCH_UNMOUNTED = <uint32_t>IN_UNMOUNT
WATCH_ENDED = <uint32_t>IN_IGNORED

IOC_REFRESH = c.AJF_IOC_REFRESH
IOC_REFRESH_BYTES = sizeof(c.ajf_refresh)
IOC_TRACE = c.AJF_IOC_TRACE
IOC_TRACE_USES = c.AJF_IOC_TRACE_USES
IOC_TRACED = c.AJF_IOC_TRACED
IOC_TRACED_BYTES = sizeof(c.ajf_traced)
IOC_TRACE_REST = c.AJF_IOC_TRACE_REST
IOC_TRACE_END = c.AJF_IOC_TRACE_END

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


include "_both.pxi"


cdef _raise(int err, what):
    raise OSError(-err, f"{what}: {os.strerror(-err)}")


cdef uint64_t _ns(double age) except? 1:
    return <uint64_t>(min(max(_number(age), 0.0), 1.8e10) * 1e9)


cdef const unsigned char[::1] _flat(entries):
    view = memoryview(entries)
    if not view.c_contiguous:
        raise ValueError("entries are not C-contiguous")
    if view.nbytes % sizeof(c.ajf_entry):
        raise ValueError(f"{view.nbytes} bytes of entries are not a multiple of {sizeof(c.ajf_entry)}")
    if not view.nbytes:
        return b""
    cdef const unsigned char[::1] flat = view.cast("B")
    if <size_t>&flat[0] % sizeof(uint64_t):
        flat = bytes(view)
    return flat


# How often this process was forked: threads, mounts and requests stay with the parent.
cdef int _forks = 0


def _forked():
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_forked)


cdef frozenset _feature_names(unsigned bits):
    return frozenset(name for name, bit in _FEATURES.items() if bits & <unsigned>bit)


include "_fetch.pxi"
include "_measures.pxi"


cdef enum _Stage:
    MADE
    MOUNTED
    STARTED
    STOPPED


@cython.final
@cython.no_gc
cdef class Core:
    cdef c.ajf *_m
    cdef object _life  # a lock: only one call at a time changes the stage
    cdef _Stage _stage
    cdef int _forks

    def __cinit__(self):
        self._life = allocate_lock()
        self._forks = _forks

    def __init__(self, options):
        cdef c.ajf_options o
        cdef c.ajf *m = NULL
        cdef int err = 0
        given = dict(options)
        o = given  # takes each field by its name; ValueError if one is missing
        unknown = set(given) - set(option_names())
        if unknown:
            raise ValueError(f"unknown core options: {', '.join(sorted(unknown))}")
        with self._life:
            if self._m is not NULL:
                raise RuntimeError("Core is initialised once")
            with nogil:
                err = c.ajf_new(&o, &m)
            self._m = m
        if err < 0:
            _raise(err, "creating the mount's tables")

    def __dealloc__(self):
        if self._m is not NULL and self._forks == _forks:
            with nogil:
                c.ajf_free(self._m)

    cdef c.ajf *_made(self) except NULL:
        if self._m is NULL:
            raise RuntimeError("Core was not initialised")
        if self._forks != _forks:
            raise RuntimeError("the mount is the parent process's")
        return self._m

    cdef c.ajf *_pass(self, _Stage before, _Stage after) except NULL:
        cdef c.ajf *m = self._made()
        if self._stage != before:
            raise RuntimeError("a mount is made, mounted, started and stopped, each once")
        self._stage = after
        return m

    def open_lazily(self, uint64_t size, uint32_t ahead):
        with self._life:
            c.ajf_open_lazily(self._pass(MADE, MADE), size, ahead)

    def follow_growth(self):
        with self._life:
            c.ajf_follow_growth(self._pass(MADE, MADE))

    def confirm_opens(self):
        with self._life:
            c.ajf_confirm_opens(self._pass(MADE, MADE))

    def open_files(self):
        with self._life:
            c.ajf_open_files(self._pass(MADE, MADE))

    def set_root(self, attr):
        cdef c.ajf_attr a
        _fill(&a, attr)
        with self._life:
            c.ajf_set_root(self._pass(MADE, MADE), &a)

    def serve_directory(self, int fd, bint pin_contents, uint64_t home_dev, uint64_t hide_dev, bint tells_absence):
        cdef c.ajf_directory d
        cdef int err = 0
        d.fd, d.pin_contents, d.tells_absence = fd, pin_contents, tells_absence
        d.home_dev, d.hide_dev = home_dev, hide_dev
        with self._life:
            err = c.ajf_serve_directory(self._pass(STARTED, STARTED), &d)
        if err < 0:
            _raise(err, "serving a directory")

    def invalidate(self, bytes path not None):
        cdef c.ajf *m = self._made()
        cdef const char *text = path
        cdef size_t n = len(path)
        with nogil:
            c.ajf_invalidate(m, text, n)

    def expire(self, double age):
        cdef c.ajf *m = self._made()
        cdef uint64_t ns = _ns(age)
        with nogil:
            c.ajf_expire(m, ns)

    def offer_list(self, bytes path not None, entries, bytes names not None, double age):
        cdef c.ajf *m = self._made()
        cdef const unsigned char[::1] view = _flat(entries)
        cdef size_t n = len(view) // sizeof(c.ajf_entry), names_len = len(names), path_len = len(path)
        cdef const char *text = path
        cdef const char *blob = names
        cdef const c.ajf_entry *first = <const c.ajf_entry *>&view[0] if n else NULL
        cdef uint64_t age_ns = _ns(age)
        cdef int err
        with nogil:
            err = c.ajf_offer_list(m, text, path_len, first, n, blob, names_len, age_ns)
        if err == -EINVAL:
            raise ValueError(f"malformed listing of {path!r}")

    def mount(self, bytes mountpoint not None, str mount_options not None):
        cdef bytes options = mount_options.encode()
        cdef const char *where = _text(mountpoint)
        cdef const char *how = _text(options)
        cdef c.ajf *m
        cdef int err = 0
        with self._life:
            m = self._pass(MADE, MOUNTED)
            with nogil:
                err = c.ajf_mount(m, where, how)
            if err < 0:
                self._stage = STOPPED
        if err < 0:
            _raise(err, f"mounting {os.fsdecode(mountpoint)}")

    def start(self, double timeout):
        cdef c.ajf *m
        cdef int err = 0, ms = _ms(timeout)
        with self._life:
            m = self._pass(MOUNTED, STARTED)
            with nogil:
                err = c.ajf_start(m, ms)
        if err < 0:
            _raise(err, "starting the session")

    def wait_end(self, double timeout):
        cdef c.ajf *m = self._made()
        cdef int err, ms = _ms(timeout)
        with nogil:
            err = c.ajf_wait_end(m, ms)
        return err == 0

    def stop(self, double timeout=10.0):
        cdef c.ajf *m
        cdef int err = 0, ms = _ms(timeout)
        if self._forks != _forks:
            return True
        with self._life:
            m = self._made()
            self._stage = STOPPED
            with nogil:
                err = c.ajf_stop(m, ms)
        return err == 0

    def next_fetch(self, double timeout, list ended=None):
        cdef c.ajf *m = self._made()
        cdef int err, ms = _ms(timeout)
        cdef Fetch fetch = Fetch.__new__(Fetch), last
        cdef c.ajf_fetch *given = NULL
        cdef size_t filled = 0
        cdef bint complete = False
        cdef uint32_t missing = 0
        fetch._core = self
        if ended:
            last = ended.pop()
            if last is None:
                raise TypeError("None is no fetch")
            filled, complete = last._info.length, last._complete
            given = last._hand_over(self)
            last = None  # nobody holds it while the next one is waited for
        with nogil:
            if given is not NULL:
                _end(given, complete, filled)
            err = c.ajf_fetch_next(m, ms, &fetch._f, &missing)
        if err == -ETIMEDOUT:
            return None, missing
        if err < 0:
            raise Stopped
        c.ajf_fetch_info(fetch._f, &fetch._info)
        fetch.path = fetch._info.path[:fetch._info.path_len]
        return fetch, missing

    def next_log(self, double timeout):
        cdef c.ajf *m = self._made()
        cdef c.ajf_log_entry entry
        cdef int err, ms = _ms(timeout)
        with nogil:
            err = c.ajf_log_next(m, ms, &entry)
        if err == -ETIMEDOUT:
            return None
        if err < 0:
            raise Stopped
        return <int>entry.level, entry.time_ns, (<bytes>entry.text).decode("utf-8", "backslashreplace")

    def stats(self):
        return _counters(self._made())

    def times(self):
        return _times(self._made())

    def waiting(self, size_t most):
        return _waiting(self._made(), most), _untaken(self._made(), most)

    def features(self):
        return _feature_names(c.ajf_features_granted(self._made()))

    def device(self):
        return _device(self._made())


include "_process.pxi"
include "_local_files.pxi"
