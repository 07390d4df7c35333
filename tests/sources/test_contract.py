"""Our own sources keep the contract of a source (alluxio_jnifuse.testing.contract), and a little more."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from oss.bucket import Bucket
from worlds import MemoryWorld

from alluxio_jnifuse import _core
from alluxio_jnifuse.sources import open_source
from alluxio_jnifuse.testing import FaultySource, SlowSource
from alluxio_jnifuse.testing.contract import LARGE, PLAIN_TREE, SourceContract, Tree, World, write_tree
from alluxio_jnifuse.testing.contract.world import errno_of

OBJECTS: Tree = {**PLAIN_TREE, b"void": {}}


class OurContract(SourceContract):
    """The sources of this package promise more than that."""

    def test_a_path_through_a_file_is_enotdir(self, world: World) -> None:
        """The errors are those of a local directory."""
        for call in (world.source.stat, world.source.list):
            assert errno_of(call, b"/small/x") == errno.ENOTDIR

    def test_readlink_of_what_is_not_there_is_enoent(self, world: World) -> None:
        """Every kind of call agrees on what is not there."""
        for path in (b"/missing", b"/d/missing", b"/missing/x"):
            assert errno_of(world.source.readlink, path) == errno.ENOENT
            assert errno_of(world.source.open, path, 1) == errno.ENOENT

    def test_a_cancelled_read_writes_nothing_more(self, world: World) -> None:
        """Bytes behind those that were told are not there yet."""
        with world.copied(b"/large") as opened:
            buffer = bytearray(len(LARGE))
            final = 0

            def progress(filled: int) -> None:
                nonlocal final
                final = filled
                raise _core.Cancelled

            with pytest.raises(_core.Cancelled):
                world.source.read_into(opened.handle, 0, memoryview(buffer), progress)
            assert 0 < final < len(LARGE)
            assert not any(buffer[final:])

    def test_changes_are_seen_at_once(self, world: World) -> None:
        """Without a timeout for what was told before, nothing has to be forgotten."""
        before = world.source.stat(b"/small")
        world.replace(b"/small", b"goodbye")
        after = world.source.stat(b"/small")
        assert after.version != before.version
        assert after.size == 7
        world.remove(b"/small")
        assert errno_of(world.source.stat, b"/small") == errno.ENOENT
        assert b"small" not in world.entries(b"/")


class LocalWorld(World):
    def __init__(self, root: Path, tree: Tree, lend: bool) -> None:
        write_tree(root, tree)
        super().__init__(open_source(str(root), {"lend": lend}))
        self.root = os.fsencode(root)

    def replace(self, path: bytes, content: bytes) -> None:
        with open(self.root + b".new", "wb") as f:
            f.write(content)
        os.rename(f.name, self.root + path)

    def remove(self, path: bytes) -> None:
        os.unlink(self.root + path)


class OssWorld(World):
    def __init__(self, bucket: Bucket, tree: Tree) -> None:
        objects: dict[str, bytes] = {}
        self._add(objects, "", tree)
        bucket.put_many(objects)
        super().__init__(bucket.source())
        self._bucket = bucket

    def _add(self, objects: dict[str, bytes], path: str, node: Mapping[bytes, Any] | bytes) -> None:
        if isinstance(node, bytes):
            objects[path] = node
            return
        if path:
            objects[f"{path}/"] = b""
        for name, child in node.items():
            self._add(objects, f"{path}/{name.decode()}".lstrip("/"), child)

    def replace(self, path: bytes, content: bytes) -> None:
        self._bucket.put(path[1:].decode(), content)

    def remove(self, path: bytes) -> None:
        self._bucket.delete(path[1:].decode())


class TestLent(OurContract):
    """A directory whose files the kernel reads."""

    def make(self, tree: Tree, directory: Path) -> World:
        return LocalWorld(directory / "root", tree, lend=True)


class TestCopied(OurContract):
    """A directory whose files are read through the source."""

    def make(self, tree: Tree, directory: Path) -> World:
        return LocalWorld(directory / "root", tree, lend=False)


class TestOss(OurContract):
    """A bucket. It has no links, and its names are UTF-8."""

    tree = OBJECTS

    @pytest.fixture(autouse=True)
    def _bucket(self, bucket: Bucket) -> None:
        self.bucket = bucket

    def make(self, tree: Tree, directory: Path) -> World:
        return OssWorld(self.bucket, tree)


class TestMemory(OurContract):
    """The sources for tests."""

    def make(self, tree: Tree, directory: Path) -> World:
        return MemoryWorld(tree)


class TestSlow(TestMemory):
    def make(self, tree: Tree, directory: Path) -> World:
        return MemoryWorld(tree, lambda memory: SlowSource(memory, {"stat": 0.0, "read": 0.0}))


class TestFaulty(TestMemory):
    def make(self, tree: Tree, directory: Path) -> World:
        return MemoryWorld(tree, FaultySource)
