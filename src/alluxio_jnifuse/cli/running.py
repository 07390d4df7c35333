"""The settings of a mount that runs: as its process got them, from its command line and its environment.

The kernel shows both to the user of the process and to root. Stars stand in place of secrets on the command line
(config/secrets.py). Nothing is taken from another user's process: its environment may name files that only this user,
maybe root, may read.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from alluxio_jnifuse.cli.words import UsageError
from alluxio_jnifuse.config.values import MOUNT_POINT, Config
from alluxio_jnifuse.errors import AlluxioFuseError

if TYPE_CHECKING:
    from alluxio_jnifuse.mounts.registry import Record

_NOT_KNOWN = "the settings of this mount are not known"


class Found:
    """`environ`: of the process, {} if it is not known. `config`: None if it is not; `reason`: why."""

    def __init__(self, environ: dict[str, str], config: Config | None, reason: str = "") -> None:
        self.environ = environ
        self.config = config
        self.reason = reason


def settings_of(record: Record) -> Found:
    """The settings that the process of a running mount had when it started, with files of settings as they are now."""
    try:
        if os.stat(f"/proc/{record.pid}").st_uid != os.geteuid():
            return Found({}, None, f"{_NOT_KNOWN}: process {record.pid} is another user's; ask as that user")
        arguments, environ = _words(record.pid, "cmdline"), _words(record.pid, "environ")
    except OSError as error:
        return Found({}, None, f"{_NOT_KNOWN}: {error.strerror}")
    variables = dict(word.split("=", 1) for word in environ if "=" in word)
    try:
        config = _parsed(arguments, dict(variables), record)
    except AlluxioFuseError as error:
        return Found(variables, None, f"the settings of this mount cannot be read any more: {error}")
    if config is None:
        return Found(variables, None, f"{_NOT_KNOWN}: the command line of process {record.pid} is not one of `mount`")
    return Found(variables, config)


def _words(pid: int, name: str) -> list[str]:
    with open(f"/proc/{pid}/{name}", "rb") as file:
        return [os.fsdecode(word) for word in file.read().rstrip(b"\0").split(b"\0")]


def _parsed(words: Sequence[str], environ: dict[str, str], record: Record) -> Config | None:
    """Raises ConfigError, MountError."""
    from alluxio_jnifuse.cli import container, fstab, mount

    readers = (
        ("mount", list),
        ("fuse", lambda rest: container.mount_words(rest, environ)),
        ("", fstab.mount_words),
    )
    for command, translate in readers:
        if command and command not in words[1:]:
            continue
        begin = words.index(command, 1) + 1 if command else _behind_program(words)
        try:
            _, config = mount.parse(translate(words[begin:]), environ)
        except UsageError:
            continue
        if config.ufs == record.ufs or config.text(MOUNT_POINT) == record.mountpoint:
            config.ufs = record.ufs  # a relative path was one of the directory of the command
            return config
    return None


def _behind_program(words: Sequence[str]) -> int:
    """Returns where the arguments of a script begin: behind the interpreter, its options, and the script."""
    return next((at + 1 for at, word in enumerate(words) if at and not word.startswith("-")), len(words))
