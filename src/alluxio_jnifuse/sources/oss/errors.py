"""What a refused request is here: an OSError with the errno for an application, and a text for a person.

Callers decide by the status and the code of OSS; nothing depends on the words of a message. Of the answer no more is
kept than what this module names: one to a wrong signature repeats what was signed, with the token.
"""

from __future__ import annotations

import calendar
import errno
import re
import socket
import ssl
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit
from xml.etree import ElementTree

from alluxio_jnifuse.masking import MASK
from alluxio_jnifuse.sources.oss.connection import Broken, Malformed, number
from alluxio_jnifuse.sources.oss.credentials import CredentialsError
from alluxio_jnifuse.sources.oss.pool import Closed
from alluxio_jnifuse.sources.oss.route import ConnectError, ProxyRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alluxio_jnifuse.sources.oss.connection import Head
    from alluxio_jnifuse.sources.oss.settings import Settings

# By code, then by status; else EIO.
_ERRNO_OF_CODE = {
    "NoSuchKey": errno.ENOENT,
    "SymlinkTargetNotExist": errno.ENOENT,
    "InvalidTargetType": errno.ELOOP,  # a symbolic link of OSS to another one
    "InvalidObjectState": errno.EACCES,  # archived, and not restored
    "RequestTimeout": errno.EIO,
}
_ERRNO_OF_STATUS = {401: errno.EACCES, 403: errno.EACCES, 404: errno.ENOENT, 412: errno.ESTALE, 416: errno.ESTALE}

_THROTTLED = frozenset({429, 503})
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_OF_CREDENTIALS = frozenset({"SecurityTokenExpired", "InvalidSecurityToken", "InvalidAccessKeyId"})
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
    """The server refused a request. `what`: "GetObject 'key'"; the other fields are those of its answer.

    `secrets`: what is not to be repeated, should the server do so.
    """

    def __init__(self, what: str, head: Head, body: bytes, secrets: Sequence[str] = ()) -> None:
        self.status = head.status
        self.code = _shown(head.reason)  # until there is a better one: HEAD has no body
        self.message = self.request_id = self.endpoint = ""
        self.location = head.headers.get("location", "")
        self.time = head.headers.get("date", "")  # of the server
        self.retry_after_s = min(float(number(head.headers.get("retry-after", "")) or 0), _LONGEST_WAIT_S)
        for name, text in _fields(body).items():
            for secret in filter(None, secrets):
                text = text.replace(secret, MASK)
            setattr(self, _TEXT_OF[name], text)
        self.request_id = _shown(head.headers.get("x-oss-request-id", self.request_id))
        code = _ERRNO_OF_CODE.get(self.code) or _ERRNO_OF_STATUS.get(self.status, errno.EIO)
        self.message = self.message[:_MOST_CHARACTERS]
        said = f": {self.message}" if self.message else ""
        super().__init__(code, f"{what}: {self.status} {self.code}{said} (request {self.request_id or 'unknown'})")

    @property
    def throttled(self) -> bool:
        return self.status in _THROTTLED

    @property
    def of_credentials(self) -> bool:
        """Whether other credentials may be accepted."""
        return self.code in _OF_CREDENTIALS


def _shown(text: str) -> str:
    """One line, which no terminal takes for anything else."""
    return "".join(each if each.isprintable() else " " for each in text[:_MOST_CHARACTERS])


def _fields(body: bytes) -> dict[str, str]:
    """The texts of a refusal that are fit to be shown."""
    try:
        root = ElementTree.fromstring(body)
    except (ElementTree.ParseError, ValueError):
        return {}  # of a proxy, or of HEAD
    found = {}
    for node in root:
        name = node.tag.rpartition("}")[2]
        if name in _TEXT_OF:
            found[name] = " ".join((node.text or "").split())
    return found


FAILURES = (Refused, Broken, CredentialsError)  # of a request


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, Refused):
        return error.status in _TRANSIENT or error.code == "RequestTimeout"
    return isinstance(error, (Broken, CredentialsError)) and not isinstance(error, Closed)


def describe(error: Exception) -> str:
    """What went wrong, in a few words."""
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
    "SignatureDoesNotMatch": Diagnosis(
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
        return Diagnosis(f"there are no credentials: {error.where}: {error.what}")
    if isinstance(error, ProxyRefused):
        return Diagnosis(describe(error), "correct HTTP_PROXY and HTTPS_PROXY, or name the endpoint in NO_PROXY")
    if isinstance(error, ConnectError):
        return _of_connecting(error, settings)
    if isinstance(error, Malformed):
        return Diagnosis(f"what is there is not OSS: {describe(error)}", f"correct {_ENDPOINT}")
    return Diagnosis(describe(error), f"look for a firewall, or correct {_ENDPOINT}", hopeless=False)


def _of_connecting(error: ConnectError, settings: Settings) -> Diagnosis:
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Diagnosis(describe(error), "name the file of its authority in SSL_CERT_FILE, or correct the host's name")
    if isinstance(cause, ssl.SSLError):
        return Diagnosis(describe(error), f"if it does not speak TLS, use http:// in {_ENDPOINT}")
    if isinstance(cause, (socket.gaierror, UnicodeError)):
        hopeless = not isinstance(cause, socket.gaierror) or cause.errno == socket.EAI_NONAME
        return Diagnosis(describe(error), f"correct {_ENDPOINT}, or the name service of this machine", hopeless)
    return Diagnosis(describe(error), f"correct {_ENDPOINT}, or look for a firewall", hopeless=False)


def _of_refusal(error: Refused, settings: Settings) -> Diagnosis:
    elsewhere = error.endpoint or urlsplit(error.location).netloc
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
    return Diagnosis(error.strerror or "", hopeless=not is_transient(error))


def _skew(text: str) -> str:
    """How far the clock of this machine is from a time that a server has just written, in either of its formats."""
    try:
        if text.endswith("Z"):
            then = float(calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")))
        else:
            then = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError):
        return "too far from that of the server"
    seconds = round(time.time() - then)
    days, rest = divmod(abs(seconds), 86400)
    hours, rest = divmod(rest, 3600)
    parts = ((days, "d"), (hours, "h"), (rest // 60, "min"), (rest % 60, "s"))
    amount = " ".join(f"{number} {unit}" for number, unit in parts if number)
    return f"{amount or '0 s'} {'ahead of' if seconds > 0 else 'behind'} that of the server"
