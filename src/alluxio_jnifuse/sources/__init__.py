"""Finds the source that a URI names.

A scheme is a factory ``(uri, config) -> Source`` named as "module:attribute" and imported when it is used. Other
packages add schemes, see plugins.py.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from alluxio_jnifuse.errors import ConfigError

if TYPE_CHECKING:
    from alluxio_jnifuse.sources.base import Source

    Factory = Callable[[str, object], Source]

_SCHEMES = {
    "alluxio": "alluxio_jnifuse.sources.alluxio:open_uri",
    "file": "alluxio_jnifuse.sources.local:open_uri",
    "oss": "alluxio_jnifuse.sources.oss:open_uri",
    "testing": "alluxio_jnifuse.testing:open_uri",
}


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
    scheme = scheme.lower()
    if scheme in _SCHEMES:
        return _factory(_SCHEMES[scheme])(uri, config)
    from alluxio_jnifuse.sources.plugins import find_plugins, open_plugin  # dozens of milliseconds

    plugins = find_plugins(_SCHEMES)
    if scheme in plugins:
        return open_plugin(plugins[scheme], uri, config)
    raise ConfigError(f"no source for the scheme {scheme!r}", where=repr(uri), remedy=f"use {_known(*plugins)}")


def setting(config: object, name: str, default: object) -> object:
    """The setting `name` of a mapping or an object; `default` when it has none of that name."""
    if isinstance(config, Mapping):
        return config.get(name, default)
    return getattr(config, name, default)


def _factory(name: str) -> Factory:
    module, _, attribute = name.partition(":")
    return cast("Factory", getattr(importlib.import_module(module), attribute))


def _known(*plugins: str) -> str:
    return ", ".join(["/absolute/path", *(f"{scheme}://" for scheme in sorted({*_SCHEMES, *plugins} - {"testing"}))])
