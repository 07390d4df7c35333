"""The address of a bucket: the host that is connected to, the Host header, and the path in front of its keys."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from alluxio_jnifuse.errors import ConfigError

# Names of hosts that say their region: oss-cn-hangzhou.aliyuncs.com, oss-cn-hangzhou-internal.aliyuncs.com.
_REGION = re.compile(r"oss-(?!accelerate)([a-z]+-[a-z0-9-]+?)(?:-internal)?\.aliyuncs\.com(?:\.cn)?")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")  # the rules of OSS
_HOST = re.compile(r"[A-Za-z0-9._%:-]+")  # what fits into a header
_PORTS = {"http": 80, "https": 443}


class Endpoint(NamedTuple):
    """One bucket at one endpoint."""

    bucket: str
    secure: bool  # HTTPS
    host: str  # to connect to
    port: int
    authority: str  # the Host header
    base: str  # of the path of every request: "/", or "/bucket/" with path style
    region: str  # "" when it is not known

    def __str__(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.authority}{self.base}"

    def target(self, key: str) -> str:
        """The path of an object in a request, percent-encoded; of the bucket itself with the key ""."""
        return self.base + quote(key)


def region_of(host: str) -> str:
    """The region that the name of an OSS host says, or ""."""
    match = _REGION.fullmatch(host.lower())
    return match[1] if match else ""


def check_bucket(name: str) -> None:
    """Raises ConfigError for what cannot be the name of a bucket."""
    if not name:
        raise ConfigError("names no bucket", where="oss://", remedy="use oss://BUCKET/DIRECTORY/")
    if "." in name:
        raise ConfigError(
            "the name of a bucket has no dots",
            where=repr(name),
            remedy="use oss://BUCKET/DIRECTORY/, and fs.oss.endpoint for the endpoint",
        )
    if not _BUCKET.fullmatch(name):
        raise ConfigError(
            "no bucket has such a name",
            where=repr(name),
            remedy="use 3 to 63 characters, a to z, 0 to 9 and -, the first and the last of which is no -",
        )


def endpoint_of(bucket: str, text: str, *, path_style: bool | None = None, region: str = "") -> Endpoint:
    """The endpoint `text`, `[http[s]://]host[:port]`, for `bucket`. Raises ConfigError.

    Without a scheme it is HTTP, as for the Java SDK. `path_style` None: for addresses and localhost, as oss2 does.
    """
    where = f"fs.oss.endpoint={text}"
    if "@" in text:  # it may be a password
        raise ConfigError("no user belongs into it", where="fs.oss.endpoint", remedy="use fs.oss.accessKeyId")
    check_bucket(bucket)
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    if (
        not _HOST.fullmatch(host)
        or parts.scheme not in _PORTS
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
    ):
        raise ConfigError("is no endpoint", where=where, remedy="use [https://]HOST[:PORT], without the bucket")
    region = region or region_of(host)
    if host.startswith(f"{bucket}.") and region_of(host[len(bucket) + 1 :]):
        raise ConfigError("holds the bucket", where=where, remedy=f"use {host[len(bucket) + 1 :]}")
    if path_style is None:
        path_style = _is_address(host) or host == "localhost"
    if not path_style:
        host = f"{bucket}.{host}"
    authority = f"[{host}]" if ":" in host else host
    if port is not None and port != _PORTS[parts.scheme]:
        authority = f"{authority}:{port}"
    return Endpoint(
        bucket=bucket,
        secure=parts.scheme == "https",
        host=host,
        port=port or _PORTS[parts.scheme],
        authority=authority,
        base=f"/{bucket}/" if path_style else "/",
        region=region,
    )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
