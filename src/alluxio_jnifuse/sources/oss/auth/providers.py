"""The places of credentials: settings, the environment, a command, the machine's RAM role, a service account.

All but the first two are JSON with the same four names: AccessKeyId, AccessKeySecret, SecurityToken, Expiration.
"""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import socket
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from alluxio_jnifuse.sources.oss import dates
from alluxio_jnifuse.sources.oss.auth.credentials import Credentials, CredentialsError, NotYet, Provider
from alluxio_jnifuse.sources.oss.http.connection import Connection

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

_COMMAND_S = 30.0  # a command may have to ask a server far away
_METADATA_S = 5.0  # the metadata service is on this machine's own network
_STS_S = 10.0
_AT_ONCE_S = 0.01  # what has come already
_LARGEST_BYTES = 1 << 16  # of an answer
_BUSY = frozenset({429, 500, 502, 503, 504})  # answers of a service that may serve in a moment
_EXPIRES = "[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z"

# The variables of oss2, then those of the newer SDKs: ID, secret, token.
_VARIABLES = (
    ("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN"),
    ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"),
)
# Variables that ACK puts into the environment of a pod whose service account has a role.
_ROLE, _OIDC_PROVIDER = "ALIBABA_CLOUD_ROLE_ARN", "ALIBABA_CLOUD_OIDC_PROVIDER_ARN"
_OIDC_TOKEN, _STS = "ALIBABA_CLOUD_OIDC_TOKEN_FILE", "ALIBABA_CLOUD_STS_ENDPOINT"


def fixed(key_id: str, secret: str, token: str, name: str) -> Provider:
    """Credentials that stay. Raises CredentialsError."""
    made = Credentials(key_id.strip(), secret.strip(), token.strip())
    return Provider(lambda: made, name, lasting=True)


def environment(environ: Mapping[str, str]) -> Provider | None:
    """The first complete key of the environment, if there is one."""
    for key_id, secret, token in _VARIABLES:
        if environ.get(key_id) and environ.get(secret):
            return fixed(environ[key_id], environ[secret], environ.get(token, ""), f"${key_id}")
    return None


def command(line: str) -> Provider:
    """Returns what a command prints, whose words are quoted as in a shell."""
    name = "fs.oss.credential.process"

    def fetch() -> Credentials:
        import subprocess

        # Its output, that to stderr too, is not repeated: there may be a secret in it.
        try:
            with subprocess.Popen(
                shlex.split(line), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            ) as process:
                try:
                    said, ended = _output_of(process)
                finally:
                    process.kill()  # if it has not ended
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise CredentialsError(f"the command cannot be run: {reason}", where=name) from None
        if len(said) > _LARGEST_BYTES:
            raise CredentialsError(f"the command prints more than {_LARGEST_BYTES} bytes", where=name)
        if not ended:
            raise NotYet(f"the command did not end within {_COMMAND_S:g} s", where=name)
        if process.returncode:
            raise NotYet(f"the command failed with exit code {process.returncode}", where=name)
        return _parse(said, name)

    return Provider(fetch, name)


def _output_of(process: subprocess.Popen[bytes]) -> tuple[bytes, bool]:
    """Returns what it prints, or somewhat more than it may, and whether it has ended in time."""
    import subprocess

    assert process.stdout is not None
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    said = bytearray()
    until = time.monotonic() + _COMMAND_S
    while len(said) <= _LARGEST_BYTES:
        if not poll.poll(1000 * max(0.0, until - time.monotonic())):
            return bytes(said), False
        piece = os.read(process.stdout.fileno(), _LARGEST_BYTES)
        if not piece:
            break
        said += piece
    else:
        return bytes(said), False
    try:
        process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        return bytes(said), False
    return bytes(said), True


def ram_role(url: str, role: str) -> Provider:
    """The role of this ECS instance, as its metadata service at `url` knows it; "": the only one it has."""
    name = "the metadata service of this machine"
    base = url.rstrip("/") + "/"

    def fetch() -> Credentials:
        chosen = role or _ask("GET", base, name, _METADATA_S).decode("utf-8", "replace").split("\n")[0].strip()
        if not chosen:
            raise CredentialsError("this machine has no RAM role", where=name)
        return _parse(_ask("GET", base + chosen, name, _METADATA_S), name)

    return Provider(fetch, name)


def service_account(environ: Mapping[str, str]) -> Provider | None:
    """The role of this pod's service account (RRSA), where the environment names one."""
    if not all(environ.get(variable) for variable in (_ROLE, _OIDC_PROVIDER, _OIDC_TOKEN)):
        return None
    name = f"${_ROLE}"
    sts = environ.get(_STS) or "sts.aliyuncs.com"
    url = sts if "://" in sts else f"https://{sts}"

    def fetch() -> Credentials:
        try:
            with open(environ[_OIDC_TOKEN], encoding="utf-8") as file:
                token = file.read().strip()
        except (OSError, ValueError):
            raise CredentialsError(f"the file ${_OIDC_TOKEN} cannot be read", where=name) from None
        query = {
            "Action": "AssumeRoleWithOIDC",
            "Format": "JSON",
            "Version": "2015-04-01",
            "Timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "SignatureNonce": os.urandom(16).hex(),
        }
        form = {
            "RoleArn": environ[_ROLE],
            "OIDCProviderArn": environ[_OIDC_PROVIDER],
            "OIDCToken": token,
            "RoleSessionName": "alluxio-jnifuse",
        }
        answer = _ask("POST", f"{url}/?{urlencode(query)}", name, _STS_S, urlencode(form).encode())
        return _parse(answer, name, "Credentials")

    return Provider(fetch, name)


def _ask(method: str, url: str, name: str, timeout: float, body: bytes | None = None) -> bytes:
    """The answer of a server that is asked directly: neither service can be reached through a proxy.

    Connecting has `timeout`, and so has the answer, however it comes.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        where = parts.netloc.rpartition("@")[2]  # without a password
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        if not host or not target.isascii() or not target.isprintable() or " " in target:
            raise ValueError
    except ValueError:
        raise CredentialsError("the address of that service is none", where=name) from None
    lines = [f"{method} {target or '/'} HTTP/1.1", f"Host: {where}", "Connection: close"]
    if body is not None:
        lines += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"]
    request = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + (body or b"")
    try:
        with socket.create_connection((host, port), timeout) as plain:
            sock = _encrypted(plain, host) if parts.scheme == "https" else plain
            connection = Connection(sock, timeout, most=_LARGEST_BYTES)
            try:
                began = time.monotonic()
                answer = connection.ask(request, within_s=timeout)
                said = connection.read_body(max(0.0, began + timeout - time.monotonic()) or _AT_ONCE_S)
            finally:
                connection.close()
    except (OSError, UnicodeError) as error:  # UnicodeError: no name of a host
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise NotYet(f"{where} cannot be asked: {reason}", where=name) from None
    if answer.status != 200:
        kind = NotYet if answer.status in _BUSY else CredentialsError
        raise kind(f"{where} answers {answer.status} {_shown(answer.reason)}", where=name)
    return said


def _encrypted(sock: socket.socket, host: str) -> socket.socket:
    import ssl

    return ssl.create_default_context().wrap_socket(sock, server_hostname=host)


def _shown(text: str) -> str:
    """One short line."""
    return "".join(each if each.isprintable() else " " for each in text[:100])


def _parse(said: bytes, name: str, within: str = "") -> Credentials:
    """Credentials in JSON; with the names that the CLI of Aliyun writes, too."""
    try:
        found: Any = json.loads(said)
        if within:
            found = found[within]
        key_id = found.get("AccessKeyId") or found["access_key_id"]
        secret = found.get("AccessKeySecret") or found["access_key_secret"]
        token = found.get("SecurityToken") or found.get("sts_token") or ""
        expires = found.get("Expiration")
        if expires and not re.fullmatch(_EXPIRES, expires):
            raise ValueError
        expires_at = dates.of_iso(expires) if expires else float("inf")
        return Credentials(str(key_id), str(secret), str(token), expires_at)
    except CredentialsError as error:
        raise CredentialsError(error.what, where=name) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        raise CredentialsError("what it says is no JSON with AccessKeyId and AccessKeySecret", where=name) from None
