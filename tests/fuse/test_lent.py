"""A file that is lent in several pieces reads as one, costs no memory, and fails where a piece has gone."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from harness.children import Children, results
from harness.mounting import Mounted, Mounts
from harness.readers import MIB, check, check_mapped, check_ranges, random_ranges
from harness.remote import FACTORIES

from alluxio_jnifuse.testing import pattern

pytestmark = pytest.mark.fuse

LENGTHS = (3 * MIB, 1, 4097, 2 * MIB + 5, *[10_000] * 12, 3 * MIB - 7, 100)
SIZE = sum(LENGTHS)
EDGES = [sum(LENGTHS[:i]) for i in range(len(LENGTHS) + 1)]
SKIP = 12_345  # bytes in each file before those that are lent
WAYS = ("", "direct_io", "max_read=131072", "max_read=1048576", "clone_fd")

Lend = Callable[..., Mounted]


@pytest.fixture
def lend(private: Path, mounts: Mounts) -> Lend:
    """A factory of mounts of one file, lent in pieces that lie in private/pieces."""

    def make(lengths: tuple[int, ...], skip: int = 0, options: str = "") -> Mounted:
        directory = private / "pieces"
        directory.mkdir()
        at = 0
        for number, length in enumerate(lengths):
            (directory / str(number)).write_bytes(b"\xff" * skip + pattern(b"/file", 1, at, length))
            at += length
        query = f"directory={quote(str(directory), safe='')}&skip={skip}"
        return mounts.mount(f"testing://{quote(str(FACTORIES))}?{query}#pieces", options)

    return make


def near_edges() -> list[tuple[int, int]]:
    """Ranges of all sizes that begin or end round the edges of the pieces, on pages and beside them."""
    found = []
    for edge in EDGES:
        for length in (1, 4096, 5000, 32 << 10, (128 << 10) + 1, MIB, 2 * MIB):
            for start in (edge - length, edge - length + 1, edge - length // 2, edge - 1, edge, edge & ~4095):
                found.append((max(0, start), length))
    return found


@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize("skip", [0, 4096, SKIP])
def test_pieces_read_as_one(lend: Lend, children: Children, skip: int, options: str) -> None:
    """Reads of every alignment across the borders, by two processes at once, return what stands there."""
    mounted = lend(LENGTHS, skip, options)
    path = mounted.join("file")
    ranges = near_edges() + random_ranges(SIZE, 100, 300_000)
    results([children.start(check, path, SIZE), children.start(check_ranges, path, SIZE, ranges)])
    children.run(check_mapped, path, SIZE)
    stats = mounted.stats()
    assert SIZE <= stats["read_borrowed_bytes"] <= stats["op_read_bytes"]
    assert 0 < stats["read_spliced_bytes"] < stats["read_borrowed_bytes"]


def read_cut(path: str, cut: int, ranges: list[tuple[int, int]]) -> list[int]:
    """Reads ranges of a file that lacks bytes from `cut` on, and checks what comes; returns the errnos."""
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)  # each for itself
    found = []
    for at, length in ranges:
        try:
            got = os.pread(fd, length, at)
        except OSError as error:
            found.append(error.errno or 0)
            continue
        assert 0 < len(got) <= cut - at
        assert got == pattern(b"/file", 1, at, len(got))
        found.append(0)
    os.close(fd)
    return found


@pytest.mark.parametrize("options", ["", "direct_io"])
@pytest.mark.parametrize("skip", [0, SKIP])
def test_a_shortened_piece(private: Path, lend: Lend, children: Children, skip: int, options: str) -> None:
    """Who reads what was cut off a piece gets EIO and a line in the log, never zeros; the rest stays readable."""
    piece = 4 * MIB
    mounted = lend((piece, piece, piece), skip, options)
    cut = piece + 2 * MIB + 1000  # within the second
    os.truncate(private / "pieces" / "1", skip + cut - piece)
    path = mounted.join("file")
    behind = [(cut, 1), (cut, MIB), (2 * piece - MIB, 2 * MIB), (2 * piece - 1, 1)]
    assert children.run(read_cut, path, cut, behind) == [errno.EIO] * len(behind)
    children.run(read_cut, path, cut, [(cut - 1, 2), (cut - MIB, 2 * MIB), (cut - 3 * MIB, 4 * MIB)])
    children.run(check_ranges, path, 3 * piece, [(0, piece), (piece, MIB), (2 * piece, piece)])
    assert mounted.lines("/file at", os.strerror(errno.EIO))


def test_memory(lend: Lend, children: Children) -> None:
    """The daemon's memory does not grow with the file that is read through it."""
    lengths = (48 * MIB,) * 4
    mounted = lend(lengths)
    children.run(check_ranges, mounted.join("file"), sum(lengths), [(0, 4 * MIB)])
    before = resident(mounted.pid)
    results([children.start(check, mounted.join("file"), sum(lengths)) for _ in range(2)])
    assert resident(mounted.pid) - before < 32 * MIB


def resident(pid: int) -> int:
    """Bytes of memory that count as a process's."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_descriptors(lend: Lend, children: Children) -> None:
    """All that stays open after the last close are two pipes for each thread."""
    mounted = lend(LENGTHS)
    before, pipes_before = mounted.files(pipes=False), len(mounted.files()) - len(mounted.files(pipes=False))
    for _ in range(3):
        results([children.start(check, mounted.join("file"), SIZE) for _ in range(4)])
        threads = mounted.closed()["threads_peak"]
        after = mounted.files(pipes=False)
        assert sorted(after) == sorted(before)
        assert len(mounted.files()) - len(after) - pipes_before <= 4 * threads
