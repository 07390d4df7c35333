"""`doctor`: finds out what keeps mounts from working or from being fast, and says what to type."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

from alluxio_jnifuse.cli import mount, running
from alluxio_jnifuse.cli.words import PROGRAM, UsageError, options_of
from alluxio_jnifuse.config import secrets
from alluxio_jnifuse.config.values import MOUNT_POINT
from alluxio_jnifuse.doctor.masking import Masker, of_environment
from alluxio_jnifuse.doctor.subject import Subject, is_of_way
from alluxio_jnifuse.errors import ConfigError
from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.mounts.registry import Record, Registry

USAGE = f"""\
Usage: {PROGRAM} doctor [-v] [--json] [--bundle FILE] [MOUNT_POINT]
       {PROGRAM} doctor [-v] [--json] [--bundle FILE] [-o OPTIONS]... [-D KEY=VALUE]... [-u URI]
                             [MOUNT_POINT] [ALLUXIO_PATH]

  MOUNT_POINT               a running mount, which is examined with its storage, as it was configured
  -o, -D, -u, MOUNT_POINT, ALLUXIO_PATH
                            as of {PROGRAM} mount: examines a mount that is not there yet, and mounts nothing
  -v, --verbose             print what is well, too
  --json                    print an object with all findings
  --bundle FILE             write an archive (tar.gz) for a bug report, which nobody else may read: findings, versions,
                            settings, counters and the end of logs, without secrets; FILE must not be there yet

Without arguments it examines this machine and every running mount. It changes nothing. Some requests are sent to
storages, and some megabytes are written to directories of the client cache, to a file without a name.

Exit codes: 0 no problem, 1 at least one warning or error, 2 the command line cannot be understood.

Examples:
  {PROGRAM} doctor
  {PROGRAM} doctor --bundle report.tar.gz /mnt/imagenet
  {PROGRAM} doctor -u oss://bucket/imagenet/ -D fs.oss.endpoint=oss-cn-hangzhou.aliyuncs.com /mnt/imagenet
"""

_MISTAKE = 2
_OWN = ("-v", "--verbose", "--json", "--bundle")
_ALONE = ("-n", "-f", "--foreground")  # of `mount`, without a value


def run(arguments: Sequence[str]) -> int:
    """Returns the exit code. Raises AlluxioFuseError."""
    try:
        options, positional = options_of(arguments, f"{mount.SHORT}v", [*mount.LONG, "verbose", "json", "bundle="])
        if len(positional) > 2:
            raise UsageError(f"too many arguments: {' '.join(positional)}")
    except UsageError as error:
        print(f"{PROGRAM} doctor: {error}\n{USAGE}", end="", file=sys.stderr)
        return _MISTAKE
    secrets.hide_arguments()
    # A fault is a finding: a line of a log would only say it twice.
    logging.getLogger("alluxio_jnifuse").addHandler(logging.NullHandler())
    of_mount = [(name, value) for name, value in options if name not in _OWN]
    words = [word for name, value in of_mount for word in ([name] if name in _ALONE else [name, value])]
    flags = {name for name, _ in options}
    from alluxio_jnifuse.doctor import bundle, report
    from alluxio_jnifuse.doctor.checks import CHECKS
    from alluxio_jnifuse.doctor.examine import examine
    from alluxio_jnifuse.doctor.finding import ERROR, WARNING, worst

    paths = [value for name, value in options if name == "--bundle"]
    with bundle.Bundle(paths[-1]) if paths else nullcontext() as archive:
        known = [*of_environment(os.environ)]  # before it is changed
        subjects = _subjects(words, positional)
        examined = examine(subjects, CHECKS)
        masker = Masker([*known, *(secret for subject in subjects for secret in _secrets(subject))])
        if archive is not None:
            archive.write(bundle.contents(examined, subjects, masker))
    if "--json" in flags:
        print(masker.mask(report.as_json(examined)), end="")
    else:
        verbose = bool(flags & {"-v", "--verbose"})
        print(masker.mask(report.as_text(examined, verbose=verbose, colour=_is_coloured())), end="")
        for path in paths[-1:]:
            print(f"{path}: made for a bug report; look through it before you send it.")
    return 1 if worst(examined) in (WARNING, ERROR) else 0


def _secrets(subject: Subject) -> Iterator[str]:
    """The secrets that a subject is known to have; stars are what is left of one on a command line."""
    yield from of_environment(subject.environ)
    if subject.config is not None:
        yield from (text for text in subject.config.secrets() if not secrets.is_hidden(text))


def _is_coloured() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _subjects(words: Sequence[str], positional: Sequence[str]) -> list[Subject]:
    """The machine, and what the arguments name, or every running mount. Raises MountError."""
    if not words and not positional:
        return [_configured([]), *map(_running, Registry().running())]
    machine = Subject(dict(os.environ))
    if not words and len(positional) == 1:
        mountpoint = table.resolve(positional[0])
        record = Registry().find(mountpoint)
        if record is not None:
            subject = _running(record)
            _take_the_way_of(subject)
            return [machine, subject]
        top = table.top_at(mountpoint)
        if top is not None and top.fstype == table.FSTYPE:  # its daemon has died, or is another user's
            return [machine, Subject(machine.environ, mountpoint)]
    planned = _configured([*words, "--", *positional])
    where = planned.config.text(MOUNT_POINT) if planned.config is not None else (*positional, "/mnt/alluxio-fuse")[0]
    return [machine, planned._replace(mountpoint=table.resolve(where))]


def _running(record: Record) -> Subject:
    found = running.settings_of(record)
    return Subject(found.environ, record.mountpoint, record, found.config, unknown=found.reason)


def _take_the_way_of(subject: Subject) -> None:
    """From now on endpoints are reached as by that mount: with its proxies, and its authorities of certificates."""
    if subject.config is None:
        return
    for name in [name for name in os.environ if is_of_way(name)]:
        del os.environ[name]
    os.environ.update((name, value) for name, value in subject.environ.items() if is_of_way(name))


def _configured(words: Sequence[str]) -> Subject:
    """The settings that `mount` would have with these arguments; of the machine as yet."""
    environ = dict(os.environ)
    try:
        return Subject(environ, config=mount.parse(words)[1])
    except ConfigError as error:
        return Subject(environ, error=error)
