"""Open files of the second binding: every range of every kind of file is what the source says."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from alluxio_jnifuse.errors import StaleVersion
from alluxio_jnifuse.llfuse_binding.nodes import Node
from alluxio_jnifuse.llfuse_binding.reading import Reading
from alluxio_jnifuse.sources.base import Attr, Extent, Listing, OpenFile, Source, file_attr

MIB = 1 << 20
DATA = random.Random(1).randbytes(9 * MIB + 5)


class Memory(Source):
    """One file, in one of three ways; `asked`: the ranges that were read."""

    def __init__(self, data: bytes, how: str, directory: Path) -> None:
        self.data = data
        self.how = how
        self.small_bytes = MIB if how == "small" else 0
        self.asked: list[tuple[int, int]] = []
        self.open_files = 0
        self.version = 1
        self._path = directory / "lent"
        self._path.write_bytes(b"before" + data + b"behind")

    def stat(self, path: bytes) -> Attr:
        return file_attr(len(self.data), version=self.version)

    def list(self, path: bytes) -> Listing:
        raise NotADirectoryError

    def open(self, path: bytes, version: int) -> OpenFile:
        if self.how != "lent":
            self.open_files += 1
            return OpenFile("handle", self.version, len(self.data))
        half = len(self.data) // 2
        fds = [os.open(self._path, os.O_RDONLY) for _ in range(2)]
        extents = [Extent(fds[0], 6, half), Extent(fds[1], 6 + half, len(self.data) - half)]
        return OpenFile(None, self.version, len(self.data), extents)

    def read_into(self, handle: object, offset: int, buffer: memoryview, progress: Callable[[int], None]) -> int:
        if self.version != 1:
            raise StaleVersion("file")
        self.asked.append((offset, len(buffer)))
        data = self.data[offset : offset + len(buffer)]
        buffer[: len(data)] = data
        progress(len(data))
        return len(data)

    def read_small(
        self, path: bytes, version: int, size: int, offset: int, buffer: memoryview, progress: Callable[[int], None]
    ) -> int:
        return self.read_into(None, offset, buffer, progress)

    def close_file(self, handle: object) -> None:
        self.open_files -= 1


def opened(source: Source) -> Reading:
    return Reading(source, Node(5, b"/file", source.stat(b"/file")))


@pytest.mark.parametrize("how", ["handle", "lent", "small"])
@pytest.mark.parametrize("size", [0, 1, 4096, MIB, MIB + 1, len(DATA)])
def test_every_range(tmp_path: Path, how: str, size: int) -> None:
    source = Memory(DATA[:size], how, tmp_path)
    reading = opened(source)
    draw = random.Random(size)
    for _ in range(50):
        offset, length = draw.randint(0, size + 10), draw.choice((0, 1, 4096, 131_072))
        assert reading.read(offset, length) == source.data[offset : offset + length]
    whole = b"".join(reading.read(at, 131_072) for at in range(0, size, 131_072))
    assert whole == source.data
    reading.close()
    reading.close()
    assert source.open_files == 0


def test_a_stream_is_fetched_in_large_pieces(tmp_path: Path) -> None:
    source = Memory(DATA, "handle", tmp_path)
    reading = opened(source)
    for at in range(0, len(DATA), 131_072):
        reading.read(at, 131_072)
    assert source.asked == [(0, 4 * MIB), (4 * MIB, 4 * MIB), (8 * MIB, len(DATA) - 8 * MIB)]


def test_random_reads_fetch_what_was_asked_for(tmp_path: Path) -> None:
    source = Memory(DATA, "handle", tmp_path)
    reading = opened(source)
    for at in (5 * MIB, 3 * MIB, 7 * MIB):
        reading.read(at, 4096)
    assert source.asked == [(5 * MIB, 4096), (3 * MIB, 4096), (7 * MIB, 4096)]


def test_another_version_is_not_opened(tmp_path: Path) -> None:
    source = Memory(DATA[:10], "handle", tmp_path)
    node = Node(5, b"/file", source.stat(b"/file"))
    source.version = 2
    with pytest.raises(StaleVersion):
        Reading(source, node)
    assert source.open_files == 0


def test_another_version_is_not_read_on(tmp_path: Path) -> None:
    source = Memory(DATA, "handle", tmp_path)
    reading = opened(source)
    reading.read(0, 4096)
    source.version = 2
    with pytest.raises(OSError) as found:
        reading.read(8 * MIB, 4096)
    assert found.value.errno == errno.EIO
    assert reading.read(4096, 4096) == DATA[4096:8192]  # which had come before


def test_an_extent_that_became_shorter(tmp_path: Path) -> None:
    source = Memory(DATA, "lent", tmp_path)
    reading = opened(source)
    os.truncate(tmp_path / "lent", 100)
    with pytest.raises(Exception, match="filled"):
        reading.read(0, 4096)
    reading.close()


def test_the_first_open_of_a_small_file_proves_its_version(tmp_path: Path) -> None:
    """Later ones need not, until a read finds another one."""
    source = Memory(b"contents", "small", tmp_path)
    node = Node(5, b"/file", source.stat(b"/file"))
    source.version = 2
    with pytest.raises(StaleVersion):
        Reading(source, node)
    source.version = 1
    Reading(source, node)
    source.version = 2
    reading = Reading(source, node)
    with pytest.raises(OSError, match="Input/output"):
        reading.read(0, 8)
    with pytest.raises(StaleVersion):
        Reading(source, node)
