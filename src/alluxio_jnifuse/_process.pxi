# SPDX-License-Identifier: Apache-2.0
# The library, the names of options, and this process: they belong to no mount. A part of _core.pyx.
def libfuse_version():
    return c.ajf_libfuse_version().decode()


def compiled_features():
    return _feature_names(c.ajf_features_compiled())


def option_names():
    cdef c.ajf_options o
    memset(&o, 0, sizeof(o))
    return tuple(<dict>o)


def return_memory(int size):
    if not keep_heap_small(size):
        raise OSError(EINVAL, "mallopt")


def forbid_dumps():
    if prctl(PR_SET_DUMPABLE, 0UL, 0UL, 0UL, 0UL):
        _raise(-errno, "PR_SET_DUMPABLE")


def unmount(bytes mountpoint not None, bint lazy):
    cdef const char *where = _text(mountpoint)
    cdef c.bool detach = lazy
    cdef int err
    with nogil:
        err = c.ajf_unmount(where, detach)
    if err < 0:
        raise OSError(-err, os.strerror(-err), os.fsdecode(mountpoint))
