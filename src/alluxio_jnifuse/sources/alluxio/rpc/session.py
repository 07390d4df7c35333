"""Our identity at one server process: an id that the server knows for as long as a stream of ours stays open.

The id is a UUID that travels with every call. It is made known by SASL PLAIN on the `authenticate` stream; the server
forgets it when that stream ends, on either side, and must never be told the same id twice. So a session is made
once, dies once, and the next one has an id of its own.

Threads: gRPC takes the requests of a stream from an iterator, in a thread of its own. Ours (`_converse`) gives the
one message, takes the answer in that same thread, and then sleeps until the stream has ended; returning from it
would end the stream. A stream that ends early may end before gRPC asks the iterator again, so its end is an answer
too. The maker of the session waits for the answer with a deadline.
"""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING, Any

from alluxio_jnifuse.sources.alluxio.proto import sasl_pb2
from alluxio_jnifuse.sources.alluxio.rpc import requests
from alluxio_jnifuse.sources.alluxio.rpc.errors import CallError, Refused, RpcError, Status, Unanswered, from_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc

    from alluxio_jnifuse.sources.alluxio.settings import Settings

METHOD = "/alluxio.grpc.sasl.SaslAuthenticationService/authenticate"

Metadata = tuple[tuple[str, str], ...]


class Session:
    """`alive` until the server has forgotten `channel_id`; `metadata` goes with every call.

    This class itself is the session of a server without authentication: nameless, and never forgotten.
    """

    channel_id = ""
    metadata: Metadata = ()
    alive = True

    def end(self) -> None:
        """Idempotent; any thread."""


class SaslSession(Session):
    """See the module's docstring. `open` comes first."""

    def __init__(self) -> None:
        self.channel_id = _uuid()
        self.metadata = (("channel-id", self.channel_id),)
        self.alive = False
        self._call: Any = None
        self._has_call = threading.Event()
        self._answered = threading.Event()
        self._ended = threading.Event()
        self._error: RpcError | None = None

    def open(self, channel: grpc.Channel, target: str, settings: Settings, timeout: float) -> None:
        """Introduces us to the server; raises CallError, which is Refused when the server does not want us."""
        where = f"authentication of {_named(settings)} at {target}"
        reference = f"alluxio-jnifuse pid {os.getpid()} on {socket.gethostname()}"
        first = requests.authenticate(self.channel_id, reference, settings.user, settings.impersonated)
        begin = channel.stream_stream(
            METHOD,
            request_serializer=sasl_pb2.SaslMessage.SerializeToString,
            response_deserializer=sasl_pb2.SaslMessage.FromString,
        )
        self._call = begin(self._converse(first))  # without a deadline: it lasts as long as the session
        self._has_call.set()
        if not self._call.add_callback(self._on_end):
            self._on_end()
        if not self._answered.wait(timeout):
            self.end()
            raise Unanswered(Status.UNAVAILABLE, where, f"no answer within {timeout:.3g} s")
        if not self.alive:
            self.end()
            raise _failure(self._error, where, settings)

    def end(self) -> None:
        self.alive = False
        self._call.cancel()

    def _on_end(self) -> None:
        """Called by a thread of gRPC when the stream has ended."""
        if self._call.code() is not Status.OK:
            self._error = self._call
        self._ended.set()  # first: `_converse` may be about to call us alive
        self.alive = False
        self._answered.set()

    def _converse(self, first: sasl_pb2.SaslMessage) -> Iterator[sasl_pb2.SaslMessage]:
        yield first
        self._has_call.wait()
        try:
            answer = next(self._call, None)
            # PLAIN is over after one round: a server that asks on wants another mechanism.
            self.alive = answer is not None and answer.messageType == sasl_pb2.SUCCESS
        except RpcError as error:
            self._error = error
        if self._ended.is_set():
            self.alive = False
        accepted = self.alive
        self._answered.set()
        if accepted:
            self._ended.wait()


def _uuid() -> str:
    """A random one, of version 4. The module of that name asks first what machine this is."""
    number = bytearray(os.urandom(16))
    number[6] = number[6] & 0x0F | 0x40
    number[8] = number[8] & 0x3F | 0x80
    text = number.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _failure(error: RpcError | None, where: str, settings: Settings) -> CallError:
    if error is None:
        return Refused(Status.UNAUTHENTICATED, where, "the server neither accepts nor refuses a user without password")
    failure = from_grpc(error, where)
    if failure.status is Status.NOT_FOUND:  # a service, not the path that somebody is about to ask for
        return CallError(Status.UNAVAILABLE, where, failure.details)
    if failure.status not in (Status.UNAUTHENTICATED, Status.PERMISSION_DENIED):
        return failure
    remedy = "set alluxio.security.login.username to a user whom it accepts"
    if settings.impersonated:
        allow = f"alluxio.master.security.impersonation.{settings.user}.users"
        remedy = f"set {allow} on the servers, or alluxio.security.login.impersonation.username=_NONE_ here"
    return Refused(failure.status, where, f"{failure.details or 'no reason given'}; {remedy}")


def _named(settings: Settings) -> str:
    if settings.impersonated:
        return f"{settings.user!r} for {settings.impersonated!r}"
    return repr(settings.user)
