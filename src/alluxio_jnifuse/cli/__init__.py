"""The command line: one module for each command; texts and exit codes are those of AlluxioFuse's script.

Exit codes: 0 done, 1 not done (the reason on stderr), 130 interrupted; 32 `umount` of a mount in use.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from alluxio_jnifuse.cli.words import PROGRAM, UsageError, give_up_output
from alluxio_jnifuse.config import secrets
from alluxio_jnifuse.system import locales

COMMANDS = {
    "mount": "mount",
    "umount": "umount",
    "unmount": "umount",
    "load": "load",
    "trace": "trace",
    "refresh": "refresh",
    "stat": "stat",
    "stats": "stats",
    "why": "why",
    "health": "health",
    "doctor": "doctor",
    "options": "options",
    "getConf": "getconf",
    "version": "version",
}

# The pages that help names.
PAGES = {
    "mount": ("INSTALL", "CONFIGURATION", "TUNING", "TROUBLESHOOTING"),
    "umount": ("SEMANTICS", "TROUBLESHOOTING"),
    "unmount": ("SEMANTICS", "TROUBLESHOOTING"),
    "load": ("LOADING", "CLIENT-CACHE"),
    "trace": ("LOADING", "TUNING"),
    "refresh": ("SEMANTICS",),
    "stat": ("METRICS",),
    "stats": ("METRICS", "TUNING"),
    "why": ("TROUBLESHOOTING", "METRICS"),
    "health": ("TROUBLESHOOTING",),
    "doctor": ("TROUBLESHOOTING", "TUNING"),
    "options": ("CONFIGURATION", "TUNING"),
    "getConf": ("CONFIGURATION",),
    "version": ("INSTALL", "CHANGELOG"),
}

USAGE = f"""\
Usage: {PROGRAM} COMMAND ...

  mount [-n] [-o OPTIONS]... [-D KEY=VALUE]... [-u URI] [MOUNT_POINT] [ALLUXIO_PATH]
                            mount a storage as a directory
  umount [-l] [-f] [-w SECONDS] [MOUNT_POINT]
                            unmount it, unless it is in use (also: unmount)
  load [-j N] [--dry-run] PATH...
                            read files of running mounts, so that they are cached
  load --order FILE [--follow] [PATH]
                            read them in an order, or ahead of a program that reads in that order
  trace [-o FILE] MOUNT_POINT [-- COMMAND ...]
                            record how each file is read, and what that costs
  trace --report FILE       sum that up
  trace --record FILE MOUNT_POINT [-- COMMAND ...]
                            record in which order files are opened
  refresh PATH...           forget attributes and listings, so that the next look asks the storage
  stat [MOUNT_POINT | --stats MOUNT_POINT]
                            list the running mounts, or show the counters of one
  stats [--watch] [MOUNT_POINT]
                            show what a mount does, as figures for a person
  why [--pid PID] [MOUNT_POINT]
                            show who waits for what at this moment, and what stands out
  health [MOUNT_POINT]      check that the running mounts answer, or one of them; for health checks
  doctor [MOUNT_POINT | OPTIONS of mount]
                            find out what keeps mounts from working or from being fast, and say what to type
  options [WORD]...         show what can be set, or everything about one setting
  getConf [--unit UNIT] [--source] [--master] [KEY]
                            show the value of a property, and where it is set
  version                   show the versions, and the features that this kernel grants

{PROGRAM} COMMAND --help tells more.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code, or ends the process with it when that is its only work (no `argv`)."""
    if argv is None:
        _open_streams()
        locales.use_utf8()
    locales.print_everything()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None and any("=" in word or "@" in word for word in arguments):
        secrets.hide_arguments()  # before anything else is imported, which takes ten times as long
    from alluxio_jnifuse.errors import AlluxioFuseError, in_words

    try:
        code = _run(arguments)
        sys.stdout.flush()
        if argv is None:
            sys.stderr.flush()
            os._exit(code)  # taking the interpreter apart would take as long as a tenth of a mount
        return code
    except AlluxioFuseError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
    except BrokenPipeError:
        give_up_output()  # the reader has seen enough
    except OSError as error:
        give_up_output()
        print(f"{PROGRAM}: {in_words(error)}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 1


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in COMMANDS:
        return _no_command(arguments)
    command = importlib.import_module(f"{__name__}.{COMMANDS[arguments[0]]}")
    if "-h" in arguments or "--help" in arguments:
        print(f"{command.USAGE}\nDocuments:", *map(document, PAGES[arguments[0]]), sep="\n  ")
        return 0
    try:
        return int(command.run(arguments[1:]))
    except UsageError as error:
        print(f"{PROGRAM} {arguments[0]}: {error}\n{command.USAGE}", end="", file=sys.stderr)
        return 1


def document(page: str) -> str:
    """The path of a page: where the package is installed, else within the sources."""
    name = "CHANGELOG.md" if page == "CHANGELOG" else f"docs/{page}.md"
    installed = os.path.join(sys.prefix, "share", "doc", "alluxio-jnifuse", name)
    return installed if os.path.exists(installed) else name


def _open_streams() -> None:
    """Opens what the caller has closed of the three, or another file would take its place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            fd = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(fd, "w" if number else "r"))


def _no_command(arguments: list[str]) -> int:
    if arguments and arguments[0] in ("-h", "--help", "help"):
        print(f"{USAGE}Documents: {document('README')}")
        return 0
    if arguments and arguments[0] in ("-V", "--version"):
        return main(["version"])
    from alluxio_jnifuse.cli import fstab

    if fstab.is_called_by_mount(arguments):
        return fstab.run(arguments)
    if arguments:
        print(f"{PROGRAM}: there is no command {arguments[0]!r}", file=sys.stderr)
    print(USAGE, end="", file=sys.stderr)
    return 1
