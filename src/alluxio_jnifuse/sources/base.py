"""The interface of a source: the place that bytes and metadata come from.

Paths are bytes, absolute from the root of the mount: ``b"/"``, ``b"/a/b"``. The kernel has resolved them: they hold
no ``.``, ``..`` or empty component, and no component was a symbolic link when it was looked up.

Threads: every method is called from many fetcher threads at once. A method may block for as long as it likes; it holds
up one fetcher and the readers that wait for its answer, and nothing else.

Errors: an OSError with an errno reaches the application as that errno. Any other exception is EIO and one log line
(errors.py has the table).

NumPy is imported by `build_listing` alone: it would be most of the time between exec and the first byte.
"""

from __future__ import annotations

import abc
import errno
import os
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from alluxio_jnifuse.errors import StaleVersion
from alluxio_jnifuse.mounts import stacking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = [
    "ATTR_DTYPE",
    "BLOCKS_FROM_SIZE",
    "ENTRY_DTYPE",
    "Attr",
    "Extent",
    "Listing",
    "OpenFile",
    "Source",
    "StaleVersion",
    "StatFs",
    "build_listing",
    "directory_attr",
    "file_attr",
]

BLOCKS_FROM_SIZE = 2**64 - 1  # Attr.blocks of a source that does not know: the core derives it from the size

# struct ajf_attr and struct ajf_entry of csrc/ajf.h, as numpy.dtype() takes them: native byte order, no padding.
ATTR_DTYPE = [
    ("ino", "u8"),
    ("size", "u8"),
    ("blocks", "u8"),
    ("version", "u8"),
    ("mtime_ns", "i8"),
    ("ctime_ns", "i8"),
    ("atime_ns", "i8"),
    ("mode", "u4"),
    ("nlink", "u4"),
    ("uid", "u4"),
    ("gid", "u4"),
]
ENTRY_DTYPE = [*ATTR_DTYPE, ("name_off", "u4"), ("name_len", "u4")]


class Attr(NamedTuple):
    """Attributes of one file, directory or symbolic link: the fields of struct ajf_attr, in its order.

    `nlink` 0: in a listing, only name and type are known; as the answer of `stat`, true for this once, and the file
    is opened however small it is.
    """

    ino: int  # shown to applications, unique in the tree; 0 = make one up, of path and version
    size: int  # bytes
    blocks: int  # of 512 bytes, or BLOCKS_FROM_SIZE
    version: int  # 64-bit identity of the contents: another value is another file
    mtime_ns: int  # since the epoch
    ctime_ns: int
    atime_ns: int
    mode: int  # type and permissions, as st_mode
    nlink: int
    uid: int
    gid: int


class Extent(NamedTuple):
    """A run of `length` bytes of a file that begins at `offset` of the open descriptor `fd`."""

    fd: int
    offset: int
    length: int


class OpenFile(NamedTuple):
    """An open file, from `Source.open`.

    `extents` cover the file in order, or are empty: nothing is lent. A single one may be written in place by the owner
    of the file; several are pieces that nobody changes while they are lent (one that becomes shorter is EIO). Their
    descriptors belong to the receiver. `handle` is for `read_into` and `close_file`; None when the extents are all that
    will be used. `attr`: the attributes of the file now, of a source with `confirms_opens`.
    """

    handle: Any  # of the source's own kind
    version: int
    size: int  # bytes
    extents: Sequence[Extent] = ()
    attr: Attr | None = None


class StatFs(NamedTuple):
    """Figures of the file system, in the order that `Fetch.answer_statfs` takes them."""

    block_size: int  # bytes; the unit of the next three
    blocks: int
    blocks_free: int
    blocks_available: int
    files: int
    files_free: int
    name_max: int  # bytes of one name


class Directory(NamedTuple):
    """A directory of this machine that the core can ask itself, without a fetch; see csrc/source/direct.h."""

    fd: int  # open; the source's
    pin_contents: bool  # versions are of contents, and files are copied; else files are lent
    home_dev: int  # st_dev of the root
    hide_dev: int  # of the mount, which is not shown; 0: it lies elsewhere


class Listing(NamedTuple):
    """One directory: its entries, whose names lie in one blob beside them."""

    entries: Any  # a C-contiguous buffer of ENTRY_DTYPE: a NumPy array, or bytes
    names: bytes


def _forget_nothing(path: bytes) -> None:
    """Before the mount there is nothing to forget."""


def _keep_nothing(path: bytes, entries: Any, names: bytes, age: float) -> None:
    """Before the mount there is nobody to offer anything to."""


def _always_wanted() -> None:
    """Before the mount nobody gives up."""


class Source(abc.ABC):
    """See the module's docstring for paths, threads and errors. `str(source)` names it in log lines.

    `small_bytes`: files of up to this size (1 MiB at most) are never opened: each READ is one `read_small`, and the
    first open waits for one of the whole file, which proves that the version is there still. Only for a source whose
    versions never change in place; 0: every file is opened.
    `small_ahead`: how many calls of `read_small` may be made at once for files that nobody has asked for yet: as many
    as can wait together, for a server say. Fewer are made while they take too short a time for that to be worth it.
    `follows_growth`: whether `grown` may say anything of a file that is open.
    `confirms_opens`: each `open` tells attributes, and `stat` costs next to nothing: with default_permissions an open
    is granted only if mode and owner are still what the kernel has checked. Set when made.
    `opens_files`: whether each handle has a descriptor of this process, which are limited. Set when made.
    `passthrough`: whether the kernel itself reads a file that is lent in one extent; set before the first request.
    `stack_depth`: what the mount's must be for passthrough of what is lent: a constant of stacking.py. Set when made.
    `invalidate(path)`: makes core and kernel, but not the source, forget what they know of `path` and everything below
    it. Set before the first request; returns at once, from any thread.
    `offer_list(path, *listing, age)`: gives the core a listing that it did not ask for, and that is `age` s old, so
    that look-ups in that directory need not ask; as `invalidate`.
    `check_wanted()`: raises Cancelled, which must pass, when nobody waits any more for what the calling thread is
    doing; for a source that is long about an answer. Set before the first request.
    """

    follows_growth: bool = False
    small_bytes: int = 0
    small_ahead: int = 8
    confirms_opens: bool = False
    opens_files: bool = False
    passthrough: bool = False
    stack_depth: int = stacking.PLAIN
    invalidate: Callable[[bytes], None] = staticmethod(_forget_nothing)
    offer_list: Callable[[bytes, Any, bytes, float], None] = staticmethod(_keep_nothing)
    check_wanted: Callable[[], None] = staticmethod(_always_wanted)

    def __str__(self) -> str:
        return type(self).__name__

    def mounted(self, device: int) -> None:  # noqa: B027  (a hook: most sources do not care)
        """Tells the st_dev of the mount, before the first request is served from it."""

    def directory(self) -> Directory | None:
        """Returns the directory that the source is, when the core may answer from it; asked after `mounted`."""
        return None

    @abc.abstractmethod
    def stat(self, path: bytes) -> Attr:
        """Attributes of `path` itself: of a symbolic link, not of its target."""

    @abc.abstractmethod
    def list(self, path: bytes) -> Listing:
        """The entries of a directory without ``.`` and ``..``, in any order. ENOTDIR when it is none."""

    def readlink(self, path: bytes) -> bytes:
        """The target of a symbolic link as it stands there. EINVAL when it is none; without links, that is always."""
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)

    def forget(self, path: bytes) -> None:  # noqa: B027  (a source may remember nothing)
        """Forgets what it remembers of names and attributes: of `path` and everything below it, and that it is there.

        Answers to questions that are under way are not remembered either.
        """

    def remembered(self) -> int:
        """Of how many paths it remembers something."""
        return 0

    def statfs(self) -> StatFs:
        """Figures of the file system; by default of one that does not know."""
        return StatFs(4096, 0, 0, 0, 0, 0, 255)

    def counters(self) -> Mapping[str, int]:
        """Returns the counters of the source itself, which are shown with those of the mount; always the same names."""
        return {}

    def servers(self) -> Mapping[str, Mapping[str, int]]:
        """Returns those of these counters that can be told by server, as "host:port"; without secrets."""
        return {}

    @abc.abstractmethod
    def open(self, path: bytes, version: int) -> OpenFile:
        """Opens the regular file `path`, of which `version` was looked up.

        Raises StaleVersion when another version, or something that is no regular file, is there by now.
        """

    @abc.abstractmethod
    def read_into(
        self,
        handle: Any,
        offset: int,
        buffer: memoryview,
        progress: Callable[[int], None],
    ) -> int:
        """Fills `buffer` from byte `offset` of the version that was opened; returns how many bytes it filled.

        That is the whole buffer unless the file ends before. Calls `progress(n)` as it goes, every 256 KiB to 1 MiB:
        the first n bytes are final and may be in an application's hands when the call returns. `progress` may raise
        Cancelled, which must pass. Raises StaleVersion rather than call bytes of another version final. Keeps no
        reference to the buffer.
        """

    def grown(self, path: bytes, version: int) -> Attr | None:
        """Attributes of the file at `path` when it begins with every byte that was read of `version`; else None.

        Readers that have that version open go on in the new one, which is another one and no shorter.
        """
        return None

    def read_small(
        self,
        path: bytes,
        version: int,
        size: int,
        offset: int,
        buffer: memoryview,
        progress: Callable[[int], None],
    ) -> int:
        """`open`, `read_into` and `close_file` in one, of a file of `size` bytes, at most `small_bytes`.

        Raises StaleVersion when another version, or something that is no regular file, is there by now.
        """
        raise NotImplementedError

    def close_file(self, handle: Any) -> None:  # noqa: B027  (a handle may need no closing)
        """Forgets a handle, which no call uses any more."""

    def close(self) -> None:  # noqa: B027  (a source may hold nothing)
        """Gives up what the source itself holds; idempotent. Calls that are under way may fail.

        Handles may outlive it, when a thread hangs in one of them: `close_file` still takes them.
        """


def file_attr(size: int, *, version: int, mtime_ns: int = 0, mode: int = 0o444) -> Attr:
    """Attributes of a regular file that belongs to the mounting user; `mode`: its permissions."""
    return _attr(size, version, mtime_ns, stat.S_IFREG | mode, 1)


def directory_attr(*, mtime_ns: int = 0, mode: int = 0o555) -> Attr:
    """Attributes of a directory that belongs to the mounting user; `mode`: its permissions."""
    return _attr(0, 0, mtime_ns, stat.S_IFDIR | mode, 2)


def _attr(size: int, version: int, mtime_ns: int, mode: int, nlink: int) -> Attr:
    owner, group = os.getuid(), os.getgid()
    return Attr(0, size, BLOCKS_FROM_SIZE, version, mtime_ns, mtime_ns, mtime_ns, mode, nlink, owner, group)


def build_listing(entries: Iterable[tuple[bytes, Attr]]) -> Listing:
    """Makes a Listing of (name, attributes) pairs.

    Raises ValueError for a name that cannot be one of a directory's entries.
    """
    import numpy as np

    rows = []
    names = []
    end = 0
    for name, attr in entries:
        if not name or name in (b".", b"..") or b"/" in name or b"\0" in name:
            raise ValueError(f"not a file name: {name!r}")
        rows.append((*attr, end, len(name)))
        names.append(name)
        end += len(name)
    return Listing(np.array(rows, dtype=ENTRY_DTYPE), b"".join(names))
