"""Runs in the daemon: makes the source that a test described in a file, and obeys the test afterwards.

Used as ``testing:///.../factories.py?plan=FILE#planned``; remote.py is the test's side. And, obeying nobody, sources
that lend what memory cannot: ``#pieces``.
"""

from __future__ import annotations

import builtins
import os
import pickle
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, Listener
from typing import Any, NamedTuple

from alluxio_jnifuse import testing
from alluxio_jnifuse.sources.base import Attr, Extent, Listing, OpenFile, Source


class Plan(NamedTuple):
    """What a test wants: a tree, what is slow, and where a call may be tampered with."""

    tree: dict[bytes, Any]
    delays: dict[str, float]  # seconds by kind
    rules: list[tuple[str, str, bytes | None]]  # name of the switch, kind of the call, path or None for any
    socket: str


class Switch:
    """An action that can be changed at any time: calls pass, wait until they may go on, or meet an action."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._to_hold = 0  # of the calls that are still to come
        self._held = False
        self._action: Callable[..., Any] | None = None
        self.waiting = 0
        self.calls = 0

    def set(self, action: tuple[Any, ...] | None, to_hold: int) -> None:
        """`action`: the name of a function of alluxio_jnifuse.testing, or of this file, and its arguments.

        With `to_hold` the next calls, as many as that, wait until set is called without.
        """
        with self._changed:
            self._action = _action(*action) if action else None
            self._to_hold = to_hold
            self._held = to_hold > 0
            self._changed.notify_all()

    def __call__(self, call: Callable[[], Any]) -> Any:
        with self._changed:
            self.calls += 1
            if self._to_hold:
                self._to_hold -= 1
                self.waiting += 1
                while self._held:
                    self._changed.wait()
                self.waiting -= 1
            action = self._action
        return action(call) if action else call()


def _action(name: str, *arguments: Any) -> Callable[..., Any]:
    return {**vars(testing), **globals()}[name](*arguments)


def altered(changes: dict[str, Any]) -> Callable[..., Any]:
    """Action: fields of the answer have other values."""
    return lambda call: call()._replace(**changes)


def raising_class(name: str) -> Callable[..., Any]:
    """Action: raises an exception of Python by its name; not every one can be pickled with its meaning."""

    def action(call: Callable[[], Any]) -> Any:
        raise getattr(builtins, name)(f"planted {name}")

    return action


class Control:
    """What a test may ask of its source; every public method is a command."""

    def __init__(self, plan: Plan) -> None:
        self._memory = testing.MemorySource(plan.tree)
        self._switches = {name: Switch() for name, _, _ in plan.rules}
        rules = [testing.Rule(kind, self._switches[name], path) for name, kind, path in plan.rules]
        self.source = testing.FaultySource(testing.SlowSource(self._memory, plan.delays), rules)

    def calls(self) -> dict[str, int]:
        return dict(self._memory.calls)

    def bytes_read(self) -> int:
        return self._memory.bytes_read

    def replace(self, path: bytes, node: Any) -> int:
        return self._memory.replace(path, node)

    def remove(self, path: bytes) -> None:
        self._memory.remove(path)

    def set(self, name: str, action: tuple[Any, ...] | None, to_hold: int) -> None:
        self._switches[name].set(action, to_hold)

    def waiting(self, name: str) -> int:
        return self._switches[name].waiting

    def met(self, name: str) -> int:
        return self._switches[name].calls

    def obey(self, listener: Listener) -> None:
        """Serves one test after the other, to the end of the process."""
        while True:
            with listener.accept() as connection:
                self._obey(connection)

    def _obey(self, connection: Connection) -> None:
        while True:
            try:
                name, arguments = connection.recv()
            except (EOFError, ConnectionResetError):
                return
            try:
                connection.send((True, getattr(self, name)(*arguments)))
            except Exception as error:
                connection.send((False, error))


def planned(plan: str) -> Source:
    """The source of the plan in the file `plan`."""
    with open(plan, "rb") as file:
        wanted = Plan(*pickle.load(file))
    control = Control(wanted)
    listener = Listener(wanted.socket, "AF_UNIX")
    threading.Thread(target=control.obey, args=(listener,), name="control", daemon=True).start()
    return control.source


def nonsense() -> object:
    """Not a source at all."""
    return "nonsense"


class Pieces(testing.MemorySource):
    """Lends the file `file`, whose bytes lie in the files 0, 1, ... of a directory, behind `skip` bytes in each."""

    def __init__(self, directory: str, skip: int) -> None:
        self._paths = [os.path.join(directory, name) for name in sorted(os.listdir(directory), key=int)]
        self._skip = skip
        self._lengths = [os.path.getsize(path) - skip for path in self._paths]
        super().__init__({b"file": testing.Pattern(sum(self._lengths))})

    def open(self, path: bytes, version: int) -> OpenFile:
        opened = super().open(path, version)
        pieces = zip(self._paths, self._lengths)
        lent = [Extent(os.open(name, os.O_RDONLY | os.O_CLOEXEC), self._skip, length) for name, length in pieces]
        return opened._replace(handle=None, extents=lent)


def pieces(directory: str, skip: str) -> Source:
    """The pieces that lie in `directory` by now."""
    return Pieces(directory, int(skip))


class Numberless(testing.MemorySource):
    """Gives no inode numbers, and of the names that begin with ``u`` a listing has no attributes."""

    def stat(self, path: bytes) -> Attr:
        return super().stat(path)._replace(ino=0)

    def list(self, path: bytes) -> Listing:
        entries, names = super().list(path)
        entries["ino"] = 0
        for entry in entries:
            if names[entry["name_off"] :].startswith(b"u"):
                entry["nlink"] = 0
        return Listing(entries, names)


def numberless() -> Source:
    """The same names in several directories."""
    files = {b"%d" % i: b"x" * i for i in range(300)} | {b"u%d" % i: b"y" for i in range(20)}
    return Numberless({b"a": files, b"d": {b"a": files, b"d": {}, b"u": {b"d": b""}}, b"f": b"f"})
