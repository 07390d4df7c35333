"""Refused requests: an OSError with the errno for an application, and a text for a person.

Callers decide by the status and the code of OSS; nothing depends on the words of a message. Of the answer no more is
kept than what this module names: one to a wrong signature repeats what was signed, with the token.

The meaning of a status depends on the request. A listing never says that a key is missing: 404 is about the bucket then
(NoSuchBucket), or not from OSS at all but from a gateway before it. The same 404 may come for an object, so only the
code that OSS gives says that a key is missing. Every other 404 is a failure of the service, and is asked again.
"""

from __future__ import annotations

import base64
import binascii
import errno
import re
import socket
import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from alluxio_jnifuse.config.secrets import MASK
from alluxio_jnifuse.sources.oss import dates
from alluxio_jnifuse.sources.oss.auth.credentials import CredentialsError
from alluxio_jnifuse.sources.oss.http.connection import Broken, Malformed, number
from alluxio_jnifuse.sources.oss.http.pool import Closed
from alluxio_jnifuse.sources.oss.http.route import ConnectError, ProxyRefused
from alluxio_jnifuse.sources.oss.requests import documents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alluxio_jnifuse.sources.oss.http.connection import Head
    from alluxio_jnifuse.sources.oss.settings import Settings

# By code, then by status; else EIO.
_ERRNO_OF_CODE = {
    "InvalidTargetType": errno.ELOOP,  # a symbolic link of OSS to another one
    "InvalidObjectState": errno.EACCES,  # archived, and not restored
    "RequestTimeout": errno.EIO,
}
_ERRNO_OF_STATUS = {401: errno.EACCES, 403: errno.EACCES}
_ERRNO_OF_OBJECT = {412: errno.ESTALE, 416: errno.ESTALE}  # not of a listing, which is asked for without conditions
_ABOUT_KEYS = frozenset({"NoSuchKey", "SymlinkTargetNotExist"})
_NAMES = {"get": "GetObject", "list": "ListObjects", "head": "HeadObject"}

_THROTTLED = frozenset({429, 503})
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_OF_CREDENTIALS = frozenset({"SecurityTokenExpired", "InvalidSecurityToken", "InvalidAccessKeyId"})
_OF_SIGNATURE = "SignatureDoesNotMatch"
_LONGEST_WAIT_S = 60.0  # that a server may ask for
_MOST_CHARACTERS = 300  # of a message
_TEXT_OF = {
    "Code": "code",
    "Message": "message",
    "RequestId": "request_id",
    "Endpoint": "endpoint",
    "ServerTime": "time",
}


class Refused(OSError):
    """The server refused a request for `subject`, a key or a prefix; the other fields are those of its answer.

    `kind`: get, list or head. `secrets`: what is not to be repeated, should the server do so.
    """

    def __init__(self, kind: str, subject: str, head: Head, body: bytes, secrets: Sequence[str] = ()) -> None:
        def shown(text: str) -> str:
            for secret in filter(None, secrets):
                text = text.replace(secret, MASK)
            return _shown(text)

        self.kind = kind
        self.status = head.status
        self.code = shown(head.reason)  # until there is a better one
        self.message = self.request_id = self.endpoint = ""
        self.location = shown(head.headers.get("location", ""))
        self.time = head.headers.get("date", "")  # of the server
        self.retry_after_s = min(float(number(head.headers.get("retry-after", "")) or 0), _LONGEST_WAIT_S)
        for name, text in _fields(body or _body_of_head(head)).items():
            setattr(self, _TEXT_OF[name], shown(text))
        self.request_id = shown(head.headers.get("x-oss-request-id", self.request_id))
        self.missing = self._is_missing(head)
        said = f": {self.message}" if self.message else ""
        what = f"{_NAMES[kind]} {subject!r}"
        super().__init__(
            self._errno(), f"{what}: {self.status} {self.code}{said} (request {self.request_id or 'unknown'})"
        )

    def _is_missing(self, head: Head) -> bool:
        """Whether OSS says that the object is not there."""
        if self.kind == "list" or self.status != 404:
            return False
        if self.kind == "head" and "x-oss-err" not in head.headers:
            return "x-oss-request-id" in head.headers  # the answer has no body, but it is of OSS
        return self.code in _ABOUT_KEYS

    def _errno(self) -> int:
        if self.status == 404:
            return errno.ENOENT if self.missing else errno.EIO
        if self.kind != "list" and self.status in _ERRNO_OF_OBJECT:
            return _ERRNO_OF_OBJECT[self.status]
        return _ERRNO_OF_CODE.get(self.code) or _ERRNO_OF_STATUS.get(self.status, errno.EIO)

    @property
    def throttled(self) -> bool:
        return self.status in _THROTTLED

    @property
    def of_credentials(self) -> bool:
        """Whether other credentials may be accepted."""
        return self.code in _OF_CREDENTIALS

    @property
    def of_signature(self) -> bool:
        """Whether the signature is not right."""
        return self.code == _OF_SIGNATURE


def _shown(text: str) -> str:
    """One line, which no terminal takes for anything else."""
    return "".join(each if each.isprintable() else " " for each in text[:_MOST_CHARACTERS])


def _body_of_head(head: Head) -> bytes:
    """Returns the code that OSS would have put into a body, which the answer to HEAD cannot have."""
    try:
        return base64.b64decode(head.headers.get("x-oss-err", ""), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _fields(body: bytes) -> dict[str, str]:
    """The texts of a refusal that are fit to be shown."""
    found: dict[str, str] = {}

    def take(name: str, text: str, _: dict[str, str]) -> None:
        if name in _TEXT_OF:
            found[name] = " ".join(text.split())

    try:
        documents.read(body, take)
    except ValueError:
        return {}  # of a proxy
    return found


FAILURES = (Refused, Broken, CredentialsError)  # of a request


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, Refused):
        lost = error.status == 404 and not error.missing
        return lost or error.status in _TRANSIENT or error.code == "RequestTimeout"
    return isinstance(error, (Broken, CredentialsError)) and not isinstance(error, Closed)


def describe(error: Exception) -> str:
    """Returns what went wrong, in a few words."""
    if isinstance(error, ConnectError):
        return f"{error.where}: {error}"
    if isinstance(error, Broken):
        return str(error.strerror or error).lower()
    return str(error.strerror or error) if isinstance(error, OSError) else str(error)


# ------------------------------------------------------------------------------------------- what a person is told


class Diagnosis(NamedTuple):
    """`what` is wrong; `remedy`, which may be empty; whether waiting is of no use."""

    what: str
    remedy: str = ""
    hopeless: bool = True


_ENDPOINT = "fs.oss.endpoint"
_OF_CODE = {
    "NoSuchBucket": Diagnosis("no such bucket", f"correct its name, or {_ENDPOINT} if it is in another region"),
    "InvalidAccessKeyId": Diagnosis(
        "the access key ID is not known", "correct fs.oss.accessKeyId; one of STS needs its fs.oss.securityToken"
    ),
    _OF_SIGNATURE: Diagnosis(
        "the access key secret is not the one of this access key ID", "correct fs.oss.accessKeySecret"
    ),
    "SecurityTokenExpired": Diagnosis("the security token has expired", "get a new one, or use a role that renews it"),
    "InvalidSecurityToken": Diagnosis(
        "the security token is not the one of this access key ID", "correct fs.oss.securityToken"
    ),
    "SecondLevelDomainForbidden": Diagnosis(
        "the bucket is not served in path style", "set fs.oss.path.style.access=false"
    ),
    "UserDisable": Diagnosis("the account is disabled, or has not paid", "look into the console of Aliyun"),
}
_SKEWED = "RequestTimeTooSkewed"
_TLS_PORT = re.compile("HTTPS port|https", re.IGNORECASE)  # what servers say to plain HTTP


def diagnose(error: Exception, settings: Settings) -> Diagnosis:
    """Why the bucket cannot be used, for the person who has to correct it."""
    if isinstance(error, Refused):
        return _of_refusal(error, settings)
    if isinstance(error, CredentialsError):
        return Diagnosis(
            f"there are no credentials: {error.where}: {error.what}",
            "correct that, or set fs.oss.accessKeyId and fs.oss.accessKeySecret",
            hopeless=not error.transient,
        )
    if isinstance(error, ProxyRefused):
        return Diagnosis(describe(error), "correct HTTP_PROXY and HTTPS_PROXY, or name the endpoint in NO_PROXY")
    if isinstance(error, ConnectError):
        return _of_connecting(error, settings)
    if isinstance(error, Malformed):
        return Diagnosis(f"what is there is not OSS: {describe(error)}", f"correct {_ENDPOINT}")
    return Diagnosis(describe(error), f"look for a firewall, or correct {_ENDPOINT}", hopeless=False)


def _of_connecting(error: ConnectError, settings: Settings) -> Diagnosis:
    cause = error.__cause__
    import ssl  # here, as in route.py

    if isinstance(cause, ssl.SSLCertVerificationError):
        return Diagnosis(describe(error), "name the file of its authority in SSL_CERT_FILE, or correct the host's name")
    if isinstance(cause, ssl.SSLError):
        return Diagnosis(describe(error), f"if it does not speak TLS, use http:// in {_ENDPOINT}")
    if isinstance(cause, (socket.gaierror, UnicodeError)):
        hopeless = not isinstance(cause, socket.gaierror) or cause.errno == socket.EAI_NONAME
        return Diagnosis(describe(error), f"correct {_ENDPOINT}, or the name service of this machine", hopeless)
    return Diagnosis(describe(error), f"correct {_ENDPOINT}, or look for a firewall", hopeless=False)


def _of_refusal(error: Refused, settings: Settings) -> Diagnosis:
    elsewhere = error.endpoint or _host_of(error.location)
    if elsewhere and (error.code in ("AccessDenied", "SecondLevelDomainForbidden") or 300 <= error.status < 400):
        host = elsewhere[len(settings.endpoint.bucket) + 1 :] if elsewhere.startswith(
            f"{settings.endpoint.bucket}."
        ) else elsewhere  # fmt: skip
        return Diagnosis(f"the bucket is at another endpoint: {host}", f"set {_ENDPOINT}={host}")
    if error.code == _SKEWED:
        return Diagnosis(f"the clock of this machine is {_skew(error.time)}", "set it, with NTP for example")
    if error.code in _OF_CODE:
        return _OF_CODE[error.code]
    if error.status == 403:
        return Diagnosis(
            f"access denied: {error.message or error.code}", "allow oss:ListObjects and oss:GetObject there"
        )
    if error.status == 400 and not settings.endpoint.secure and _TLS_PORT.search(error.message or error.code):
        return Diagnosis("it expects HTTPS", f"use https:// in {_ENDPOINT}")
    if error.status == 400 and settings.signature == "V4":
        return Diagnosis(error.strerror or "", f"if {settings.endpoint.region} is not the region, set fs.oss.region")
    if error.status == 404:  # lasting, when nothing was ever read from there
        return Diagnosis(f"what is there is not OSS: {error.strerror}", f"correct {_ENDPOINT}")
    return Diagnosis(error.strerror or "", hopeless=not is_transient(error))


def _host_of(location: str) -> str:
    try:
        return urlsplit(location).netloc
    except ValueError:
        return ""  # brackets without an address of IPv6 in them


def _skew(text: str) -> str:
    """How far the clock of this machine is from a time that a server has just written, in either of its formats."""
    try:
        if text.endswith("Z"):
            then = dates.of_iso(text)
        else:
            then = dates.of_http(text)
    except (ValueError, TypeError, OverflowError):
        return "too far from that of the server"
    seconds = round(time.time() - then)
    days, rest = divmod(abs(seconds), 86400)
    hours, rest = divmod(rest, 3600)
    parts = ((days, "d"), (hours, "h"), (rest // 60, "min"), (rest % 60, "s"))
    amount = " ".join(f"{number} {unit}" for number, unit in parts if number)
    return f"{amount or '0 s'} {'ahead of' if seconds > 0 else 'behind'} that of the server"
