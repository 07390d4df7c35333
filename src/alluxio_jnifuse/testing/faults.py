"""Wrappers that make a source slow, or break its contract, call by call.

Kinds of calls are "stat", "list", "readlink", "statfs", "open", "read" and "close".
"""

from __future__ import annotations

import abc
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar, cast

from alluxio_jnifuse.sources.base import Attr, Listing, OpenFile, Source, StatFs

_T = TypeVar("_T")
Call = Callable[[], Any]
Action = Callable[[Call], Any]  # what happens in place of a call of the wrapped source


class _Handle(NamedTuple):
    path: bytes
    inner: object


class _Wrapper(Source):
    """Passes every call to `inner`, through `_around`."""

    def __init__(self, inner: Source) -> None:
        self.inner = inner

    def __str__(self) -> str:
        return f"{type(self).__name__} of {self.inner}"

    @abc.abstractmethod
    def _around(self, kind: str, path: bytes, call: Callable[[], _T]) -> _T: ...

    def mounted(self, device: int) -> None:
        self.inner.mounted(device)

    def stat(self, path: bytes) -> Attr:
        return self._around("stat", path, lambda: self.inner.stat(path))

    def list(self, path: bytes) -> Listing:
        return self._around("list", path, lambda: self.inner.list(path))

    def readlink(self, path: bytes) -> bytes:
        return self._around("readlink", path, lambda: self.inner.readlink(path))

    def forget(self, path: bytes) -> None:
        self._around("forget", path, lambda: self.inner.forget(path))

    def remembered(self) -> int:
        return self.inner.remembered()

    def statfs(self) -> StatFs:
        return self._around("statfs", b"/", self.inner.statfs)

    def open(self, path: bytes, version: int) -> OpenFile:
        opened = self._around("open", path, lambda: self.inner.open(path, version))
        if not isinstance(opened, OpenFile) or opened.handle is None:
            return opened
        return opened._replace(handle=_Handle(path, opened.handle))

    def read_into(self, handle: _Handle, offset: int, buffer: memoryview, progress: Callable[[int], None]) -> int:
        return self._around("read", handle.path, lambda: self.inner.read_into(handle.inner, offset, buffer, progress))

    def close_file(self, handle: _Handle) -> None:
        self._around("close", handle.path, lambda: self.inner.close_file(handle.inner))

    def close(self) -> None:
        self.inner.close()


class SlowSource(_Wrapper):
    """Waits before calls: `delays` are seconds by kind."""

    def __init__(self, inner: Source, delays: Mapping[str, float]) -> None:
        super().__init__(inner)
        self._delays = dict(delays)

    def _around(self, kind: str, path: bytes, call: Callable[[], _T]) -> _T:
        delay = self._delays.get(kind, 0.0)
        if delay > 0:
            time.sleep(delay)
        return call()


class Rule(NamedTuple):
    """Do `action` in place of a call of `kind`: on `path` or, when None, on any; the `nth` (from 1) or every one."""

    kind: str
    action: Action
    path: bytes | None = None
    nth: int | None = None


class FaultySource(_Wrapper):
    """Does what the first rule that applies says. `faults` counts by kind how often one did."""

    def __init__(self, inner: Source, rules: Iterable[Rule] = ()) -> None:
        super().__init__(inner)
        self.faults: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._rules = tuple(rules)
        self._seen = [0] * len(self._rules)

    def _around(self, kind: str, path: bytes, call: Callable[[], _T]) -> _T:
        action = self._action(kind, path)
        return call() if action is None else cast("_T", action(call))

    def read_into(self, handle: _Handle, offset: int, buffer: memoryview, progress: Callable[[int], None]) -> int:
        action = self._action("read", handle.path)
        if action is None:
            return self.inner.read_into(handle.inner, offset, buffer, progress)
        # Progress would say that bytes are final which the fault is about to deny.
        return cast("int", action(lambda: self.inner.read_into(handle.inner, offset, buffer, lambda _: None)))

    def _action(self, kind: str, path: bytes) -> Action | None:
        """The action for this call; counts it against every rule for such calls."""
        chosen = None
        with self._lock:
            for i, rule in enumerate(self._rules):
                if rule.kind != kind or rule.path not in (None, path):
                    continue
                self._seen[i] += 1
                if chosen is None and rule.nth in (None, self._seen[i]):
                    chosen = rule.action
            if chosen is not None:
                self.faults[kind] += 1
        return chosen


class Hang:
    """Action: the call sets `reached`, waits for `released`, and goes on as if nothing had been."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.released = threading.Event()

    def __call__(self, call: Call) -> Any:
        self.reached.set()
        self.released.wait()
        return call()


def raising(exc: BaseException) -> Action:
    """Action: raises `exc`, and the wrapped source is not asked."""

    def action(call: Call) -> Any:
        raise exc

    return action


def returning(value: object) -> Action:
    """Action: returns `value`, of whatever type, and the wrapped source is not asked."""
    return lambda call: value


def short(by: int = 1) -> Action:
    """Action for "read": claims to have filled `by` bytes less."""
    return lambda call: call() - by


def too_much(by: int = 1) -> Action:
    """Action for "read": claims to have filled `by` bytes more."""
    return lambda call: call() + by


def flip_version() -> Action:
    """Action for "stat" and "open": tells another version than the wrapped source does."""

    def action(call: Call) -> Any:
        result = call()
        return result._replace(version=result.version ^ 1)

    return action
