"""Requests to a bucket: signed, sent on a connection of the pool, and what the server refuses as an exception.

A connection that was idle may have been closed by the server while the request was on its way: that is no failure, and
the request is sent at once on a new one. Other repetitions are patience.py's.

Threads: any.
"""

from __future__ import annotations

import errno
import logging
import threading
from typing import TYPE_CHECKING
from urllib.parse import quote

from alluxio_jnifuse import __version__
from alluxio_jnifuse.sources import doing
from alluxio_jnifuse.sources.oss.auth.signing import Signer
from alluxio_jnifuse.sources.oss.counters import Counters
from alluxio_jnifuse.sources.oss.http.connection import Broken, Stalled
from alluxio_jnifuse.sources.oss.http.pool import Closed, Pool
from alluxio_jnifuse.sources.oss.http.route import Route
from alluxio_jnifuse.sources.oss.requests.errors import FAILURES, Refused, is_transient
from alluxio_jnifuse.sources.oss.requests.patience import Impatience, Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from alluxio_jnifuse.sources.oss.auth.credentials import Credentials, Provider
    from alluxio_jnifuse.sources.oss.http.connection import Connection, Head
    from alluxio_jnifuse.sources.oss.settings import Settings

log = logging.getLogger(__name__)

_EXPECTED = frozenset({errno.ENOENT, errno.ESTALE})  # everything else somebody has to look into


class Answer:
    """An answer whose body is still to be read; at the end of `with` its connection goes back, in whatever state."""

    __slots__ = ("_connection", "_pool", "headers", "status")

    def __init__(self, head: Head, connection: Connection, pool: Pool) -> None:
        self.status = head.status
        self.headers = head.headers
        self._connection = connection
        self._pool = pool

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.give_back(self._connection, reusable=self._connection.reusable)

    @property
    def left(self) -> int | None:
        """Bytes of the body that have not been read; None when it is not said how many there are."""
        return self._connection.left

    def read_into(self, buffer: memoryview) -> int:
        """See Connection.read_into."""
        return self._connection.read_into(buffer)

    def body(self) -> bytes:
        """See Connection.read_body."""
        return self._connection.read_body()


class Client:
    """See the module's docstring. `provider` None: requests are not signed. Raises ConfigError.

    A thread that has been waiting for long calls `check`, which raises if nobody wants the answer any more.
    """

    def __init__(self, settings: Settings, provider: Provider | None, check: Callable[[], None] | None = None) -> None:
        self.settings = settings
        self._check = check
        self.counters = Counters(settings.endpoint.authority)
        self._closed = threading.Event()
        self._signer = Signer(settings, provider)
        self._route = Route(settings.endpoint, settings.connect_timeout_s, settings.stall_s, check)
        self._pool = Pool(self._route, self.counters)
        lines = {"host": settings.endpoint.authority, "user-agent": f"alluxio-jnifuse/{__version__}"}
        self._always = "".join(f"{name}: {value}\r\n" for name, value in {**lines, **self._route.headers}.items())

    def patience(self, limit_s: float, where: str, since: float | None = None) -> Patience:
        """For a request that is repeated for up to `limit_s` from `since` on, or from now on (monotonic)."""
        return Patience(limit_s, where, self._closed, self.counters, self._check, since)

    def impatience(self) -> Patience:
        """For a request that is not repeated: what is wrong is raised as it is."""
        return Impatience(0.0, "", self._closed, self.counters)

    def send(
        self,
        kind: str,
        key: str,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        place: memoryview | None = None,
    ) -> Answer:
        """Sends one request and returns its answer, which is none of a refusal.

        `kind`: get, list or head. `place`: as that of Connection.ask. Raises Refused, Broken, CredentialsError.
        """
        method = "HEAD" if kind == "head" else "GET"
        renewed = False
        while True:
            signed, credentials = self._signer.sign(method, key, params, headers)
            self.counters.add(kind)
            head, connection = self._exchange(method, self._request(method, key, params, signed), place)
            if 200 <= head.status < 300:
                return Answer(head, connection, self._pool)
            error = self._refusal(kind, key or params.get("prefix", ""), head, connection, credentials)
            if error.of_signature and self._signer.corrected(credentials, method, key, params, headers):
                continue
            if renewed or not error.of_credentials or not self._signer.renew(credentials):
                if not is_transient(error) and error.errno not in _EXPECTED:
                    log.warning("%s", error.strerror)
                raise error
            renewed = True
            self.counters.add("renewals")

    def ask(
        self, kind: str, key: str, params: Mapping[str, str], patience: Patience
    ) -> tuple[Mapping[str, str], bytes]:
        """Headers and body of an answer that is read as a whole. Raises Refused, SourceError, Closed."""
        while True:
            try:
                with self.send(kind, key, params, {}) as answer:
                    return answer.headers, answer.body()
            except FAILURES as error:
                patience.failed(error)

    def close(self) -> None:
        """Ends what is under way. Idempotent."""
        self._closed.set()
        self._pool.close()

    def _request(self, method: str, key: str, params: Mapping[str, str], headers: Mapping[str, str]) -> bytes:
        target = self._route.origin + self.settings.endpoint.target(key)
        if params:
            pairs = (f"{name}={quote(value, safe='')}" for name, value in params.items())
            target = f"{target}?{'&'.join(pairs)}"
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        return f"{method} {target} HTTP/1.1\r\n{self._always}{lines}\r\n".encode("latin-1")

    def _exchange(self, method: str, request: bytes, place: memoryview | None) -> tuple[Head, Connection]:
        fresh = False
        doing.asking(self._route.peer)
        while True:
            connection = self._pool.take(fresh=fresh)
            try:
                return connection.ask(request, body=method != "HEAD", place=place), connection
            except Broken as error:
                self._pool.give_back(connection, reusable=False)
                if self._closed.is_set():
                    raise Closed("the mount ends") from error
                if fresh or not connection.used or isinstance(error, Stalled):
                    raise
                fresh = True
            except BaseException:
                self._pool.give_back(connection, reusable=False)
                raise

    def _refusal(
        self, kind: str, subject: str, head: Head, connection: Connection, credentials: Credentials | None
    ) -> Refused:
        try:
            body = connection.read_body()
        except Broken:
            body = b""  # the status has to do
        finally:
            self._pool.give_back(connection, reusable=connection.reusable)
        return Refused(kind, subject, head, body, (credentials.secret, credentials.token) if credentials else ())
