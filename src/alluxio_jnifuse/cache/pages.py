"""The budget of a store: which pages there are, what each takes on disk, and which must go to make room."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable
from typing import NamedTuple

from alluxio_jnifuse.cache.evictors import Evictor, Key


class Victim(NamedTuple):
    """A page that must go, and what it takes."""

    key: Key
    size: int  # bytes


class PageIndex:
    """Pages by key, with their bytes on disk. Any thread.

    Room is taken before a page is written and counted from then on; victims are not counted from the moment they are
    named. The caller that asked for the room removes them, and only then writes. A page that is *shelved* is never a
    victim.
    """

    def __init__(self, limit: int, evictor: Evictor) -> None:
        self.limit = limit  # bytes
        self.evicted = 0  # pages
        self._evictor = evictor
        self._lock = threading.Lock()  # guards what follows and the evictor
        self._pages: dict[Key, int] = {}  # bytes
        self._more: dict[bytes, int] = {}  # by digest: how many pages it has beyond the first one
        self._born: dict[Key, float] = {}  # s since the epoch; empty unless pages have a time to live
        self._used = 0
        self._keep_births = False
        self._shelved = 0  # bytes, of `_used`

    @property
    def used(self) -> int:
        """Bytes of all pages, and of the room that was taken for pages to come."""
        return self._used

    def __len__(self) -> int:
        return len(self._pages)

    # -------------------------------------------------------------------------------------------------- making room

    def take_room(self, size: int) -> list[Victim] | None:
        """Takes room for `size` bytes; returns the pages that must go for it, or None when too few may."""
        with self._lock:
            victims, lack = self._coldest(self._used + size - self.limit)
            if lack > 0:
                return None
            self._evict(victims)
            self._used += size
        return victims

    def give_room(self, size: int) -> None:
        """Gives back room that was taken and is not needed."""
        with self._lock:
            self._used -= size

    def coldest(self, size: int) -> list[Victim]:
        """Pages of `size` bytes, or as many as may go; they must go."""
        with self._lock:
            victims, _ = self._coldest(size)
            self._evict(victims)
        return victims

    def excess(self) -> list[Victim]:
        """Returns the victims beyond the budget, as after a start with a smaller one; they must go."""
        return self.coldest(self.used - self.limit)

    def older_than(self, age: float, most: int) -> list[Victim]:
        """Up to `most` pages that came more than `age` s ago and may go; they must go."""
        limit = time.time() - age
        with self._lock:
            old = (key for key, born in self._born.items() if born <= limit and self._evictor.has(key))
            victims = [Victim(key, self._pages[key]) for key in itertools.islice(old, most)]
            for victim in victims:
                self._drop(victim.key)
        return victims

    # ------------------------------------------------------------------------------------------------------- pages

    def add(self, key: Key, size: int, overhead: int) -> int:
        """A page, or more of it, has been written: `size` bytes, and once `overhead`, of room that was taken.

        Returns how many bytes that were.
        """
        with self._lock:
            known = self._pages.get(key)
            added = size if known is not None else size + overhead
            self._pages[key] = (known or 0) + added
            self._shelved += added if known is not None and not self._evictor.has(key) else 0
            if known is None:
                self._came(key, time.time())
            else:
                self._evictor.touch(key)
        return added

    def found(self, key: Key, size: int, born: float) -> None:
        """A page is there that was not counted: of an earlier process, or one that did not go. `born`: as time.time."""
        with self._lock:
            if key not in self._pages:
                self._pages[key] = size
                self._used += size
                self._came(key, born)

    def touch(self, digest: bytes, pages: Iterable[int]) -> None:
        """Pages of a file were read."""
        with self._lock:
            for page in pages:
                self._evictor.touch((digest, page))

    def remove(self, key: Key) -> None:
        """A page is gone, for any reason."""
        with self._lock:
            if key in self._pages:
                self._drop(key)

    def forget(self, digest: bytes, pages: range) -> None:
        """A file of those pages is gone. It may be said to have far more than there are here."""
        with self._lock:
            few = len(pages) <= len(self._pages)
            keys = [(digest, page) for page in pages] if few else [key for key in self._pages if key[0] == digest]
            for key in keys:
                if key in self._pages:
                    self._drop(key)

    def has_any(self, digest: bytes) -> bool:
        """Whether there is any page of a file of several."""
        return digest in self._more

    def shelve(self, digest: bytes, pages: Iterable[int], share: float = 1.0) -> bool:
        """Pages of a file give nothing back when they are evicted: the kernel has it open.

        False, and they may go as before, when more than `share` of the budget would be on the shelf.
        """
        with self._lock:
            keys = [(digest, page) for page in pages if self._evictor.has((digest, page))]
            size = sum(self._pages[key] for key in keys)
            if self._shelved + size > share * self.limit:
                return False
            self._shelved += size
            for key in keys:
                self._evictor.remove(key)
            return True

    def unshelve(self, digest: bytes, pages: Iterable[int]) -> None:
        """They give something back again."""
        with self._lock:
            for page in pages:
                key = (digest, page)
                if key in self._pages and not self._evictor.has(key):
                    self._shelved -= self._pages[key]
                    self._evictor.add(key)

    def keep_births(self) -> None:
        """From now on `older_than` knows pages."""
        self._keep_births = True

    # ------------------------------------------------------------------------------------------- under the lock

    def _came(self, key: Key, born: float) -> None:
        self._more[key[0]] = self._more.get(key[0], -1) + 1
        self._evictor.add(key)
        if self._keep_births:
            self._born[key] = born

    def _coldest(self, size: int) -> tuple[list[Victim], int]:
        """The coldest pages, and how much of `size` they lack."""
        victims: list[Victim] = []
        if size > 0:
            for key in self._evictor.victims():
                victims.append(Victim(key, self._pages[key]))
                size -= self._pages[key]
                if size <= 0:
                    break
        return victims, size

    def _evict(self, victims: list[Victim]) -> None:
        for victim in victims:
            self._drop(victim.key)
        self.evicted += len(victims)

    def _drop(self, key: Key) -> None:
        size = self._pages.pop(key)
        self._used -= size
        self._shelved -= 0 if self._evictor.has(key) else size
        self._born.pop(key, None)
        self._evictor.remove(key)
        left = self._more[key[0]] - 1
        if left < 0:
            del self._more[key[0]]
        else:
            self._more[key[0]] = left
