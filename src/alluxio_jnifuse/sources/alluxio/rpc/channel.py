"""A connection to one server process under one identity.

Threads and ownership. A channel belongs to its maker; any thread may use it, and any may close it, which ends
the calls under way with Closed. Calls with one request (`unary`, `replies`) are worked off by the thread that makes
them and add none. For a call with a stream of requests (`stream`) gRPC runs a thread that takes them from their
iterator, and while such a call is open on a connection, one more that hands out what arrives. The authentication
(session.py) is such a call, so a channel that was used has two threads, both asleep; there are none before the first
call, and grpc starts none when it is imported. It must not be used in a process that forks afterwards.

The lock guards the fields that are named with it, is never held during a call, and is not needed to make one: a
thread takes the session that is there, and looks for another one when that has ended or the server does not know it
any more. Threads that need a new session at the same time wait for one of them to make it.

A channel connects when it is first used, and again when the connection has broken; the session of the connection
before dies with it. Nothing is retried but one call, once, when the server did not know the session. Connections are
never shared with other channels of the process.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from alluxio_jnifuse.sources.alluxio.rpc.calls import Calls
from alluxio_jnifuse.sources.alluxio.rpc.connection import connect
from alluxio_jnifuse.sources.alluxio.rpc.errors import (
    CallError,
    Closed,
    NotFound,
    RpcError,
    Status,
    error_of,
    from_grpc,
)
from alluxio_jnifuse.sources.alluxio.rpc.flight import SingleFlight
from alluxio_jnifuse.sources.alluxio.rpc.session import METHOD as AUTHENTICATE
from alluxio_jnifuse.sources.alluxio.rpc.session import SaslSession, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from google.protobuf.message import Message

    from alluxio_jnifuse.sources.alluxio.settings import Settings

    M = TypeVar("M", bound=Message)

log = logging.getLogger(__name__)


class Channel:
    """See the module's docstring. `target` is "host:port" or "unix:/path"; a domain socket has sessions of its own."""

    def __init__(self, target: str, settings: Settings, calls: Calls | None = None) -> None:
        self.target = target
        self.calls = calls or Calls()  # how often; of more than this channel
        self._settings = settings
        self._lock = threading.Lock()
        self._users = 0  # calls under way; lock
        self._retired = False  # lock
        self._closed = False  # lock; read without
        self._session: Session | None = None  # replaced as a whole
        self._prepared: dict[str, Callable[..., Any]] = {}  # calls by method; filled as they are used
        self._authentication: SingleFlight[Session] = SingleFlight(f"authentication at {target}")
        self._grpc = connect(target, settings)

    def __repr__(self) -> str:
        return f"<Channel {self.target}>"

    # ------------------------------------------------------------------------------------------------------ calls

    def unary(
        self,
        method: str,
        request: Message,
        reply: type[M],
        timeout: float,
        about: str = "",
        *,
        authenticated: bool = True,
    ) -> M:
        """One request, one reply, within `timeout` seconds. Raises CallError.

        `method` is "/package.Service/Method"; `about` is the subject for messages, as in "path=/a".
        """
        call = self._prepared.get(method) or self._prepare(self._grpc.unary_unary, method, request, reply)
        begin = time.monotonic()
        self._enter(method, about)
        outcome = "exits with an exception"
        session: Session | None = None
        try:
            if authenticated:
                session = self.session(timeout)
                try:
                    answer: M = call(request, timeout, session.metadata)
                except RpcError as error:
                    if error.code() is not Status.UNAUTHENTICATED:
                        raise
                    self.forget(session)
                    left = begin + timeout - time.monotonic()
                    session = self.session(left)
                    self.calls.count(method, self.target)
                    answer = call(request, left, session.metadata)
            else:
                answer = call(request, timeout)
            outcome = "returned"
            return answer
        except (RpcError, ValueError) as error:
            self._fail(error, method, about, session)
        finally:
            self._leave()
            self._note_slow(method, about, outcome, begin)

    def replies(self, method: str, request: Message, timeout: float, about: str = "") -> Generator[bytes, None, None]:
        """One request, any number of serialised replies, all within `timeout` seconds.

        Raises CallError as it is iterated. Closing the generator ends the call.
        """
        call: Any = self._prepared.get(method)
        if call is None:
            made: Any = self._grpc.unary_stream(method, request_serializer=type(request).SerializeToString)
            call = self._prepared.setdefault(method, made)
        begin = time.monotonic()
        self._enter(method, about)
        outcome = "exits with an exception"
        session: Session | None = None
        under_way: Any = None
        try:
            session = self.session(timeout)
            under_way = call(request, begin + timeout - time.monotonic(), session.metadata)
            try:
                first = next(under_way, None)
            except RpcError as error:
                if error.code() is not Status.UNAUTHENTICATED:
                    raise
                self.forget(session)
                session = self.session(begin + timeout - time.monotonic())
                self.calls.count(method, self.target)
                under_way = call(request, begin + timeout - time.monotonic(), session.metadata)
                first = next(under_way, None)
            if first is not None:
                yield first
                yield from under_way
            outcome = "returned"
        except (RpcError, ValueError) as error:
            self._fail(error, method, about, session)
        finally:
            if under_way is not None:
                under_way.cancel()
            self._leave()
            self._note_slow(method, about, outcome, begin)

    def stream(self, method: str, requests: Iterator[bytes], timeout: float | None, about: str = "") -> Stream:
        """A call with requests and replies of serialised messages; without `timeout` it lasts until it is cancelled.

        gRPC takes from `requests` in another thread, which waits there as long as the iterator does: the caller lets
        it go when the stream has ended, however it did. The end of the iterator half-closes the call. A session that
        the server does not know is UNAUTHENTICATED to the reader, and another one for the next stream.
        """
        call: Any = self._prepared.get(method)
        if call is None:
            call = self._prepared[method] = self._grpc.stream_stream(method)  # no (de)serialisers: bytes
        session: Session | None = None
        self._enter(method, about)
        try:
            session = self.session(timeout)
            return Stream(self, call(requests, timeout, session.metadata), session, method, about)
        except (RpcError, ValueError) as error:
            self._leave()
            self._fail(error, method, about, session)
        except BaseException:
            self._leave()
            raise

    def begin(
        self,
        method: str,
        request: Message,
        reply: type[M],
        timeout: float,
        done: Callable[[M | CallError], None],
    ) -> None:
        """Starts an unauthenticated call; `done` gets its outcome in a thread of gRPC, or in this one at once."""
        call = self._grpc.unary_unary(
            method, request_serializer=type(request).SerializeToString, response_deserializer=reply.FromString
        )

        self.calls.count(method, self.target)

        def finished(future: Any) -> None:
            try:
                done(future.result())
            except RpcError as error:
                self.calls.failed(self.target)
                done(from_grpc(error, self._where(method, "")))

        try:
            future = call.future(request, timeout)
        except ValueError:
            done(Closed(Status.CANCELLED, self._where(method, ""), "closed"))
        else:
            future.add_done_callback(finished)

    # --------------------------------------------------------------------------------------------------- identity

    def session(self, timeout: float | None = None) -> Session:
        """Returns our identity at the server; authenticates if there is none. Raises CallError.

        `timeout` is the caller's patience in seconds; it ends with alluxio.network.connection.auth.timeout.
        """
        session = self._session
        if session is not None and session.alive:
            return session
        limit = self._settings.auth_timeout_s
        patience = limit if timeout is None else min(limit, timeout)
        return self._authentication.run(self.living_session, lambda: self._authenticate(patience), patience)

    def forget(self, session: Session) -> None:
        """Tells that the server does not know `session`; the next caller gets a new one."""
        with self._lock:
            if self._session is session:
                self._session = None
        session.end()

    def living_session(self) -> Session | None:
        """Our identity at the server, if there is one now."""
        session = self._session
        return session if session is not None and session.alive else None

    def _authenticate(self, timeout: float) -> Session:
        session = Session()
        if self._settings.auth_type != "NOSASL":
            try:
                self.calls.count(AUTHENTICATE, self.target)
                known = SaslSession()
                known.open(self._grpc, self.target, self._settings, timeout)
                session = known
            except CallError as error:
                if self._closed:
                    raise Closed(Status.CANCELLED, error.where, "closed") from None
                if error.status is not Status.UNIMPLEMENTED:
                    self.calls.failed(self.target)
                    raise
                log.info("%s does not authenticate its users", self.target)
            except ValueError:
                raise Closed(Status.CANCELLED, f"authentication at {self.target}", "closed") from None
        with self._lock:
            self._session = session
        return session

    # ------------------------------------------------------------------------------------------------------- end

    def close(self) -> None:
        """Ends the calls under way and the session. Idempotent; any thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            session, self._session = self._session, None
        if session is not None:
            session.end()
        self._grpc.close()

    def retire(self) -> None:
        """Closes when the calls under way have ended."""
        with self._lock:
            self._retired = True
            idle = self._users == 0
        if idle:
            self.close()

    def _enter(self, method: str, about: str) -> None:
        self.calls.count(method, self.target)
        with self._lock:
            if not self._closed:
                self._users += 1
                return
        raise Closed(Status.CANCELLED, self._where(method, about), "closed")

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            last = self._retired and self._users == 0
        if last:
            self.close()

    # --------------------------------------------------------------------------------------------------- helpers

    def _prepare(self, kind: Callable[..., Any], method: str, request: Message, reply: type[M]) -> Callable[..., Any]:
        call: Callable[..., Any] = kind(
            method, request_serializer=type(request).SerializeToString, response_deserializer=reply.FromString
        )
        return self._prepared.setdefault(method, call)

    def _where(self, method: str, about: str) -> str:
        return f"{_name(method)}({about}) at {self.target}"

    def _fail(self, error: Exception, method: str, about: str, session: Session | None) -> NoReturn:
        """Raises what a failed call is for its caller; `ValueError` is gRPC's for a closed channel."""
        error.__traceback__ = None  # a call of gRPC is its own exception: it would hold itself, and all callers' frames
        where = self._where(method, about)
        if self._closed:
            raise Closed(Status.CANCELLED, where, "closed") from None
        if not isinstance(error, RpcError):
            raise error
        failure = from_grpc(error, where)
        if not isinstance(failure, NotFound):
            self.calls.failed(self.target)
        if failure.status is Status.UNAUTHENTICATED and session is not None:
            self.forget(session)
            if not session.channel_id and self._settings.auth_type == "NOSASL":
                failure = error_of(
                    Status.PERMISSION_DENIED,
                    where,
                    "the server wants to know its users: set alluxio.security.authentication.type=SIMPLE",
                )
        raise failure from None

    def _note_slow(self, method: str, about: str, outcome: str, begin: float) -> None:
        limit = self._settings.slow_rpc_s
        took = time.monotonic() - begin
        if 0 < limit <= took:
            log.warning("%s(%s) %s in %d ms (>=%d ms)", _name(method), about, outcome, took * 1e3, limit * 1e3)


class Stream:
    """A call under way; iterating gives its replies. Used by one reader; `cancel` and `active` by any thread."""

    __slots__ = ("_about", "_call", "_channel", "_method", "_session")

    def __init__(self, channel: Channel, call: Any, session: Session, method: str, about: str) -> None:
        self._channel = channel
        self._call = call
        self._session = session
        self._method = method
        self._about = about
        if not call.add_callback(channel._leave):
            channel._leave()

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> bytes:
        """Raises CallError; StopIteration when the server has ended the call in order."""
        try:
            message: bytes = next(self._call)
            return message
        except RpcError as error:
            self._channel._fail(error, self._method, self._about, self._session)

    @property
    def active(self) -> bool:
        """Whether the call is still under way."""
        return bool(self._call.is_active())

    def on_end(self, callback: Callable[[], None]) -> None:
        """Calls `callback` when the call has ended: in a thread of gRPC, or at once in this one."""
        if not self._call.add_callback(callback):
            callback()

    def cancel(self) -> None:
        """Ends the call; its reader gets an error. Idempotent."""
        self._call.cancel()


def _name(method: str) -> str:
    return method.rpartition("/")[2]
