"""A source that lives in memory, with contents of any size that are made as they are read."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import stat
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from alluxio_jnifuse.errors import StaleVersion
from alluxio_jnifuse.sources.base import (
    BLOCKS_FROM_SIZE,
    Attr,
    Listing,
    OpenFile,
    Source,
    StatFs,
    build_listing,
)

_PIECE_BYTES = 1 << 20  # between calls of progress
_EPOCH_NS = 1_600_000_000 * 10**9  # any fixed time: two runs show the same
_ODD = 0x9E3779B97F4A7C15  # 2**64 / golden ratio; odd, so multiplying by it maps no two words to one


def pattern(path: bytes, generation: int, offset: int, length: int) -> bytes:
    """`length` bytes from `offset` of the contents of a Pattern file at `path`.

    They differ from those of every other path, generation (1 for the first contents of a path) and 8-byte word.
    """
    import numpy as np

    key = hashlib.blake2b(b"%d:%s" % (generation, path), digest_size=8).digest()
    first, last = offset // 8, -(-(offset + length) // 8)
    words = np.arange(first, last, dtype="<u8")
    words += np.uint64(int.from_bytes(key, "little"))
    words *= np.uint64(_ODD)
    skip = offset - first * 8
    return words.view(np.uint8)[skip : skip + length].tobytes()


class Pattern(NamedTuple):
    """A file of `size` bytes of `pattern`, which are made as they are read."""

    size: int


class Link(NamedTuple):
    """A symbolic link."""

    target: bytes


# The parts of a tree: bytes are a file, a mapping of names is a directory.
Node = bytes | Pattern | Link | Mapping[bytes, Any]


class _Inode:
    """One version of one name; never changed but for a directory's children."""

    def __init__(self, node: Node, path: bytes, generation: int, ino: int) -> None:
        self.node = node
        self.path = path
        self.generation = generation
        self.children: dict[bytes, _Inode] = {}
        if isinstance(node, Mapping):
            mode, size = stat.S_IFDIR | 0o755, 0
        elif isinstance(node, Link):
            mode, size = stat.S_IFLNK | 0o777, len(node.target)
        else:
            mode, size = stat.S_IFREG | 0o644, node.size if isinstance(node, Pattern) else len(node)
        when = _EPOCH_NS + ino * 10**9
        nlink = 2 if isinstance(node, Mapping) else 1
        self.attr = Attr(ino, size, BLOCKS_FROM_SIZE, ino, when, when, when, mode, nlink, os.getuid(), os.getgid())

    def content(self, offset: int, length: int) -> bytes:
        if isinstance(self.node, Pattern):
            length = max(0, min(length, self.node.size - offset))
            return pattern(self.path, self.generation, offset, length)
        assert isinstance(self.node, bytes)
        return self.node[offset : offset + length]


class MemorySource(Source):
    """A tree in memory: ``MemorySource({b"a": b"bytes", b"d": {b"big": Pattern(1 << 30), b"l": Link(b"../a")}})``.

    A file that was replaced or removed is stale to a reader that has it open, as an object of a store is. `calls`
    counts the calls by kind ("stat", "list", "readlink", "statfs", "open", "read", "close"), `bytes_read` the bytes.
    """

    def __init__(self, tree: Mapping[bytes, Node]) -> None:
        self.calls: Counter[str] = Counter()
        self.bytes_read = 0
        self._lock = threading.RLock()
        self._inos = itertools.count(1)
        self._generations: Counter[bytes] = Counter()
        self._root = self._make(tree, b"")

    def replace(self, path: bytes, node: Node) -> int:
        """Puts `node` at `path` in one step, over what is there or new; returns its generation, from 1."""
        with self._lock:
            parent, name = self._parent(path)
            made = self._make(node, path)
            parent.children[name] = made
            return made.generation

    def remove(self, path: bytes) -> None:
        """Takes away a file, a link or a whole directory. ENOENT."""
        with self._lock:
            parent, name = self._parent(path)
            self._find(path)
            del parent.children[name]

    def content(self, path: bytes, offset: int, length: int) -> bytes:
        """Returns the bytes that a read of the file that is there now must return; counted nowhere."""
        with self._lock:
            return self._find(path).content(offset, length)

    def stat(self, path: bytes) -> Attr:
        return self._count("stat", path).attr

    def list(self, path: bytes) -> Listing:
        directory = self._count("list", path)
        if not isinstance(directory.node, Mapping):
            raise _error(errno.ENOTDIR, path)
        with self._lock:
            children = tuple(directory.children.items())
        return build_listing((name, child.attr) for name, child in children)

    def readlink(self, path: bytes) -> bytes:
        node = self._count("readlink", path).node
        if not isinstance(node, Link):
            raise _error(errno.EINVAL, path)
        return node.target

    def statfs(self) -> StatFs:
        self._count("statfs", b"/")
        return StatFs(4096, 1 << 28, 1 << 27, 1 << 27, 1 << 20, 1 << 19, 255)

    def open(self, path: bytes, version: int) -> OpenFile:
        inode = self._count("open", path)
        if inode.attr.version != version or not stat.S_ISREG(inode.attr.mode):
            raise StaleVersion(repr(path))
        return OpenFile(inode, version, inode.attr.size)

    def read_into(self, handle: _Inode, offset: int, buffer: memoryview, progress: Callable[[int], None]) -> int:
        with self._lock:
            self.calls["read"] += 1
        filled = 0
        while filled < len(buffer):
            piece = handle.content(offset + filled, min(_PIECE_BYTES, len(buffer) - filled))
            if not piece:
                break
            with self._lock:
                if self._now_at(handle.path) is not handle:
                    raise StaleVersion(repr(handle.path))
                self.bytes_read += len(piece)
            buffer[filled : filled + len(piece)] = piece
            filled += len(piece)
            progress(filled)
        return filled

    def close_file(self, handle: _Inode) -> None:
        with self._lock:
            self.calls["close"] += 1

    def close(self) -> None:
        """There is nothing to give up."""

    def _make(self, node: Node, path: bytes) -> _Inode:
        self._generations[path] += 1
        inode = _Inode(node, path, self._generations[path], next(self._inos))
        if isinstance(node, Mapping):
            inode.children = {name: self._make(child, path + b"/" + name) for name, child in node.items()}
        return inode

    def _count(self, kind: str, path: bytes) -> _Inode:
        with self._lock:
            self.calls[kind] += 1
            return self._find(path)

    def _find(self, path: bytes) -> _Inode:
        inode = self._root
        for name in filter(None, path.split(b"/")):
            if not isinstance(inode.node, Mapping):
                raise _error(errno.ENOTDIR, path)
            if name not in inode.children:
                raise _error(errno.ENOENT, path)
            inode = inode.children[name]
        return inode

    def _now_at(self, path: bytes) -> _Inode | None:
        try:
            return self._find(path)
        except OSError:
            return None

    def _parent(self, path: bytes) -> tuple[_Inode, bytes]:
        directory, _, name = path.rpartition(b"/")
        parent = self._find(directory)
        if not isinstance(parent.node, Mapping):
            raise _error(errno.ENOTDIR, path)
        return parent, name


def _error(number: int, path: bytes) -> OSError:
    return OSError(number, os.strerror(number), path)
