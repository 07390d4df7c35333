"""The settings of a mount as those of the engine."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from alluxio_jnifuse.config.merge import DEFAULT, SITE_FILE, VARIABLE
from alluxio_jnifuse.errors import ConfigError
from alluxio_jnifuse.sources.oss.auth import providers
from alluxio_jnifuse.sources.oss.auth.credentials import CredentialsError
from alluxio_jnifuse.sources.oss.endpoint import check_bucket, endpoint_of
from alluxio_jnifuse.sources.oss.settings import Settings
from alluxio_jnifuse.system import trusted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alluxio_jnifuse.config.values import Config
    from alluxio_jnifuse.sources.oss.auth.credentials import Provider

_KEY_ID, _SECRET, _TOKEN = "fs.oss.accessKeyId", "fs.oss.accessKeySecret", "fs.oss.securityToken"
_ENDPOINT, _REGION, _VERSION = "fs.oss.endpoint", "fs.oss.region", "fs.oss.signature.version"
_PROCESS, _ANONYMOUS = "fs.oss.credential.process", "fs.oss.anonymous"
_STS = "alluxio.underfs.oss.sts."
_RETRY = "alluxio.user.rpc.retry.max.duration"

_FOREVER_S = 10 * 365 * 86400.0  # still a timeout that every clock can add
_SHARE = 0.95  # of the core's own limit: who gives up before it can say why


def settings(uri: str, config: Config) -> Settings:
    """The engine's settings for the directory `oss://bucket/directory/` (percent-encoded). Raises ConfigError."""
    bucket, prefix = split_uri(uri)
    check_bucket(bucket)
    if not config.text(_ENDPOINT):
        raise ConfigError(
            f"{_ENDPOINT} is not set",
            where=f"oss://{bucket}/",
            remedy="set it to that of the bucket's region (oss-cn-hangzhou.aliyuncs.com, say), or to https://HOST:PORT",
        )
    endpoint = endpoint_of(
        bucket,
        config.text(_ENDPOINT),
        path_style={"TRUE": True, "FALSE": False}.get(config.text("fs.oss.path.style.access")),
        region=config.text(_REGION),
    )
    version = config.text(_VERSION)
    if version == "AUTO":
        version = "V4" if endpoint.region else "V1"
    if version == "V4" and not endpoint.region:
        raise ConfigError("V4 needs the region", where=_VERSION, remedy=f"set {_REGION}")
    metadata_s = _patience(config, _RETRY)
    is_set = config.settings[_RETRY].rank > DEFAULT  # else who mounts wants to be told soon
    return Settings(
        endpoint=endpoint,
        prefix=prefix,
        signature=version,
        uid=os.getuid(),
        gid=os.getgid(),
        connect_timeout_s=config.number("alluxio.underfs.oss.connection.timeout") / 1000,
        stall_s=config.number("alluxio.underfs.oss.socket.timeout") / 1000,
        read_patience_s=_patience(config, "alluxio.user.streaming.data.read.timeout"),
        metadata_patience_s=metadata_s,
        mount_patience_s=metadata_s if is_set else min(Settings._field_defaults["mount_patience_s"], metadata_s),
        listing_bytes=config.number("listing_limit"),
        # A user who lets the kernel forget at once wants to see changes at once.
        remembered_s=min(Settings._field_defaults["remembered_s"], config.number("attr_timeout") / 1e9),
    )


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and prefix of the keys of `oss://bucket/directory` (percent-encoded). Raises ConfigError."""
    authority, _, path = uri.partition("://")[2].partition("/")
    if "@" in authority or ":" in authority:  # perhaps a secret: it is not repeated
        raise ConfigError(
            "a bucket has no user, password or port", where="oss://", remedy=f"use {_KEY_ID} and {_SECRET}"
        )
    try:
        prefix = unquote_to_bytes(os.fsencode(path)).decode().strip("/")
    except UnicodeDecodeError:
        raise ConfigError(
            "keys of OSS are UTF-8, and this directory is not",
            where=repr(uri),
            remedy="percent-encode its name in UTF-8",
        ) from None
    return authority, f"{prefix}/" if prefix else ""


def credentials(config: Config, environ: Mapping[str, str] = os.environ) -> Provider | None:
    """Returns where credentials come from; None: requests are not signed. Raises ConfigError."""
    found = _key(config, above=VARIABLE)
    if found is None and config.flag(f"{_STS}enabled"):
        role = config.text("alluxio.underfs.oss.ecs.ram.role")
        found = providers.ram_role(config.text(f"{_STS}ecs.metadata.service.endpoint"), role)
    if found is None and config.text(_PROCESS):
        _check_command(config)
        found = providers.command(config.text(_PROCESS))
    if found is None and config.flag(_ANONYMOUS):
        return None
    try:
        found = found or providers.environment(environ)
    except CredentialsError as error:
        raise ConfigError(error.what, where="the environment") from None
    found = found or _key(config) or providers.service_account(environ)
    if found is None:
        raise ConfigError(
            "there are no credentials",
            where=_KEY_ID,
            remedy=f"set {_KEY_ID} and {_SECRET}, {_PROCESS} or {_STS}enabled; for a public bucket {_ANONYMOUS}=true",
        )
    return found


def _check_command(config: Config) -> None:
    """Raises ConfigError unless only root and this user decide what is run."""
    setting = config.settings[_PROCESS]
    try:
        program = (shlex.split(config.text(_PROCESS)) or [""])[0]
    except ValueError as error:
        raise ConfigError(f"the command cannot be understood: {error}", where=_PROCESS) from None
    if not program.startswith("/"):
        raise ConfigError("the command has no absolute path", where=_PROCESS, remedy="which one PATH finds may change")
    written = [setting.origin] if setting.rank == SITE_FILE and not setting.origin.startswith("$") else []
    for path in (*written, program):
        try:
            trusted.check_file(path)
        except trusted.UntrustedPath as error:
            raise ConfigError(f"is not run: {error.strerror}", where=_PROCESS) from None
        except OSError as error:
            raise ConfigError(f"is not run: {path}: {error.strerror}", where=_PROCESS) from None


def _key(config: Config, above: int = -1) -> Provider | None:
    """The key of the properties, if it was set in a place that ranks higher than `above`. Raises ConfigError."""
    key_id, secret = config.text(_KEY_ID), config.text(_SECRET)
    if max(config.settings[name].rank for name in (_KEY_ID, _SECRET)) <= above or not (key_id or secret):
        return None
    if not key_id or not secret:
        given, missing = (_KEY_ID, _SECRET) if key_id else (_SECRET, _KEY_ID)
        raise ConfigError(f"is set, and {missing} is not", where=f"{given} ({config.origin(given)})", remedy="set both")
    try:
        return providers.fixed(key_id, secret, config.text(_TOKEN), f"{_KEY_ID} ({config.origin(_KEY_ID)})")
    except CredentialsError as error:
        raise ConfigError(error.what, where=_KEY_ID) from None


def _patience(config: Config, name: str) -> float:
    return _SHARE * config.number(name) / 1000 or _FOREVER_S
