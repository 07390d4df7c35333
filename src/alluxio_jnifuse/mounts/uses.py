"""How a file was read while it was open: one *use*, told by a mount (csrc/files/use.h), and a line of a trace.

A use is from the first open of a file to its last close. Its line is a JSON object (JSON Lines), whose names are
the fields of Use: sizes in bytes, times in seconds, `opened` in seconds since 1970. Bytes of a path that are no UTF-8
are \\udc80 to \\udcff, as Python reads file names.
"""

from __future__ import annotations

import os
import struct
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, NamedTuple, cast, get_type_hints

SMALL_BYTES = 1 << 20
LONG_BYTES = 4 << 20  # of reads in a row: somewhere else is a large file read as a stream, too

SMALL, WHOLE, SEQUENTIAL, RANDOM, KERNEL, UNREAD = "small", "whole", "sequential", "random", "passthrough", "unread"
PATTERNS = {
    SMALL: "a file of up to 1 MiB",
    WHOLE: "a larger file, from its beginning to its end",
    SEQUENTIAL: "a part in a row, or parts of at least 4 MiB",
    RANDOM: "parts of less than 4 MiB",
    KERNEL: "by the kernel itself: how is not seen",
    UNREAD: "nothing, or nothing that the kernel did not have",
}
_TOLD = struct.Struct("q11Q5I20s")
_MODES = ("none", "cached", "passthrough", "direct")  # enum ajf_file_mode


class Use(NamedTuple):
    """One file while it was open. Reads are those that reach the daemon."""

    path: str  # from the top of the mount
    pattern: str  # one of PATTERNS
    size: int
    mode: str  # what the kernel does with it
    opened: float
    seconds: float  # for which it was open
    still_open: bool  # when the recording ended
    opens: int
    reads: int
    read_bytes: int
    runs: int  # places at which reads began anew
    missed: int  # reads that waited for the storage, or for the client cache on disk
    fetched_bytes: int  # from there: meanwhile, and before that since its last use
    waited: float  # opens and reads waited so long for it, in all,
    longest: float  # and one of them
    failed: int  # opens and reads
    tid: int  # the thread that opened it first, 0: it cannot be seen from here,
    pid: int  # and its process, 0: it has ended,
    process: str  # and the name of that
    uid: int


_KINDS = get_type_hints(Use)
_FORMATS = {str: "%s", bool: "%s", int: "%d", float: "%.9f"}
_LINE = "{" + ", ".join(f'"{name}": {_FORMATS[kind]}' for name, kind in _KINDS.items()) + "}\n"
_LINE = _LINE.replace('"pattern": %s', '"pattern": "%s"').replace('"mode": %s', '"mode": "%s"')

_STILL, _PROCESS = Use._fields.index("still_open") - 1, Use._fields.index("process") - 1  # behind the path


def amplification(fetched_bytes: int, read_bytes: int) -> float | None:
    """Bytes that were fetched for each one that was read; None: nothing was read."""
    return fetched_bytes / read_bytes if read_bytes else None


def pattern_of(size: int, mode: str, reads: int, read_bytes: int, runs: int) -> str:
    """One of PATTERNS. `runs`: at how many places reads began anew."""
    if mode == "passthrough":
        return KERNEL
    if not reads:
        return UNREAD
    if size <= SMALL_BYTES:
        return SMALL
    if runs <= 1:
        return WHOLE if read_bytes >= size else SEQUENTIAL
    return SEQUENTIAL if read_bytes >= runs * LONG_BYTES else RANDOM


def parsed(item: bytes) -> Use:
    """A use as the mount tells it (struct ajf_use_told). Raises ValueError: it is of another release."""
    try:
        (opened, lasted, size, opens, reads, read_bytes, runs, missed, fetched, waited, longest, failed, mode, still,
         tid, pid, uid, name) = _TOLD.unpack_from(item)  # fmt: skip
        named = _MODES[mode]
    except (struct.error, IndexError) as error:
        raise ValueError(f"no use of a file: {error}") from None
    return Use(
        path=os.fsdecode(item[_TOLD.size + 1 :]),
        pattern=pattern_of(size, named, reads, read_bytes, runs),
        size=size,
        mode=named,
        opened=opened / 1e9,
        seconds=lasted / 1e9,
        still_open=still != 0,
        opens=opens,
        reads=reads,
        read_bytes=read_bytes,
        runs=runs,
        missed=missed,
        fetched_bytes=fetched,
        waited=waited / 1e9,
        longest=longest / 1e9,
        failed=failed,
        tid=tid,
        pid=pid,
        process=os.fsdecode(name.partition(b"\0")[0]),
        uid=uid,
    )


def line_of(use: Use) -> bytes:
    """One line, with its newline. It is the work of a recording, and takes a third of what json.dumps would."""
    path, *facts = use
    facts[_STILL] = "true" if use.still_open else "false"
    facts[_PROCESS] = quoted(use.process)
    return (_LINE % (quoted(path), *facts)).encode("ascii")


def amount(value: Any) -> float | int:
    """A number that can be a size or a time. Raises ValueError."""
    if type(value) not in (int, float) or not 0 <= value < 1e18:  # NaN is neither
        raise ValueError(f"no size or time: {str(value)[:20]}")
    return cast("float | int", value)


def use_of(told: dict[str, Any]) -> Use:
    """A use from the object of a line. Raises ValueError."""
    values: dict[str, Any] = {name: told.get(name) for name in _KINDS}
    for name, value in values.items():
        kind = _KINDS[name]
        fits = type(value) is kind or (kind is float and type(value) is int)
        if not fits or (name == "pattern" and value not in PATTERNS):
            raise ValueError(f"no use of a file: {name}")
        if kind in (int, float):
            amount(value)
    return Use(**values)
