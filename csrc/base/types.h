/* SPDX-License-Identifier: Apache-2.0 */
/*
 * types.h - what the core and the embedding program tell each other: attributes, listings, log messages.
 */
#ifndef AJF_BASE_TYPES_H
#define AJF_BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

/* The attributes of a file, from a source. 72 bytes, no padding, the NumPy dtype ATTR_DTYPE of sources/base.py. */
struct ajf_attr {
    uint64_t ino;     /* inode number shown to applications; 0 = make one up, of path and version */
    uint64_t size;    /* bytes */
    uint64_t blocks;  /* 512-byte blocks; UINT64_MAX = derive from size */
    uint64_t version; /* identity of the contents: another value is another file (docs/SEMANTICS.md) */
    int64_t mtime_ns; /* nanoseconds since the epoch */
    int64_t ctime_ns;
    int64_t atime_ns;
    uint32_t mode; /* type and permissions, as st_mode */
    uint32_t nlink; /* 0, in a listing: only name and type are known, more has to be asked for; in an answer to STAT:
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

/* A directory of this machine that is the whole source; how it is shown: see local.h. */
struct ajf_directory {
    int fd;
    bool pin_contents;  /* and its files are copied, not lent */
    bool tells_absence; /* a name that is not there is nothing else, as a command would be */
    uint64_t home_dev, hide_dev;
};

/* A run of bytes of a file that lie in somebody's open file. */
struct ajf_extent {
    int fd;
    uint64_t fd_offset;
    uint64_t length;
};

/*
 * ioctl(2) on a directory of a mount: what is known of it, or of the entry `name` if that is not empty, and of
 * everything below counts no longer. Returns when the next look at any of it asks the source. ENOTTY: it is not on a
 * mount of ours.
 */
struct ajf_refresh {
    char name[256]; /* ends with NUL */
};
#define AJF_IOC_REFRESH _IOW(0xAF, 1, struct ajf_refresh)

/*
 * ioctl(2) on a directory of a mount, of its owner and of root; others get EPERM. AJF_IOC_TRACE has the mount note from
 * now on which files are opened, AJF_IOC_TRACE_USES how each is read while it is open, for the calling process: EBUSY,
 * another process has that; EINVAL, the caller is not the first thread of its process. AJF_IOC_TRACED takes what was
 * noted, the oldest first, and AJF_IOC_TRACE_END ends it. AJF_IOC_TRACE_REST notes the uses that have not ended:
 * EAGAIN, some found no room, and it is to be asked again when the others have been taken.
 */
struct ajf_traced {
    uint64_t lost;  /* items that could not be noted since the recording began */
    uint32_t bytes; /* of `items` */
    /* Each is its length, a uint32_t, and so many bytes: a path from the root, "/a/b", or a struct ajf_use_told. */
    char items[16364]; /* an ioctl has room for 16 KiB less one byte */
};
#define AJF_IOC_TRACE _IO(0xAF, 7)
#define AJF_IOC_TRACE_USES _IO(0xAF, 8)
#define AJF_IOC_TRACED _IOR(0xAF, 9, struct ajf_traced)
#define AJF_IOC_TRACE_REST _IO(0xAF, 10)
#define AJF_IOC_TRACE_END _IO(0xAF, 11)

/* How a file was read while it was open (files/use.h). Times are in nanoseconds. */
struct ajf_use_told {
    int64_t opened;           /* since 1970 */
    uint64_t lasted;          /* for how long it was open */
    uint64_t size;            /* of the file, bytes */
    uint64_t opens;           /* how often it was opened */
    uint64_t reads, bytes;    /* READs of the kernel, and what they asked for */
    uint64_t runs;            /* places at which they began anew */
    uint64_t missed;          /* how many of them waited for the source */
    uint64_t fetched;         /* bytes that the source delivered: while it was open, and before, since its last use */
    uint64_t waited, longest; /* for which OPENs and READs were parked: in all, and one of them */
    uint64_t failed;          /* how many of these had an error for an answer */
    uint32_t mode;            /* what the kernel does with it: enum ajf_file_mode */
    uint32_t still;           /* 1: it is open */
    uint32_t tid, pid, uid;   /* who opened it first; `pid` 0: it has ended, or cannot be seen */
    char name[20];            /* of that process, 15 bytes at most; ends with NUL */
    char path[];              /* from the root, without NUL */
};

enum ajf_log_level { AJF_LOG_DEBUG, AJF_LOG_INFO, AJF_LOG_WARN, AJF_LOG_ERROR };

#define AJF_LOG_TEXT_BYTES 480 /* longer messages are cut */

struct ajf_log_entry {
    enum ajf_log_level level;
    int64_t time_ns; /* CLOCK_REALTIME */
    char text[AJF_LOG_TEXT_BYTES];
};

/*
 * The directories of root in which fusermount3 is looked for, first to last. libfuse looks in PATH, which may hold any
 * user's, when it mounts and in ajf_stop: the caller sees to that.
 */
#define AJF_HELPER_PATH "/usr/bin:/bin:/usr/local/bin:/run/wrappers/bin"

/* Features of a mount: compiled in, and granted by the kernel. */
enum ajf_feature {
    AJF_FEATURE_PASSTHROUGH = 1 << 0,
    AJF_FEATURE_IO_URING = 1 << 1,
    AJF_FEATURE_READDIRPLUS = 1 << 2,
    AJF_FEATURE_CACHE_SYMLINKS = 1 << 3,
    AJF_FEATURE_PARALLEL_DIROPS = 1 << 4,
    AJF_FEATURE_HUGE_PAGES = 1 << 5, /* granted: the memory store lies on huge pages */
};

#endif
