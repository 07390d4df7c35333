# SPDX-License-Identifier: Apache-2.0
# What can be seen of a mount: its counters and times (the rows of csrc/base/stats.def, and their values), what waits in
# it at one moment, and its device number. A part of _core.pyx.
def counter_rows():
    cdef size_t i
    return tuple([(c.ajf_stats_name(i).decode(), c.ajf_stats_help(i).decode()) for i in range(c.ajf_stats_count())])


def time_rows():
    cdef size_t i
    return tuple([(c.ajf_times_name(i).decode(), c.ajf_times_help(i).decode()) for i in range(c.ajf_times_count())])


def time_ranges():
    cdef unsigned i
    return tuple([c.ajf_histogram_from_us(i) for i in range(c.AJF_HISTOGRAM_RANGES)])


cdef dict _counters(c.ajf *m):
    cdef size_t i
    return {c.ajf_stats_name(i).decode(): c.ajf_stats_value(m, i) for i in range(c.ajf_stats_count())}


cdef dict _times(c.ajf *m):
    cdef c.ajf_times_sum told
    cdef size_t i, k
    found = {}
    for i in range(c.ajf_times_count()):
        with nogil:
            c.ajf_times_read(m, i, &told)
        ranges = tuple([told.range[k] for k in range(c.AJF_HISTOGRAM_RANGES)])
        errors = {c.ajf_errno_name(k).decode(): told.failed[k] for k in range(c.AJF_ERRNO_COUNT) if told.failed[k]}
        found[c.ajf_times_name(i).decode()] = (told.sum_ns, ranges, errors)
    return found


cdef tuple _device(c.ajf *m):
    cdef unsigned major = 0, minor = 0
    cdef int err
    with nogil:
        err = c.ajf_device(m, &major, &minor)
    if err < 0:
        _raise(err, "looking for the mount in /proc/self/mountinfo")
    return major, minor


cdef bytes _taken(char *path):
    # Copies a path of the core's, and frees it.
    try:
        return b"" if path is NULL else <bytes>path
    finally:
        free(path)


cdef list _waiting(c.ajf *m, size_t most):
    cdef c.ajf_waiting_s *found = <c.ajf_waiting_s *>malloc((most + 1) * sizeof(c.ajf_waiting_s))
    cdef size_t n, i
    if found is NULL:
        raise MemoryError
    try:
        with nogil:
            n = c.ajf_waiting(m, found, most)
        return [
            (found[i].op.decode(), _taken(found[i].path), found[i].offset, found[i].size, found[i].waited_ns / 1e9,
             found[i].tid, found[i].uid)
            for i in range(n)
        ]
    finally:
        free(found)


cdef list _untaken(c.ajf *m, size_t most):
    cdef c.ajf_untaken_s *found = <c.ajf_untaken_s *>malloc((most + 1) * sizeof(c.ajf_untaken_s))
    cdef size_t n, i
    if found is NULL:
        raise MemoryError
    try:
        with nogil:
            n = c.ajf_untaken(m, found, most)
        return [
            (<int>found[i].info.kind, <int>found[i].info.lane, _taken(found[i].path), found[i].info.offset,
             found[i].info.length, found[i].waited_ns / 1e9, bool(found[i].starved))
            for i in range(n)
        ]
    finally:
        free(found)
