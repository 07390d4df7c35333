"""The output of a load: a bar that is painted again and again, or a line now and then, and a summary."""

from __future__ import annotations

import shutil
import time
import unicodedata
from collections import deque
from typing import NamedTuple, TextIO

from alluxio_jnifuse.config.units import format_size
from alluxio_jnifuse.load.progress import MOST_FAILURES, Snapshot

_PAINT_S = 0.2  # quick enough to look alive, slow enough to be read
_LINE_S = 5.0
_RATE_S = 10.0  # the rate is that of the last seconds, so that the rest is not foretold from how it began
_BAR_WIDTH = 10  # leaves room for a name in 80 columns
_SHORTEST_NAME = 8  # less of it would say nothing
_ERASE = "\r\x1b[K"  # back to the first column, and nothing behind it


class Display:
    """Shows progress on `stream`; used by one thread, which calls `show` at least every `tick` s."""

    tick = _PAINT_S

    def __init__(self, stream: TextIO, *, quiet: bool) -> None:
        """`quiet`: notes and failures only."""
        self._stream = stream
        self._quiet = quiet
        self._bar = not quiet and stream.isatty()
        self._rate = Rate()
        self._told = 0  # of the failures
        self._next_line = time.monotonic() + _LINE_S

    def note(self, text: str) -> None:
        """Says something, above the bar."""
        self._print(f"load: {text}")

    def show(self, snapshot: Snapshot) -> None:
        """Shows how far it is, and what has failed since the last time."""
        for failure in snapshot.failures[self._told :]:
            self.note(f"{printable(failure.path)}: {failure.reason}")
        self._told = len(snapshot.failures)
        rate = self._rate.add(snapshot.seconds, snapshot.received)
        if self._bar:
            self._stream.write(_ERASE + bar(snapshot, rate, shutil.get_terminal_size().columns - 1))
            self._stream.flush()
        elif not self._quiet and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _LINE_S
            self.note(line(snapshot, rate))

    def close(self, snapshot: Snapshot) -> None:
        """Takes the bar away, and tells of what has not been told."""
        self.show(snapshot)
        if self._bar:
            self._stream.write(_ERASE)
            self._stream.flush()
        if snapshot.failed > MOST_FAILURES:
            self._bar = False
            self.note(f"{snapshot.failed - MOST_FAILURES:,} more could not be read")

    def _print(self, text: str) -> None:
        self._stream.write(f"{_ERASE if self._bar else ''}{text}\n")
        self._stream.flush()


class Rate:
    """Bytes a second, of the last seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque([(0.0, 0)])

    def add(self, seconds: float, received: int) -> float:
        """Takes how much was there when, and returns the rate by now."""
        while len(self._samples) > 1 and self._samples[1][0] <= seconds - _RATE_S:
            self._samples.popleft()
        since, before = self._samples[0]
        self._samples.append((seconds, received))
        return (received - before) / (seconds - since) if seconds > since else 0.0


def line(snapshot: Snapshot, rate: float) -> str:
    """`45%, 1,234 of 2,745+ files, 12.3GB of 27.1GB+, 812MB/s, 0:18 left: NAME`; + while there may be more."""
    figures = _figures(snapshot, rate)
    text = f"{figures.percent}%, {' of '.join(figures.files)} files, {' of '.join(figures.bytes)}, {figures.rate}"
    if figures.left:
        text += f", {figures.left} left"
    return f"{text}: {printable(snapshot.current)}" if snapshot.current else text


def bar(snapshot: Snapshot, rate: float, columns: int) -> str:
    """`[####      ] 45% 1,234/2,745+ files 12.3GB/27.1GB+ 812MB/s 0:18 left ...END/OF/NAME`, no wider than that."""
    figures = _figures(snapshot, rate)
    done = "#" * (figures.percent * _BAR_WIDTH // 100)
    text = f"[{done:{_BAR_WIDTH}}] {figures.percent}% {'/'.join(figures.files)} files {'/'.join(figures.bytes)}"
    text += f" {figures.rate}"
    if figures.left:
        text += f" {figures.left} left"
    room = columns - len(text) - 1
    return f"{text} {end_of(printable(snapshot.current), room)}" if room >= _SHORTEST_NAME else text[:columns]


def summary(snapshot: Snapshot) -> str:
    """`Loaded 2,745 files, 27.1GB in 33.4 s (831MB/s); ...`."""
    rate = format_size(snapshot.received / snapshot.seconds) if snapshot.seconds else "0B"
    text = f"Loaded {snapshot.files:,} files, {format_size(snapshot.received)} in {snapshot.seconds:.1f} s ({rate}/s)"
    return text + _others(snapshot)


def forecast(snapshot: Snapshot) -> str:
    """`Would load 2,745 files, 27.1GB; ...`."""
    return f"Would load {snapshot.found_files:,} files, {format_size(snapshot.found_bytes)}" + _others(snapshot)


def as_dict(snapshot: Snapshot, *, dry_run: bool, complete: bool) -> dict[str, object]:
    """The summary for programs; sizes in bytes."""
    return {
        "dry_run": dry_run,
        "complete": complete,
        "files": snapshot.found_files if dry_run else snapshot.files,
        "bytes": snapshot.found_bytes if dry_run else snapshot.received,
        "seconds": round(snapshot.seconds, 3),
        "loaded_before": {"files": snapshot.before_files, "bytes": snapshot.before_bytes},
        "failed": snapshot.failed,
        "failures": [failure._asdict() for failure in snapshot.failures],
    }


def printable(path: str) -> str:
    """A path without what could move the cursor, or is no UTF-8."""
    text = path.encode("utf-8", "backslashreplace").decode()
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def end_of(text: str, columns: int) -> str:
    """The end of a text that is no wider than so many columns of a terminal, with dots where it was cut."""
    widths = [2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text]
    if sum(widths) <= columns:
        return text
    room, start = columns - len("..."), len(text)
    while room >= widths[start - 1]:
        start -= 1
        room -= widths[start]
    return f"...{text[start:]}"


class _Figures(NamedTuple):
    """The texts that are shown; `files` and `bytes` are those that are done and all. `left`: "" while unknown."""

    percent: int
    files: tuple[str, str]
    bytes: tuple[str, str]
    rate: str
    left: str


def _figures(snapshot: Snapshot, rate: float) -> _Figures:
    more = "" if snapshot.counted else "+"
    files = max(snapshot.found_files, snapshot.done_files)  # the count may lag behind, and files may have grown
    size = max(snapshot.found_bytes, snapshot.done_bytes)
    return _Figures(
        _percent(snapshot),
        (f"{snapshot.done_files:,}", f"{files:,}{more}"),
        (format_size(snapshot.done_bytes), format_size(size) + more),
        f"{format_size(rate)}/s",
        _clock((size - snapshot.done_bytes) / rate) if rate > 0 and snapshot.counted else "",
    )


def _others(snapshot: Snapshot) -> str:
    text = ""
    if snapshot.before_files:
        text += f"; {snapshot.before_files:,} files, {format_size(snapshot.before_bytes)} were loaded before"
    if snapshot.failed:
        text += f"; {snapshot.failed:,} failed"
    return f"{text}."


def _percent(snapshot: Snapshot) -> int:
    """Of the bytes that are known of; of the files, when those are empty."""
    done, found = snapshot.done_bytes, snapshot.found_bytes
    if not found:
        done, found = snapshot.done_files, snapshot.found_files
    return min(100, done * 100 // found) if found else 0


def _clock(seconds: float) -> str:
    """`0:18`, `12:05`, `3:00:00`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
