"""Files that are read ahead of a program which tells their order: in children, on mounts of a bucket that counts."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.children import Children, until
from harness.mounting import Mounted, Mounts
from oss.bucket import Bucket

from alluxio_jnifuse import PrefetchSampler, prefetch

pytestmark = pytest.mark.fuse

FILES = 40
BODY = bytes(range(256)) * 64
NAMES = [f"{number * 7 % FILES:02}" for number in range(FILES)]  # in no order of a listing


@pytest.fixture
def mounted(mounts: Mounts, bucket: Bucket) -> Mounted:
    """A bucket of small objects, of which none was read."""
    for name in NAMES:
        bucket.put(f"d/{name}", BODY + name.encode())
    return mounts.mount(f"{bucket.uri}d/", "prefetch_window=0", bucket.properties())  # it fetches nothing by itself


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def gets(mounted: Mounted) -> int:
    """Objects of which bytes were fetched; it is asked of the mount itself, so the caller may be its reader."""
    from alluxio_jnifuse.mounts import stats

    return stats.request(mounted.path).stats["oss_get"]


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "prefetch"]


def reads_ahead(mounted: Mounted) -> None:
    """So many of the next ones are there when the program has the first one, and no more."""
    with prefetch(mounted.path, NAMES, files=5) as paths:
        for done, name in enumerate(paths):
            until(lambda n=done: gets(mounted) >= min(n + 5, FILES), "files to be read ahead")  # type: ignore[misc]
            assert read(mounted.join(name)) == BODY + name.encode()
            assert gets(mounted) <= done + 6
    assert gets(mounted) == FILES
    assert not threads()


def test_files_are_read_ahead(mounted: Mounted, children: Children) -> None:
    """Each object is fetched once, whoever comes first."""
    children.run(reads_ahead, mounted)


def stays_within(mounted: Mounted) -> None:
    room = 3 * len(BODY)
    with prefetch(mounted.path, NAMES, size=room, readers=1) as paths:
        next(paths)
        until(lambda: gets(mounted) >= 3, "files to be read ahead")
        for _ in range(3):
            next(paths)
        until(lambda: gets(mounted) >= 6, "more, since there is room")
        assert gets(mounted) <= 9  # those that the program has, those that lie there, and one under way
    assert not threads()


def test_bytes_are_bounded(mounted: Mounted, children: Children) -> None:
    """Of files that nobody has taken yet."""
    children.run(stays_within, mounted)


def leaves_early(mounted: Mounted) -> None:
    drawn = []

    def endless() -> Iterator[str]:
        while True:
            drawn.append(NAMES[len(drawn) % FILES])
            yield drawn[-1]

    for _ in range(2):
        with prefetch(mounted.path, endless(), files=4, readers=2) as paths:
            assert [next(paths) for _ in range(3)] == drawn[-6:-3]
        assert not threads()
    forgotten = prefetch(mounted.path, endless())
    next(forgotten)
    assert threads()
    del forgotten
    until(lambda: not threads(), "threads to end")


def test_an_iterable_without_an_end(mounted: Mounted, children: Children) -> None:
    """Is drawn as far ahead as was asked; leaving ends the readers, and so does forgetting."""
    children.run(leaves_early, mounted)


def goes_on(mounted: Mounted) -> None:
    os.mkfifo(mounted.path + ".fifo")
    names = ["absent", NAMES[0], ".", "../" + os.path.basename(mounted.path) + ".fifo", "x" * 300]
    with prefetch(mounted.path.encode(), names) as paths:
        assert list(paths) == names
        assert list(paths) == []

    def fails() -> Iterator[str]:
        yield NAMES[1]
        raise LookupError("no more")

    made = prefetch(Path(mounted.path), fails())
    assert next(made) == NAMES[1]
    with pytest.raises(LookupError):
        next(made)
    assert list(made) == []
    for wrong in ({"files": 0}, {"size": 0}, {"readers": 0}):
        with pytest.raises(ValueError):
            prefetch(mounted.path, NAMES, **wrong)  # type: ignore[arg-type]


def test_errors_are_the_programs(mounted: Mounted, children: Children) -> None:
    """A file that cannot be read ahead is given all the same; an error of the iterable comes in its turn."""
    children.run(goes_on, mounted)


def batches(mounted: Mounted) -> None:
    sampler = [list(range(start, start + 8)) for start in range(0, FILES, 8)]
    named: Callable[[list[int]], Any] = lambda batch: [NAMES[index] for index in batch]  # noqa: E731
    made = PrefetchSampler(mounted.path, sampler, named, files=16)
    assert len(made) == len(sampler)
    for _ in range(2):
        assert list(made) == sampler
    until(lambda: not threads(), "threads to end")
    some = iter(made)
    assert next(some) == sampler[0]
    del some
    until(lambda: not threads(), "threads to end")


def test_a_sampler_of_batches(mounted: Mounted, children: Children) -> None:
    """Gives what the sampler gives, in each epoch; an epoch that is left ends its readers."""
    children.run(batches, mounted)
