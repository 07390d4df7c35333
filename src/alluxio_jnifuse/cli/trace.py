"""`trace`: records in which order the files of a mount are opened, for `load --order`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

from alluxio_jnifuse.cli.words import PROGRAM, UsageError, options_of
from alluxio_jnifuse.daemon.signals import WAKE, SignalPipe
from alluxio_jnifuse.errors import MountError, in_words
from alluxio_jnifuse.load.order import STDIN
from alluxio_jnifuse.load.recording import Recording
from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.mounts.alive import why_not_ours
from alluxio_jnifuse.mounts.registry import Registry
from alluxio_jnifuse.mounts.trace import Trace
from alluxio_jnifuse.system.threads import start_thread

USAGE = f"""\
Usage: {PROGRAM} trace --record FILE [-0] [--every] [-q] MOUNT_POINT [-- COMMAND [ARGUMENT]...]

  --record FILE             write the paths of files to FILE in the order in which they are opened, each once;
                            - is stdout. {PROGRAM} load --order FILE reads them in that order
  -0, --null                end each path with a NUL, not with a newline
  --every                   write a file each time that it is opened
  -q, --quiet               print no summary
  COMMAND                   a program to run meanwhile, whose exit code is kept; without it, the recording ends with
                            Ctrl-C

The opens of all programs are recorded. On a mount whose files the kernel opens without asking, the first read of a file
counts, if the kernel does not have it in memory. Only the user who mounted and root may record.
"""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ANSWER_S = 10.0


def run(arguments: Sequence[str]) -> int:
    """Returns the exit code. Raises UsageError and AlluxioFuseError."""
    words = list(arguments)
    at = words.index("--") if "--" in words else len(words)
    given, paths = options_of(words[:at], "0q", ["record=", "null", "every", "quiet"])
    command = words[at + 1 :]
    flags = {{"-0": "--null", "-q": "--quiet"}.get(name, name) for name, _ in given}
    names = [value for name, value in given if name == "--record"]
    if not names:
        raise UsageError("--record FILE is missing")
    if len(paths) != 1:
        raise UsageError(f"too many arguments: {' '.join(paths[1:])}" if paths else "no MOUNT_POINT is named")
    if at < len(words) and not command:
        raise UsageError("no COMMAND is named behind --")
    mountpoint = table.resolve(paths[0])
    if Registry().find(mountpoint) is None:
        raise MountError(why_not_ours(mountpoint), where=mountpoint)
    if table.probe(mountpoint, _ANSWER_S) is None:
        raise MountError(f"does not answer within {_ANSWER_S:g} s", where=mountpoint)
    with SignalPipe(_SIGNALS) as signals:
        trace = Trace(mountpoint)
        try:
            fd = _open(names[-1])
        except OSError:
            trace.close()
            raise
        recording = Recording(trace, fd, null="--null" in flags, every="--every" in flags, ended=signals.wake)
        code = _wait(command, signals)
        if not recording.end(_ANSWER_S):
            raise MountError("does not answer; what it told before is recorded", where=mountpoint)
    if "--quiet" not in flags:
        print(_summary(recording, names[-1]), file=sys.stderr)
    if recording.error is not None:
        where = names[-1] if recording.unwritable else mountpoint
        raise MountError(f"the recording ended: {in_words(recording.error)}", where=where)
    return code


def _open(name: str) -> int:
    if name == STDIN:
        return os.dup(1)
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)


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


def _summary(recording: Recording, name: str) -> str:
    text = f"Recorded {recording.written:,} files in {'stdout' if name == STDIN else name}"
    if recording.lost:
        text += f"; {recording.lost:,} were opened faster than they could be recorded, and are missing"
    if recording.unnamed:
        text += f"; {recording.unnamed:,} have a newline in their names, and are missing: --null records them"
    return f"{text}."
