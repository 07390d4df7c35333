"""The places of the bytes of a page in the ROCKS store.

A piece is the part of a page that one segment has; a page that is fetched bit by bit may have several. A piece consists
of runs (run.py). Nothing of this ever changes, so a reader may keep what it found.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

from alluxio_jnifuse.cache.rocks.run import RUN_GRANULES


class Piece(NamedTuple):
    """The part of a page that a segment has. Bit n of a mask is granule n of the page."""

    segment: int
    present: int
    starts: int  # the first granules of runs

    def run_of(self, granule: int) -> int:
        """The first granule of the run that holds a granule that is present."""
        return (self.starts & all_of(granule + 1)).bit_length() - 1

    def is_possible(self, count: int) -> bool:
        """Whether a page of that many granules can have it: what is present is in a run that begins somewhere."""
        if (self.present | self.starts) >> count:
            return False
        for first in range(0, count, RUN_GRANULES):
            present = self.present >> first & all_of(RUN_GRANULES)
            starts = self.starts >> first & all_of(RUN_GRANULES)
            if present and not (0 < starts & -starts <= present & -present):
                return False
        return True

    def granules_of(self, start: int) -> int:
        """The mask of what is present of the run that begins at `start`."""
        after = self.starts >> start + 1 & all_of(RUN_GRANULES - start % RUN_GRANULES - 1)
        length = (after & -after).bit_length() or RUN_GRANULES - start % RUN_GRANULES
        return self.present & all_of(length) << start


class Stored(NamedTuple):
    """A page; the newest piece comes first, and counts."""

    size: int  # of the file, bytes
    born: float  # s since the epoch
    pieces: tuple[Piece, ...]

    @property
    def present(self) -> int:
        mask = 0
        for piece in self.pieces:
            mask |= piece.present
        return mask

    def piece_of(self, granule: int) -> Piece | None:
        """The piece that holds a granule."""
        return next((piece for piece in self.pieces if piece.present >> granule & 1), None)

    def piece_in(self, segment: int) -> Piece | None:
        return next((piece for piece in self.pieces if piece.segment == segment), None)

    def with_piece(self, new: Piece) -> Stored:
        """With a piece that is newer than all others, or belongs to the newest one."""
        rest = self.pieces
        if rest and rest[0].segment == new.segment:
            new = shared(new.segment, rest[0].present | new.present, rest[0].starts | new.starts)
            rest = rest[1:]
        kept = (piece._replace(present=piece.present & ~new.present) for piece in rest)
        return self._replace(pieces=(new, *(piece for piece in kept if piece.present)))

    def without_piece(self, old: Piece) -> Stored:
        return self._replace(pieces=tuple(piece for piece in self.pieces if piece is not old))

    def without_run(self, old: Piece, start: int) -> Stored:
        """Without the run of a piece that begins at granule `start`."""
        left = Piece(old.segment, old.present & ~old.granules_of(start), old.starts & ~(1 << start))
        pieces = (left if piece is old else piece for piece in self.pieces)
        return self._replace(pieces=tuple(piece for piece in pieces if piece.present))


@functools.lru_cache(1024)
def all_of(count: int) -> int:
    """The mask of that many granules: one object for all pages of a size."""
    return (1 << count) - 1


@functools.lru_cache(1024)
def usual_starts(count: int) -> int:
    """The runs of a page of that many granules that was stored at once."""
    return sum(1 << start for start in range(0, count, RUN_GRANULES))


def shared(segment: int, present: int, starts: int) -> Piece:
    """A piece whose masks are, for a page that is whole, those of all others."""
    count = present.bit_length()
    if present == all_of(count) and starts == usual_starts(count):
        present, starts = all_of(count), usual_starts(count)
    return Piece(segment, present, starts)


def count_of(mask: int) -> int:
    """How many bits are set."""
    return bin(mask).count("1")


def ones(mask: int) -> Iterator[int]:
    """The numbers of the bits that are set, the lowest first."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def missing_runs(present: int, first: int, end: int) -> Iterator[tuple[int, int]]:
    """(first granule, how many) of what of [first, end) is not present, cut where a run must end."""
    while first < end:
        if present >> first & 1:
            first += 1
            continue
        last = min(end, (first // RUN_GRANULES + 1) * RUN_GRANULES)
        there = present >> first & all_of(last - first)
        if there:
            last = first + (there & -there).bit_length() - 1
        yield first, last - first
        first = last
