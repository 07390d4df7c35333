"""Functions run in processes of their own, which are killed when they take too long.

A child is forked, so it can run any function, closures included, at once. Its result comes back through a pipe, as
a pickle. It is the leader of a process group of its own, which goes with it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import select
import signal
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

TIMEOUT_S = 120.0  # of what hangs; nothing takes a tenth of it on an idle machine
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None, use_errno=True)


class Hung(AssertionError):
    """A child did not end in time."""


class Failed(AssertionError):
    """A child raised something that cannot be pickled, or was killed."""


class Child:
    """A process that runs `function(*arguments)`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.name = getattr(function, "__name__", "child")
        self._reading, writing = os.pipe()
        self._status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._reading)
            _run(writing, function, arguments)
        os.close(writing)
        _own_group(self.pid)

    def result(self, timeout: float = TIMEOUT_S) -> Any:
        """What the function returned; raises what it raised. Kills the child, and raises Hung, after `timeout` s."""
        deadline = time.monotonic() + timeout
        try:
            received = self._receive(deadline)
        except Hung:
            self.kill()
            raise
        if not received:
            self.wait(max(0.0, deadline - time.monotonic()))
            raise Failed(f"{self.name} ended without a result: {self.ended_by()}")
        self.close()
        done, value = pickle.loads(received)
        self.wait(120)
        if not done:
            raise value
        return value

    def wait(self, timeout: float) -> None:
        """Waits for the end. Raises Hung."""
        deadline = time.monotonic() + timeout
        while not self.ended():
            if time.monotonic() > deadline:
                raise Hung(f"{self.name} (pid {self.pid}) still runs after {timeout:g} s: {where(self.pid)}")
            time.sleep(0.001)

    def ended(self) -> bool:
        """Whether it is no more."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = status
        return self._status is not None

    def ended_by(self) -> str:
        """How it ended, for messages and comparisons: "SIGKILL" or "exit 0"."""
        if self._status is None:
            return "it still runs"
        if os.WIFSIGNALED(self._status):
            return signal.Signals(os.WTERMSIG(self._status)).name
        return f"exit {os.WEXITSTATUS(self._status)}"

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        os.kill(self.pid, number)

    def kill(self, timeout: float = TIMEOUT_S) -> float:
        """Kills it and what it started; returns the seconds until it was dead. Raises Hung."""
        began = time.monotonic()
        if not self.ended():
            os.killpg(self.pid, signal.SIGKILL)
            self.wait(timeout)
        return time.monotonic() - began

    def close(self) -> None:
        """Gives up its pipe."""
        if self._reading >= 0:
            os.close(self._reading)
            self._reading = -1

    def _receive(self, deadline: float) -> bytes:
        parts = []
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._reading], [], [], left)[0]:
                raise Hung(f"{self.name} (pid {self.pid}) gave no result in time: {where(self.pid)}")
            part = os.read(self._reading, 1 << 20)
            if not part:
                return b"".join(parts)
            parts.append(part)


class Children:
    """The children of one test; `close` kills those that are left."""

    def __init__(self) -> None:
        self._all: list[Child] = []

    def start(self, function: Callable[..., Any], *arguments: Any) -> Child:
        """Starts a child."""
        child = Child(function, *arguments)
        self._all.append(child)
        return child

    def run(self, function: Callable[..., Any], *arguments: Any, timeout: float = TIMEOUT_S) -> Any:
        """Runs a function in a child to its end; see Child.result."""
        return self.start(function, *arguments).result(timeout)

    def command(self, *words: object, timeout: float = TIMEOUT_S, **keywords: Any) -> subprocess.CompletedProcess[str]:
        """Runs a program to its end; its output as text."""
        argv = [word if isinstance(word, (str, bytes)) else str(word) for word in words]
        options = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL, "errors": "surrogateescape"}
        options.update(keywords)
        return self.run(lambda: subprocess.run(argv, **options), timeout=timeout)

    def close(self) -> list[str]:
        """Kills what is left; returns what went wrong."""
        problems = []
        left = [child for child in self._all if not child.ended()]
        for child in left:  # all of them first: one may wait for another, as for a page that it reads
            os.killpg(child.pid, signal.SIGKILL)
        for child in left:
            try:
                child.wait(120)
            except Hung as error:
                problems.append(f"cannot be killed: {error}")
        for child in self._all:
            child.close()
        return problems


def results(children: Sequence[Child], timeout: float = TIMEOUT_S) -> list[Any]:
    """The results of several children, which share the time."""
    deadline = time.monotonic() + timeout
    return [child.result(max(0.1, deadline - time.monotonic())) for child in children]


def where(pid: int) -> str:
    """What a process waits for, for messages."""
    try:
        with open(f"/proc/{pid}/stack", encoding="ascii") as stack:
            return " < ".join(line.split()[1].partition("+")[0] for line in stack.read().splitlines()[:6])
    except OSError:
        return "no such process, or not ours to look at"


def until(condition: Callable[[], Any], what: str, timeout: float = TIMEOUT_S) -> Any:
    """Waits until `condition()` is true, and returns that; an assertion about `what` when it is not in time."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {timeout:g} s"
        time.sleep(0.002)


@contextmanager
def as_user(uid: int) -> Iterator[None]:
    """The rest of this (child) process runs as an ordinary user."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # changing the user clears it
    yield


def _run(writing: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    code = 1
    try:
        gc.disable()  # what other threads of the parent used may wait for them when it is collected: gRPC does
        _own_group(0)
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        try:
            answer = (True, function(*arguments))
        except BaseException as error:
            answer = (False, _portable(error))
        _send(writing, pickle.dumps(answer))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _own_group(pid: int) -> None:
    """Done by parent and child, because either may be first."""
    try:
        os.setpgid(pid, pid)
    except (ProcessLookupError, PermissionError):
        pass  # it has ended, or runs another program, and had done it before


def _portable(error: BaseException) -> BaseException:
    """The error itself when it can be pickled, with where it was raised; else its text."""
    text = traceback.format_exc()
    try:
        if type(pickle.loads(pickle.dumps(error))) is type(error) and isinstance(error, OSError):
            return error
    except Exception:
        pass
    return Failed(text)


def _send(writing: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(writing, view) :]
