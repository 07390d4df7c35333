"""What every source must do, whatever it is made of (sources/base.py)."""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from oss.bucket import Bucket

from alluxio_jnifuse import _core
from alluxio_jnifuse.errors import StaleVersion
from alluxio_jnifuse.sources import open_source
from alluxio_jnifuse.sources.base import ENTRY_DTYPE, Attr, Listing, OpenFile, Source
from alluxio_jnifuse.testing import FaultySource, Link, MemorySource, Node, SlowSource

LARGE = b"".join(i.to_bytes(4, "little") for i in range(700_000))  # 2.8 MB: several pieces, no two words alike
TREE: dict[bytes, Node] = {
    b"small": b"hello",
    b"empty": b"",
    b"large": LARGE,
    b"link": Link(b"small"),
    b"nowhere": Link(b"not/there"),
    b"void": {},
    b"d": {b"inner": b"inside", b"deep": {b"er": b"bottom"}},
    b"n" * 255: b"long name",
    b"caf\xe9 \xff\n": b"name that is no UTF-8",
}


# Of a store whose names are UTF-8, and that knows no links.
PLAIN_TREE = {name: node for name, node in TREE.items() if not isinstance(node, Link) and name.isascii()}
PLAIN_TREE["café \n".encode()] = b"name with a control character"


class World:
    """A source that shows `tree`, and how to change what it shows."""

    source: Source
    tree = TREE

    def replace(self, path: bytes, content: bytes) -> None:
        raise NotImplementedError

    def remove(self, path: bytes) -> None:
        raise NotImplementedError


class MemoryWorld(World):
    def __init__(self) -> None:
        self.memory = MemorySource(TREE)
        self.source: Source = self.memory

    def replace(self, path: bytes, content: bytes) -> None:
        self.memory.replace(path, content)

    def remove(self, path: bytes) -> None:
        self.memory.remove(path)


class SlowWorld(MemoryWorld):
    def __init__(self) -> None:
        super().__init__()
        self.source = SlowSource(self.memory, {"stat": 0.0, "read": 0.0})


class FaultyWorld(MemoryWorld):
    def __init__(self) -> None:
        super().__init__()
        self.source = FaultySource(self.memory)


class LocalWorld(World):
    def __init__(self, root: Path, lend: bool) -> None:
        self.root = os.fsencode(root)
        self._build(self.root, TREE)
        self.source = open_source(str(root), {"lend": lend})

    def _build(self, path: bytes, node: object) -> None:
        if isinstance(node, dict):
            os.makedirs(path, exist_ok=True)
            for name, child in node.items():
                self._build(path + b"/" + name, child)
        elif isinstance(node, Link):
            os.symlink(node.target, path)
        else:
            assert isinstance(node, bytes)
            with open(path, "wb") as f:
                f.write(node)

    def replace(self, path: bytes, content: bytes) -> None:
        with open(self.root + b".new", "wb") as f:
            f.write(content)
        os.rename(f.name, self.root + path)

    def remove(self, path: bytes) -> None:
        os.unlink(self.root + path)


class OssWorld(World):
    tree = PLAIN_TREE

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._build("", PLAIN_TREE)
        self.source = bucket.source()

    def _build(self, path: str, node: object) -> None:
        if isinstance(node, dict):
            if path:
                self._bucket.put(f"{path}/", b"")
            for name, child in node.items():
                self._build(f"{path}/{name.decode()}".lstrip("/"), child)
        else:
            assert isinstance(node, bytes)
            self._bucket.put(path, node)

    def replace(self, path: bytes, content: bytes) -> None:
        self._bucket.put(path[1:].decode(), content)

    def remove(self, path: bytes) -> None:
        self._bucket.delete(path[1:].decode())


COPYING = ["local copy", "memory", "slow", "faulty", "oss"]  # they are read through read_into
WORLDS = ["local lend", *COPYING]
LINKING = [name for name in WORLDS if name != "oss"]  # they have symbolic links


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made: World
    if request.param.startswith("local"):
        made = LocalWorld(tmp_path / "root", lend=request.param == "local lend")
    elif request.param == "oss":
        made = OssWorld(request.getfixturevalue("bucket"))
    else:
        made = {"memory": MemoryWorld, "slow": SlowWorld, "faulty": FaultyWorld}[request.param]()
    yield made
    made.source.close()


@pytest.fixture
def source(world: World) -> Source:
    return world.source


def open_now(source: Source, path: bytes) -> OpenFile:
    """Opens whatever version of `path` is there."""
    return source.open(path, source.stat(path).version)


def release(source: Source, opened: OpenFile) -> None:
    for extent in opened.extents:
        os.close(extent.fd)
    if opened.handle is not None:
        source.close_file(opened.handle)


def read(source: Source, opened: OpenFile, offset: int, length: int) -> bytes:
    """Reads as the core would: from what was lent, else through the source."""
    if opened.extents:
        parts = []
        for extent in opened.extents:
            skip = min(offset, extent.length)
            take = min(length, extent.length - skip)
            parts.append(os.pread(extent.fd, take, extent.offset + skip))
            offset, length = offset - skip, length - take
        return b"".join(parts)
    buffer = bytearray(length)
    filled = source.read_into(opened.handle, offset, memoryview(buffer), lambda _: None)
    return bytes(buffer[:filled])


def read_whole(source: Source, path: bytes) -> bytes:
    opened = open_now(source, path)
    try:
        return read(source, opened, 0, opened.size)
    finally:
        release(source, opened)


def entries(listing: Listing) -> dict[bytes, Attr]:
    rows = np.frombuffer(listing.entries, dtype=ENTRY_DTYPE)
    found = {}
    for row in rows.tolist():
        *attr, begin, length = row
        found[listing.names[begin : begin + length]] = Attr(*attr)
    assert len(found) == len(rows)
    return found


# ------------------------------------------------------------------------------------------------------ metadata


def test_the_root_is_a_directory(source: Source) -> None:
    """The kernel asks for "/" before anything else."""
    assert stat.S_ISDIR(source.stat(b"/").mode)


@pytest.mark.parametrize("path", [b"/small", b"/empty", b"/large", b"/d/inner", b"/d/deep/er"])
def test_a_file_has_its_size(source: Source, path: bytes) -> None:
    """Applications read as far as the size that stat tells."""
    attr = source.stat(path)
    assert stat.S_ISREG(attr.mode)
    node: object = TREE
    for name in path[1:].split(b"/"):
        assert isinstance(node, dict)
        node = node[name]
    assert isinstance(node, bytes)
    assert attr.size == len(node)


@pytest.mark.parametrize("world", LINKING, indirect=True)
def test_stat_shows_the_link_and_not_its_target(source: Source) -> None:
    """Links are followed by the kernel, in the mount, and nowhere else."""
    assert stat.S_ISLNK(source.stat(b"/link").mode)
    assert stat.S_ISLNK(source.stat(b"/nowhere").mode)
    assert source.readlink(b"/link") == b"small"
    assert source.readlink(b"/nowhere") == b"not/there"


@pytest.mark.parametrize("path", [b"/", b"/small", b"/d"])
def test_readlink_of_what_is_no_link_is_einval(source: Source, path: bytes) -> None:
    """As readlink(2) says."""
    with pytest.raises(OSError) as caught:
        source.readlink(path)
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("path", [b"/missing", b"/d/missing", b"/missing/x"])
def test_what_is_not_there_is_enoent(source: Source, path: bytes) -> None:
    """Every kind of call agrees on what is not there."""
    for call in (source.stat, source.list, source.readlink, lambda p: source.open(p, 1)):
        with pytest.raises(OSError) as caught:
            call(path)
        assert caught.value.errno == errno.ENOENT


def test_a_path_through_a_file_is_enotdir(source: Source) -> None:
    """A file has nothing below it."""
    for call in (source.stat, source.list):
        with pytest.raises(OSError) as caught:
            call(b"/small/x")
        assert caught.value.errno == errno.ENOTDIR


@pytest.mark.parametrize("path", [b"/", b"/d", b"/void"])
def test_a_listing_agrees_with_stat(world: World, path: bytes) -> None:
    """Every name once, each with the attributes that stat would tell: the core takes them as the answer to it."""
    source = world.source
    tree = world.tree[path[1:]] if path != b"/" else world.tree
    assert isinstance(tree, dict)
    found = entries(source.list(path))
    assert found.keys() == tree.keys()
    for name, attr in found.items():
        assert attr._replace(atime_ns=0) == source.stat(path.rstrip(b"/") + b"/" + name)._replace(atime_ns=0)


def test_list_of_a_file_is_enotdir(source: Source) -> None:
    """A file can be replaced by a directory and back between two requests."""
    with pytest.raises(OSError) as caught:
        source.list(b"/small")
    assert caught.value.errno == errno.ENOTDIR


def test_statfs_is_plausible(source: Source) -> None:
    """df divides by these."""
    s = source.statfs()
    assert s.block_size > 0
    assert s.blocks >= s.blocks_free >= 0
    assert s.name_max >= 255


def test_the_version_of_an_unchanged_file_stays(source: Source) -> None:
    """Otherwise every lookup would throw away what is cached."""
    before = source.stat(b"/large")
    read_whole(source, b"/large")
    after = source.stat(b"/large")
    assert (after.version, after.ino) == (before.version, before.ino)


def test_mounted_is_a_hook_that_changes_nothing_elsewhere(world: World) -> None:
    """The device of a mount that is somewhere else hides nothing."""
    source = world.source
    source.mounted(os.makedev(0, 4_000))
    assert entries(source.list(b"/")).keys() == world.tree.keys()
    assert stat.S_ISREG(source.stat(b"/small").mode)


# ---------------------------------------------------------------------------------------------------------- data


def test_every_file_reads_as_it_was_written(world: World) -> None:
    """Whatever its name and size."""
    source = world.source
    for name, node in world.tree.items():
        if isinstance(node, bytes):
            assert read_whole(source, b"/" + name) == node
    assert read_whole(source, b"/d/deep/er") == b"bottom"


@pytest.mark.parametrize("offset", [0, 1, 4095, 4096, (1 << 20) - 1, 1 << 20, len(LARGE) - 1])
@pytest.mark.parametrize("length", [1, 4096, (1 << 20) + 1])
def test_a_read_anywhere_returns_the_bytes_there(source: Source, offset: int, length: int) -> None:
    """Offsets and lengths on both sides of pages and pieces; short only at the end of the file."""
    opened = open_now(source, b"/large")
    assert opened.size == len(LARGE)
    assert read(source, opened, offset, length) == LARGE[offset : offset + length]
    release(source, opened)


def test_a_read_at_or_beyond_the_end_is_empty(source: Source) -> None:
    """As read(2) says."""
    opened = open_now(source, b"/small")
    assert read(source, opened, 5, 10) == b""
    assert read(source, opened, 4096, 10) == b""
    release(source, opened)


@pytest.mark.parametrize("world", COPYING, indirect=True)
def test_what_progress_calls_final_is_final(source: Source) -> None:
    """At each call the bytes so far are those of the file, and the last call is for all of them."""
    opened = open_now(source, b"/large")
    buffer = bytearray(len(LARGE) + 10)
    told = [0]

    def progress(filled: int) -> None:
        assert filled > told[-1]
        assert buffer[told[-1] : filled] == LARGE[told[-1] : filled]
        told.append(filled)

    assert source.read_into(opened.handle, 0, memoryview(buffer), progress) == len(LARGE)
    assert told[-1] == len(LARGE)
    assert max(b - a for a, b in itertools.pairwise(told)) <= 1 << 20
    release(source, opened)


@pytest.mark.parametrize("world", COPYING, indirect=True)
def test_a_cancelled_read_stops_where_it_is(source: Source) -> None:
    """The exception passes, and nothing more is written."""
    opened = open_now(source, b"/large")
    buffer = bytearray(len(LARGE))
    final = 0

    def progress(filled: int) -> None:
        nonlocal final
        final = filled
        raise _core.Cancelled

    with pytest.raises(_core.Cancelled):
        source.read_into(opened.handle, 0, memoryview(buffer), progress)
    assert 0 < final < len(LARGE)
    assert not any(buffer[final:])
    release(source, opened)


def test_many_threads_read_one_handle(source: Source) -> None:
    """Handles have no position and no owner."""
    opened = open_now(source, b"/large")
    step = 70_001
    offsets = range(0, len(LARGE), step)
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda offset: read(source, opened, offset, step), offsets))
    assert b"".join(parts) == LARGE
    release(source, opened)


def test_many_threads_use_one_source(world: World) -> None:
    """Every kind of call at once."""
    source = world.source

    def use(turn: int) -> None:
        assert read_whole(source, b"/d/inner") == b"inside"
        assert b"link" not in world.tree or source.readlink(b"/link") == b"small"
        assert len(entries(source.list(b"/d"))) == 2
        with pytest.raises(FileNotFoundError):
            source.stat(b"/missing%d" % turn)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(100)))


# ------------------------------------------------------------------------------------------------------ versions


def test_open_of_another_version_is_stale(source: Source) -> None:
    """The kernel must look the name up again before it may have other bytes."""
    with pytest.raises(StaleVersion):
        source.open(b"/small", source.stat(b"/small").version ^ 1)


@pytest.mark.parametrize("path", [b"/d", b"/"])
def test_open_of_a_directory_is_stale(source: Source, path: bytes) -> None:
    """The kernel opens only files: if something else is there, it has been put there since the lookup."""
    with pytest.raises(StaleVersion):
        source.open(path, source.stat(path).version)


@pytest.mark.parametrize("world", LINKING, indirect=True)
def test_open_of_a_link_is_stale(source: Source) -> None:
    """As of a directory."""
    with pytest.raises(StaleVersion):
        source.open(b"/link", source.stat(b"/link").version)


def test_a_replaced_file_is_another_version(world: World) -> None:
    """Other bytes, other version, other size; the old version cannot be opened."""
    source = world.source
    before = source.stat(b"/small")
    world.replace(b"/small", b"goodbye")
    after = source.stat(b"/small")
    assert after.version != before.version
    assert after.size == 7
    assert read_whole(source, b"/small") == b"goodbye"
    with pytest.raises(StaleVersion):
        source.open(b"/small", before.version)


def test_an_open_file_never_shows_bytes_of_another_version(world: World) -> None:
    """After a replacement an old handle reads the old bytes, or says that it is stale."""
    source = world.source
    opened = open_now(source, b"/large")
    first = read(source, opened, 0, 1 << 20)
    world.replace(b"/large", bytes(b ^ 0xFF for b in LARGE))
    try:
        rest = read(source, opened, 1 << 20, len(LARGE))
    except StaleVersion:
        rest = LARGE[1 << 20 :]
    assert first + rest == LARGE
    release(source, opened)


def test_a_removed_file_is_gone_and_its_handle_can_be_closed(world: World) -> None:
    """Forgetting a handle never fails for what happened to the file."""
    source = world.source
    opened = open_now(source, b"/d/inner")
    world.remove(b"/d/inner")
    with pytest.raises(FileNotFoundError):
        source.stat(b"/d/inner")
    assert entries(source.list(b"/d")).keys() == {b"deep"}
    release(source, opened)


# -------------------------------------------------------------------------------------------------------- ending


def test_nothing_is_left_open(world: World) -> None:
    """Descriptors are given back by successful and failed calls alike."""
    source = world.source
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        read_whole(source, b"/small")
        source.list(b"/d")
        for wrong in (b"/d", b"/link", b"/missing", b"/small"):
            with pytest.raises((StaleVersion, OSError)):
                source.open(wrong, 1)
    assert len(os.listdir("/proc/self/fd")) == before


def test_close_is_idempotent(source: Source) -> None:
    """The end of a mount may come from two sides."""
    source.close()
    source.close()


def test_a_source_can_be_named(source: Source) -> None:
    """Log lines say which source it was."""
    assert len(str(source).splitlines()) == 1
