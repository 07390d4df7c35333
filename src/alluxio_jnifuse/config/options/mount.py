"""Mount options: what follows -o."""

from __future__ import annotations

from alluxio_jnifuse.config.options.option import GIB, MIB, UINT32_MAX, Option


def _flag(
    name: str, help: str, why: str, field: str = "", off: str = "", default: str = "off", here: bool = False
) -> Option:
    return Option(name, "flag", default, help, why, field, off=off, here=here)


def _kernel(name: str, help: str, why: str, off: str = "", default: str = "off", here: bool = False) -> Option:
    return Option(name, "flag", default, help, why, off=off, kernel=True, here=here)


_TAKEN = (
    # The pages that the kernel keeps. enum ajf_cache_mode: AUTO 0, KERNEL 1, DIRECT 2; the larger number wins.
    Option(
        "auto_cache", "mode", "on",
        "keep the kernel's pages of a file while its size and times are unchanged",
        "as fast as kernel_cache for data that does not change, and still right for data that does",
        "cache_mode", mode=0,
    ),
    Option(
        "kernel_cache", "mode", "off",
        "always keep the kernel's pages; only for data that never changes while it is mounted",
        "a changed file would be shown with its old contents",
        "cache_mode", mode=1,
    ),
    Option(
        "direct_io", "mode", "off",
        "the kernel keeps nothing; every read goes to the daemon; wins over kernel_cache and auto_cache",
        "7 to 15 times slower for small reads, and no read-ahead",
        "cache_mode", mode=2,
    ),
    Option(
        "open", "choice", "ALWAYS",
        "whether the kernel asks before it opens a file. NEVER makes small files that are read again several times as "
        "fast; there is no passthrough, and a change behind the mount is noticed later (TUNING.md)",
        "an open tells at once that a file has changed, and lets the kernel read large files itself",
        "asks_no_open", choices=("ALWAYS", "NEVER"),
    ),
    Option(
        "attr_timeout", "seconds", "60",
        "how long the kernel trusts attributes (size, times, mode)",
        "listing 100,000 files must not ask again half-way, as with libfuse's 1 s; a change behind the mount is seen "
        "within a minute (an open sees it at once). With 0 a bucket is sent a LIST for each component of each call, "
        "579 for `ls -l` of 100 files; with 1 it is 2",
        "attr_timeout_ns", 0, 10**18,
    ),
    Option(
        "entry_timeout", "seconds", "60",
        "how long the kernel trusts that a name exists and which file it is",
        "as attr_timeout; a name that now means another file is noticed at open",
        "entry_timeout_ns", 0, 10**18,
    ),
    Option(
        "negative_timeout", "seconds", "0",
        "how long the kernel trusts that a name does not exist",
        "a file that appears behind the mount (`_SUCCESS`, a checkpoint) is seen at once by a program that polls",
        "negative_timeout_ns", 0, 10**18,
    ),
    # Threads.
    Option(
        "max_idle_threads", "count", "10",
        "threads for requests of the kernel that are kept when idle",
        "libfuse's; threads never wait for data, so few are enough",
        "max_idle_threads", 1, 4096, env="MAX_IDLE_THREADS",
    ),
    Option(
        "max_threads", "count", "10",
        "threads for requests of the kernel at most; never fewer than max_idle_threads",
        "libfuse's; 2 to 4 saturate two processors",
        "max_threads", 1, 4096,
    ),
    Option(
        "busy_poll", "count", "100",
        "for how many microseconds an idle thread looks for the next request of the kernel before it sleeps, as long "
        "as they come as fast as that; 0 = never; in a container that may use less than two processors it is 0",
        "halves the time of an open where waking a thread takes longer than answering; an idle mount uses no processor",
        "busy_poll_us", 0, 10_000,
    ),
    _flag("clone_fd", "one descriptor of /dev/fuse for each thread", "made no difference when measured", "clone_fd"),
    Option(
        "fetchers", "count", "32",
        "reads of the source under way at once",
        "hides 50 ms of latency at 640 reads/s; a thread that waits costs some KiB",
        "fetchers", 1, 1024,
    ),
    Option(
        "metadata_fetchers", "count", "8",
        "look-ups, listings and opens at the source that never queue behind reads",
        "a source that hangs on one file must not stop `stat` and `ls`",
        "metadata_fetchers", 1, 1024,
    ),
    # The connection to the kernel.
    Option(
        "max_read", "size", "0",
        "bytes of one read request, 0 = as many as the kernel grants (1 MiB), or half of it where pipes hold no more",
        "the 131072 of older kernels costs a round trip for every 128 KiB; what fits a pipe is copied once less",
        "max_read", 0, 16 * MIB,
    ),
    Option(
        "max_readahead", "size", "1MB",
        "bytes the kernel reads ahead; also written to the mount's read_ahead_kb where permitted",
        "sequential reads gain up to 1 MiB; more makes random faults of mmap read too much. Behind a read that is "
        "longer the kernel asks for up to twice this in vain",
        "max_readahead", 0, 64 * MIB,
    ),
    Option(
        "max_write", "size", "1MB",
        "bytes of one write request",
        "the most the kernel sends; also sizes the request buffers, so that reads may be as large",
        "max_write", 4096, MIB,
    ),
    Option(
        "max_background", "count", "1024",
        "read-ahead and other background requests the kernel keeps under way",
        "the kernel's 12 lets one slow file block the read-ahead of all others",
        "max_background", 1, 65535,
    ),
    Option(
        "congestion_threshold", "count", "768",
        "background requests from which the kernel calls the mount congested",
        "three quarters of max_background, the kernel's own proportion",
        "congestion_threshold", 1, 65535,
    ),
    _flag("sync_read", "one read of a file at a time, in order", "it serialises read-ahead", "sync_read"),
    Option(
        "passthrough", "switch", "on",
        "files whose bytes lie on this machine are read without the daemon (Linux 6.9, CAP_SYS_ADMIN)",
        "the speed of the directory itself; where it is not permitted the daemon serves the same bytes",
        "passthrough",
    ),
    Option(
        "stack_depth", "count", "0",
        "how deep the kernel may stack for passthrough: 1 = over files of a plain file system, and an overlay can be "
        "mounted on the mount; 2 = over files of an overlay, too, and none can; 0 = 2 if the directory that is shown, "
        "or that of the client cache, lies on an overlay, else 1",
        "the kernel stacks two file systems; a container's own files lie on an overlay, hardly anything else does",
        "stack_depth", 0, 2,
    ),
    Option(
        "io_uring", "switch", "off",
        "talk to the kernel over io_uring (Linux 6.14, module parameter enable_uring)",
        "halves a small request's round trip, but a sequential reader is 35 to 45 % slower: choose by workload",
        "io_uring",
    ),
    Option(
        "transient_window", "size", "64MB",
        "memory for data on its way to the kernel when it is not cached here",
        "two prefetch windows; held while data flows, and for up to 10 s after that",
        "transient_bytes", 4 * MIB, 1 << 40, here=True,
    ),
    Option(
        "listing_limit", "size", "512MB",
        "the largest listing of a directory, and of all that are being received together; a larger one is EFBIG. Some "
        "four times as much is needed while one is received",
        "four million names; a server that never ends a listing should not take all memory",
        low=MIB, high=1 << 40, here=True,
    ),
    Option(
        "listings_kept", "size", "64MB",
        "memory for listings that the next opens of their directories get; and as much again for those that are open "
        "and have changed since",
        "600,000 names",
        "listings_bytes", MIB, 1 << 40, here=True,
    ),
    Option(
        "prefetch_window", "size", "32MB",
        "how far ahead of a sequential reader the source is read, 0 = never ahead",
        "covers 30 ms of latency at 1 GB/s; reads that are not sequential are not read ahead",
        "prefetch_bytes", 0, 16 * GIB,
    ),
    # Rights. A cluster has no say in who is let in, and in what a file of it may do here.
    _kernel("ro", "mount read-only", "this release does not write: with rw every write answers EROFS too", "rw", "on"),
    _kernel(
        "allow_other", "other users may use the mount", "as libfuse; unprivileged users need user_allow_other",
        here=True,
    ),
    _kernel("allow_root", "root may use the mount of an ordinary user", "as libfuse", here=True),
    _kernel(
        "default_permissions",
        "the kernel checks mode, owner and group of what is shown; with allow_other and allow_root it is on",
        "the daemon reads with its own rights, whichever user asks: without this check allow_other would show every "
        "file to everybody, 0600 files of root among them. A mount without allow_other needs no check. With "
        "attr_timeout=0 each access asks for attributes once more: twice as often",
        off="no_default_permissions", here=True,
    ),
    _kernel("nosuid", "set-user-id bits have no effect", "as libfuse and fusermount3", "suid", "on", here=True),
    _kernel("nodev", "device files have no effect", "as libfuse and fusermount3", "dev", "on", here=True),
    _kernel("noexec", "nothing on the mount can be executed", "data sets carry scripts and programs", "exec"),
    _kernel("noatime", "do not update access times", "access times are never written in any case", "atime"),
    Option(
        "log_format", "choice", "TEXT",
        "how lines of the log are written. JSON: an object for each, with `time` (UTC), `level` and `message`",
        "people read it; programs that collect logs read JSON",
        choices=("TEXT", "JSON"), here=True,
    ),
    _flag("auto_unmount", "unmount when the daemon dies", "an empty directory invites rsync --delete"),
    _flag(
        "wait", "a storage that cannot be reached yet is waited for, for as long as it takes",
        "a wrong name should be told at once; in a container it is on", off="nowait",
    ),
    Option("uid", "count", "", "show this owner (number)", "the source's owner", "uid", 0, UINT32_MAX - 1),
    Option("gid", "count", "", "show this group (number)", "the source's group", "gid", 0, UINT32_MAX - 1),
    Option("umask", "octal", "", "show every mode as 777 without these bits", "the source's modes", "umask", 0, 0o777),
    Option(
        "fsname", "text", "alluxio-fuse",
        "first column of /proc/mounts and df; the type stays fuse.alluxio-fuse",
        "what AlluxioFuse shows",
        aliases=("alluxio.fuse.fs.name",),
    ),
    _flag(
        "nonempty", "mount over a directory that is not empty", "files would disappear beneath the mount", here=True,
    ),
    Option("big_writes", "accepted", "", "", "every libfuse 3 has big writes"),
    Option("fuse", "accepted", "", "", "the core comes with its own libfuse 3"),
)  # fmt: skip

# They arrive from /etc/fstab; with values some of them, and what begins with x- or X- (config/merge.py) besides.
_MOUNT_WORDS = (
    "_netdev", "defaults", "auto", "noauto", "nofail", "user", "nouser", "users", "nousers", "owner", "noowner",
    "group", "nogroup", "async", "sync", "dirsync", "relatime", "norelatime", "strictatime", "nostrictatime",
    "diratime", "nodiratime", "lazytime", "nolazytime", "mand", "nomand", "iversion", "noiversion", "silent", "loud",
    "comment", "helper", "uhelper",
)  # fmt: skip
MOUNT_OPTIONS = _TAKEN + tuple(
    Option(word, "accepted", "", "", "a word for mount(8) and /etc/fstab") for word in _MOUNT_WORDS
)
