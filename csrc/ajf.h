/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ajf.h - the facade: everything that the binding (_core.pyx) and the C tests may use.
 *
 * One `struct ajf` is one mount; a process may hold several. The kernel's requests are served by C threads
 * (pool.h). Whatever needs the source becomes a *fetch*; the embedding program pulls fetches with
 * ajf_fetch_next() from as many threads as it likes, does the work, and ends each of them exactly once. C never
 * calls back into the embedding program.
 *
 * Life:    ajf_new -> ajf_mount -> ajf_start -> ... -> ajf_stop -> ajf_free
 * Threads: ajf_fetch_*, ajf_stats, ajf_log_next, ajf_wait_* may be called from any thread between ajf_new and
 *          ajf_free, and block only where they say so. Of answers to a fetch that come at once the first counts; all have
 *          returned before ajf_fetch_release is called. The life-cycle calls belong to one thread.
 * Errors:  0 or -errno; `ret_` parameters are left alone on failure.
 */
#ifndef AJF_H
#define AJF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "options.h"

struct ajf;
struct ajf_fetch;

/* ------------------------------------------------------------------------------------------------ data types */

/* What a source knows of a file. 72 bytes, no padding, the NumPy dtype ATTR_DTYPE of sources/base.py. */
struct ajf_attr {
    uint64_t ino;     /* inode number shown to applications; 0 = make one up, of path and version */
    uint64_t size;    /* bytes */
    uint64_t blocks;  /* 512-byte blocks; UINT64_MAX = derive from size */
    uint64_t version; /* identity of the contents: another value is another file (docs/SEMANTICS.md) */
    int64_t mtime_ns; /* nanoseconds since the epoch */
    int64_t ctime_ns;
    int64_t atime_ns;
    uint32_t mode; /* type and permissions, as st_mode */
    uint32_t nlink; /* 0, in a listing: only name and type are known, whoever wants more asks; in an answer to STAT:
                       true for this once, the next one asks again, and the file is opened however small it is; with
                       version 0, too, the name is one that no listing has */
    uint32_t uid;
    uint32_t gid;
};

/* One entry of a listing; its name lies at names[name_off .. name_off + name_len) in the blob beside it. */
struct ajf_entry {
    struct ajf_attr attr;
    uint32_t name_off;
    uint32_t name_len;
};

struct ajf_statfs {
    uint64_t block_size; /* bytes; unit of the next three */
    uint64_t blocks, blocks_free, blocks_available;
    uint64_t files, files_free;
    uint32_t name_max;
};

/* A run of bytes of a file that lie in somebody's open file. */
struct ajf_extent {
    int fd;
    uint64_t fd_offset;
    uint64_t length;
};

/*
 * ioctl(2) on a directory of a mount: what is known of it, or of the entry `name` if that is not empty, and of everything
 * below counts no longer. Returns when the next look at any of it asks the source. ENOTTY: it is not on a mount of ours.
 */
struct ajf_refresh {
    char name[256]; /* ends with NUL */
};
#define AJF_IOC_REFRESH _IOW(0xAF, 1, struct ajf_refresh)

/* ------------------------------------------------------------------------------------------------ life cycle */

/* Allocates tables and arenas; nothing is mounted and no thread runs yet. Copies *options. */
int ajf_new(const struct ajf_options *options, struct ajf **ret_m);

/*
 * For a source whose versions never change in place: files of up to `bytes` are opened without asking it. Their READs
 * come with handle 0, no OPEN before and no CLOSE after. The first open of one is answered when its first bytes are
 * there: a READ that fails with ESTALE or ENOENT before makes the kernel look the name up again at once, and a later one
 * is EIO and makes it do so at the next open. Of those that are fetched before anybody asks for them, at most `ahead` are
 * fetched at once: as many as the source can wait for together. Before ajf_mount.
 */
void ajf_open_lazily(struct ajf *m, uint64_t bytes, uint32_t ahead);

/*
 * With default_permissions the kernel checks who may open a file by attributes that may be as old as attr_timeout. For a
 * source that tells them with each OPEN (ajf_fetch_permissions) and that a STAT costs next to nothing: an open is granted
 * only if mode and owner are what the kernel was shown, else ESTALE makes it look the name up, and check, again. One that
 * need not reach the source has it asked if it is by another user than root and the one for whom the file was opened.
 * Before ajf_mount.
 */
void ajf_confirm_opens(struct ajf *m);

/* For a source whose handles have a descriptor of this process each. Before ajf_mount. */
void ajf_open_files(struct ajf *m);

/* What the source says of the root, so that its number is known before the kernel asks. Before ajf_mount. */
void ajf_set_root(struct ajf *m, const struct ajf_attr *attr);

/*
 * For a source whose files may be appended to: when attributes of a file are asked for that is open, STAT tells its
 * version, also when its name leads to another one by now. Before ajf_mount.
 */
void ajf_follow_growth(struct ajf *m);

/*
 * Mounts on an absolute path. `mount_options` is the comma list for mount(2) and libfuse (ro, allow_other, fsname=,
 * max_read= ...). The kernel queues requests from here on; nothing answers before ajf_start.
 */
int ajf_mount(struct ajf *m, const char *mountpoint, const char *mount_options);

/* Starts the worker pool and the timer thread, and waits (timeout_ms) for the kernel's INIT. -ETIMEDOUT, -EPROTO. */
int ajf_start(struct ajf *m, int timeout_ms);

/* Blocks until the session ended (unmounted, or ajf_stop): 0, or -ETIMEDOUT. timeout_ms < 0 waits for ever. */
int ajf_wait_end(struct ajf *m, int timeout_ms);

/*
 * Ends the session: every request in flight is answered with an errno, fetchers are woken with -ESHUTDOWN, workers
 * are joined. Unmounts lazily if still mounted. Idempotent. Fetches still held by the embedding program stay valid
 * (their buffer is writable) until they are ended; ajf_free waits for none of them, so end them first.
 *
 * -ETIMEDOUT: after timeout_ms (negative: for ever) a worker is still in a call that does not come back, as of a lent
 * file of a network that is silent. The mount has ended all the same; that thread, and what it may use, is left to the
 * end of the process.
 */
int ajf_stop(struct ajf *m, int timeout_ms);

#define AJF_STOP_MS 10000 /* of an ajf_free without an ajf_stop */

/* Takes NULL. Every fetch must have been ended. Frees nothing when ajf_stop said -ETIMEDOUT. */
void ajf_free(struct ajf *m);

/*
 * umount2(2), or fusermount3 where that is not permitted. Lazy detaches a busy mount. 0, -EBUSY, -EINVAL, ...;
 * -ENOENT: fusermount3 needs /etc/mtab, and there is none.
 */
int ajf_unmount(const char *mountpoint, bool lazy);

/* --------------------------------------------------------------------------------------------------- fetches */

enum ajf_fetch_kind {
    AJF_FETCH_STAT,     /* attributes of path          -> ajf_fetch_attr */
    AJF_FETCH_LIST,     /* listing of path             -> ajf_fetch_list */
    AJF_FETCH_READLINK, /* target of path              -> ajf_fetch_link */
    AJF_FETCH_STATFS,   /* figures of the file system  -> ajf_fetch_statfs */
    AJF_FETCH_OPEN,     /* open path for reading       -> ajf_fetch_opened */
    AJF_FETCH_READ,     /* fill the buffer             -> ajf_fetch_progress ..., ajf_fetch_done */
    AJF_FETCH_CLOSE,    /* forget `handle`             -> ajf_fetch_done */
    AJF_FETCH_FORGET,   /* what is remembered of path and everything below it -> ajf_fetch_done */
};

enum ajf_lane {
    AJF_LANE_METADATA,
    AJF_LANE_DEMAND,   /* data that somebody waits for */
    AJF_LANE_PREFETCH, /* of a file that is being read */
    AJF_LANE_AHEAD,    /* of files that are likely to be read next */
    AJF_LANES
};

/* What a fetcher needs to know; pointers are valid until the fetch is ended. */
struct ajf_fetch_info {
    enum ajf_fetch_kind kind;
    enum ajf_lane lane;
    const char *path; /* from the root of the mount, "/" or "/a/b"; bytes as the kernel gave them */
    size_t path_len;
    uint64_t version; /* OPEN, READ: the identity that is wanted; STAT: see ajf_follow_growth, else 0 */
    uint64_t handle;  /* READ, CLOSE: what ajf_fetch_opened was given; 0: opened lazily */
    uint64_t size;    /* OPEN, READ: size of that version, bytes */
    uint64_t offset;  /* READ: of the first byte of the buffer within the file */
    void *buffer;     /* READ: `length` writable bytes, the cache page itself */
    size_t length;
};

/*
 * Takes the most urgent fetch: 0, -ETIMEDOUT, or -ESHUTDOWN (the caller should end its thread). `*ret_missing` is how
 * many more threads would have to wait in here for each fetch that may begin to find one, and for one to be ready. It
 * is told with -ETIMEDOUT, too: a caller that would be missed must not end, the others may hang in the source.
 */
int ajf_fetch_next(struct ajf *m, int timeout_ms, struct ajf_fetch **ret_fetch, uint32_t *ret_missing);

void ajf_fetch_info(const struct ajf_fetch *f, struct ajf_fetch_info *ret_info);

/*
 * READ: the first `filled` bytes of the buffer are final. Wakes readers. Returns 0, -ECANCELED when nobody wants
 * the rest (end the fetch with what there is), or -EINVAL when `filled` goes backwards or beyond the length.
 */
int ajf_fetch_progress(struct ajf_fetch *f, size_t filled);

/*
 * Whether anybody waits for what the fetch will bring: 0, or -ECANCELED (end it). For a source that is long about an
 * answer, between its questions. Whoever asks for figures, opens, closes or forgets waits to the end.
 */
int ajf_fetch_wanted(struct ajf_fetch *f);

/* The answers, one per kind. -EINVAL: a malformed answer; the fetch was failed with EIO instead. */
int ajf_fetch_attr(struct ajf_fetch *f, const struct ajf_attr *attr);
/*
 * The other answer to STAT of a `version`, which somebody has open: the file is another version now, no shorter, and begins
 * with all that READs of `version` made final. The open files go on in it, where that can be done.
 */
int ajf_fetch_grown(struct ajf_fetch *f, const struct ajf_attr *attr);
int ajf_fetch_list(struct ajf_fetch *f, const struct ajf_entry *entries, size_t n, const char *names,
                   size_t names_len);
int ajf_fetch_link(struct ajf_fetch *f, const char *target, size_t len);
int ajf_fetch_statfs(struct ajf_fetch *f, const struct ajf_statfs *s);
/*
 * `extents` (n may be 0: nothing is lent) cover the file in order; takes the descriptors, also on failure. A single one
 * is a file as it is, which may change in place; several are pieces that nobody changes while they are lent.
 * `handle` is handed back in READ and CLOSE; 0: the source keeps nothing, there will be no CLOSE.
 * `version` is what was really opened: another one than wanted answers ESTALE, the kernel looks the name up again.
 */
int ajf_fetch_opened(struct ajf_fetch *f, uint64_t handle, uint64_t version, uint64_t size,
                     const struct ajf_extent *extents, size_t n);
/* OPEN, before ajf_fetch_opened: mode and owner of what was opened, as they are now. */
void ajf_fetch_permissions(struct ajf_fetch *f, uint32_t mode, uint32_t uid, uint32_t gid);
/* READ: `filled` bytes are final and no more will come; fewer than asked is EIO for who waits for the rest. */
int ajf_fetch_done(struct ajf_fetch *f, size_t filled);
/*
 * Any kind: `err` is a positive errno (ECANCELED: nobody's). What a READ made final before stays, but with EBADMSG: then
 * all that came of the file is wrong, is dropped, and will be asked for again; the application gets EIO. The kernel is
 * told to drop its pages, and may serve some of them until then.
 */
void ajf_fetch_fail(struct ajf_fetch *f, int err);

/*
 * Gives the fetch back; one that was not answered is failed with EIO. Until then the buffer may be written (a late
 * writer does no harm: its range is not reused before).
 */
void ajf_fetch_release(struct ajf_fetch *f);

/*
 * Forgets what is known of `path` ("/" or "/a/b") and everything below it: the next look at any of them asks the
 * source, also when the kernel's timeouts have not passed. Open files, working directories and what is mounted below
 * stay what they are. Walks all records; the kernel is told on a thread of its own.
 */
void ajf_invalidate(struct ajf *m, const char *path, size_t len);

/* Drops what the client cache fetched more than `age_ns` ago, but for what is in use. */
void ajf_expire(struct ajf *m, uint64_t age_ns);

/*
 * An answer to a LIST of `path` that was not asked for, which is `age_ns` old: look-ups and listings are answered from
 * it as long as they would be from any other. 0, -ENOENT (the kernel knows no such directory), -ENOMEM, -EINVAL
 * (malformed).
 */
int ajf_offer_list(struct ajf *m, const char *path, size_t len, const struct ajf_entry *entries, size_t n,
                   const char *names, size_t names_len, uint64_t age_ns);

/* --------------------------------------------------------------------------------------- looking into a mount */

/* Counters by name, in the order of stats.def. */
size_t ajf_stats_count(void);
const char *ajf_stats_name(size_t i);
uint64_t ajf_stats_value(const struct ajf *m, size_t i);

enum ajf_log_level { AJF_LOG_DEBUG, AJF_LOG_INFO, AJF_LOG_WARN, AJF_LOG_ERROR };

#define AJF_LOG_TEXT_BYTES 480 /* longer messages are cut */

struct ajf_log_entry {
    enum ajf_log_level level;
    int64_t time_ns; /* CLOCK_REALTIME */
    char text[AJF_LOG_TEXT_BYTES];
};

/* Next message of the mount's log ring: 0, -ETIMEDOUT, or -ESHUTDOWN once stopped and empty. */
int ajf_log_next(struct ajf *m, int timeout_ms, struct ajf_log_entry *ret_entry);

/* Features. `compiled` needs no mount; `granted` is what the kernel agreed to in INIT (0 before ajf_start). */
enum ajf_feature {
    AJF_FEATURE_PASSTHROUGH = 1 << 0,
    AJF_FEATURE_IO_URING = 1 << 1,
    AJF_FEATURE_READDIRPLUS = 1 << 2,
    AJF_FEATURE_CACHE_SYMLINKS = 1 << 3,
    AJF_FEATURE_PARALLEL_DIROPS = 1 << 4,
    AJF_FEATURE_HUGE_PAGES = 1 << 5, /* granted: the memory store lies on huge pages */
};
unsigned ajf_features_compiled(void);
unsigned ajf_features_granted(const struct ajf *m);
const char *ajf_libfuse_version(void);
/* bdi device number of the mount (major, minor) from mountinfo, never by touching the mount. 0 or -ENOENT. */
int ajf_device(const struct ajf *m, unsigned *ret_major, unsigned *ret_minor);

/* -------------------------------------------------------------------------------------------------- helpers */

/*
 * Lists a local directory for a source that lends files: the open directory `dirfd` is read from its start and each
 * entry is lstat'ed; one that cannot be is listed with its type alone. Skips ".", "..", sockets, devices and FIFOs, and directories of device `hide_dev` (the mount
 * itself, when it lies inside the directory it shows; found without sending it a request; 0 hides nothing).
 * `pin_contents`: version = hash of (device, inode, size, mtime, ctime), else of (device, inode) alone, which is the
 * identity of a file that is lent and may be written in place. Inode numbers are those of device `home_dev`, the root's;
 * what lies on another device gets a hash of (device, inode).
 *
 * In steps: ajf_scan_more goes on until there are `most` bytes of entries and names in all, or the directory ends
 * (*ret_ended); -errno has ended the scan.
 */
struct ajf_scan {
    void *dir; /* DIR; NULL: over */
    bool pin_contents;
    uint64_t home_dev, hide_dev;
    struct ajf_entry *entries; /* these two belong to the scan */
    char *names;
    size_t n, room, names_len, names_room;
};

int ajf_scan_begin(struct ajf_scan *s, int dirfd, bool pin_contents, uint64_t home_dev, uint64_t hide_dev);
int ajf_scan_more(struct ajf_scan *s, size_t most, bool *ret_ended);
size_t ajf_scan_bytes(const struct ajf_scan *s);
void ajf_scan_end(struct ajf_scan *s);

/* Attributes of one local path relative to `dirfd` ("" = dirfd itself, an open file); rules as above, and those of
 * beneath.h for the directories on the way. */
int ajf_stat_local(int dirfd, const char *path, bool pin_contents, uint64_t home_dev, uint64_t hide_dev,
                   struct ajf_attr *ret_attr);

#endif
