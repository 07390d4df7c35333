"""A subject of examination: this machine, a mount that runs, or one that is not there yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from alluxio_jnifuse.config.values import ALLUXIO, OSS, Config
from alluxio_jnifuse.errors import ConfigError
from alluxio_jnifuse.mounts.registry import Record


class Subject(NamedTuple):
    """Constant; read by several threads.

    `mountpoint`: resolved if that could be done; "" is the machine.
    `record`: of a mount that runs.
    `config`: the settings; None where they are not known, and `error` says why if they are wrong.
    `unknown`: why the settings of a mount that runs are not known.
    `environ`: the environment that the settings were taken of.
    """

    environ: Mapping[str, str]
    mountpoint: str = ""
    record: Record | None = None
    config: Config | None = None
    error: ConfigError | None = None
    unknown: str = ""

    @property
    def is_machine(self) -> bool:
        return not self.mountpoint

    @property
    def ufs(self) -> str:
        """The storage, or ""."""
        if self.config is not None:
            return self.config.ufs
        return self.record.ufs if self.record is not None else ""

    @property
    def of_cluster(self) -> bool:
        return self.ufs.startswith(ALLUXIO)

    @property
    def of_bucket(self) -> bool:
        return self.ufs.startswith(OSS)

    @property
    def of_directory(self) -> bool:
        return self.ufs.startswith(("/", "file:"))


def is_of_way(name: str) -> bool:
    """Whether a variable of the environment decides how an endpoint is reached: proxies, and whose certificates."""
    return name.lower().endswith("_proxy") or name in ("SSL_CERT_FILE", "SSL_CERT_DIR")
