"""Who may ask: signatures against keys, tokens until they expire, and clocks that agree.

A key of a token is good with that token only.
"""

from __future__ import annotations

import calendar
import hmac
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_tz
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from oss import signing
from oss.errors import OssError

if TYPE_CHECKING:
    from oss.wire import Request

_MOST_SKEW_S = 15 * 60
_V4_DATE = "%Y%m%dT%H%M%SZ"
_V4_FIELDS = re.compile(r"(Credential|AdditionalHeaders|Signature)=([^,\s]*)")


class Token(NamedTuple):
    """Temporary credentials, good until `expires_at` (s since 1970)."""

    key_id: str
    secret: str
    expires_at: float = float("inf")


class _Claim(NamedTuple):
    """What a request says about who sends it."""

    key_id: str
    signature: str
    token: str


class Access:
    """What is known of those who may ask; it may change at any time.

    region        the only one for which signatures of version 4 are good
    clock_offset  of the server's clock, s
    """

    def __init__(self, keys: Mapping[str, str], tokens: Mapping[str, Token], region: str) -> None:
        self.keys = dict(keys)
        self.tokens = dict(tokens)
        self.region = region
        self.clock_offset = 0.0

    def check(self, request: Request) -> None:
        """Raises OssError for a request that is not signed as it must be."""
        version = version_of(request)
        if version == "V1":
            self._check_v1(request)
        elif version == "V1 URL":
            self._check_v1_url(request)
        elif version == "V4":
            self._check_v4(request)
        elif version == "V4 URL":
            self._check_v4_url(request)
        else:
            raise OssError("InvalidArgument", "Authorization header is invalid.")

    def now(self) -> float:
        """The server's time."""
        return time.time() + self.clock_offset

    def _check_v1(self, request: Request) -> None:
        headers = request.headers
        key_id, _, signature = headers["authorization"][len("OSS ") :].strip().partition(":")
        date = headers.get("x-oss-date") or headers.get("date", "")
        when = _http_time(date)
        if when is None:
            raise OssError("AccessDenied", "OSS authentication requires a valid Date.")
        secret = self._secret(_Claim(key_id, signature, headers.get("x-oss-security-token", "")))
        self._check_clock(date, when)
        text = signing.string_v1(request.method, request.bucket, request.key, request.query, headers, date)
        _compare(key_id, signature, signing.signature_v1(secret, text), text)

    def _check_v1_url(self, request: Request) -> None:
        query = request.query
        key_id, signature = query["OSSAccessKeyId"], query["Signature"]
        secret = self._secret(_Claim(key_id, signature, query.get("security-token", "")))
        expires = query.get("Expires", "")
        if not expires.isdigit():
            raise OssError("AccessDenied", "Query-string authentication requires a valid Expires.")
        if int(expires) < self.now():
            raise OssError("AccessDenied", "Request has expired.", {"Expires": expires})
        text = signing.string_v1(request.method, request.bucket, request.key, query, request.headers, expires)
        _compare(key_id, signature, signing.signature_v1(secret, text), text)

    def _check_v4(self, request: Request) -> None:
        headers = request.headers
        fields = dict(_V4_FIELDS.findall(headers["authorization"]))
        date = headers.get("x-oss-date", "")
        when = _v4_time(date)
        if when is None:
            raise OssError("AccessDenied", "OSS authentication requires a valid Date.")
        credential, signature = fields.get("Credential", ""), fields.get("Signature", "")
        claim = _Claim(credential.partition("/")[0], signature, headers.get("x-oss-security-token", ""))
        secret = self._secret(claim)
        self._check_clock(date, when)
        self._compare_v4(request, claim, secret, credential, date, fields.get("AdditionalHeaders", ""))

    def _check_v4_url(self, request: Request) -> None:
        query = request.query
        credential, date = query.get("x-oss-credential", ""), query.get("x-oss-date", "")
        claim = _Claim(
            credential.partition("/")[0], query.get("x-oss-signature", ""), query.get("x-oss-security-token", "")
        )
        secret = self._secret(claim)
        when, seconds = _v4_time(date), query.get("x-oss-expires", "")
        if when is None or not seconds.isdigit():
            raise OssError("AccessDenied", "Query-string authentication requires valid x-oss-date and x-oss-expires.")
        if when + int(seconds) < self.now():
            raise OssError("AccessDenied", "Request has expired.", {"Expires": _iso(when + int(seconds))})
        self._compare_v4(request, claim, secret, credential, date, query.get("x-oss-additional-headers", ""))

    def _compare_v4(
        self, request: Request, claim: _Claim, secret: str, credential: str, date: str, additional: str
    ) -> None:
        scope = credential.partition("/")[2]
        if scope != f"{date[:8]}/{self.region}/oss/aliyun_v4_request":
            raise OssError("InvalidArgument", "Invalid signing region, product or date in the credential's scope.")
        more = [name for name in additional.split(";") if name]
        text = signing.string_v4(
            request.method, request.bucket, request.key, request.query, request.headers, date, scope, more
        )
        _compare(claim.key_id, claim.signature, signing.signature_v4(secret, text, scope), text)

    def _secret(self, claim: _Claim) -> str:
        """The secret of a key, if the token with it is good."""
        if not claim.token:
            if claim.key_id not in self.keys:
                raise OssError("InvalidAccessKeyId", details={"OSSAccessKeyId": claim.key_id})
            return self.keys[claim.key_id]
        token = self.tokens.get(claim.token)
        if token is None or token.key_id != claim.key_id:
            raise OssError("InvalidSecurityToken")
        if token.expires_at <= self.now():
            raise OssError("SecurityTokenExpired")
        return token.secret

    def _check_clock(self, date: str, when: float) -> None:
        if abs(self.now() - when) > _MOST_SKEW_S:
            skew = {"MaxAllowedSkewMilliseconds": str(_MOST_SKEW_S * 1000)}
            times = {"RequestTime": date, "ServerTime": _iso(self.now())}
            raise OssError("RequestTimeTooSkewed", details={**skew, **times})


def version_of(request: Request) -> str:
    """Of a request's signature: "V1", "V4", "V1 URL", "V4 URL", "" when there is none, "?" when it is another."""
    authorization = request.headers.get("authorization")
    if authorization is not None:
        return "V1" if authorization.startswith("OSS ") else "V4" if authorization.startswith(signing.V4) else "?"
    if "x-oss-signature-version" in request.query:
        return "V4 URL" if request.query["x-oss-signature-version"] == signing.V4 else "?"
    return "V1 URL" if "OSSAccessKeyId" in request.query and "Signature" in request.query else ""


def _compare(key_id: str, signature: str, expected: str, text: str) -> None:
    if not hmac.compare_digest(signature.encode(), expected.encode()):
        details = {"OSSAccessKeyId": key_id, "SignatureProvided": signature, "StringToSign": text}
        raise OssError("SignatureDoesNotMatch", details=details)


@lru_cache(maxsize=64)  # clients send the same second many times
def _http_time(text: str) -> float | None:
    fields = parsedate_tz(text)
    if fields is None:
        return None
    return calendar.timegm((*fields[:6], 0, 0, 0)) - (fields[9] or 0)


@lru_cache(maxsize=64)
def _v4_time(text: str) -> float | None:
    try:
        return calendar.timegm(time.strptime(text, _V4_DATE))
    except ValueError:
        return None


def _iso(when: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(when))
