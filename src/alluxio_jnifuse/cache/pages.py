"""The budget of a store: which pages there are, what each takes on disk, and which must go to make room."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from alluxio_jnifuse.cache.evictors import Evictor, Key


class PageIndex:
    """Pages by key, with their bytes on disk. Any thread.

    Room is taken before a page is written and counted from then on; victims are not counted from the moment they are
    named. Whoever asked for the room removes them, and only then writes.
    """

    def __init__(self, limit: int, evictor: Evictor) -> None:
        self.limit = limit  # bytes
        self.evicted = 0  # pages
        self._evictor = evictor
        self._lock = threading.Lock()  # guards what follows and the evictor
        self._pages: dict[Key, int] = {}  # bytes
        self._born: dict[Key, float] = {}  # monotonic, s; empty unless pages have a time to live
        self._used = 0
        self._keep_births = False

    @property
    def used(self) -> int:
        """Bytes of all pages, and of the room that was taken for pages to come."""
        return self._used

    def __len__(self) -> int:
        return len(self._pages)

    def take_room(self, size: int, may_go: Callable[[Key], bool]) -> list[Key] | None:
        """Takes room for `size` bytes; returns the pages that must go for it, or None when too few may."""
        with self._lock:
            victims, lack = self._coldest(self._used + size - self.limit, may_go)
            if lack > 0:
                return None
            self._evict(victims)
            self._used += size
        return victims

    def coldest(self, size: int, may_go: Callable[[Key], bool]) -> list[Key]:
        """Pages of `size` bytes, or as many as may go; they must go."""
        with self._lock:
            victims, _ = self._coldest(size, may_go)
            self._evict(victims)
        return victims

    def give_room(self, size: int) -> None:
        """Gives back room that was taken and is not needed."""
        with self._lock:
            self._used -= size

    def add(self, key: Key, size: int, overhead: int) -> int:
        """A page, or more of it, has been written: `size` bytes, and once `overhead`, of room that was taken.

        Returns how many bytes that were.
        """
        with self._lock:
            known = self._pages.get(key)
            added = size if known is not None else size + overhead
            self._pages[key] = (known or 0) + added
            if known is None:
                self._evictor.add(key)
                if self._keep_births:
                    self._born[key] = time.monotonic()
            else:
                self._evictor.touch(key)
        return added

    def found(self, key: Key, size: int) -> None:
        """A page that an earlier process wrote; the coldest come first."""
        with self._lock:
            if key not in self._pages:
                self._pages[key] = size
                self._used += size
                self._evictor.add(key)
                if self._keep_births:
                    self._born[key] = time.monotonic()

    def touch(self, digest: bytes, pages: Iterable[int]) -> None:
        """Pages of a file were read."""
        with self._lock:
            for page in pages:
                self._evictor.touch((digest, page))

    def remove(self, key: Key) -> None:
        """A page is gone, whoever decided that."""
        with self._lock:
            if key in self._pages:
                self._drop(key)

    def keep_births(self) -> None:
        """From now on `older_than` knows pages."""
        self._keep_births = True

    def older_than(self, age: float) -> list[Key]:
        """Pages that came more than `age` s ago."""
        limit = time.monotonic() - age
        with self._lock:
            return [key for key, born in self._born.items() if born <= limit]

    def excess(self, may_go: Callable[[Key], bool]) -> list[Key]:
        """What is beyond the budget, as after a start with a smaller one; it must go."""
        return self.coldest(self.used - self.limit, may_go)

    def _coldest(self, size: int, may_go: Callable[[Key], bool]) -> tuple[list[Key], int]:
        """Pages that may go, coldest first, and how much of `size` they lack."""
        victims: list[Key] = []
        if size > 0:
            for key in self._evictor.victims():
                if may_go(key):
                    victims.append(key)
                    size -= self._pages[key]
                    if size <= 0:
                        break
        return victims, size

    def _evict(self, victims: list[Key]) -> None:
        for key in victims:
            self._drop(key)
        self.evicted += len(victims)

    def _drop(self, key: Key) -> None:
        self._used -= self._pages.pop(key)
        self._born.pop(key, None)
        self._evictor.remove(key)
