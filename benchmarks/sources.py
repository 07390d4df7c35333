"""Storages for the benchmarks, by their testing:// URIs (alluxio_jnifuse.testing)."""

from __future__ import annotations

from urllib.parse import urlencode

from alluxio_jnifuse.sources.base import Source
from alluxio_jnifuse.testing import MemorySource, SlowSource


def slow(read: str, files: str, size: str) -> Source:
    """`files` files f0, f1 ... of `size` zeros, every read of which takes `read` seconds."""
    contents = bytes(int(size))  # one for all; a Pattern would import NumPy within the first read
    tree = {b"f%d" % number: contents for number in range(int(files))}
    return SlowSource(MemorySource(tree), {"read": float(read)})


def uri(factory: str, **arguments: object) -> str:
    """The URI that makes a daemon call one of the functions above."""
    return f"testing://{__file__}?{urlencode(arguments)}#{factory}"
