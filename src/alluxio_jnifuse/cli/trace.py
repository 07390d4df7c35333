"""`trace`: records how the files of a mount are read, and sums that up; or their order, for `load --order`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from alluxio_jnifuse.cli.words import PROGRAM, UsageError, options_of
from alluxio_jnifuse.daemon.signals import WAKE, SignalPipe
from alluxio_jnifuse.errors import MountError, in_words
from alluxio_jnifuse.load.order import STDIN
from alluxio_jnifuse.load.recording import Lines, OrderLines, Recording, UseLines
from alluxio_jnifuse.mounts import stats, table, trace_report
from alluxio_jnifuse.mounts.alive import why_not_ours
from alluxio_jnifuse.mounts.registry import Registry
from alluxio_jnifuse.mounts.trace import OPENS, USES, Trace
from alluxio_jnifuse.system.threads import start_thread

USAGE = f"""\
Usage: {PROGRAM} trace [-o FILE] [-q] MOUNT_POINT [-- COMMAND [ARGUMENT]...]
       {PROGRAM} trace --report FILE [--json]
       {PROGRAM} trace --record FILE [-0] [--every] [-q] MOUNT_POINT [-- COMMAND [ARGUMENT]...]

  -o, --output FILE         write a line of JSON for each file that was open: by whom, in which pattern, how much was
                            fetched for what was read, and how long requests waited; - is stdout, the default
  --report FILE             sum such a file up: by pattern, by process, and which files stand out; - is stdin
  --json                    print the report as one object; sizes in bytes, times in seconds
  --record FILE             write the paths of files to FILE in the order in which they are opened, each once;
                            - is stdout. {PROGRAM} load --order FILE reads them in that order
  -0, --null                end each path with a NUL, not with a newline
  --every                   write a file each time that it is opened
  -q, --quiet               print no summary
  COMMAND                   a program to run meanwhile, whose exit code is kept; without it, the recording ends with
                            Ctrl-C

All programs are recorded. A file is told of when nothing has it open any more, or when the recording ends. Reads
that the kernel answers from its memory, or in passthrough, do not reach the daemon and are not in it. On a mount whose
files the kernel opens without asking, the first read of a file counts as its open, if the kernel does not have it in
memory. Only the user who mounted and root may record.
"""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ANSWER_S = 10.0
_OF_ORDERS = ("--null", "--every")


class _Wanted(NamedTuple):
    mountpoint: str
    output: str
    command: Sequence[str]
    order: OrderLines | None  # None: uses are recorded
    quiet: bool


def run(arguments: Sequence[str]) -> int:
    """Returns the exit code. Raises UsageError and AlluxioFuseError."""
    words = list(arguments)
    at = words.index("--") if "--" in words else len(words)
    options, paths = options_of(words[:at], "o:0q", ["output=", "report=", "json", "record=", "null", "every", "quiet"])
    long = {"-o": "--output", "-0": "--null", "-q": "--quiet"}
    given = {long.get(name, name): value for name, value in options}
    if "--report" in given:
        return _report(given, [*paths, *words[at:]])
    wanted = _parse(given, paths, words[at:])
    if Registry().find(wanted.mountpoint) is None:
        raise MountError(why_not_ours(wanted.mountpoint), where=wanted.mountpoint)
    if table.probe(wanted.mountpoint, _ANSWER_S) is None:
        raise MountError(f"does not answer within {_ANSWER_S:g} s", where=wanted.mountpoint)
    return _record(wanted)


def _parse(given: dict[str, str], paths: Sequence[str], rest: Sequence[str]) -> _Wanted:
    """`rest`: -- and what is behind it."""
    order = "--record" in given
    wrong = [name for name in given if name in (("--json", "--output") if order else ("--json", *_OF_ORDERS))]
    if wrong:
        raise UsageError(f"{wrong[0]} belongs to another form of the command")
    if len(paths) != 1:
        raise UsageError(f"too many arguments: {' '.join(paths[1:])}" if paths else "no MOUNT_POINT is named")
    if len(rest) == 1:
        raise UsageError("no COMMAND is named behind --")
    lines = OrderLines(null="--null" in given, every="--every" in given) if order else None
    output = given["--record"] if order else given.get("--output", STDIN)
    return _Wanted(table.resolve(paths[0]), output, rest[1:], lines, "--quiet" in given)


# ------------------------------------------------------------------------------------------------------- recording


def _record(wanted: _Wanted) -> int:
    lines: Lines = wanted.order or UseLines()
    before = None if wanted.order else stats.request(wanted.mountpoint)
    with SignalPipe(_SIGNALS) as signals:
        trace = Trace(wanted.mountpoint, OPENS if wanted.order else USES)
        try:
            fd = _open(wanted.output)
            if before is not None:
                _write(fd, _begin(wanted.mountpoint))
        except OSError:
            trace.close()
            raise
        recording = Recording(trace, fd, lines, ended=signals.wake)
        code = _wait(wanted.command, signals)
        if not recording.end(_ANSWER_S):
            raise MountError("does not answer; what it told before is recorded", where=wanted.mountpoint)
    if before is not None and recording.error is None:
        _write(fd, _end(recording, wanted.mountpoint, before))
    if not wanted.quiet:
        print(_summary(recording, wanted), file=sys.stderr)
    if recording.error is not None:
        where = wanted.output if recording.unwritable else wanted.mountpoint
        reason = in_words(recording.error) if isinstance(recording.error, OSError) else str(recording.error)
        raise MountError(f"the recording ended: {reason}", where=where)
    return code


def _open(name: str) -> int:
    if name == STDIN:
        return os.dup(1)
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)


def _write(fd: int, told: trace_report.Begin | trace_report.End) -> None:
    data = memoryview(json.dumps(told._asdict()).encode("ascii") + b"\n")
    while data:
        data = data[os.write(fd, data) :]


def _begin(mountpoint: str) -> trace_report.Begin:
    from alluxio_jnifuse import __version__

    return trace_report.Begin(trace_report.FORMAT, mountpoint, __version__, time.time())


def _end(recording: Recording, mountpoint: str, before: stats.Snapshot) -> trace_report.End:
    try:
        after = stats.request(mountpoint)
    except MountError:  # it is unmounted, or hangs: the lines are there all the same
        return trace_report.End(time.time(), recording.lost)
    read, fetched = (after.stats[name] - before.stats[name] for name in ("op_read_bytes", "fetch_bytes"))
    return trace_report.End(time.time(), recording.lost, read, fetched)


def _wait(command: Sequence[str], signals: SignalPipe) -> int:
    """Waits for the command, or, without one, for a signal; or until the recording ends. Returns the exit code."""
    if not command:
        signals.wait()
        return 0
    try:
        child = subprocess.Popen(command)
    except OSError as error:
        raise MountError(error.strerror or str(error), where=command[0]) from error
    start_thread("child", _await, child, signals.wake)
    while child.poll() is None:
        number = signals.wait() or WAKE
        if number not in (WAKE, signal.SIGINT):  # a terminal sends that one to the command, too
            child.send_signal(number)
    code = child.returncode
    return 128 - code if code < 0 else code


def _await(child: subprocess.Popen[bytes], wake: Callable[[], None]) -> None:
    child.wait()
    wake()


def _summary(recording: Recording, wanted: _Wanted) -> str:
    what = "files" if wanted.order else "uses of files"
    text = f"Recorded {recording.written:,} {what} in {'stdout' if wanted.output == STDIN else wanted.output}"
    if recording.lost and wanted.order:
        text += f"; {recording.lost:,} were opened faster than they could be recorded, and are missing"
    elif recording.lost:
        text += f"; {recording.lost:,} ended faster than they could be recorded, and are missing"
    if wanted.order and wanted.order.unnamed:
        text += f"; {wanted.order.unnamed:,} have a newline in their names, and are missing: --null records them"
    if not wanted.order and wanted.output != STDIN:
        text += f". {PROGRAM} trace --report {wanted.output} sums them up"
    return f"{text}."


# ---------------------------------------------------------------------------------------------------------- report


def _report(given: dict[str, str], rest: Sequence[str]) -> int:
    others = [name for name in given if name not in ("--report", "--json")]
    if others or rest:
        raise UsageError(f"{(others or rest)[0]} belongs to another form of the command")
    from alluxio_jnifuse.cli import trace_page

    name = given["--report"]
    try:
        with sys.stdin.buffer if name == STDIN else open(name, "rb") as file:
            report = trace_report.report_of(file, "stdin" if name == STDIN else name)
    except OSError as error:
        raise MountError(in_words(error), where=name) from error
    print(json.dumps(report.as_told()) if "--json" in given else "\n".join(trace_page.page(report)))
    return 0
