"""What a store of the client cache is: one directory's worth of files that sources gave.

Errors: OSError; whoever calls makes a miss of it (source.py).
"""

from __future__ import annotations

import abc
import hashlib
from typing import NamedTuple

from alluxio_jnifuse._core import SUM_BYTES

DIGEST_BYTES = 16


def digest_of(source: str, path: bytes, version: int) -> bytes:
    """Names a version of a file: 16 bytes, of BLAKE2b over source, path and version."""
    hashed = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in (source.encode(), path, version.to_bytes(8, "little")):
        hashed.update(len(part).to_bytes(8, "little"))
        hashed.update(part)
    return hashed.digest()


def identity_of(digest: bytes) -> int:
    """The number that the sums of a file begin with."""
    return int.from_bytes(digest[:8], "little")


def granules(size: int) -> int:
    """How many sums `size` bytes have."""
    return (size + SUM_BYTES - 1) // SUM_BYTES


class Counts:
    """What a store counts. Not exact under contention."""

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

    `size`: bytes of the whole file; -1: nothing is stored and nobody has said it.
    """

    digest: bytes
    size: int

    @abc.abstractmethod
    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fills `buffer` from `offset`, a multiple of SUM_BYTES; returns how many bytes from its start on are there.

        They have been checked. The rest of the buffer may have been written to.
        """

    @abc.abstractmethod
    def next_stored(self, offset: int, end: int) -> int:
        """Where the first granule of [offset, end) begins that is stored; `end` when there is none."""

    @abc.abstractmethod
    def write(self, offset: int, data: memoryview) -> None:
        """Stores what it has room for; from a multiple of SUM_BYTES to another one, or the end of the file."""

    @abc.abstractmethod
    def is_complete(self) -> bool: ...

    @abc.abstractmethod
    def lend(self) -> int | None:
        """A descriptor of a file that holds all bytes and nothing else, or None. It stays whole until `take_back`."""

    @abc.abstractmethod
    def take_back(self) -> None:
        """What `lend` gave is not used any more."""

    @abc.abstractmethod
    def drop(self) -> None:
        """Its bytes are wrong or useless; they go."""

    @abc.abstractmethod
    def release(self) -> None:
        """The holder does not need it any more."""


class Store(abc.ABC):
    """A directory with stored files. Any thread."""

    def __init__(self) -> None:
        self.counts = Counts()

    @abc.abstractmethod
    def restore(self) -> None:
        """Finds what is there. Until it has returned nothing new is stored."""

    @abc.abstractmethod
    def hold(self, digest: bytes, size: int = -1) -> StoredFile:
        """The file of that digest; the caller releases it. `size`: as StoredFile.size, for one to be stored."""

    @abc.abstractmethod
    def give_space(self, size: int) -> None:
        """Evicts pages of `size` bytes: the disk is fuller than the budget would have it."""

    @abc.abstractmethod
    def keep_births(self) -> None:
        """Before `restore`: `expire` will be called."""

    @abc.abstractmethod
    def expire(self, age: float) -> None:
        """Drops pages that came more than `age` s ago."""

    @abc.abstractmethod
    def figures(self) -> Figures: ...

    @abc.abstractmethod
    def close(self) -> None:
        """Gives the directory up; idempotent. Files may outlive it: what they are asked then raises OSError."""
