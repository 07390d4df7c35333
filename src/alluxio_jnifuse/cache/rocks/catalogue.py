"""The catalogue of a segment of the ROCKS store: which pages it has, and which are gone from older ones.

It is a CRC-64, which begins with the number of the segment, over: how many pages are gone; their digests and numbers;
and of each page that is here digest, number, size of the file, time of birth, and the length of the two masks of its
piece, which follow; 0 and no masks for a page that was stored as a whole.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from alluxio_jnifuse._wire import SUM_BYTES, crc64
from alluxio_jnifuse.cache.evictors import Key
from alluxio_jnifuse.cache.rocks.pages import Piece, Stored, all_of, count_of, usual_starts
from alluxio_jnifuse.cache.rocks.run import RUN_OVERHEAD_BYTES, SUM
from alluxio_jnifuse.cache.store import granules

_SEGMENT = struct.Struct("=Q")
_CRC = struct.Struct("=Q")
_N_GONE = struct.Struct("=Q")
_GONE = struct.Struct("=16sQ")
_PAGE = struct.Struct("=16sQQdI")
GONE_BYTES = _GONE.size
# The bytes that a page takes beside its runs: for the entry that it is here, and for the one that it is gone.
PAGE_OVERHEAD_BYTES = _PAGE.size + _GONE.size


def encode(segment: int, gone: Iterable[Key], pages: Iterable[tuple[Key, Stored]], page_bytes: int) -> bytes:
    """A catalogue. `pages`: each with the one piece that it has here."""
    lines = [_GONE.pack(*key) for key in gone]
    lines.insert(0, _N_GONE.pack(len(lines)))
    for (digest, page), (size, born, (piece,)) in pages:
        count = _granules_of(size, page, page_bytes)
        if piece.present == all_of(count) and piece.starts == usual_starts(count):
            lines.append(_PAGE.pack(digest, page, size, born, 0))
            continue
        length = (count + 7) // 8
        lines.append(_PAGE.pack(digest, page, size, born, length))
        lines += (mask.to_bytes(length, "little") for mask in (piece.present, piece.starts))
    body = b"".join(lines)
    return _CRC.pack(_crc_of(segment, body)) + body


def decode(segment: int, raw: bytes, page_bytes: int) -> tuple[list[Key], list[tuple[Key, Stored]]]:
    """Returns what `encode` was given. Raises ValueError for anything else."""
    try:
        return _decode(segment, raw, page_bytes)
    except (struct.error, OverflowError) as error:
        raise ValueError(str(error)) from None


def _decode(segment: int, raw: bytes, page_bytes: int) -> tuple[list[Key], list[tuple[Key, Stored]]]:
    body = memoryview(raw)[_CRC.size :]
    if raw[: _CRC.size] != _CRC.pack(_crc_of(segment, body)):
        raise ValueError("not the catalogue of the segment")
    (n_gone,), at = _N_GONE.unpack_from(body), _N_GONE.size
    pages_at = at + n_gone * _GONE.size
    gone: list[Key] = list(_GONE.iter_unpack(body[at:pages_at]))
    pages = []
    at = pages_at
    while at < len(body):
        digest, page, size, born, length = _PAGE.unpack_from(body, at)
        at += _PAGE.size
        count = _granules_of(size, page, page_bytes)
        if count <= 0:
            raise ValueError("a page behind the end of its file")
        if length:
            masks = (int.from_bytes(body[at + i * length : at + (i + 1) * length], "little") for i in range(2))
            piece = Piece(segment, *masks)
            if not piece.is_possible(count):
                raise ValueError("runs that cannot be")
            at += 2 * length
        else:
            piece = Piece(segment, all_of(count), usual_starts(count))
        pages.append(((digest, page), Stored(size, born, (piece,))))
    return gone, pages


def taken(stored: Stored, page: int, page_bytes: int) -> int:
    """Returns the bytes of the budget that a page takes."""
    length = min(page_bytes, stored.size - page * page_bytes)
    present = stored.present
    size = count_of(present) * (SUM_BYTES + SUM)
    if present >> granules(length) - 1:  # the last one may be short
        size -= granules(length) * SUM_BYTES - length
    runs = sum(count_of(piece.starts) for piece in stored.pieces)
    return size + runs * RUN_OVERHEAD_BYTES + PAGE_OVERHEAD_BYTES


def _granules_of(size: int, page: int, page_bytes: int) -> int:
    """How many granules a page of a file of `size` bytes has."""
    return granules(min(page_bytes, size - page * page_bytes))


def _crc_of(segment: int, body: bytes | memoryview) -> int:
    return crc64(body, crc64(_SEGMENT.pack(segment)))
