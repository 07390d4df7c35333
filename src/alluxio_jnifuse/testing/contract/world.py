"""A source with the tree that it shows, and the use that a test makes of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alluxio_jnifuse.errors import known_errno
from alluxio_jnifuse.sources.base import ENTRY_DTYPE, Attr, OpenFile, Source
from alluxio_jnifuse.testing.contract.tree import TREE, Tree
from alluxio_jnifuse.testing.memory import Link


class World:
    """A source, the tree that it shows, and how a test changes that tree.

    A subclass for a storage that a test can change has `replace` and `remove`; else tests that need them are skipped.
    """

    def __init__(self, source: Source, tree: Tree = TREE) -> None:
        self.source = source
        self.tree = tree

    def replace(self, path: bytes, content: bytes) -> None:
        """Puts other contents at the path of a file, as somebody does who writes to the storage."""
        pytest.skip("a test cannot change this storage")

    def remove(self, path: bytes) -> None:
        """Removes a file from the storage."""
        pytest.skip("a test cannot change this storage")

    # ------------------------------------------------------------------------------------------- the source, used

    def open(self, path: bytes) -> OpenFile:
        """Opens whatever version of `path` is there."""
        return self.source.open(path, self.source.stat(path).version)

    def release(self, opened: OpenFile) -> None:
        """Gives an open file up, as the core does after its last reader."""
        for extent in opened.extents:
            os.close(extent.fd)
        if opened.handle is not None:
            self.source.close_file(opened.handle)

    @contextmanager
    def opened(self, path: bytes) -> Iterator[OpenFile]:
        """An open file, which is released."""
        made = self.open(path)
        try:
            yield made
        finally:
            self.release(made)

    @contextmanager
    def copied(self, path: bytes) -> Iterator[OpenFile]:
        """An open file that is read through the source. Skips the test when it is lent."""
        with self.opened(path) as made:
            if made.extents:
                pytest.skip("the kernel reads the files of this source")
            yield made

    def read(self, opened: OpenFile, offset: int, length: int) -> bytes:
        """Reads as the core would: from what was lent, else through the source."""
        if not opened.extents:
            buffer = bytearray(length)
            filled = self.source.read_into(opened.handle, offset, memoryview(buffer), lambda _: None)
            assert type(filled) is int, "read_into returns how many bytes it filled"
            assert 0 <= filled <= length
            return bytes(buffer[:filled])
        parts = []
        for extent in opened.extents:
            skip = min(offset, extent.length)
            take = min(length, extent.length - skip)
            parts.append(os.pread(extent.fd, take, extent.offset + skip))
            offset, length = offset - skip, length - take
        return b"".join(parts)

    def read_whole(self, path: bytes) -> bytes:
        with self.opened(path) as opened:
            return self.read(opened, 0, opened.size)

    def entries(self, path: bytes) -> dict[bytes, Attr]:
        """A listing as the core takes it: the attributes by name."""
        listing = self.source.list(path)
        rows = np.frombuffer(listing.entries, dtype=ENTRY_DTYPE)
        found = {}
        for row in rows.tolist():
            *attr, begin, length = row
            assert begin + length <= len(listing.names), "a name lies within the blob of names"
            found[listing.names[begin : begin + length]] = Attr(*attr)
        assert len(found) == len(rows), "each name comes once"
        return found


class WithWorld:
    """The classes of tests share the world of each test, which is closed behind it."""

    tree: Tree = (
        TREE  # PLAIN_TREE, or TREE without what the storage cannot hold; without small, large and d no test works
    )

    def make(self, tree: Tree, directory: Path) -> World:
        """A world with `tree` in it. `directory` is empty, and the test's own."""
        raise NotImplementedError("a class that inherits the contract makes the worlds of its tests")

    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[World]:
        made = self.make(self.tree, tmp_path)
        made.tree = self.tree
        yield made
        made.source.close()


def errno_of(call: Callable[..., Any], *arguments: Any) -> int | None:
    """The errno that an application gets, of a call that must raise; None: EIO and a line in the log."""
    try:
        result = call(*arguments)
    except Exception as error:
        return known_errno(error)
    pytest.fail(f"{arguments} was answered: {result!r:.200}")


def has_links(world: World) -> bool:
    return any(isinstance(node, Link) for node in world.tree.values())


def kind_of(attr: Attr) -> int:
    return stat.S_IFMT(attr.mode)
