"""Read a directory, an OSS bucket or an Alluxio cluster as ordinary files, at the speed of the machine.

A program uses `mount`, `Mount`, `Config` and `MountError`, and `prefetch` where it knows in which order it will read; a
source of another package is a `Source`, and uses the rest (docs/SOURCES.md). Sources for tests are in
`alluxio_jnifuse.testing`.
"""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = [
    "Attr",
    "Config",
    "ConfigError",
    "Extent",
    "Listing",
    "Mount",
    "MountError",
    "OpenFile",
    "PrefetchSampler",
    "Source",
    "SourceError",
    "StaleVersion",
    "StatFs",
    "Unreachable",
    "__version__",
    "build_listing",
    "directory_attr",
    "file_attr",
    "mount",
    "prefetch",
]

TYPE_CHECKING = False  # typing costs milliseconds that the command line would wait for
if TYPE_CHECKING:
    from alluxio_jnifuse.api import Mount, mount
    from alluxio_jnifuse.config.values import Config
    from alluxio_jnifuse.errors import ConfigError, MountError, SourceError, StaleVersion, Unreachable
    from alluxio_jnifuse.load.ahead import PrefetchSampler, prefetch
    from alluxio_jnifuse.sources.base import (
        Attr,
        Extent,
        Listing,
        OpenFile,
        Source,
        StatFs,
        build_listing,
        directory_attr,
        file_attr,
    )

# The module of each name; that of a source for those that are not here.
_MODULES = {
    "Config": "config.values",
    "ConfigError": "errors",
    "Mount": "api",
    "MountError": "errors",
    "PrefetchSampler": "load.ahead",
    "SourceError": "errors",
    "StaleVersion": "errors",
    "Unreachable": "errors",
    "mount": "api",
    "prefetch": "load.ahead",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'sources.base')}"), name)
