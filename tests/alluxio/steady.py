"""Children that read the files of a mount over and over, compare every byte, and note what failed or took long."""

from __future__ import annotations

import errno
import os
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cluster import dataset
from harness.children import Child, Children, until

PIECE = 256 << 10


class Report(NamedTuple):
    """What one reader saw."""

    reads: int  # files, from their start to their end
    errors: list[tuple[str, int]]  # (name, errno)
    longest_s: float  # of one call


class Readers:
    """Read `files` (sizes by name, of cluster.dataset) below `top` until `stop` is called."""

    def __init__(
        self, children: Children, top: str, files: Mapping[str, int], directory: Path, number: int = 3
    ) -> None:
        self._flag = directory / "stop"
        self._beats = [directory / f"beat{each}" for each in range(number)]
        self._children: Sequence[Child] = [
            children.start(_read, top, dict(files), str(self._flag), str(beat), seed)
            for seed, beat in enumerate(self._beats)
        ]
        self.read_on(1)

    def read_on(self, files: int = 3, timeout: float = 120.0) -> None:
        """Waits until each has read that many more files."""
        before = [_number(beat) for beat in self._beats]
        until(
            lambda: all(_number(beat) >= count + files for beat, count in zip(self._beats, before)),
            "the readers to read on",
            timeout,
        )

    def stop(self, timeout: float = 120.0) -> Report:
        """All of their reports in one."""
        self._flag.touch()
        reports = [child.result(timeout) for child in self._children]
        self._flag.unlink()
        for beat in self._beats:
            beat.unlink()
        return Report(
            sum(report.reads for report in reports),
            [error for report in reports for error in report.errors],
            max(report.longest_s for report in reports),
        )


def _number(beat: Path) -> int:
    try:
        return int(beat.read_text() or 0)
    except (FileNotFoundError, ValueError):
        return 0


def _read(top: str, files: dict[str, int], flag: str, beat: str, seed: int) -> Report:
    chance = random.Random(seed)
    names = sorted(files)
    reads, errors, longest = 0, [], 0.0
    while not os.path.exists(flag):
        name = chance.choice(names)
        began = time.monotonic()
        try:
            longest = max(longest, read_through(f"{top}/{name}", name, files[name]))
            reads += 1
            with open(beat, "w", encoding="ascii") as file:
                file.write(str(reads))
        except OSError as error:
            errors.append((name, error.errno or 0))
            longest = max(longest, time.monotonic() - began)
            time.sleep(0.05)
    return Report(reads, errors, longest)


def read_through(path: str, name: str, size: int) -> float:
    """Reads a file from its start to its end; how long the longest of open and reads took."""
    began = time.monotonic()
    fd = os.open(path, os.O_RDONLY)
    longest = time.monotonic() - began
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        at = 0
        while True:
            began = time.monotonic()
            data = os.read(fd, PIECE)
            longest = max(longest, time.monotonic() - began)
            assert data == dataset.content(name, at, len(data)), f"{name} differs in {at}+{len(data)}"
            at += len(data)
            if not data:
                break
        assert at == size, f"{name} ended after {at} of {size} bytes"
    finally:
        os.close(fd)
    return longest


def timed_read(path: str, length: int, offset: int = 0) -> tuple[int, bytes, float]:
    """The errno, the bytes and the seconds of opening a file and reading a range of it."""
    began = time.monotonic()
    try:
        fd = os.open(path, os.O_RDONLY)
        try:
            data = os.pread(fd, length, offset)
        finally:
            os.close(fd)
    except OSError as error:
        return error.errno or errno.EIO, b"", time.monotonic() - began
    return 0, data, time.monotonic() - began
