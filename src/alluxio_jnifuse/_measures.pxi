# SPDX-License-Identifier: Apache-2.0
# The counters and times of a mount: the rows of csrc/base/stats.def, and their values. A part of _core.pyx.
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
