"""The answers to the kernel: llfuse calls these methods, under its lock, from any of its workers."""

from __future__ import annotations

import bisect
import errno
import functools
import logging
import os
import stat
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar, cast

import llfuse

from alluxio_jnifuse import _core
from alluxio_jnifuse.errors import AlluxioFuseError, StaleVersion, known_errno, printable
from alluxio_jnifuse.llfuse_binding.nodes import ROOT, Node, Nodes
from alluxio_jnifuse.llfuse_binding.reading import Reading
from alluxio_jnifuse.sources.base import BLOCKS_FROM_SIZE, Attr

if TYPE_CHECKING:
    from alluxio_jnifuse.sources.base import Source

log = logging.getLogger(__name__)

_Method = TypeVar("_Method", bound="Callable[..., Any]")
_NS_PER_S = 1_000_000_000
_OWN_DIRECTORY, _PARENT_DIRECTORY = 1, 2  # the offsets behind "." and ".."
_BLOCK_BYTES = 4096


class Durations:
    """How long the requests of one kind took: as a histogram of `_core.Core.times`."""

    def __init__(self) -> None:
        self.sum_ns = 0
        self.ranges = [0] * len(_core.time_ranges())
        self.errors: Counter[str] = Counter()

    def add(self, seconds: float, result: int) -> None:
        """One more; `result` is -errno where it failed."""
        self.sum_ns += int(seconds * _NS_PER_S)
        self.ranges[bisect.bisect_right(_core.time_ranges(), int(seconds * 1e6)) - 1] += 1
        if result < 0:
            self.errors[errno.errorcode.get(-result, "other")] += 1


class _Names(NamedTuple):
    """A directory that is open: what was listed, at the first READDIR; offset n + 2 is behind entry n."""

    node: Node
    listed: list[tuple[bytes, Attr]] | None


def _counted(name: str) -> Callable[[_Method], _Method]:
    """Counts a request, tells the log of one that is slow, and makes any error one that the kernel understands."""

    def wrap(method: _Method) -> _Method:
        @functools.wraps(method)
        def answer(self: Operations, number: int, *args: Any) -> Any:
            began = time.monotonic()
            self.counts[f"op_{name}"] += 1
            result = 0
            try:
                found = method(self, number, *args)
                result = len(found) if isinstance(found, bytes) else 0
                return found
            except llfuse.FUSEError as error:
                result = -error.errno
                raise
            except Exception as error:
                result = -self.explain(name, number, error)
                raise llfuse.FUSEError(-result) from error
            finally:
                self.note(name, number, args, result, time.monotonic() - began)

        return cast("_Method", answer)

    return wrap


def _refused(self: Operations, *args: object) -> NoReturn:
    """Nothing can be changed."""
    self.counts["op_refused"] += 1
    raise llfuse.FUSEError(errno.EROFS)


class Operations(llfuse.Operations):  # type: ignore[misc]  # llfuse has no types
    """See the module's docstring. `counts`, `durations`: by the names of docs/METRICS.md."""

    create = link = mkdir = mknod = rename = rmdir = setattr = setxattr = removexattr = symlink = unlink = write = (
        _refused
    )

    def __init__(
        self, source: Source, root: Attr, options: Mapping[str, int], obey: Callable[[bytes], Attr | None] | None
    ) -> None:
        """`options`: those of struct ajf_options; `obey`: what to ask before the source about a path (commands.py)."""
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.durations: defaultdict[str, Durations] = defaultdict(Durations)
        self.nodes = Nodes(root)
        self.handles: dict[int, Reading | _Names] = {}
        self.started: Callable[[], None] = lambda: None
        self._last_handle = 0
        self._source = source
        self._options = options
        self._obey = obey

    def init(self) -> None:
        """The kernel and libfuse have agreed."""
        self.started()

    def end(self) -> None:
        """Closes what is still open when nothing asks any more."""
        for handle, thing in list(self.handles.items()):
            if isinstance(thing, Reading):
                self.counts["op_release"] += 1
                del self.handles[handle]
                thing.node.opens -= 1
                _close(thing)
            else:
                self.releasedir(handle)

    # ------------------------------------------------------------------------------------------------- names

    @_counted("lookup")
    def lookup(self, parent: int, name: bytes, ctx: object) -> llfuse.EntryAttributes:
        path = _below(self._node(parent).path, name)
        try:
            attr = self._stat(path)
        except FileNotFoundError:
            if not self._options["negative_timeout_ns"]:
                raise
            return self._absent()
        return self._entry(self.nodes.found(path, attr), attr)

    @_counted("getattr")
    def getattr(self, number: int, ctx: object) -> llfuse.EntryAttributes:
        node = self._node(number)
        try:
            attr = self._stat(node.path)
        except FileNotFoundError:
            if not node.opens:
                raise self._gone(node) from None
            return self._entry(node, node.attr._replace(nlink=0))
        if node.is_still(attr):
            node.attr = attr
        elif not node.opens:
            raise llfuse.FUSEError(errno.ESTALE)  # the kernel looks the name up again
        return self._entry(node, node.attr)

    @_counted("readlink")
    def readlink(self, number: int, ctx: object) -> bytes:
        path = self._node(number).path
        self.counts["fetch_readlink"] += 1
        with llfuse.lock_released:
            return self._source.readlink(path)

    def forget(self, inode_list: Iterable[tuple[int, int]]) -> None:
        for number, lookups in inode_list:
            self.counts["op_forget"] += 1
            self.nodes.forget(number, lookups)

    @_counted("statfs")
    def _statfs(self, number: int) -> llfuse.StatvfsData:
        self.counts["fetch_statfs"] += 1
        with llfuse.lock_released:
            found = self._source.statfs()
        answer = llfuse.StatvfsData()
        answer.f_bsize = answer.f_frsize = found.block_size
        answer.f_blocks, answer.f_bfree, answer.f_bavail = found.blocks, found.blocks_free, found.blocks_available
        answer.f_files, answer.f_ffree, answer.f_favail = found.files, found.files_free, found.files_free
        answer.f_namemax = found.name_max
        return answer

    def statfs(self, ctx: object) -> llfuse.StatvfsData:
        return self._statfs(ROOT)

    # ------------------------------------------------------------------------------------------------- files

    @_counted("open")
    def open(self, number: int, flags: int, ctx: object) -> int:
        if flags & os.O_ACCMODE != os.O_RDONLY or flags & os.O_TRUNC:
            self.counts["op_refused"] += 1
            raise llfuse.FUSEError(errno.EROFS)
        node = self._node(number)
        node.opens += 1  # before the lock is given back
        self.counts["fetch_open"] += 1
        try:
            with llfuse.lock_released:
                reading = Reading(self._source, node)
        except StaleVersion as error:
            node.opens -= 1
            raise llfuse.FUSEError(errno.ESTALE) from error  # the kernel looks the name up again
        except FileNotFoundError:
            node.opens -= 1
            raise self._gone(node) from None
        except BaseException:
            node.opens -= 1
            raise
        return self._remember(reading)

    def read(self, handle: int, offset: int, size: int) -> bytes:
        reading = self._reading(handle)
        data = self._read(reading.node.number, reading, offset, size)
        self.counts["op_read_bytes"] += len(data)
        return data

    @_counted("read")
    def _read(self, number: int, reading: Reading, offset: int, size: int) -> bytes:
        with llfuse.lock_released:
            return reading.read(offset, size)

    def release(self, handle: int) -> None:
        self.counts["op_release"] += 1
        reading = self._reading(handle)
        del self.handles[handle]
        reading.node.opens -= 1
        with llfuse.lock_released:
            _close(reading)

    # ------------------------------------------------------------------------------------------- directories

    @_counted("opendir")
    def opendir(self, number: int, ctx: object) -> int:
        return self._remember(_Names(self._node(number), None))

    def readdir(self, handle: int, offset: int) -> Iterator[tuple[bytes, llfuse.EntryAttributes, int]]:
        directory = cast("_Names", self.handles[handle])
        listed = directory.listed
        if listed is None or offset == 0:  # at first, and when it is rewound
            listed = self._list(directory.node.number, directory.node.path)
            self.handles[handle] = directory._replace(listed=listed)
        return self._entries(directory.node, listed, offset)

    def releasedir(self, handle: int) -> None:
        self.counts["op_releasedir"] += 1
        self.handles.pop(handle, None)

    @_counted("readdir")
    def _list(self, number: int, path: bytes) -> list[tuple[bytes, Attr]]:
        from alluxio_jnifuse.llfuse_binding.listing import entries

        self.counts["fetch_list"] += 1
        with llfuse.lock_released:
            return entries(self._source.list(path))

    def _entries(
        self, node: Node, listed: list[tuple[bytes, Attr]], offset: int
    ) -> Iterator[tuple[bytes, llfuse.EntryAttributes, int]]:
        if offset < _OWN_DIRECTORY:
            yield b".", _name(node.attr.ino or node.number, node.attr), _OWN_DIRECTORY
        if offset < _PARENT_DIRECTORY:
            parent = self.nodes.at(os.path.dirname(node.path)) or node
            yield b"..", _name(parent.attr.ino or parent.number, parent.attr), _PARENT_DIRECTORY
        for at in range(max(0, offset - _PARENT_DIRECTORY), len(listed)):
            name, attr = listed[at]
            path = _below(node.path, name)
            known = self.nodes.at(path)
            number = known.number if known else attr.ino or self.nodes.free_number(path, attr)
            yield name, _name(number, attr), at + 1 + _PARENT_DIRECTORY

    # ----------------------------------------------------------------------------------------------- helpers

    def explain(self, name: str, number: int, error: Exception) -> int:
        """Returns the errno of an error; leaves a log line when there is none that describes it."""
        found = known_errno(error)
        if found is not None:
            return found
        node = self.nodes.get(number)
        what = str(error) if isinstance(error, AlluxioFuseError) else f"{type(error).__name__}: {error}"
        log.error("%s %r, %s: %s", name, os.fsdecode(node.path) if node else "?", self._source, printable(what))
        return errno.EIO

    def note(self, name: str, number: int, args: tuple[Any, ...], result: int, seconds: float) -> None:
        """Counts how long a request took; tells the log of one that was slow, or of any while debugging."""
        self.durations[f"op_{name}"].add(seconds, result)
        slow_ms = self._options["slow_ms"]
        took_ms = int(seconds * 1000)
        slow = slow_ms and took_ms >= slow_ms
        if not slow and not self._options["debug"]:
            return
        node = self.nodes.get(number)
        offset, size = args[1:3] if name == "read" else (0, 0)
        text = (
            f"Fuse.{name.capitalize()}(path={printable(os.fsdecode(node.path)) if node else '?'},fd={number},"
            f"size={size},offset={offset}) returned {result} in {took_ms} ms"
        )
        if slow:
            log.warning("%s (>=%d ms)", text, slow_ms)
        else:
            log.debug("%s", text)

    def _stat(self, path: bytes) -> Attr:
        self.counts["fetch_stat"] += 1
        with llfuse.lock_released:
            found = self._obey(path) if self._obey is not None else None
            return self._source.stat(path) if found is None else found

    def _gone(self, node: Node) -> llfuse.FUSEError:
        """Returns what to answer when `node.path` is not there; if it had other names, the kernel looks them up."""
        return llfuse.FUSEError(errno.ESTALE if node.others else errno.ENOENT)

    def _node(self, number: int) -> Node:
        node = self.nodes.get(number)
        if node is None:
            raise llfuse.FUSEError(errno.ESTALE)
        return node

    def _reading(self, handle: int) -> Reading:
        return cast("Reading", self.handles[handle])

    def _remember(self, thing: Reading | _Names) -> int:
        self._last_handle += 1
        self.handles[self._last_handle] = thing
        return self._last_handle

    def _entry(self, node: Node, attr: Attr) -> llfuse.EntryAttributes:
        entry = self._shown(attr, (attr.ino or ROOT) if node.number == ROOT else node.number)
        entry.attr_timeout = self._options["attr_timeout_ns"] / _NS_PER_S
        entry.entry_timeout = self._options["entry_timeout_ns"] / _NS_PER_S
        if not attr.nlink:  # true for this once
            entry.attr_timeout = entry.entry_timeout = 0
        return entry

    def _absent(self) -> llfuse.EntryAttributes:
        """No such name, and the kernel may remember that."""
        entry = llfuse.EntryAttributes()
        entry.st_ino = 0
        entry.entry_timeout = self._options["negative_timeout_ns"] / _NS_PER_S
        return entry

    def _shown(self, attr: Attr, number: int) -> llfuse.EntryAttributes:
        """Returns attributes as applications see them, with the owner and the mode that the options say."""
        entry = llfuse.EntryAttributes()
        entry.st_ino = number
        entry.generation = 0
        entry.st_mode = attr.mode
        if self._options["umask"] >= 0 and not stat.S_ISLNK(attr.mode):
            entry.st_mode = stat.S_IFMT(attr.mode) | (0o777 & ~self._options["umask"])
        entry.st_nlink = attr.nlink
        entry.st_uid = attr.uid if self._options["uid"] < 0 else self._options["uid"]
        entry.st_gid = attr.gid if self._options["gid"] < 0 else self._options["gid"]
        entry.st_size = attr.size
        entry.st_blksize = _BLOCK_BYTES
        entry.st_blocks = (attr.size + 511) // 512 if attr.blocks == BLOCKS_FROM_SIZE else attr.blocks
        entry.st_atime_ns, entry.st_mtime_ns, entry.st_ctime_ns = attr.atime_ns, attr.mtime_ns, attr.ctime_ns
        return entry


def _name(number: int, attr: Attr) -> llfuse.EntryAttributes:
    """A name in a listing: the kernel takes number and type alone. Programs pass over a name with the number 0."""
    entry = llfuse.EntryAttributes()
    entry.st_ino = number
    entry.st_mode = stat.S_IFMT(attr.mode)
    return entry


def _close(reading: Reading) -> None:
    try:
        reading.close()
    except Exception as error:
        log.debug("closing %r: %r", os.fsdecode(reading.node.path), error)


def _below(directory: bytes, name: bytes) -> bytes:
    """The path of a name in a directory; of "." and "..", too, which an NFS server looks up."""
    if name == b".":
        return directory
    if name == b"..":
        return os.path.dirname(directory)
    return (b"" if directory == b"/" else directory) + b"/" + name
