"""Mappings of one large object: touched in several places in turn, and copied as memcpy does, up and down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from harness.children import Children
from harness.mounting import Mounts
from oss.bucket import Bucket

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(600)]

MIB = 1 << 20
SIZE = 256 * MIB
PLACES = 8
COPY = 32 * MIB
STEP = 64 << 10


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each word tells where it is."""
    path = tmp_path_factory.mktemp("large") / "data"
    np.arange(SIZE // 8, dtype=np.uint64).tofile(path)
    return path


def check(mapped: np.ndarray, start: int, end: int) -> None:
    words = np.array(mapped[start // 8 : end // 8])
    assert words[0] == start // 8
    assert (np.diff(words) == 1).all()


def in_turn(path: str) -> None:
    """A MiB in each place, then the next one."""
    mapped = np.memmap(path, np.uint64, "r")
    for step in range(0, SIZE // PLACES, MIB):
        for place in range(0, SIZE, SIZE // PLACES):
            check(mapped, place + step, place + step + MIB)


def up(path: str) -> None:
    """The last word of each piece, then all from the first one on."""
    mapped = np.memmap(path, np.uint64, "r")
    for piece in range(0, SIZE, COPY):
        check(mapped, piece + COPY - 8, piece + COPY)
        for at in range(piece, piece + COPY, STEP):
            check(mapped, at, at + STEP)


def down(path: str) -> None:
    """The first word of each piece, then all from the last one back."""
    mapped = np.memmap(path, np.uint64, "r")
    for piece in range(0, SIZE, COPY):
        check(mapped, piece, piece + 8)
        for at in range(piece + COPY, piece, -STEP):
            check(mapped, at - STEP, at)


@pytest.mark.parametrize("way", [in_turn, up, down])
def test_streams_of_large_requests(
    bucket: Bucket, mounts: Mounts, children: Children, large: Path, way: Callable[[str], None]
) -> None:
    """A request brings more than a MiB on average, where a page fault makes the kernel ask for half of one."""
    bucket.server.put_tree(bucket.name, large.parent, "dir/")
    mounted = mounts.mount(bucket.uri, "", bucket.properties())
    bucket.server.reset()
    children.run(way, mounted.join("data"), timeout=300.0)
    mounted.settled()
    counts = bucket.counts()
    assert counts["bytes_sent"] <= 1.2 * SIZE
    assert counts["GET"] <= SIZE // MIB * 4 // 5
