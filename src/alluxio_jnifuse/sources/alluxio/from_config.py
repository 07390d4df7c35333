"""The settings of a mount as those of the engine."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from alluxio_jnifuse.config.merge import DEFAULT, TIER, TIERS
from alluxio_jnifuse.config.values import ALLUXIO
from alluxio_jnifuse.errors import ConfigError
from alluxio_jnifuse.sources.alluxio.settings import Settings

if TYPE_CHECKING:
    from alluxio_jnifuse.config.values import Config
    from alluxio_jnifuse.sources.alluxio.metadata.master import MasterClient

_OURS = __name__.partition(".")[0]
_POLICY = "alluxio.fuse.auth.policy.class"
_CUSTOM = "alluxio.fuse.auth.policy.custom."
_NOBODY = ("", "_NONE_", "_HDFS_USER_")  # the Hadoop user of a process that is no Hadoop's is its own
_RETRY = "alluxio.user.rpc.retry.max.duration"
_NOT_SET = "DEFAULT"  # a default of the cluster's release, which is no better than ours
_TIER_PATHS = "alluxio.worker.tieredstore.level{}.dirs.path"
_MOST_TIERS = 3  # Alluxio knows MEM, SSD and HDD
_FOREVER_S = 10 * 365 * 86400.0  # still a timeout that every clock can add
_LARGEST_CHUNK_BYTES = 64 << 20  # the largest message that is taken has 100 MB


def settings(config: Config, masters: Sequence[str]) -> Settings:
    """The engine's settings for the cluster of `masters` ("host:port"). Raises ConfigError."""
    user = config.text("alluxio.security.login.username") or user_name()
    impersonated = config.text("alluxio.security.login.impersonation.username")
    uid, gid = _owner(config)
    retry_s = _seconds(config, _RETRY) or _FOREVER_S
    is_set = config.settings[_RETRY].rank > DEFAULT  # else who mounts wants to be told soon
    return Settings(
        masters=tuple(masters),
        user=user,
        impersonated="" if impersonated in (*_NOBODY, user) else impersonated,
        auth_type=config.text("alluxio.security.authentication.type"),
        tls=config.flag("alluxio.network.tls.enabled"),
        tls_ca_path=config.text("alluxio.network.tls.ca.path"),
        hostname=config.text("alluxio.user.hostname"),
        tiers=_tiers(config),
        uid=uid,
        gid=gid,
        auth_timeout_s=_seconds(config, "alluxio.network.connection.auth.timeout") or _FOREVER_S,
        polling_timeout_s=_seconds(config, "alluxio.user.master.polling.timeout") or _FOREVER_S,
        rpc_retry_base_s=_seconds(config, "alluxio.user.rpc.retry.base.sleep"),
        rpc_retry_max_sleep_s=_seconds(config, "alluxio.user.rpc.retry.max.sleep"),
        rpc_retry_max_duration_s=retry_s,
        mount_patience_s=retry_s if is_set else min(Settings._field_defaults["mount_patience_s"], retry_s),
        read_retry_base_s=_seconds(config, "alluxio.user.block.read.retry.sleep.base"),
        read_retry_max_sleep_s=_seconds(config, "alluxio.user.block.read.retry.sleep.max"),
        read_retry_max_duration_s=_seconds(config, "alluxio.user.block.read.retry.max.duration") or _FOREVER_S,
        read_timeout_s=_seconds(config, "alluxio.user.streaming.data.read.timeout") or _FOREVER_S,
        slow_rpc_s=_seconds(config, "alluxio.user.logging.threshold"),
        sync_interval_ms=config.number("alluxio.user.file.metadata.sync.interval"),
        load_type=config.text("alluxio.user.file.metadata.load.type"),
        listing_bytes=config.number("listing_limit"),
        message_bytes=config.number("alluxio.user.network.rpc.max.inbound.message.size"),
        metadata_cache=config.flag("alluxio.user.metadata.cache.enabled"),
        metadata_expiration_s=_seconds(config, "alluxio.user.metadata.cache.expiration.time"),
        metadata_max_entries=config.number("alluxio.user.metadata.cache.max.size"),
        # A user who lets the kernel forget at once wants to see changes at once.
        remembered_s=min(Settings._field_defaults["remembered_s"], config.number("attr_timeout") / 1e9),
        worker_refresh_s=_seconds(config, "alluxio.user.worker.list.refresh.interval"),
        read_type=config.text("alluxio.user.file.readtype.default"),
        chunk_bytes=min(_LARGEST_CHUNK_BYTES, config.number("alluxio.user.streaming.reader.chunk.size.bytes")),
        positioned_bytes=config.number("alluxio.user.file.sequential.pread.threshold"),
        passive_cache=config.flag("alluxio.user.file.passive.cache.enabled"),
        ufs_read_concurrency=config.number("alluxio.user.ufs.block.read.concurrency.max"),
        ufs_read_policy=config.text("alluxio.user.ufs.block.read.location.policy"),
        ufs_read_policy_host=config.text("alluxio.worker.hostname"),
        ufs_read_policy_shards=config.number("alluxio.user.ufs.block.read.location.policy.deterministic.hash.shards"),
        reserved_bytes=config.number("alluxio.user.block.avoid.eviction.policy.reserved.size.bytes"),
        short_circuit=config.flag("alluxio.user.short.circuit.enabled"),
        short_circuit_preferred=config.flag("alluxio.user.short.circuit.preferred"),
        domain_socket_as_uuid=config.flag("alluxio.worker.data.server.domain.socket.as.uuid"),
        direct_local_io=config.flag("alluxio.user.unsafe.direct.local.io.enabled"),
        tier_directories=_tier_directories(config),
        tiers_configured=config.settings[_TIER_PATHS.format(0)].rank > DEFAULT,
        data_folder=config.text("alluxio.worker.data.folder").strip("/"),
    )


def split_uri(uri: str) -> tuple[tuple[str, ...], bytes]:
    """The masters and the path of `alluxio://host:port,host:port/path` (percent-encoded), as `Config.ufs` writes it."""
    from urllib.parse import unquote_to_bytes

    authority, _, path = uri[len(ALLUXIO) :].partition("/")
    return tuple(authority.split(",")), b"/" + unquote_to_bytes(os.fsencode(path)).strip(b"/")


def master_client(config: Config) -> MasterClient:
    """A client of the masters of `config.ufs`. Raises ConfigError, also when gRPC is not installed.

    Imports gRPC, which no process may do that forks afterwards.
    """
    try:
        from alluxio_jnifuse.sources.alluxio.metadata.master import MasterClient
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(_OURS):
            raise
        raise ConfigError(
            f"reading from an Alluxio cluster needs {error.name}", remedy="pip install 'alluxio-jnifuse[alluxio]'"
        ) from error
    return MasterClient(_settings(config))


def _settings(config: Config) -> Settings:
    return settings(config, split_uri(config.ufs)[0])


def ask_cluster(config: Config) -> tuple[Config, MasterClient]:
    """`config` with the cluster's own configuration in place of defaults, where that is wanted and can be had.

    With it a client for these settings: the one that has asked, unless they are others than it was made with. To
    connect and to log in once more would take a tenth of the time of a mount.

    Raises SourceError when there is no cluster to ask.
    """
    client = master_client(config)
    if not config.flag("alluxio.user.conf.cluster.default.enabled"):
        return config, client
    try:
        client.connect()
        told = client.get_configuration()
        asked = config.with_cluster_defaults((name, value) for name, value, source in told if source != _NOT_SET)
        if _settings(asked) == _settings(config):
            return asked, client
    except OSError as error:
        config.notes.append(f"the cluster does not tell its configuration: {error.strerror or error}")
        return config, client
    except BaseException:
        client.close()
        raise
    client.close()
    return asked, master_client(asked)


def user_name() -> str:
    """The name of this process's user; its number when nothing knows a name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in containers that run with whatever uid they were given
        return os.environ.get("USER") or str(os.getuid())


def _seconds(config: Config, name: str) -> float:
    return config.number(name) / 1000


def _tiers(config: Config) -> tuple[tuple[str, str], ...]:
    """The tiers that say where this machine is, in the configured order."""
    found = []
    for tier in config.text(TIERS).split(","):
        setting = config.settings.get(TIER + tier.strip())
        if setting is not None and setting.value:
            found.append((tier.strip(), str(setting.value)))
    return tuple(found)


def _tier_directories(config: Config) -> tuple[str, ...]:
    """Of all tiers of a worker."""
    listed = ",".join(config.text(_TIER_PATHS.format(level)) for level in range(_MOST_TIERS)).split(",")
    return tuple(directory.strip() for directory in listed if directory.strip())


def _owner(config: Config) -> tuple[int, int]:
    """The owner and group to show, -1 for the local ones with the cluster's names."""
    policy = config.text(_POLICY)
    if config.settings[_POLICY].rank == DEFAULT and config.flag("alluxio.fuse.user.group.translation.enabled"):
        policy = "SystemUserGroupAuthPolicy"
    if policy == "SystemUserGroupAuthPolicy":
        return -1, -1
    if policy == "LaunchUserGroupAuthPolicy":
        return os.getuid(), os.getgid()
    import grp

    return (
        _number(config, "user", lambda name: pwd.getpwnam(name).pw_uid),
        _number(config, "group", lambda name: grp.getgrnam(name).gr_gid),
    )


def _number(config: Config, kind: str, look_up: Callable[[str], int]) -> int:
    name = config.text(_CUSTOM + kind)
    if name.isdecimal():
        return int(name)
    try:
        return look_up(name)
    except KeyError:
        where = f"{_CUSTOM}{kind}={name} ({config.origin(_CUSTOM + kind)})"
        raise ConfigError(f"expected a {kind} of this machine, name or number", where=where) from None
