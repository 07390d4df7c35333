"""The file of sums of each file of the LOCAL store: a header of 64 bytes, then 8 bytes for each 4 KiB; 0: not there.

Byte order is that of the machine, as is the cache.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator

from alluxio_jnifuse._wire import SUM_BYTES, crc64
from alluxio_jnifuse.cache.store import granules

SUM = 8  # bytes
NO_SUM = bytes(SUM)

# Magic and format; digest; bytes of the file; whether it was ever lent; CRC-64 of what stands before.
_HEADER = struct.Struct("=8s16sQQQ")
_HEADER_BYTES = 64
_MAGIC = b"AJFsums\1"
_AT_ONCE_BYTES = 1 << 20  # of sums: those of 512 MiB


class Header:
    """The first bytes of a file of sums."""

    __slots__ = ("digest", "lent", "size")

    def __init__(self, digest: bytes, size: int, lent: bool) -> None:
        self.digest = digest
        self.size = size  # bytes
        self.lent = lent

    def write(self, fd: int) -> None:
        head = _HEADER.pack(_MAGIC, self.digest, self.size, self.lent, 0)[:-SUM]
        whole = _HEADER.pack(_MAGIC, self.digest, self.size, self.lent, crc64(head)).ljust(_HEADER_BYTES, b"\0")
        write_all(fd, memoryview(whole), 0)


def read_header(fd: int, digest: bytes) -> Header | None:
    """The header of the file of sums of `digest`; None when it is none."""
    raw = os.pread(fd, _HEADER.size, 0)
    if len(raw) < _HEADER.size:
        return None
    magic, named, size, lent, crc = _HEADER.unpack(raw)
    if magic != _MAGIC or named != digest or crc != crc64(raw[:-SUM]):
        return None
    return Header(digest, size, bool(lent))


def sum_at(offset: int) -> int:
    """Returns where the sum of the granule at `offset` lies."""
    return _HEADER_BYTES + offset // SUM_BYTES * SUM


def read_sums(fd: int, offset: int, length: int) -> bytes:
    """The sums of `length` bytes; what the file lacks is 0."""
    wanted = granules(length) * SUM
    return os.pread(fd, wanted, sum_at(offset)).ljust(wanted, b"\0")


def first_missing(sums: bytes) -> int:
    """The number of the first sum that is 0; as many as there are when none is."""
    at = sums.find(NO_SUM)
    while at >= 0 and at % SUM:  # zeros of two neighbours
        at = sums.find(NO_SUM, at + 1)
    return (len(sums) if at < 0 else at) // SUM


def is_complete(fd: int, size: int) -> bool:
    """Whether no sum of a file is missing."""
    step = _AT_ONCE_BYTES // SUM * SUM_BYTES
    pieces = ((at, min(step, size - at)) for at in range(0, size, step))
    return all(first_missing(read_sums(fd, at, length)) == granules(length) for at, length in pieces)


def stored_pages(fd: int, size: int, page_bytes: int) -> Iterator[tuple[int, int]]:
    """(number, bytes that are there) of each page of a file that may have any."""
    end = sum_at(size + SUM_BYTES - 1)
    for page in pages_on_disk(fd, end, page_bytes // SUM_BYTES * SUM, _HEADER_BYTES):
        length = min(page_bytes, size - page * page_bytes)
        known = memoryview(read_sums(fd, page * page_bytes, length)).cast("Q")
        yield page, min(length, sum(map(bool, known)) * SUM_BYTES)


def pages_on_disk(fd: int, end: int, step: int, begin: int = 0) -> Iterator[int]:
    """The pages, each of `step` bytes from `begin` on, in which a file has anything but holes up to `end`.

    The owner of the cached file says how long it is: that must cost nothing. Moves the position of `fd`.
    """
    at, unseen = begin, 0
    while at < end:
        try:
            data = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # a hole to the end
            raise
        at = min(os.lseek(fd, data, os.SEEK_HOLE), end)
        pages = range(max(unseen, (data - begin) // step), (at - begin + step - 1) // step)
        yield from pages
        unseen = max(unseen, pages.stop)


def write_all(fd: int, data: memoryview, offset: int) -> None:
    """Writes everything, where pwrite may write less."""
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], offset + done)
