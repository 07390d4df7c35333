"""Read a directory, an OSS bucket or an Alluxio cluster as ordinary files, at the speed of the machine."""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["Config", "Mount", "__version__", "mount"]

TYPE_CHECKING = False  # typing costs milliseconds that the command line would wait for
if TYPE_CHECKING:
    from alluxio_jnifuse.api import Mount, mount
    from alluxio_jnifuse.config.values import Config


def __getattr__(name: str) -> object:
    if name in ("Mount", "mount"):
        from alluxio_jnifuse import api

        return getattr(api, name)
    if name == "Config":
        from alluxio_jnifuse.config.values import Config

        return Config
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
