"""The interface of a store of the client cache: one directory's worth of files that sources gave.

Errors: OSError; the caller makes a miss of it (source.py).
"""

from __future__ import annotations

import abc
import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from alluxio_jnifuse._wire import SUM_BYTES
from alluxio_jnifuse.cache.pages import PageIndex
from alluxio_jnifuse.mounts import stacking

DIGEST_BYTES = 16

# A run of stored bytes shorter than this is read from the source with what is missing around it.
_WORTH_BYTES = 256 << 10


def digest_of(source: str, path: bytes, version: int) -> bytes:
    """Names a version of a file: 16 bytes, of BLAKE2b over source, path and version."""
    hashed = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in (os.fsencode(source), path, version.to_bytes(8, "little")):
        hashed.update(len(part).to_bytes(8, "little"))
        hashed.update(part)
    return hashed.digest()


def identity_of(digest: bytes) -> int:
    """The number that the sums of a file begin with."""
    return int.from_bytes(digest[:8], "little")


def granules(size: int) -> int:
    """How many sums `size` bytes have."""
    return (size + SUM_BYTES - 1) // SUM_BYTES


def gap_end(known: Sequence[object], offset: int, end: int) -> int:
    """See StoredFile.gap_end; `known`: which granules from `offset` on are stored; the first one is not."""
    run = 0  # of granules that are stored, up to the present one
    for i in range(1, len(known)):
        run = run + 1 if known[i] else 0
        if run * SUM_BYTES >= _WORTH_BYTES:
            return offset + (i + 1 - run) * SUM_BYTES
    return end if not run else offset + (len(known) - run) * SUM_BYTES


class Counts:
    """The counters of a store. Not exact under contention."""

    def __init__(self) -> None:
        self.corrupt = 0  # granules dropped because they did not agree with their sums
        self.restored = 0  # pages found at the start
        self.discarded = 0  # files found at the start that were of no use


class Figures(NamedTuple):
    """A store at one moment."""

    pages: int
    used: int  # bytes
    limit: int  # bytes
    evicted: int  # pages


class StoredFile(abc.ABC):
    """One version of one file, as far as it is stored; shared by all who hold it. Any thread.

    `size`: bytes of the whole file; -1: its beginning is not stored, and nobody has said it. `page_bytes`: its store's.
    """

    digest: bytes
    size: int
    page_bytes: int

    @property
    @abc.abstractmethod
    def is_empty(self) -> bool:
        """Whether nothing is stored, as far as can be told without asking the disk."""

    @abc.abstractmethod
    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fills `buffer` from `offset`, a multiple of SUM_BYTES; returns how many bytes from its start on are there.

        They have been checked. The rest of the buffer may have been written to.
        """

    @abc.abstractmethod
    def gap_end(self, offset: int, end: int) -> int:
        """How far of [offset, end) is best read from the source, when `offset` is not stored: more than `offset`.

        Few bytes that are stored among many that are not are not worth a request of their own.
        """

    @abc.abstractmethod
    def write(self, offset: int, data: memoryview, generation: int) -> None:
        """Stores what it has room for; from a multiple of SUM_BYTES to another one, or the end of the file.

        `generation`: of the store when the bytes began to be read; does nothing when the file was disowned since.
        """

    @abc.abstractmethod
    def is_complete(self) -> bool: ...

    @abc.abstractmethod
    def lend(self) -> int | None:
        """A descriptor of a file that holds all bytes and nothing else, or None. Not to be evicted until `take_back`.

        Somebody may have mapped it even then: it is never changed any more, only unlinked.
        """

    @abc.abstractmethod
    def take_back(self) -> None:
        """Closes the descriptor that `lend` gave."""

    @abc.abstractmethod
    def drop(self) -> None:
        """Its bytes are wrong or useless; they go."""

    @abc.abstractmethod
    def retain(self) -> None:
        """One more holder. Does not touch the disk."""

    @abc.abstractmethod
    def release(self) -> None:
        """A holder does not need it any more."""

    def _pages(self, offset: int, length: int) -> range:
        """Those that a range touches."""
        return range(offset // self.page_bytes, (offset + length + self.page_bytes - 1) // self.page_bytes)

    def _by_page(self, offset: int, data: memoryview) -> Iterator[tuple[int, memoryview]]:
        """`data`, which begins at `offset`, cut where pages end: each piece with its own offset."""
        while data:
            page_end = (offset // self.page_bytes + 1) * self.page_bytes
            piece = data[: page_end - offset]
            yield offset, piece
            offset, data = page_end, data[len(piece) :]


class Store(abc.ABC):
    """A directory with stored files. Any thread. `stack_depth`: as that of a Source."""

    index: PageIndex
    stack_depth = stacking.NOTHING

    def __init__(self) -> None:
        self.counts = Counts()
        self._disowning = threading.Lock()  # guards what follows
        self._generations: dict[bytes, int] = {}  # by digest: how often its contents were disowned
        self._disowned: set[bytes] = set()  # whose bytes are still there

    def generation(self, digest: bytes) -> int:
        """Returns what `StoredFile.write` wants to know of the time when bytes began to be read."""
        return self._generations.get(digest, 0)

    def is_disowned(self, digest: bytes) -> bool:
        """Whether what is stored of a file must not be used."""
        return digest in self._disowned

    def disown(self, digest: bytes) -> None:
        """Disowns all bytes that were read of a file so far, without asking the disk; `drop_disowned` is to follow."""
        with self._disowning:
            self._generations[digest] = self._generations.get(digest, 0) + 1
            self._disowned.add(digest)

    def drop_disowned(self, digest: bytes) -> None:
        """Removes what was disowned."""
        held = self.hold(digest)
        try:
            held.drop()
        finally:
            held.release()
        with self._disowning:
            self._disowned.discard(digest)

    @abc.abstractmethod
    def restore(self) -> None:
        """Finds what is there. Until it has returned nothing new is stored."""

    @abc.abstractmethod
    def hold(self, digest: bytes, size: int = -1) -> StoredFile:
        """The file of that digest; the caller releases it. `size`: as StoredFile.size, for one to be stored."""

    @abc.abstractmethod
    def give_space(self, size: int) -> None:
        """Evicts pages of `size` bytes: the disk is fuller than the budget would have it."""

    def keep_births(self) -> None:
        """Before `restore`: `expire` will be called."""
        self.index.keep_births()

    @abc.abstractmethod
    def expire(self, age: float) -> bool:
        """Drops some of the pages that came more than `age` s ago; whether there are more of them."""

    def figures(self) -> Figures:
        return Figures(len(self.index), self.index.used, self.index.limit, self.index.evicted)

    @abc.abstractmethod
    def close(self) -> None:
        """Gives the directory up; idempotent. Files may outlive it: what they are asked then raises OSError."""
