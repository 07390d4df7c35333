"""Storages for the benchmarks, by their testing:// URIs (alluxio_jnifuse.testing)."""

from __future__ import annotations

from urllib.parse import urlencode

from alluxio_jnifuse.sources.base import Source
from alluxio_jnifuse.testing import MemorySource, Pattern, SlowSource


def slow(read: str, files: str, size: str) -> Source:
    """`files` files f0, f1 ... of `size` bytes, every read of which takes `read` seconds."""
    tree = {b"f%d" % number: Pattern(int(size)) for number in range(int(files))}
    return SlowSource(MemorySource(tree), {"read": float(read)})


def uri(factory: str, **arguments: object) -> str:
    """The URI that makes a daemon call one of the functions above."""
    return f"testing://{__file__}?{urlencode(arguments)}#{factory}"
