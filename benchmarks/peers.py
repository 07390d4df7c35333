"""Other mount programs, beside ours in the same rounds: `--with NAME=COMMAND`.

COMMAND is split as by a shell, and no shell runs it. Its placeholders say what it mounts, and so beside which of our
mounts it stands: a command with {source} beside that of the directory, with {endpoint}, {bucket} and {prefix} beside
that of the bucket, with {master} beside that of the cluster. {{ and }} are braces.
"""

from __future__ import annotations

import shlex
import string
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

# Of the engine that a peer stands beside; the first of each tells which one it is.
PLACEHOLDERS = {
    "directory": ("source",),
    "bucket": ("endpoint", "bucket", "prefix", "key_id", "key_secret"),
    "cluster": ("master",),
}
_ALWAYS = ("mountpoint", "scratch")  # an empty directory, and one for what the program keeps
_READY_S = 60.0
_END_S = 10.0
_POLL_S = 0.005
_TOLD = 1000  # last characters of its messages, in the error of a program that does not mount


class Peer(NamedTuple):
    """A program. `engine`: the one of ours that mounts the same; `words`: of its command, with placeholders."""

    name: str
    engine: str
    words: tuple[str, ...]


class Running(NamedTuple):
    """A mounted peer; `pid` is 0 when it went into the background."""

    root: Path
    pid: int


def known() -> str:
    """The placeholders, for help."""
    names = [*_ALWAYS, *(name for names in PLACEHOLDERS.values() for name in names)]
    return ", ".join(f"{{{name}}}" for name in names)


def parse(text: str) -> Peer:
    """Reads NAME=COMMAND. Raises ValueError."""
    name, equals, command = text.partition("=")
    if not equals or not name.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"{text!r} is not NAME=COMMAND with a NAME of letters, digits, - and _")
    words = tuple(shlex.split(command))
    if not words:
        raise ValueError(f"{name} has no command")
    found = {field for word in words for field in _fields(word)}
    allowed = {*_ALWAYS, *(each for names in PLACEHOLDERS.values() for each in names)}
    if found - allowed:
        raise ValueError(f"{name}: no such placeholder: {', '.join(sorted(found - allowed))}; there are {known()}")
    if "mountpoint" not in found:
        raise ValueError(f"{name}: the command has no {{mountpoint}}")
    engines = [engine for engine, names in PLACEHOLDERS.items() if found & set(names)]
    if len(engines) != 1:
        raise ValueError(f"{name}: the command names {' and '.join(engines) or 'nothing'} to be mounted, not one thing")
    return Peer(name, engines[0], words)


def fill(words: tuple[str, ...], values: Mapping[str, str]) -> list[str]:
    """Returns the words with the values of their placeholders; a value with spaces stays in its word."""
    return [word.format_map(values) for word in words]


def _fields(word: str) -> Iterator[str]:
    """The placeholders of a word. Raises ValueError for what is more than a name in braces."""
    for _, field, spec, conversion in string.Formatter().parse(word):
        if field is None:
            continue
        if not field.isidentifier() or spec or conversion:
            raise ValueError(f"{word!r} has a placeholder that is no name; a brace is written twice")
        yield field


@contextmanager
def mounted(peer: Peer, values: Mapping[str, str], place: Path) -> Iterator[Running]:
    """Runs the program until the block ends; `place`: a directory for its mount point, its scratch and its log.

    Raises RuntimeError when nothing is mounted.
    """
    at, scratch, log = place / "mnt", place / "scratch", place / "log"
    for directory in (place, at, scratch):
        directory.mkdir(exist_ok=True)
    words = fill(peer.words, {**values, "mountpoint": str(at), "scratch": str(scratch)})
    with open(log, "ab") as out:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    try:
        _await_mount(peer, process, at, log)
        yield Running(at, process.pid if process.poll() is None else 0)
    finally:
        _unmount(at)
        _end(process)


def _await_mount(peer: Peer, process: subprocess.Popen[bytes], at: Path, log: Path) -> None:
    deadline = time.monotonic() + _READY_S
    while not is_mounted(at):
        failed = process.poll() not in (None, 0)  # 0: it went into the background
        if failed or time.monotonic() > deadline:
            why = f"exit code {process.returncode}" if failed else f"nothing is mounted after {_READY_S:.0f} s"
            raise RuntimeError(f"{peer.name}: {why}: {log.read_text(errors='replace')[-_TOLD:].strip()}")
        time.sleep(_POLL_S)


def is_mounted(at: Path) -> bool:
    """Whether something is mounted there."""
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as table:
        return any(line.split(" ")[1] == str(at) for line in table)


def _unmount(at: Path) -> None:
    """A program that goes on for a moment with a mount in use is waited for, then the mount is detached."""
    deadline = time.monotonic() + _END_S
    while is_mounted(at):
        late = ["-l"] if time.monotonic() > deadline else []
        subprocess.run(["umount", *late, str(at)], check=False, capture_output=True)
        time.sleep(_POLL_S)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Most programs end with their mount."""
    for end in (lambda: None, process.terminate, process.kill):
        end()
        try:
            process.wait(_END_S)
            return
        except subprocess.TimeoutExpired:
            continue
