"""Failed calls: an OSError with the errno for an application, and a text for a person.

The text says which call about what failed where, and what the server or the connection said. Callers decide by the
gRPC status that comes with it; nothing depends on a server's words, but for `diagnose`, which explains why a server
could not be reached to somebody who has to correct an address.

This module is the one that loads gRPC.
"""

from __future__ import annotations

import errno
import os
import re
from typing import NamedTuple

from alluxio_jnifuse.system import later

# It would write about every failed handshake to stderr; here an exception says so.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

later.put_off("asyncio", "grpc.aio", "inspect")
import grpc  # noqa: E402  (after what is put off)

Status = grpc.StatusCode
RpcError = grpc.RpcError

_ERRNO = {
    Status.NOT_FOUND: errno.ENOENT,
    Status.ALREADY_EXISTS: errno.EEXIST,
    Status.INVALID_ARGUMENT: errno.EINVAL,
    Status.PERMISSION_DENIED: errno.EACCES,
    Status.UNAUTHENTICATED: errno.EACCES,
    Status.DEADLINE_EXCEEDED: errno.ETIMEDOUT,
}  # else EIO: RESOURCE_EXHAUSTED is a busy worker, and nothing that is out of space, to a reader

# Another connection, perhaps to another server, may do better.
_RETRYABLE = frozenset({Status.UNAVAILABLE, Status.CANCELLED, Status.UNAUTHENTICATED})

_MOST_DETAILS = 600  # characters; a server may send a whole stack trace


class CallError(OSError):
    """A call that failed. `where`: call, subject and server; `status`, `details`: what the server or gRPC said."""

    def __init__(self, status: grpc.StatusCode, where: str, details: str) -> None:
        self.status = status
        self.where = where
        self.details = details
        said = " ".join(details.split())
        if len(said) > _MOST_DETAILS:
            said = f"{said[:_MOST_DETAILS]}..."
        super().__init__(_ERRNO.get(status, errno.EIO), f"{where}: {status.name}{': ' if said else ''}{said}")

    def again(self) -> CallError:
        """The same for another thread: raising one object in several would mix their tracebacks."""
        return type(self)(self.status, self.where, self.details)


class NotFound(CallError, FileNotFoundError):
    pass


class AlreadyExists(CallError, FileExistsError):
    pass


class Denied(CallError, PermissionError):
    pass


class TimedOut(CallError, TimeoutError):
    pass


class Unanswered(CallError):
    """Nothing was said, within the time there was."""


class Refused(Denied):
    """The server does not accept us as who we say we are; asking again would change nothing."""


class Closed(CallError):
    """The call was ended by `close` on our side."""


_KINDS: dict[grpc.StatusCode, type[CallError]] = {
    Status.NOT_FOUND: NotFound,
    Status.ALREADY_EXISTS: AlreadyExists,
    Status.PERMISSION_DENIED: Denied,
    Status.UNAUTHENTICATED: Denied,
    Status.DEADLINE_EXCEEDED: TimedOut,
}


def error_of(status: grpc.StatusCode, where: str, details: str) -> CallError:
    """The exception of a status."""
    if status is Status.UNKNOWN and details == "Stream removed":
        status = Status.UNAVAILABLE  # some releases of gRPC say so when a connection ends
    return _KINDS.get(status, CallError)(status, where, details)


def from_grpc(error: grpc.RpcError, where: str) -> CallError:
    """The exception of a call that gRPC ended with an error."""
    return error_of(error.code(), where, error.details() or "")


def status_of(error: BaseException) -> grpc.StatusCode | None:
    """The gRPC status of a failed call; None for any other exception."""
    return error.status if isinstance(error, CallError) else None


def is_retryable(error: BaseException) -> bool:
    """Whether the same call may succeed on a new connection, or on another server."""
    return isinstance(error, CallError) and error.status in _RETRYABLE and not isinstance(error, (Refused, Closed))


def is_unimplemented(error: BaseException) -> bool:
    """Whether the server does not have the call: it is older, or does not serve at the moment."""
    return status_of(error) is Status.UNIMPLEMENTED


def is_of_server(error: CallError) -> bool:
    """Whether a server that was reached said it; of UNAVAILABLE only gRPC's own words tell that."""
    if error.status is Status.UNAVAILABLE:
        return not any(re.search(pattern, error.details) for pattern, _ in _CONNECTING)
    return error.status is not Status.DEADLINE_EXCEEDED


# ------------------------------------------------------------------------------------------- what a person is told


class Diagnosis(NamedTuple):
    """`what` is wrong with a server; `remedy`, which may be empty; whether waiting is of no use."""

    what: str
    remedy: str
    hopeless: bool


_TLS = "alluxio.network.tls.enabled"
_PORT = "name the RPC port of a master, usually 19998"

# The first that is found in the details counts. For each: what, remedy, hopeless.
_CONNECTING: tuple[tuple[str, Diagnosis], ...] = (
    (
        r"CERTIFICATE_VERIFY_FAILED|unable to get local issuer",
        Diagnosis("its TLS certificate is not trusted", "name its authority by alluxio.network.tls.ca.path", True),
    ),
    (
        r"Hostname Verification|hostname .*match|Peer name",
        Diagnosis("its TLS certificate is for another name", "use the name that the certificate is for", True),
    ),
    (r"WRONG_VERSION_NUMBER", Diagnosis("it does not speak TLS", f"set {_TLS}=false", True)),
    (
        r"[Hh]andshake|SSL_ERROR",
        Diagnosis("no TLS connection could be made", f"set {_TLS} as there", True),
    ),
    (
        r"http1|HTTP/1|HTTP status",
        Diagnosis("it speaks HTTP/1, not gRPC", f"this is perhaps its web port: {_PORT}", True),
    ),
    (r"Expected SETTINGS|Failed parsing HTTP/2", Diagnosis("it does not speak gRPC", _PORT, True)),
    (
        r"before receiving SETTINGS",
        Diagnosis(
            "it accepted the connection and said nothing", f"if it expects TLS, set {_TLS}=true; else {_PORT}", True
        ),
    ),
    (r"Connection refused", Diagnosis("connection refused", "start it, or correct host and port", False)),
    (
        r"(?i)resolv|lookup|getaddrinfo|name or service not known|domain name",
        Diagnosis("its name has no address", "correct the name, or the name service of this machine", False),
    ),
    (r"No such file or directory", Diagnosis("no such socket", "start the worker on this machine", False)),
    (
        r"[Cc]onnection reset|[Ss]ocket closed|[Bb]roken pipe|EOF|End of TCP stream|GOAWAY",
        Diagnosis("it closed the connection at once", f"if it expects TLS, set {_TLS}=true", False),
    ),
    (
        r"(?i)timed out|timeout|unreachable|no route",
        Diagnosis("it does not answer", "look for a firewall, or correct host and port", False),
    ),
)


def diagnose(error: CallError) -> Diagnosis:
    """Why a server could not be talked to, for the person who has to correct it."""
    details = " ".join(error.details.split())[:_MOST_DETAILS]
    if isinstance(error, Refused):
        return Diagnosis(f"refused: {details}", "", True)
    if error.status is Status.UNAVAILABLE:
        found = next((said for pattern, said in _CONNECTING if re.search(pattern, details)), None)
        return found or Diagnosis(f"unavailable: {details}", "", False)
    if error.status is Status.DEADLINE_EXCEEDED:
        return Diagnosis("it does not answer", "look for a firewall, or correct host and port", False)
    if error.status is Status.UNIMPLEMENTED:
        return Diagnosis("it is no master of Alluxio 2", f"{_PORT}, of a cluster of Alluxio 2", False)
    if error.status is Status.NOT_FOUND:  # a worker, or a master on its way to become the primary
        return Diagnosis("it is of Alluxio but serves as no master", _PORT, False)
    return Diagnosis(f"{error.status.name}: {details}", "", False)
