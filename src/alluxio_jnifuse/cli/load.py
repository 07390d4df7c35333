"""`load`: reads files of running mounts, so that what reads them later finds them cached."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence

from alluxio_jnifuse.cli.words import PROGRAM, UsageError, options_of
from alluxio_jnifuse.daemon.signals import WAKE, SignalPipe
from alluxio_jnifuse.load.display import Display, as_dict, forecast, summary
from alluxio_jnifuse.load.progress import Snapshot
from alluxio_jnifuse.load.reading import JOBS, MOST_JOBS, Load, Options

USAGE = f"""\
Usage: {PROGRAM} load [-j N] [--include GLOB]... [--exclude GLOB]... [--dry-run] [--restart]
                            [-q] [--json] PATH...

  PATH                      a file or directory of a running mount; everything beneath it is read, and so
                            cached; links are followed to files of the mount only
  -j N, --jobs N            how many files are read at once (default {JOBS})
  --include GLOB            read only files whose name matches; a GLOB with a slash is compared with the path
                            beneath PATH
  --exclude GLOB            leave out files and directories that match
  --dry-run                 count the files, and read nothing
  --restart                 read everything; without it, an interrupted load of the same PATHs is continued
  -q, --quiet               print no progress and no summary
  --json                    print the summary as JSON

Exit codes: 0 every file was read, 1 some were not, 130 interrupted.
"""

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run(arguments: Sequence[str]) -> int:
    """Returns the exit code. Raises UsageError and AlluxioFuseError."""
    flags, options, paths = _parse(arguments)
    display = Display(sys.stderr, quiet="--quiet" in flags)
    with SignalPipe(_STOP_SIGNALS) as signals:
        load = Load(paths, options, signals.wake)
        load.start()
        number = None
        while number is None:
            number = signals.wait(display.tick)
            while not load.notes.empty():
                display.note(load.notes.get())
            display.show(load.progress.snapshot())
    load.stop()
    snapshot = load.progress.snapshot()
    display.close(snapshot)
    if "--json" in flags:
        print(json.dumps(as_dict(snapshot, dry_run=options.dry_run, complete=load.complete)))
    elif "--quiet" not in flags and not (load.error and not snapshot.done_files):
        print(_last_words(snapshot, options, interrupted=number != WAKE))
    if load.error is not None:
        raise load.error
    if number != WAKE:
        return 128 + number
    return 0 if load.complete else 1


def _last_words(snapshot: Snapshot, options: Options, *, interrupted: bool) -> str:
    text = forecast(snapshot) if options.dry_run else summary(snapshot)
    return f"Interrupted. {text} The same command goes on from there." if interrupted else text


def _parse(arguments: Sequence[str]) -> tuple[set[str], Options, list[str]]:
    """The flags, what they and the others mean, and the paths. Raises UsageError."""
    long = ["jobs=", "include=", "exclude=", "dry-run", "restart", "quiet", "json"]
    given, paths = options_of(arguments, "j:q", long)
    if not paths:
        raise UsageError("no PATH is named")
    jobs = [value for name, value in given if name in ("-j", "--jobs")]
    flags = {"--quiet" if name == "-q" else name for name, _ in given}
    options = Options(
        jobs=_number_of_jobs(jobs[-1]) if jobs else JOBS,
        dry_run="--dry-run" in flags,
        restart="--restart" in flags,
        include=[value for name, value in given if name == "--include"],
        exclude=[value for name, value in given if name == "--exclude"],
    )
    return flags, options, paths


def _number_of_jobs(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_JOBS):
        raise UsageError(f"--jobs expects a number from 1 to {MOST_JOBS}, not {text!r}")
    return int(text)
