"""Bytes that leave a bucket for those that programs need: of reads here and there hardly one more than is asked for.

Two things make them more. The kernel asks for more than the program, which nobody can decline: whole pages, and when a
read is longer than its read-ahead (`max_readahead`) up to twice that behind it. And the daemon fetches ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from harness.children import Children
from harness.mounting import Mounted, Mounts
from harness.patterns import (
    PAGE,
    arrow_batches,
    arrow_column,
    bytes_of_column,
    duckdb_column,
    pages_of,
    preads,
    scattered,
    write_columns,
)
from oss.bucket import Bucket

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(600)]

MIB = 1 << 20
SIZE = 400 * MIB  # a hole
MOST = 1.2
LENGTHS = [PAGE, 64 << 10, 200_000, 700_000, MIB, 2_500_000, 6_000_000, 16 * MIB]
OPTIONS = ["", "max_readahead=128KB", "direct_io"]
COLUMNS, ROWS, GROUPS = 50, 60_000, 5  # chunks of 480 KB
READERS = [arrow_column, arrow_batches, duckdb_column]


@pytest.fixture(scope="module")
def hole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hole") / "data"
    with path.open("wb") as file:
        file.truncate(SIZE)
    return path


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("columns") / "data"
    write_columns(path, COLUMNS, ROWS, GROUPS)
    return path


def fill(bucket: Bucket, file: Path) -> None:
    """What lies beside it, too; nothing is read for that."""
    bucket.server.put_tree(bucket.name, file.parent, "dir/")


def mount(mounts: Mounts, bucket: Bucket, options: str) -> Mounted:
    made = mounts.mount(bucket.uri, options, bucket.properties())
    bucket.server.reset()
    return made


def asked(stats: Mapping[str, int]) -> int:
    """Bytes of the kernel's READ requests."""
    return stats["read_hit_bytes"] + stats["read_miss_bytes"]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("length", LENGTHS)
def test_preads(bucket: Bucket, mounts: Mounts, children: Children, hole: Path, length: int, options: str) -> None:
    """Anywhere, far apart."""
    fill(bucket, hole)
    places = scattered(15, length, SIZE)
    mounted = mount(mounts, bucket, options)
    children.run(preads, mounted.join("data"), places, length, timeout=120.0)
    stats, sent = mounted.settled(), bucket.counts()["bytes_sent"]
    needed = pages_of(places, length)
    assert sent <= MOST * max(asked(stats), needed)
    if "direct_io" in options or (length < MIB and "readahead" not in options):  # what is longer is the kernel's choice
        assert sent <= MOST * needed


@pytest.mark.parametrize("options", OPTIONS[:2])
@pytest.mark.parametrize("read", READERS)
def test_columns(
    bucket: Bucket,
    mounts: Mounts,
    children: Children,
    columns: Path,
    read: Callable[[str, str], int],
    options: str,
) -> None:
    """One column of fifty."""
    fill(bucket, columns)
    needed = bytes_of_column(columns, "c17")
    mounted = mount(mounts, bucket, options)
    assert children.run(read, mounted.join("data"), "c17", timeout=120.0) == ROWS * GROUPS
    stats, sent = mounted.settled(), bucket.counts()["bytes_sent"]
    assert sent <= MOST * asked(stats)
    if "readahead" not in options:
        assert sent <= MOST * needed
