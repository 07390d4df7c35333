"""Listings of a source, as names and attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from alluxio_jnifuse.sources.base import ENTRY_DTYPE, Attr

if TYPE_CHECKING:
    from alluxio_jnifuse.sources.base import Listing


def entries(listing: Listing) -> list[tuple[bytes, Attr]]:
    """Returns (name, attributes) of each entry, in the order of the listing."""
    rows = np.frombuffer(listing.entries, dtype=np.dtype(ENTRY_DTYPE)).tolist()
    names = listing.names
    return [(names[row[-2] : row[-2] + row[-1]], Attr(*row[:-2])) for row in rows]
