"""A parser is tried in a process of its own, with a limit of memory, and of processor time for each input.

The process writes into shared memory which input it is about to try: whoever watches it has that input, whatever
becomes of the process.
"""

from __future__ import annotations

import faulthandler
import mmap
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import NamedTuple

from fuzz.mutation import mutate
from fuzz.parsers import PARSERS, Parser, corpus

MIB = 1 << 20
INPUT_S = 5.0  # of processor time, for one input
_SILENT_S = 120.0  # without another input; an input that waits for something
_LOOK_EVERY = 1000  # inputs
_WARM = 5000  # inputs, after which a process has grown as it will
_GROWTH_BYTES = 48 * MIB
_HEAD = struct.Struct("=QQI")  # inputs tried, number of the present one, its length


class TooSlow(BaseException):
    """An input took more than INPUT_S. No Exception: parsers catch those."""


class Grown(Exception):
    """The process keeps what it took for inputs."""


class Limits(NamedTuple):
    """What ends a trial: whichever is reached first."""

    seconds: float
    inputs: int


class Trial:
    """One parser at work. Forks: the caller has no threads."""

    def __init__(self, name: str, seed: int, limits: Limits) -> None:
        self.name = name
        self.seed = seed
        self.failure = ""  # what became of it, once it has ended; "" = nothing was found
        self.began = time.monotonic()
        self.took_s = 0.0
        self._most = PARSERS[name].most
        self._board = mmap.mmap(-1, _HEAD.size + self._most)
        self._seen = (-1, self.began)  # inputs, when
        self._scratch = scratch()
        sys.stdout.flush()
        self._pid = os.fork()
        if not self._pid:
            self._be_child(limits)

    @property
    def inputs(self) -> int:
        return int(_HEAD.unpack_from(self._board)[0])

    @property
    def number(self) -> int:
        """Of the last input; 0 for one of the corpus."""
        return int(_HEAD.unpack_from(self._board)[1])

    @property
    def input(self) -> bytes:
        """The last one."""
        length = _HEAD.unpack_from(self._board)[2]
        return self._board[_HEAD.size : _HEAD.size + length]

    def ended(self) -> bool:
        """Whether it has; one that hangs is ended."""
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        now = time.monotonic()
        if not pid and self.inputs != self._seen[0]:
            self._seen = (self.inputs, now)
        if not pid and now - self._seen[1] < _SILENT_S:
            return False
        if not pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self.failure = f"an input took {_SILENT_S:g} s"
        elif os.WIFSIGNALED(status):
            self.failure = f"it ended by {signal.Signals(os.WTERMSIG(status)).name}"
        elif os.WEXITSTATUS(status):
            self.failure = "see above"
        self.took_s = now - self.began
        self._scratch.cleanup()
        return True

    # ------------------------------------------------------------------------------------------------ in the child

    def _be_child(self, limits: Limits) -> None:
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            faulthandler.enable()
            tempfile.tempdir = self._scratch.name
            parser = PARSERS[self.name]
            self._try_all(parser, corpus(self.name), limits)
            code = 0
        except BaseException:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _try_all(self, parser: Parser, seeds: Sequence[bytes], limits: Limits) -> None:
        signal.signal(signal.SIGPROF, _too_slow)
        take = parser.prepare()
        for data in seeds:
            self._try(parser, take, data, 0)
        resource.setrlimit(resource.RLIMIT_AS, (_size()[0] + parser.room, resource.RLIM_INFINITY))
        rng = random.Random()
        until = time.monotonic() + limits.seconds
        usual = 0
        for number in range(1, limits.inputs + 1):
            if time.monotonic() > until:
                return
            self._try(parser, take, made(parser, seeds, rng, self.seed, number), number)
            if not number % _LOOK_EVERY:
                resident = _size()[1]
                usual = resident if number <= _WARM else usual
                if resident > usual + _GROWTH_BYTES:
                    raise Grown(f"{usual // MIB} MiB after {_WARM} inputs, {resident // MIB} MiB after {number}")

    def _try(self, parser: Parser, take: object, data: bytes, number: int) -> None:
        _HEAD.pack_into(self._board, 0, self.inputs, number, len(data))
        self._board[_HEAD.size : _HEAD.size + len(data)] = data
        attempt(parser, take, data)
        _HEAD.pack_into(self._board, 0, self.inputs + 1, number, len(data))


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A directory for a parser's files, in memory where there is room for that."""
    return tempfile.TemporaryDirectory(prefix="ajf-fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)


def made(parser: Parser, seeds: Sequence[bytes], rng: random.Random, seed: int, number: int) -> bytes:
    """The input of that number: the same one for the same corpus."""
    rng.seed(seed << 40 | number)
    return mutate(rng, seeds, parser.words, parser.most)


def attempt(parser: Parser, take: object, data: bytes) -> None:
    """Raises whatever is not to be expected."""
    assert callable(take)
    signal.setitimer(signal.ITIMER_PROF, INPUT_S, 1.0)
    try:
        take(data)
    except parser.expected:
        pass
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)


def _too_slow(number: int, frame: FrameType | None) -> None:
    raise TooSlow(f"more than {INPUT_S:g} s of processor time")


def _size() -> tuple[int, int]:
    """Bytes of addresses, and of memory, that this process has."""
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = file.read().split()
    return int(pages[0]) * mmap.PAGESIZE, int(pages[1]) * mmap.PAGESIZE
