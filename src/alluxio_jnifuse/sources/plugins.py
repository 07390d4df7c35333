"""Sources of other packages, which name them in the entry point group `alluxio_jnifuse.sources` (docs/SOURCES.md).

It is somebody else's code: whatever is wrong with it is an error that names the package. A scheme that we have
ourselves is not looked for here, so that a local mount need not ask what is installed; a package that claims one is
refused wherever the others are looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, NamedTuple

from alluxio_jnifuse.errors import AlluxioFuseError, ConfigError, SourceError
from alluxio_jnifuse.sources.base import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUP = "alluxio_jnifuse.sources"

log = logging.getLogger(__name__)


class Plugin(NamedTuple):
    """One entry point: its scheme, the package that brings it, and how its factory is loaded."""

    scheme: str
    package: str
    load: Callable[[], Callable[[str, object], object]]


def find_plugins(reserved: Collection[str]) -> dict[str, list[Plugin]]:
    """Returns the installed sources, by scheme. Raises ConfigError for a package that claims a `reserved` scheme."""
    found: dict[str, list[Plugin]] = {}
    for plugin in _installed():
        if plugin.scheme in reserved:
            raise ConfigError(
                f"claims the scheme {plugin.scheme}://, which is built in",
                where=f"package {plugin.package}",
                remedy="uninstall it, or give its source another scheme",
            )
        found.setdefault(plugin.scheme, []).append(plugin)
    return found


def open_plugin(claims: Sequence[Plugin], uri: str, config: object) -> Source:
    """The source that the plugin of the scheme makes of `uri`. Raises ConfigError, SourceError.

    `claims`: all that claim the scheme, of which there should be one.
    """
    if len(claims) > 1:
        packages = " and ".join(plugin.package for plugin in claims)
        raise ConfigError(f"packages {packages} claim the scheme", where=repr(uri), remedy="uninstall all but one")
    plugin = claims[0]
    where = f"package {plugin.package}"
    try:
        factory = plugin.load()
    except Exception as error:
        log.error("%s: its source cannot be imported", where, exc_info=True)
        remedy = "install what it needs, or another release of it"
        raise ConfigError(f"its source cannot be imported: {_said(error)}", where=where, remedy=remedy) from error
    try:
        source = factory(uri, config)
    except AlluxioFuseError:
        raise
    except Exception as error:
        log.error("%s: %s cannot be opened", where, uri, exc_info=True)
        raise SourceError(f"{uri!r} cannot be opened: {_said(error)}", where=where) from error
    if not isinstance(source, Source):
        raise SourceError(f"{uri!r}: its factory returned {source!r:.100}, not a Source", where=where)
    return source


def _installed() -> Iterator[Plugin]:
    """The entry points of the first release of each package on the path, which is the one that is imported."""
    seen: set[str] = set()
    for distribution in metadata.distributions():
        points = [point for point in distribution.entry_points if point.group == GROUP]
        name = distribution.metadata["Name"] if points else ""
        if not points or name in seen:
            continue
        seen.add(name)
        for point in points:
            yield Plugin(point.name.lower(), f"{name} {distribution.version}", point.load)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
