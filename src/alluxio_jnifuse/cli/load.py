"""`load`: reads files of running mounts, so that what reads them later finds them cached."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

from alluxio_jnifuse.cli.words import PROGRAM, UsageError, options_of
from alluxio_jnifuse.config.units import format_size, parse_size
from alluxio_jnifuse.daemon.signals import WAKE, SignalPipe
from alluxio_jnifuse.load import following
from alluxio_jnifuse.load.display import Display, as_dict, forecast, summary
from alluxio_jnifuse.load.following import ROOM, Follow
from alluxio_jnifuse.load.order import Order
from alluxio_jnifuse.load.places import Room
from alluxio_jnifuse.load.progress import Snapshot
from alluxio_jnifuse.load.reading import JOBS, MOST_JOBS, Load, Options
from alluxio_jnifuse.load.walk import Globs, Trees

USAGE = f"""\
Usage: {PROGRAM} load [-j N] [--include GLOB]... [--exclude GLOB]... [--dry-run] [--restart]
                            [-q] [--json] PATH...
       {PROGRAM} load --order FILE [-0] [-j N] [--dry-run] [--restart] [-q] [--json] [PATH]
       {PROGRAM} load --order FILE [-0] --follow [--ahead N] [--ahead-size SIZE] [-j N]
                            [-q] [--json] [PATH]

  PATH                      a file or directory of a running mount; everything beneath it is read, and so
                            cached; links are followed to files of the mount only
  -j N, --jobs N            how many files are read at once (default {JOBS}, with --follow {following.JOBS})
  --include GLOB            read only files whose name matches; a GLOB with a slash is compared with the path
                            beneath PATH
  --exclude GLOB            leave out files and directories that match
  --dry-run                 count the files, and read nothing
  --restart                 read everything; without it, an interrupted load of the same PATHs is continued
  -q, --quiet               print no progress and no summary
  --json                    print the summary as JSON

  --order FILE              read the files that FILE names, in that order; - is stdin. FILE has a path in each line,
                            as {PROGRAM} trace --record writes it: absolute, or relative to PATH, which may be
                            left out if one mount runs. Empty lines, and those that begin with # or ;, are skipped
  -0, --null                paths in FILE end with a NUL, as those of find -print0
  --follow                  read ahead of a program that opens the files in about this order, and wait for it
  --ahead N                 how many files may wait for the program (default {ROOM.files:,})
  --ahead-size SIZE         how many bytes (default {format_size(ROOM.size)}), and one file more for each of --jobs

Exit codes: 0 every file was read, 1 some were not, 130 interrupted.
"""

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LONG = {"-j": "--jobs", "-q": "--quiet", "-0": "--null"}
_MOST_AHEAD = 100_000  # each has a watch of the kernel, of which a user has some 100,000


def run(arguments: Sequence[str]) -> int:
    """Returns the exit code. Raises UsageError and AlluxioFuseError."""
    flags, options, make = _parse(arguments)
    display = Display(sys.stderr, quiet="--quiet" in flags)
    with SignalPipe(_STOP_SIGNALS) as signals:
        load = make(signals.wake)
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
        print(_last_words(snapshot, options, flags, interrupted=number != WAKE))
    if load.error is not None:
        raise load.error
    if number != WAKE:
        return 128 + number
    return 0 if load.complete else 1


def _last_words(snapshot: Snapshot, options: Options, flags: set[str], *, interrupted: bool) -> str:
    text = forecast(snapshot) if options.dry_run else summary(snapshot)
    if not interrupted:
        return text
    return f"Interrupted. {text}{'' if '--follow' in flags else ' The same command goes on from there.'}"


def _parse(arguments: Sequence[str]) -> tuple[set[str], Options, Callable[[Callable[[], None]], Load]]:
    """The flags, what they and the others mean, and what makes the load. Raises UsageError, MountError."""
    long = ["jobs=", "include=", "exclude=", "dry-run", "restart", "quiet", "json"]
    long += ["order=", "null", "follow", "ahead=", "ahead-size="]
    given, paths = options_of(arguments, "j:q0", long)
    given = [(_LONG.get(name, name), value) for name, value in given]
    flags, values = {name for name, _ in given}, dict(given)
    _check(flags, paths)
    follow = "--follow" in flags
    options = Options(
        jobs=_number("--jobs", values, following.JOBS if follow else JOBS, MOST_JOBS),
        dry_run="--dry-run" in flags,
        restart="--restart" in flags,
    )
    if "--order" not in flags:
        globs = Globs(*([value for name, value in given if name == which] for which in ("--include", "--exclude")))
        return flags, options, lambda wake: Load(Trees(paths, globs), options, wake)
    order = Order(values["--order"], paths[0] if paths else None, null="--null" in flags)
    if not follow:
        return flags, options, lambda wake: Load(order, options, wake)
    room = Room(_number("--ahead", values, ROOM.files, _MOST_AHEAD), _size("--ahead-size", values, ROOM.size))
    return flags, options, lambda wake: Follow(order, options, room, wake)


def _check(flags: set[str], paths: Sequence[str]) -> None:
    """Raises UsageError for options that do not go together."""
    for needed, needing in (("--order", ("--null", "--follow")), ("--follow", ("--ahead", "--ahead-size"))):
        for flag in needing:
            if flag in flags and needed not in flags:
                raise UsageError(f"{flag} needs {needed}")
    for one, others in (("--order", ("--include", "--exclude")), ("--follow", ("--dry-run", "--restart"))):
        for other in others:
            if one in flags and other in flags:
                raise UsageError(f"{one} and {other} do not go together")
    if "--order" in flags and len(paths) > 1:
        raise UsageError(f"too many arguments: {' '.join(paths[1:])}")
    if "--order" not in flags and not paths:
        raise UsageError("no PATH is named")


def _number(name: str, values: Mapping[str, str], default: int, most: int) -> int:
    text = values.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and 1 <= int(text) <= most):
        raise UsageError(f"{name} expects a number from 1 to {most}, not {text!r}")
    return int(text)


def _size(name: str, values: Mapping[str, str], default: int) -> int:
    try:
        size = parse_size(values[name]) if name in values else default
    except ValueError as error:
        raise UsageError(f"{name} expects {error}, not {values[name]!r}") from None
    if size < 1:
        raise UsageError(f"{name} expects a size above 0, not {values[name]!r}")
    return size
