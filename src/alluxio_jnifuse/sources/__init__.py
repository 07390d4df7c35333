"""Finds the source that a URI names.

A scheme is a factory ``(uri, config) -> Source`` named as "module:attribute" and imported when it is used. Other
packages add schemes through the entry point group `alluxio_jnifuse.sources`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from alluxio_jnifuse.errors import ConfigError

if TYPE_CHECKING:
    from alluxio_jnifuse.sources.base import Source

    Factory = Callable[[str, object], Source]

ENTRY_POINTS = "alluxio_jnifuse.sources"

_SCHEMES = {
    "alluxio": "alluxio_jnifuse.sources.alluxio:open_uri",
    "file": "alluxio_jnifuse.sources.local:open_uri",
    "testing": "alluxio_jnifuse.testing:open_uri",
}
_PLANNED = ("oss",)


def open_source(uri: str, config: object) -> Source:
    """Opens the source that `uri` names: ``/abs/path``, ``file:///abs/path``, ``scheme://...``.

    `config` is a mapping or an object whose items or attributes are the settings that a source may ask for with
    `setting`. Raises ConfigError for a URI that cannot be used, SourceError when what it names cannot be opened.
    """
    scheme, separator, _ = uri.partition("://")
    if uri.startswith("/"):
        scheme = "file"
    elif not separator:
        raise ConfigError("neither an absolute path nor a URI", where=repr(uri), remedy=f"use {_known()}")
    return _factory(scheme.lower(), uri)(uri, config)


def setting(config: object, name: str, default: object) -> object:
    """The setting `name` of a mapping or an object; `default` when it has none of that name."""
    if isinstance(config, Mapping):
        return config.get(name, default)
    return getattr(config, name, default)


def _factory(scheme: str, uri: str) -> Factory:
    if scheme in _SCHEMES:
        module, _, attribute = _SCHEMES[scheme].partition(":")
        return cast("Factory", getattr(importlib.import_module(module), attribute))
    plugins = _plugins()
    if scheme in plugins:
        return plugins[scheme]()
    if scheme in _PLANNED:
        raise ConfigError(f"{scheme}:// is not in this release", where=repr(uri), remedy=f"use {_known(*plugins)}")
    raise ConfigError(f"no source for the scheme {scheme!r}", where=repr(uri), remedy=f"use {_known(*plugins)}")


def _known(*plugins: str) -> str:
    return ", ".join(["/absolute/path", *(f"{scheme}://" for scheme in sorted({*_SCHEMES, *plugins}))])


def _plugins() -> dict[str, Callable[[], Factory]]:
    """Loaders of the schemes that other packages bring, by name."""
    from importlib import metadata  # dozens of milliseconds, and a local mount never needs it

    if sys.version_info >= (3, 10):
        found = metadata.entry_points(group=ENTRY_POINTS)
    else:
        found = metadata.entry_points().get(ENTRY_POINTS, [])
    return {point.name: point.load for point in found}
