"""Which page of a store goes first when room is needed: Alluxio's evictors.

An evictor is told of pages by their keys and orders them. It is called under the lock of its index. Looking for a page
passes over those that may not go; what it looks at is not changed meanwhile.
"""

from __future__ import annotations

import abc
import itertools
import math
import random
from collections import OrderedDict
from collections.abc import Callable, Iterator

Key = tuple[bytes, int]  # digest of a file, number of the page within it

# Of how many of the coldest pages one is drawn: as many as keep two evicting threads from wanting the same ones.
_DRAWN_FROM = 16


class Evictor(abc.ABC):
    """An order of pages. `Evictor` by name: `make_evictor`."""

    @abc.abstractmethod
    def add(self, key: Key) -> None:
        """A page that was not there."""

    @abc.abstractmethod
    def touch(self, key: Key) -> None:
        """It was read. A page that is not there any more is none of anybody's business."""

    @abc.abstractmethod
    def remove(self, key: Key) -> None:
        """It goes, or may not be chosen for now. Idempotent."""

    @abc.abstractmethod
    def has(self, key: Key) -> bool:
        """Whether it may be chosen."""

    @abc.abstractmethod
    def victims(self) -> Iterator[Key]:
        """All pages, those first that shall go first."""


class Fifo(Evictor):
    """The page that came first."""

    def __init__(self) -> None:
        self._pages: OrderedDict[Key, None] = OrderedDict()

    def add(self, key: Key) -> None:
        self._pages[key] = None

    def touch(self, key: Key) -> None:
        pass

    def remove(self, key: Key) -> None:
        self._pages.pop(key, None)

    def has(self, key: Key) -> bool:
        return key in self._pages

    def victims(self) -> Iterator[Key]:
        return iter(self._pages)


class Lru(Fifo):
    """The page that was not used for the longest time."""

    def touch(self, key: Key) -> None:
        if key in self._pages:
            self._pages.move_to_end(key)


class NondeterministicLru(Lru):
    """One of those that were not used for the longest time."""

    def victims(self) -> Iterator[Key]:
        pages = iter(self._pages)
        coldest = list(itertools.islice(pages, _DRAWN_FROM))
        random.shuffle(coldest)
        return itertools.chain(coldest, pages)


class Lfu(Evictor):
    """The page that was used least often, to an order of magnitude; among those the one not used for longest."""

    def __init__(self, base: float) -> None:
        self._base = base
        self._uses: dict[Key, int] = {}
        self._buckets: dict[int, OrderedDict[Key, None]] = {}  # by logarithm of the number of uses

    def add(self, key: Key) -> None:
        self.remove(key)
        self._put(key, 1)

    def touch(self, key: Key) -> None:
        uses = self._uses.get(key)
        if uses is not None:
            self.remove(key)
            self._put(key, uses + 1)

    def remove(self, key: Key) -> None:
        uses = self._uses.pop(key, None)
        if uses is not None:
            self._buckets[self._bucket(uses)].pop(key, None)

    def has(self, key: Key) -> bool:
        return key in self._uses

    def victims(self) -> Iterator[Key]:
        for bucket in sorted(self._buckets):
            yield from self._buckets[bucket]

    def _bucket(self, uses: int) -> int:
        return int(math.log(uses, self._base))

    def _put(self, key: Key, uses: int) -> None:
        self._uses[key] = uses
        self._buckets.setdefault(self._bucket(uses), OrderedDict())[key] = None


def make_evictor(name: str, base: float = 2.0) -> Evictor:
    """The evictor of a class of Alluxio's, its package left out; `base` of the logarithm of LFU."""
    kinds: dict[str, Callable[[], Evictor]] = {
        "FIFOCacheEvictor": Fifo,
        "NondeterministicLRUCacheEvictor": NondeterministicLru,
    }
    return Lfu(base) if name == "LFUCacheEvictor" else kinds.get(name, Lru)()
