"""Types of the compiled core; the contract is csrc/ajf.h.

Any thread may call anything at any time; a call that makes no sense then raises ValueError or RuntimeError. A NUL in a
path or a name that is text for C is a ValueError, and so is a time that is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, final

from alluxio_jnifuse.sources.base import Attr

class _AttrLike(Protocol):
    ino: int
    size: int
    blocks: int
    version: int
    mtime_ns: int
    ctime_ns: int
    atime_ns: int
    mode: int
    nlink: int
    uid: int
    gid: int

STAT: int
LIST: int
READLINK: int
STATFS: int
OPEN: int
READ: int
CLOSE: int
FORGET: int

LANE_METADATA: int
LANE_DEMAND: int
LANE_PREFETCH: int
LANE_AHEAD: int

LOG_DEBUG: int
LOG_INFO: int
LOG_WARN: int
LOG_ERROR: int

ENTRY_BYTES: int  # size of one struct ajf_entry
HELPER_PATH: str  # where fusermount3 is looked for, as in PATH

IOC_REFRESH: int  # of ioctl(2) on a directory, with a name of so many bytes, NULs included
IOC_REFRESH_BYTES: int
IOC_TRACE: int  # of ioctl(2) on a directory: begin to note which files are opened,
IOC_TRACE_USES: int  # or what is done with each while it is open,
IOC_TRACED: int  # take what was noted: struct ajf_traced of csrc/base/types.h, so many bytes in all,
IOC_TRACED_BYTES: int
IOC_TRACE_REST: int  # note what is done with those that are still open,
IOC_TRACE_END: int  # end it

class Cancelled(Exception):
    """Nobody wants the rest of this fetch; the fetcher should give it back."""

@final
class Fetch:
    """One piece of work for a fetcher; ended by exactly one answer, or failed with EIO when dropped.

    Supports the writable buffer protocol for READ (`memoryview(fetch)`, `length` bytes: the cache page itself).
    """

    kind: int
    lane: int
    path: bytes
    version: int
    handle: int
    size: int
    offset: int
    length: int

    def __buffer__(self, flags: int, /) -> memoryview: ...
    @property
    def in_use(self) -> bool:
        """Whether there are views of it, or calls of other threads are under way."""
    def release(self) -> None:
        """Gives the fetch back, as dropping it does later: now, or when the calls of other threads have returned.

        Every call after that is refused. Raises BufferError while there are views.
        """
    def progress(self, filled: int) -> None:
        """The first `filled` bytes are final. Raises Cancelled, ValueError."""
    def progress_capsule(self) -> object:
        """`progress` for C (_both.pxi); the fetch is given back after it. Raises ValueError when it was before."""
    def check_wanted(self) -> None:
        """Raises Cancelled when nobody waits for the answer any more."""
    def answer_attr(self, attr: _AttrLike) -> None: ...
    def answer_grown(self, attr: _AttrLike) -> None:
        """STAT of an open file, of `version`: it is `attr` now, and begins with all that was read of it."""
    def answer_list(self, entries: object, names: bytes) -> None:
        """`entries`: C-contiguous buffer of ENTRY_BYTES * n bytes. Raises ValueError when malformed."""
    def answer_link(self, target: bytes) -> None: ...
    def answer_statfs(
        self,
        block_size: int,
        blocks: int,
        blocks_free: int,
        blocks_available: int,
        files: int,
        files_free: int,
        name_max: int,
    ) -> None: ...
    def answer_opened(
        self,
        handle: int,
        version: int,
        size: int,
        extents: Sequence[tuple[int, int, int]],
        attr: _AttrLike | None = None,
    ) -> None:
        """`extents`: (fd, offset in fd, length); takes the descriptors, whatever the answer is worth.

        `attr`: of the file now, as far as mode and owner go.
        """
    def done(self, filled: int = 0) -> None: ...
    def complete(self) -> None:
        """`done` with all of the buffer, which is told when the fetch is given back."""
    def fail(self, err: int) -> None:
        """`err`: positive errno."""

@final
class Core:
    """One mount, which is made, mounted, started and stopped, each once; these calls wait for each other.

    `options` holds one number for every field of struct ajf_options. A process that is forked has no part in the mount:
    `stop` does nothing there, and neither does the end of the object.
    """

    def __init__(self, options: Mapping[str, int]) -> None: ...
    def follow_growth(self) -> None:
        """Before `mount`: STAT of an open file says which version that is, and may be answered by `answer_grown`."""

    def open_lazily(self, size: int, ahead: int) -> None:
        """Before `mount`: files of up to `size` bytes (at most 1 MiB) have handle 0, and are never opened or closed.

        Of those that nobody has asked for yet, at most `ahead` are fetched at once.
        """
    def confirm_opens(self) -> None:
        """Before `mount`: an open needs mode and owner to be still what the kernel checked. See csrc/ajf.h."""
    def open_files(self) -> None:
        """Before `mount`: each handle of the source has a descriptor of this process."""
    def set_root(self, attr: Attr) -> None:
        """Before `mount`: what the source says of the root."""
    def serve_directory(self, fd: int, pin_contents: bool, home_dev: int, hide_dev: int, tells_absence: bool) -> None:
        """After `start`, once: answers from the open directory `fd`, which stays the caller's. See csrc/ajf.h.

        The directory's rules are those of `scan_directory`. `tells_absence`: names that are not there are no commands.
        """
    def invalidate(self, path: bytes) -> None:
        """Core and kernel forget what they know of `path` and everything below it. Open files stay what they are."""
    def expire(self, age: float) -> None:
        """Drops what the client cache in memory fetched more than `age` s ago, but for what is in use."""
    def offer_list(self, path: bytes, entries: object, names: bytes, age: float) -> None:
        """Like `Fetch.answer_list`, for a directory nobody asked for, known for `age` s. ValueError: malformed."""
    def mount(self, mountpoint: bytes, mount_options: str) -> None: ...
    def start(self, timeout: float) -> None: ...
    def wait_end(self, timeout: float) -> bool: ...
    def stop(self, timeout: float = 10.0) -> bool:
        """False: after `timeout` s a thread of the core was still in a call that does not come back (ajf.h)."""
    def next_fetch(self, timeout: float, ended: list[Fetch] | None = None) -> tuple[Fetch | None, int]:
        """(fetch, missing); no fetch after `timeout` s (< 0: for ever).

        Takes a fetch out of `ended`, if one is there, and gives it back before: all in one call without the
        interpreter's lock, for to give it to another thread and to get it again takes longer than the rest.

        missing: how many more threads would have to wait in here for each fetch that may begin to find one, and for
        one to be ready. Raises `Stopped` when the mount was stopped.
        """
    def next_log(self, timeout: float) -> tuple[int, int, str] | None:
        """(level, time in ns since the epoch, text), or None. Raises Stopped."""
    def stats(self) -> dict[str, int]: ...
    def times(self) -> dict[str, tuple[int, tuple[int, ...], dict[str, int]]]:
        """By the names of `time_rows`: (sum in ns, how many in each of `time_ranges`, failures by errno)."""
    def waiting(
        self, most: int
    ) -> tuple[list[tuple[str, bytes, int, int, float, int, int]], list[tuple[int, int, bytes, int, int, float, bool]]]:
        """Requests of the kernel that have no answer yet, and fetches that no fetcher has; at most `most` of each.

        Requests, the oldest first: operation as "Read", path (of a Lookup the directory's; b"" if it is not known),
        offset and size in bytes, how long it has waited in s, the thread that asked (0: none of this PID namespace, or
        the kernel), its user. Fetches, in the order in which they are taken: kind, lane, path, offset and length in
        bytes, how long it has waited in s, whether that is for room in memory.
        """
    def features(self) -> frozenset[str]: ...
    def device(self) -> tuple[int, int]: ...

class Stopped(Exception):
    """The mount was stopped; the calling thread should end."""

def counter_rows() -> tuple[tuple[str, str], ...]:
    """(name, what it counts) of every counter, in order; of a gauge this ends with "(gauge)"."""

def time_rows() -> tuple[tuple[str, str], ...]:
    """(name, what it times) of every histogram, in order."""

def time_ranges() -> tuple[int, ...]:
    """The us with which each range of a histogram begins; each ends before the next one, the last one never."""

def libfuse_version() -> str: ...
def compiled_features() -> frozenset[str]: ...
def option_names() -> tuple[str, ...]: ...
def return_memory(size: int) -> None:
    """Pieces of `size` bytes and more that malloc gave out go back to the machine when freed. Raises OSError."""

def forbid_dumps() -> None:
    """No core of this process, and no look into it by others of its user."""

def unmount(mountpoint: bytes, lazy: bool) -> None:
    """Raises OSError."""

def scan_directory(
    dirfd: int, pin_contents: bool, home_dev: int, hide_dev: int, grow: Callable[[int], None] | None = None
) -> tuple[bytes, bytes]:
    """(entries, names) of a local directory as `answer_list` takes them. Raises OSError.

    `grow` is told now and then how many bytes there are, and what it raises ends the listing.
    """

def stat_local(dirfd: int, path: bytes, pin_contents: bool, home_dev: int, hide_dev: int) -> tuple[int, ...]:
    """(ino, size, blocks, version, mtime_ns, ctime_ns, atime_ns, mode, nlink, uid, gid). Raises OSError.

    `path` is relative to `dirfd`; b"" means the open file `dirfd` itself. `home_dev`: st_dev of the source's root, the
    device whose inode numbers are shown as they are. `hide_dev`: os.makedev number of the mount itself (its root
    answers ENOENT), 0 hides nothing.
    """

def open_beneath(dirfd: int, path: bytes, flags: int) -> int:
    """`os.open` below `dirfd`, through no symbolic link and no `..` (csrc/source/beneath.h). Raises OSError.

    ValueError for a NUL in `path`. b"" is `dirfd` itself. O_NOFOLLOW and O_CLOEXEC are added to `flags`. The caller
    closes the descriptor.
    """

def open_file_beneath(top: bytes, path: bytes, least: int) -> int:
    """A regular file of at least `least` bytes beneath the directory `top`, as `open_beneath`, in one call.

    Raises OSError, with ENODATA where the file is shorter or none; ValueError. The caller closes the descriptor.
    """

def read_file_beneath(top: bytes, path: bytes, least: int, offset: int, buffer: memoryview) -> int:
    """Fills `buffer` from byte `offset` of such a file, which is opened for that alone; returns how many bytes it got,
    fewer only at the end of the file. Raises as `open_file_beneath`.
    """

def punch_hole(fd: int, offset: int, length: int) -> None:
    """Gives the bytes of a range back to the file system; they read as zeros. Raises OSError."""

WATCH_OPENED: int  # of events of inotify(7): the file was opened,
WATCH_CLOSED: int  # closed by a reader,
WATCH_UNMOUNTED: int  # its file system was unmounted,
WATCH_ENDED: int  # the watch was removed

def watch_begin() -> int:
    """Returns a descriptor from which events of inotify(7) are read. Raises OSError."""

def watch_add(fd: int, path: bytes, events: int) -> int:
    """Has these be the events of `path` from now on; returns the watch's number, which is one file's as long as it is.

    Raises OSError.
    """

def watch_remove(fd: int, watch: int) -> None: ...
def cached_pages(fd: int, length: int) -> int | None:
    """How many pages of the first `length` bytes the kernel has in memory; None where it does not say."""
