# SPDX-License-Identifier: Apache-2.0
# Glue between csrc/source/local.h, csrc/source/beneath.h and Python, for local files; a part of _core.pyx.


# After so many more bytes of a listing `grow` is asked whether it may go on.
cdef enum:
    SCAN_BYTES = 1 << 20


def scan_directory(int dirfd, bint pin_contents, uint64_t home_dev, uint64_t hide_dev, grow=None):
    cdef c.ajf_scan scan
    cdef c.bool pin = pin_contents, ended = False
    cdef size_t size = 0
    cdef int err
    with nogil:
        err = c.ajf_scan_begin(&scan, dirfd, pin, home_dev, hide_dev)
    if err < 0:
        raise OSError(-err, os.strerror(-err))
    try:
        while not ended:
            with nogil:
                err = c.ajf_scan_more(&scan, size + SCAN_BYTES, &ended)
                size = c.ajf_scan_bytes(&scan)
            if err < 0:
                raise OSError(-err, os.strerror(-err))
            if grow is not None:
                grow(size)
        return (<char *>scan.entries)[: scan.n * sizeof(c.ajf_entry)], scan.names[: scan.names_len]
    finally:
        with nogil:
            c.ajf_scan_end(&scan)


def stat_local(int dirfd, bytes path not None, bint pin_contents, uint64_t home_dev, uint64_t hide_dev):
    cdef c.ajf_attr a
    cdef const char *where = _text(path)
    cdef c.bool pin = pin_contents
    cdef int err
    with nogil:
        err = c.ajf_stat_local(dirfd, where, pin, home_dev, hide_dev, &a)
    if err < 0:
        raise OSError(-err, os.strerror(-err))
    return (a.ino, a.size, a.blocks, a.version, a.mtime_ns, a.ctime_ns, a.atime_ns, a.mode, a.nlink, a.uid, a.gid)


def open_beneath(int dirfd, bytes path not None, int flags):
    cdef const char *where = _text(path)
    cdef int fd
    with nogil:
        fd = c.ajf_open_beneath(dirfd, where, flags)
    if fd < 0:
        raise OSError(-fd, os.strerror(-fd))
    return fd


def open_file_beneath(bytes top not None, bytes path not None, uint64_t least):
    cdef const char *directory = _text(top)
    cdef const char *where = _text(path)
    cdef int fd
    with nogil:
        fd = c.ajf_open_file_beneath(directory, where, least)
    if fd < 0:
        raise OSError(-fd, os.strerror(-fd))
    return fd


def read_file_beneath(bytes top not None, bytes path not None, uint64_t least, uint64_t offset,
                      unsigned char[::1] buffer not None):
    cdef const char *directory = _text(top)
    cdef const char *where = _text(path)
    cdef size_t size = <size_t>buffer.shape[0]
    cdef ssize_t n
    if not size:
        return 0
    with nogil:
        n = c.ajf_read_file_beneath(directory, where, least, offset, &buffer[0], size)
    if n < 0:
        raise OSError(-n, os.strerror(-n))
    return n


def punch_hole(int fd, uint64_t offset, uint64_t length):
    cdef int failed
    with nogil:
        failed = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, <int64_t>offset, <int64_t>length)
    if failed:
        raise OSError(errno, os.strerror(errno))


def watch_begin():
    cdef int fd = inotify_init1(IN_CLOEXEC)
    if fd < 0:
        raise OSError(errno, os.strerror(errno))
    return fd


def watch_add(int fd, bytes path not None, uint32_t events):
    cdef const char *where = _text(path)
    cdef int watch
    with nogil:
        watch = inotify_add_watch(fd, where, events)
    if watch < 0:
        raise OSError(errno, os.strerror(errno), os.fsdecode(path))
    return watch


def watch_remove(int fd, int watch):
    inotify_rm_watch(fd, watch)


def cached_pages(int fd, uint64_t length):
    cdef int64_t pages
    with nogil:
        pages = pages_cached(fd, length)
    return None if pages < 0 else pages
