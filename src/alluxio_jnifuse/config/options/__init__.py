"""OPTIONS: everything that can be set, declared once.

The command line, the properties, the defaults, the numbers that go down into `struct ajf_options` and
docs/CONFIGURATION.md all come from this table. A name without a dot is a mount option (`-o name=value`); a name that
starts with `alluxio.` or `fs.` is a property (`-D`, `-o alluxio.key=value`, `*_JAVA_OPTS`, alluxio-site.properties).
"""

from __future__ import annotations

from alluxio_jnifuse.config.options.cache import CACHE_PROPERTIES
from alluxio_jnifuse.config.options.client import CLIENT_PROPERTIES
from alluxio_jnifuse.config.options.cluster import CLUSTER_PROPERTIES
from alluxio_jnifuse.config.options.mount import MOUNT_OPTIONS
from alluxio_jnifuse.config.options.option import Option
from alluxio_jnifuse.config.options.oss import OSS_PROPERTIES
from alluxio_jnifuse.config.options.web import WEB_PROPERTIES

__all__ = ["BY_ENV", "BY_NAME", "OPTIONS", "Option", "is_property"]

OPTIONS: tuple[Option, ...] = (
    MOUNT_OPTIONS + CLIENT_PROPERTIES + WEB_PROPERTIES + CACHE_PROPERTIES + CLUSTER_PROPERTIES + OSS_PROPERTIES
)

# Every spelling of an option, opposites included.
BY_NAME: dict[str, Option] = {
    name: row for row in OPTIONS for name in (row.name, row.off, *row.aliases) if name
}  # fmt: skip
BY_ENV: dict[str, Option] = {row.env: row for row in OPTIONS if row.env}


def is_property(name: str) -> bool:
    """Whether `name` is a property rather than a mount option."""
    return name.startswith(("alluxio.", "fs."))
