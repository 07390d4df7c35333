# SPDX-License-Identifier: Apache-2.0
# Mirror of csrc/ajf.h, and of what it includes: declarations only.
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t


cdef extern from "<stdbool.h>" nogil:  # a truth value to Cython, a bool to the compiler
    ctypedef bint bool


cdef extern from "base/options.h" nogil:
    struct ajf_options:
        int cache_mode
        bool asks_no_open
        uint64_t attr_timeout_ns, entry_timeout_ns, negative_timeout_ns
        uint32_t max_idle_threads, max_threads, busy_poll_us
        bool clone_fd
        uint32_t max_read, max_readahead, max_write, max_background, congestion_threshold
        bool sync_read, passthrough
        uint32_t stack_depth
        bool io_uring
        int64_t uid, gid
        int32_t umask
        bool cache_enabled
        uint64_t cache_bytes
        int evictor
        uint64_t page_bytes, transient_bytes, prefetch_bytes, listings_bytes
        uint32_t fetchers, metadata_fetchers, read_timeout_ms, metadata_timeout_ms, slow_ms
        bool debug


cdef extern from "base/stats_histogram.h" nogil:
    const unsigned AJF_HISTOGRAM_RANGES
    uint64_t ajf_histogram_from_us(unsigned range)


cdef extern from "base/stats_times.h" nogil:
    const unsigned AJF_ERRNO_COUNT

    struct ajf_times_sum:
        uint64_t n, sum_ns
        uint64_t *range
        uint64_t *failed


cdef extern from "ajf.h" nogil:
    struct ajf
    struct ajf_fetch

    struct ajf_attr:
        uint64_t ino, size, blocks, version
        int64_t mtime_ns, ctime_ns, atime_ns
        uint32_t mode, nlink, uid, gid

    struct ajf_entry:
        ajf_attr attr
        uint32_t name_off, name_len

    struct ajf_statfs:
        uint64_t block_size, blocks, blocks_free, blocks_available, files, files_free
        uint32_t name_max

    struct ajf_directory:
        int fd
        bool pin_contents, tells_absence
        uint64_t home_dev, hide_dev

    struct ajf_extent:
        int fd
        uint64_t fd_offset, length

    enum ajf_fetch_kind:
        AJF_FETCH_STAT
        AJF_FETCH_LIST
        AJF_FETCH_READLINK
        AJF_FETCH_STATFS
        AJF_FETCH_OPEN
        AJF_FETCH_READ
        AJF_FETCH_CLOSE
        AJF_FETCH_FORGET

    struct ajf_refresh:
        char name[256]

    unsigned AJF_IOC_REFRESH

    struct ajf_traced:
        uint64_t lost
        uint32_t bytes
        char items[1]

    unsigned AJF_IOC_TRACE
    unsigned AJF_IOC_TRACE_USES
    unsigned AJF_IOC_TRACED
    unsigned AJF_IOC_TRACE_REST
    unsigned AJF_IOC_TRACE_END

    enum ajf_lane:
        AJF_LANE_METADATA
        AJF_LANE_DEMAND
        AJF_LANE_PREFETCH
        AJF_LANE_AHEAD

    enum ajf_log_level:
        AJF_LOG_DEBUG
        AJF_LOG_INFO
        AJF_LOG_WARN
        AJF_LOG_ERROR

    enum ajf_feature:
        AJF_FEATURE_PASSTHROUGH
        AJF_FEATURE_IO_URING
        AJF_FEATURE_READDIRPLUS
        AJF_FEATURE_CACHE_SYMLINKS
        AJF_FEATURE_PARALLEL_DIROPS
        AJF_FEATURE_HUGE_PAGES

    struct ajf_fetch_info_s "ajf_fetch_info":
        ajf_fetch_kind kind
        ajf_lane lane
        const char *path
        size_t path_len
        uint64_t version, handle, size, offset
        void *buffer
        size_t length

    enum:
        AJF_LOG_TEXT_BYTES

    struct ajf_log_entry:
        ajf_log_level level
        int64_t time_ns
        char text[480]

    int ajf_new(const ajf_options *options, ajf **ret_m)
    int ajf_mount(ajf *m, const char *mountpoint, const char *mount_options)
    int ajf_start(ajf *m, int timeout_ms)
    int ajf_wait_end(ajf *m, int timeout_ms)
    int ajf_stop(ajf *m, int timeout_ms)
    void ajf_open_lazily(ajf *m, uint64_t bytes, uint32_t ahead)
    void ajf_follow_growth(ajf *m)
    void ajf_confirm_opens(ajf *m)
    void ajf_open_files(ajf *m)
    void ajf_set_root(ajf *m, const ajf_attr *attr)
    int ajf_serve_directory(ajf *m, const ajf_directory *directory)
    void ajf_invalidate(ajf *m, const char *path, size_t len)
    void ajf_expire(ajf *m, uint64_t age_ns)
    int ajf_offer_list(ajf *m, const char *path, size_t len, const ajf_entry *entries, size_t n, const char *names,
                       size_t names_len, uint64_t age_ns)
    void ajf_free(ajf *m)
    const char *AJF_HELPER_PATH
    int ajf_unmount(const char *mountpoint, bool lazy)

    int ajf_fetch_next(ajf *m, int timeout_ms, ajf_fetch **ret_fetch, uint32_t *ret_missing)
    void ajf_fetch_info(const ajf_fetch *f, ajf_fetch_info_s *ret_info)
    int ajf_fetch_progress(ajf_fetch *f, size_t filled)
    int ajf_fetch_wanted(ajf_fetch *f)
    int ajf_fetch_attr(ajf_fetch *f, const ajf_attr *attr)
    int ajf_fetch_grown(ajf_fetch *f, const ajf_attr *attr)
    int ajf_fetch_list(ajf_fetch *f, const ajf_entry *entries, size_t n, const char *names, size_t names_len)
    int ajf_fetch_link(ajf_fetch *f, const char *target, size_t len)
    int ajf_fetch_statfs(ajf_fetch *f, const ajf_statfs *s)
    int ajf_fetch_opened(ajf_fetch *f, uint64_t handle, uint64_t version, uint64_t size,
                         const ajf_extent *extents, size_t n)
    void ajf_fetch_permissions(ajf_fetch *f, uint32_t mode, uint32_t uid, uint32_t gid)
    int ajf_fetch_done(ajf_fetch *f, size_t filled)
    void ajf_fetch_fail(ajf_fetch *f, int err)
    void ajf_fetch_release(ajf_fetch *f)

    size_t ajf_stats_count()
    const char *ajf_stats_name(size_t i)
    const char *ajf_stats_help(size_t i)
    uint64_t ajf_stats_value(const ajf *m, size_t i)
    size_t ajf_times_count()
    const char *ajf_times_name(size_t i)
    const char *ajf_times_help(size_t i)
    void ajf_times_read(const ajf *m, size_t i, ajf_times_sum *ret_sum)
    const char *ajf_errno_name(size_t i)
    struct ajf_waiting_s "ajf_waiting":
        const char *op
        char *path
        uint64_t offset
        size_t size
        uint64_t waited_ns
        int32_t tid
        uint32_t uid
    struct ajf_untaken_s "ajf_untaken":
        char *path
        ajf_fetch_info_s info
        uint64_t waited_ns
        bint starved
    size_t ajf_waiting(ajf *m, ajf_waiting_s *ret_waiting, size_t most)
    size_t ajf_untaken(ajf *m, ajf_untaken_s *ret_untaken, size_t most)
    int ajf_log_next(ajf *m, int timeout_ms, ajf_log_entry *ret_entry)
    unsigned ajf_features_compiled()
    unsigned ajf_features_granted(const ajf *m)
    const char *ajf_libfuse_version()
    int ajf_device(const ajf *m, unsigned *ret_major, unsigned *ret_minor)


cdef extern from "source/local.h" nogil:
    struct ajf_scan:
        ajf_entry *entries
        char *names
        size_t n, names_len

    int ajf_scan_begin(ajf_scan *s, int dirfd, bool pin_contents, uint64_t home_dev, uint64_t hide_dev)
    int ajf_scan_more(ajf_scan *s, size_t most, bool *ret_ended)
    size_t ajf_scan_bytes(const ajf_scan *s)
    void ajf_scan_end(ajf_scan *s)
    int ajf_stat_local(int dirfd, const char *path, bool pin_contents, uint64_t home_dev, uint64_t hide_dev,
                       ajf_attr *ret_attr)


cdef extern from "source/beneath.h" nogil:
    int ajf_open_beneath(int dirfd, const char *path, int flags)
    int ajf_open_file_beneath(const char *top, const char *path, uint64_t least)
    ssize_t ajf_read_file_beneath(const char *top, const char *path, uint64_t least, uint64_t offset, void *buffer,
                                  size_t size)
