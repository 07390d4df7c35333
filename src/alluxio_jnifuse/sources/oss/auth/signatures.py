"""The signatures of OSS, versions 1 and 4, for what a reader asks: requests without a body, signed in their headers.

They are those of oss2, byte for byte (docs/decisions/0013). The vendor describes them:
https://help.aliyun.com/zh/oss/developer-reference/include-signatures-in-the-authorization-header (1),
https://help.aliyun.com/zh/oss/developer-reference/recommend-to-use-signature-version-4 (4).

Nothing here has state: any thread.
"""

from __future__ import annotations

import binascii
import hmac
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from alluxio_jnifuse.sources.oss import dates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alluxio_jnifuse.sources.oss.auth.credentials import Credentials

_DAY_S = 86400
_V4 = "OSS4-HMAC-SHA256"
_PAYLOAD = "UNSIGNED-PAYLOAD"
# Of the parameters that version 1 signs, those that a reader sends.
_SIGNED_BY_1 = frozenset({"continuation-token"})


class Unsigned(NamedTuple):
    """A request for a bucket (`key` is "") or one of its objects. Names of headers are in lower case."""

    method: str
    bucket: str
    key: str
    params: Mapping[str, str]
    headers: Mapping[str, str]


class Scope:
    """The key of version 4, of one day, one region and one secret. Immutable."""

    __slots__ = ("_day", "credentials", "key", "text")

    def __init__(self, credentials: Credentials, region: str, now: float) -> None:
        self.credentials = credentials
        self._day = now // _DAY_S
        words = (dates.to_compact(now)[:8], region, "oss", "aliyun_v4_request")
        self.text = "/".join(words)
        self.key = f"aliyun_v4{credentials.secret}".encode()
        for word in words:
            self.key = hmac.digest(self.key, word.encode(), "sha256")

    def fits(self, credentials: Credentials, now: float) -> bool:
        return self.credentials is credentials and self._day == now // _DAY_S


def v1(request: Unsigned, credentials: Credentials, now: float) -> dict[str, str]:
    """The headers of a request that is signed at `now`, s since the epoch."""
    headers = {**request.headers, "date": dates.to_http(now)}
    if credentials.token:
        headers["x-oss-security-token"] = credentials.token
    lines = [headers.get(name, "") for name in ("content-md5", "content-type", "date")]
    resource = f"/{request.bucket}/{request.key}"
    query = "&".join(_pairs((name, value) for name, value in request.params.items() if name in _SIGNED_BY_1))
    if query:
        resource = f"{resource}?{query}"
    text = "\n".join((request.method, *lines, *_own(headers), resource))
    digest = hmac.digest(credentials.secret.encode(), text.encode(), "sha1")
    headers["authorization"] = f"OSS {credentials.key_id}:{binascii.b2a_base64(digest, newline=False).decode()}"
    return headers


def v4(request: Unsigned, scope: Scope, now: float) -> dict[str, str]:
    """The headers of a request that is signed at `now`, s since the epoch, in the scope of that day."""
    credentials = scope.credentials
    headers = {**request.headers, "x-oss-date": dates.to_compact(now), "x-oss-content-sha256": _PAYLOAD}
    if credentials.token:
        headers["x-oss-security-token"] = credentials.token
    query = "&".join(_pairs((quote(name, safe=""), quote(value, safe="")) for name, value in request.params.items()))
    canonical = "\n".join(
        (
            request.method,
            quote(f"/{request.bucket}/{request.key}"),
            query,
            *_own(headers, "content-md5", "content-type"),
            "",  # the end of the headers, and
            "",  # no further ones are signed
            _PAYLOAD,
        )
    )
    text = "\n".join((_V4, headers["x-oss-date"], scope.text, sha256(canonical.encode()).hexdigest()))
    digest = hmac.digest(scope.key, text.encode(), "sha256")
    headers["authorization"] = f"{_V4} Credential={credentials.key_id}/{scope.text}, Signature={digest.hex()}"
    return headers


def _own(headers: Mapping[str, str], *more: str) -> list[str]:
    """The lines of the headers that are OSS's own, and of some others."""
    return [f"{name}:{value}" for name, value in sorted(headers.items()) if name.startswith("x-oss-") or name in more]


def _pairs(params: Iterator[tuple[str, str]]) -> list[str]:
    return [f"{name}={value}" if value else name for name, value in sorted(params)]
