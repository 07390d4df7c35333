"""Which bucket and key a request means.

As the clients of OSS have it: an address or `localhost` as the host name means `/bucket/key`; any other name begins
with the bucket, but for that of a region (`oss-cn-hangzhou.aliyuncs.com`), with which only buckets can be listed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oss.errors import OssError

if TYPE_CHECKING:
    from oss.wire import Request

_MOST_KEY_BYTES = 1023


def resolve(request: Request) -> None:
    """Sets the bucket and the key of a request. Raises OssError."""
    path = request.path[1:] if request.path.startswith("/") else request.path
    host = request.host.rpartition(":")[0] or request.host
    if _is_plain(host):
        request.bucket, _, request.key = path.partition("/")
    elif host.startswith(("oss.", "oss-")):
        if path:
            raise OssError("SecondLevelDomainForbidden")
    else:
        request.bucket, request.key = host.partition(".")[0], path
    if len(request.key.encode()) > _MOST_KEY_BYTES or request.key.startswith(("/", "\\")):
        raise OssError("InvalidObjectName", details={"ObjectName": request.key})


def _is_plain(host: str) -> bool:
    return host == "localhost" or host.startswith("[") or host.replace(".", "").isdigit()
