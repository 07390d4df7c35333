"""Sources for tests of this package and of programs that read its mounts: in memory, slow, and faulty.

The tests that every source must pass are in `alluxio_jnifuse.testing.contract`, which needs pytest.

A daemon in another process uses one through ``testing:///path/to/file.py?size=4096#factory``: the function `factory`
of that Python file is called with the query's items as string arguments and returns a Source. A user who can name such
a URI can run code, so it works only when the environment holds ALLUXIO_JNIFUSE_TESTING=1.

Threads: everything here may be used from any thread.
"""

from __future__ import annotations

import os

from alluxio_jnifuse.errors import ConfigError
from alluxio_jnifuse.sources.base import Source
from alluxio_jnifuse.testing.faults import (
    FaultySource,
    Hang,
    Rule,
    SlowSource,
    flip_version,
    raising,
    returning,
    short,
    too_much,
)
from alluxio_jnifuse.testing.memory import Link, MemorySource, Node, Pattern, pattern

__all__ = [
    "ENABLED_BY",
    "FaultySource",
    "Hang",
    "Link",
    "MemorySource",
    "Node",
    "Pattern",
    "Rule",
    "SlowSource",
    "flip_version",
    "open_uri",
    "pattern",
    "raising",
    "returning",
    "short",
    "too_much",
]

ENABLED_BY = "ALLUXIO_JNIFUSE_TESTING"


def open_uri(uri: str, config: object) -> Source:
    """Calls the factory that a ``testing://`` URI names. Raises ConfigError when it cannot."""
    import importlib.util
    from urllib.parse import parse_qsl, unquote, urlsplit

    if os.environ.get(ENABLED_BY) != "1":
        raise ConfigError("runs code from a file", where=repr(uri), remedy=f"set {ENABLED_BY}=1 in a test")
    parts = urlsplit(uri)
    path = unquote(parts.path)
    spec = importlib.util.spec_from_file_location("alluxio_jnifuse_testing_factory", path)
    if not parts.fragment or spec is None or spec.loader is None or not os.path.isfile(path):
        raise ConfigError(
            "names no factory", where=repr(uri), remedy="use testing:///path/to/file.py?key=value#function"
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    source = getattr(module, parts.fragment)(**dict(parse_qsl(parts.query, keep_blank_values=True)))
    if not isinstance(source, Source):
        raise ConfigError(f"the factory returned {source!r}, not a Source", where=repr(uri))
    return source
