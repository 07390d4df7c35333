"""A source behind the client cache keeps the contract of a source, from its first read on and when all is stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stores import close_all, open_store

from alluxio_jnifuse._wire import SUM_BYTES
from alluxio_jnifuse.cache.guard import Guard
from alluxio_jnifuse.cache.place import Place
from alluxio_jnifuse.cache.source import CachedSource
from alluxio_jnifuse.sources.base import OpenFile
from alluxio_jnifuse.testing import MemorySource
from alluxio_jnifuse.testing.contract import SourceContract, Tree, World, files_of


class CachedWorld(World):
    """A tree in memory behind a cache in a directory."""

    def __init__(self, directory: Path, kind: str, tree: Tree) -> None:
        self.memory = MemorySource(tree)
        store = open_store(kind, directory)
        made = CachedSource(self.memory, "memory", [Place(store, Guard("disk", 0.0, 8), None)])
        made.passthrough = True
        super().__init__(made)

    def read(self, opened: OpenFile, offset: int, length: int) -> bytes:
        """From the start of a granule on, as the core reads; a store takes nothing else."""
        skip = offset % SUM_BYTES
        return super().read(opened, offset - skip, skip + length)[skip:]

    def replace(self, path: bytes, content: bytes) -> None:
        self.memory.replace(path, content)

    def remove(self, path: bytes) -> None:
        self.memory.remove(path)


class CacheContract(SourceContract):
    @pytest.fixture(autouse=True)
    def _closing(self, kind: str) -> Iterator[None]:
        self.kind = kind
        yield
        close_all()

    def make(self, tree: Tree, directory: Path) -> World:
        return CachedWorld(directory, self.kind, tree)


class TestEmptyCache(CacheContract):
    """Nothing is stored yet."""


class TestFullCache(CacheContract):
    """Every file was read before."""

    def make(self, tree: Tree, directory: Path) -> World:
        world = super().make(tree, directory)
        for path, _ in files_of(tree):
            world.read_whole(path)
        return world

    def test_the_version_before_it_is_stale(self, world: World) -> None:
        """All of the old version is stored, and can still be read: the source is not asked."""
        before = world.source.stat(b"/small").version
        world.replace(b"/small", b"goodbye")
        opened = world.source.open(b"/small", before)
        assert world.read(opened, 0, 10) == b"hello"
        world.release(opened)
