"""Files of a mount, read ahead of a program that tells in which order it will read them.

A shuffled first epoch waits for one file after the other, because nobody knows which one comes next. The program knows:
a sampler has drawn the order long before. `prefetch` goes through that order beside the program and reads the files a
little before it does, many at once, so that they lie in the kernel's page cache when they are opened.

    program ──next()──► Prefetch ── items, `files` of them drawn ahead ──► readers: open, read, close on the mount
       └── opens and reads the same files, which are there ◄── the kernel's page cache

Reading is as in reading.py, into one buffer for each reader. Of a large file the first part is read: the mount itself
reads such a file ahead once the program has begun with it. How much lies there for nobody yet is bounded, in files and
in bytes. The kernel drops a page that is not used as any other. A mount with `direct_io` keeps no pages: nothing
is gained there.

Threads: a Prefetch belongs to one thread, which alone draws from the iterable. Its readers share a _Work, whose lock
guards all of it; no file is touched and nothing of the program's is called under it. They do not keep the process from
ending: one may hang in a storage. Errors of reading are left to the program, which will meet them.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from functools import partial
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar, Union

from alluxio_jnifuse.system.threads import start_thread

if TYPE_CHECKING:
    from types import TracebackType

Item = TypeVar("Item")
Name = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]

FILES = 256  # as many as the workers of a loader hold in their queues, and more
BYTES = 256 << 20
READERS = 32  # as many files as a mount asks its storage for at once
_MOST_BYTES = 8 << 20  # of one file
_READ_BYTES = 1 << 20  # the largest request of the kernel
_END_S = 5.0  # how long `close` waits for all readers, which end after the piece that they are at


class Mounted(Protocol):
    """A mount, as `alluxio_jnifuse.Mount`."""

    mountpoint: str


class _File(NamedTuple):
    """A file to be read ahead, of the item with that number."""

    path: bytes
    item: int


class _Work:
    """The state that the readers share."""

    def __init__(self, most_bytes: int) -> None:
        self.changed = threading.Condition()
        self.files: deque[_File] = deque()  # that no reader has taken
        self.given = 0  # items that the program has by now
        self.sizes: dict[int, int] = {}  # bytes that were read of items it does not have yet
        self.closed = False
        self._most_bytes = most_bytes

    def take(self) -> _File | None:
        """The next file, when there is room for it; None when there will be none."""
        with self.changed:
            while not self.closed:
                while self.files and self.files[0].item < self.given:
                    self.files.popleft()  # the program was faster
                if self.files and sum(self.sizes.values()) < self._most_bytes:
                    return self.files.popleft()
                self.changed.wait()
        return None

    def note(self, file: _File, count: int) -> bool:
        """Counts bytes of a file; whether more of it is wanted."""
        with self.changed:
            wanted = not self.closed and file.item >= self.given
            if wanted:
                self.sizes[file.item] = self.sizes.get(file.item, 0) + count
            return wanted

    def give(self, item: int) -> None:
        """The program has the item with that number."""
        with self.changed:
            self.given = item + 1
            self.sizes.pop(item, None)
            self.changed.notify_all()

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify_all()


class Prefetch(Generic[Item]):
    """Iterates over the items once, in their order; see `prefetch`. `close` ends reading ahead, as does `with`."""

    def __init__(
        self,
        items: Iterable[Item],
        paths: Callable[[Item], Iterable[bytes]],
        files: int,
        most_bytes: int,
        readers: int,
    ) -> None:
        if min(files, most_bytes, readers) < 1:
            raise ValueError("files, size and readers are 1 at least")
        self._items = iter(items)
        self._paths = paths
        self._most_files = files
        self._most_readers = readers
        self._work = _Work(most_bytes)
        self._readers: list[threading.Thread] = []
        self._drawn: deque[tuple[Item, int]] = deque()  # items that the program does not have yet, and their files
        self._files = 0  # of these
        self._numbers = 0  # items drawn so far
        self._error: Exception | None = None  # of the iterable, or its end

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        self._draw()
        if not self._drawn:
            self.close()
            error, self._error = self._error, StopIteration()
            assert error is not None
            raise error
        item, files = self._drawn.popleft()
        self._files -= files
        self._work.give(self._numbers - len(self._drawn) - 1)
        return item

    def __enter__(self) -> Prefetch[Item]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        work = getattr(self, "_work", None)
        if work is not None:
            work.close()

    def close(self) -> None:
        """Ends reading ahead; files that are being read are closed soon. Items are still given. Idempotent."""
        self._work.close()
        end = time.monotonic() + _END_S
        for reader in self._readers:
            reader.join(max(0.0, end - time.monotonic()))
        self._readers.clear()

    def _draw(self) -> None:
        """Draws items until there is one, and enough to read ahead."""
        found: list[_File] = []
        while self._error is None and (not self._drawn or self._files < self._most_files):
            try:
                item = next(self._items)
                paths = list(self._paths(item))
            except Exception as error:  # raised when its turn comes, StopIteration too
                self._error = error
                break
            found += [_File(path, self._numbers) for path in paths]
            self._numbers += 1
            self._drawn.append((item, max(1, len(paths))))
            self._files += max(1, len(paths))
        work = self._work
        if not found or work.closed:
            return
        with work.changed:
            work.files += found
            work.changed.notify(len(found))
        while len(self._readers) < min(self._most_readers, self._files):
            self._readers.append(start_thread("prefetch", _read, work))


def _read(work: _Work) -> None:
    """A reader: reads files until there are no more."""
    buffer = memoryview(bytearray(_READ_BYTES))
    while (file := work.take()) is not None:
        try:
            fd = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                continue
            left = _MOST_BYTES
            while left > 0 and (count := os.readv(fd, [buffer[: min(left, _READ_BYTES)]])) and work.note(file, count):
                left -= count
        except OSError:
            pass
        finally:
            os.close(fd)


def prefetch(
    mount: Mounted | Name,
    items: Iterable[Item],
    path: Callable[[Item], Name | Iterable[Name]] | None = None,
    *,
    files: int = FILES,
    size: int = BYTES,
    readers: int = READERS,
) -> Prefetch[Item]:
    """Returns an iterator over `items` that reads the files of the next ones ahead; close it, or use `with`.

    `mount`: a Mount, or the path of its mount point, to which paths are relative; absolute paths are taken as they are.
    `path(item)`: the path of an item's file, or several; unless given, an item is a path itself. At most `files` files
    beyond the current item are read ahead, `size` bytes in all (some MiB more while files are being read), by up to
    `readers` threads. An exception of `items` or `path` is raised here when the item's turn comes. Raises ValueError
    for numbers below 1, MountError when no thread can be started.

        with prefetch("/mnt/oss", order) as paths:
            for path in paths:
                train_on(open(path, "rb").read())
    """
    top = os.fsencode(mount if isinstance(mount, (str, bytes, os.PathLike)) else mount.mountpoint)

    def paths(item: Item) -> Iterator[bytes]:
        named = item if path is None else path(item)
        several = isinstance(named, Iterable) and not isinstance(named, (str, bytes, os.PathLike))
        for each in named if several else (named,):  # type: ignore[union-attr]
            yield os.path.join(top, os.fsencode(each))  # type: ignore[arg-type]

    return Prefetch(items, paths, files, size, readers)


class PrefetchSampler(Generic[Item]):
    """A sampler, or batch sampler, of PyTorch's DataLoader whose samples' files are read ahead.

    Gives what `sampler` gives. The other arguments are those of `prefetch`; an item is what `sampler` gives: an index,
    or the list of indices of a batch. Any number of workers: the sampler is in the process of the DataLoader, and all
    of them use one page cache.

        sampler = PrefetchSampler("/mnt/oss", RandomSampler(dataset), lambda index: dataset.samples[index][0])
        loader = DataLoader(dataset, batch_size=256, sampler=sampler, num_workers=4)
    """

    def __init__(
        self,
        mount: Mounted | Name,
        sampler: Iterable[Item],
        path: Callable[[Item], Name | Iterable[Name]],
        *,
        files: int = FILES,
        size: int = BYTES,
        readers: int = READERS,
    ) -> None:
        self.sampler = sampler
        self._start = partial(prefetch, mount, sampler, path, files=files, size=size, readers=readers)

    def __iter__(self) -> Iterator[Item]:
        with self._start() as ahead:
            yield from ahead

    def __len__(self) -> int:
        assert isinstance(self.sampler, Sized), "the sampler has no length"
        return len(self.sampler)
