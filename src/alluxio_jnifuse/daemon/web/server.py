"""An HTTP server that costs its process next to nothing, whatever connects to it, and however often.

One thread serves all clients, and each only as long as that can be done without waiting: a client that says nothing, or
takes nothing, holds a place among MOST_CLIENTS until its time is up, or until others want the place. After each round
there is a pause, so that a flood of connections gets a bounded share of a processor, and the rest waits in the kernel.
An answer is made at most once in FRESH_S. Every connection carries one request.

Threads: `Server` is made and stopped by the thread that owns it; pages are made in the server's own.
"""

from __future__ import annotations

import logging
import os
import secrets
import selectors
import socket
import time
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from typing import NamedTuple

from alluxio_jnifuse.daemon.web.requests import MOST_BYTES, Asked, Refused, parse
from alluxio_jnifuse.system.threads import start_thread

log = logging.getLogger(__name__)

MOST_CLIENTS = 32
FRESH_S = 1.0
_PATIENCE_S = 10.0  # for a request and for its answer, together
_PAUSE_S = 0.01  # after a round
_ROUND = 8  # new clients of a round
_TICK_S = 1.0
_JOIN_S = 2.0
_CONTENTS = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TOLD_ELSEWHERE = b"403 Forbidden: the whole address of this page, with its token, is in the log of the mount\n"


class Page(NamedTuple):
    """An answer."""

    body: bytes
    type: str
    status: int = 200


Pages = Mapping[str, Callable[[], Page]]


class _Client:
    """One connection. `answer`: what is still to be sent, once the request is there."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.until = time.monotonic() + _PATIENCE_S
        self.received = bytearray()
        self.answer: memoryview | None = None


class Server:
    """Listens on `address` from the moment it is made; `start` has it answer.

    `pages`: what makes the page at each path; `tick` is called about every second; both return at once. `names`: see
    requests.parse. `private`: paths that are only for those who know `token`, `?token=...`. Raises OSError.
    """

    def __init__(
        self,
        host: str,
        port: int,
        pages: Pages,
        names: Collection[str],
        tick: Callable[[], None],
        private: Collection[str] = (),
    ) -> None:
        self.token = secrets.token_urlsafe(18)
        self._private = private
        self._pages = pages
        self._names = names
        self._tick = tick
        self._made: dict[str, tuple[float, Page]] = {}
        self._clients: dict[int, _Client] = {}  # by descriptor, the oldest first
        self._listener = _listen(host, port)
        self._woken, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._stopping = False
        self.address: tuple[str, int] = self._listener.getsockname()[:2]

    def start(self) -> None:
        """Raises MountError."""
        self._thread = start_thread("web", self._serve)

    def stop(self) -> None:
        """Ends it, and every connection."""
        self._stopping = True
        os.write(self._wake, b"x")
        self._thread.join(_JOIN_S)

    # --------------------------------------------------------------------------------------------- the thread

    def _serve(self) -> None:
        due = 0.0
        while not self._stopping:
            now = time.monotonic()
            if now >= due:
                due = now + _TICK_S
                try:
                    self._tick()
                except Exception as error:  # the pages are answered all the same
                    log.error("looking at the mount: %r", error)
            ready = self._selector.select(min([due - now, *(client.until - now for client in self._oldest())]))
            for key, _ in ready:
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fd in self._clients:
                    self._go_on(self._clients[key.fd])
            now = time.monotonic()
            while any(client.until <= now for client in self._oldest()):
                self._end(*self._oldest())
            if ready and not self._stopping:
                time.sleep(_PAUSE_S)
        for client in list(self._clients.values()):
            self._end(client)
        self._selector.close()
        self._listener.close()
        os.close(self._wake)
        os.close(self._woken)

    def _oldest(self) -> list[_Client]:
        """Patience is the same for all: the oldest one's ends first."""
        return [next(iter(self._clients.values()))] if self._clients else []

    def _accept(self) -> None:
        for _ in range(_ROUND):
            try:
                connection = self._listener.accept()[0]
            except BlockingIOError:
                return
            except OSError as error:  # the client has gone, or there is no descriptor left
                log.debug("accept: %s", error)
                return
            connection.setblocking(False)
            if len(self._clients) >= MOST_CLIENTS:
                self._end(*self._oldest())
            self._clients[connection.fileno()] = _Client(connection)
            self._selector.register(connection, selectors.EVENT_READ)

    def _go_on(self, client: _Client) -> None:
        try:
            if client.answer is None:
                self._receive(client)
            if client.answer is not None:
                client.answer = client.answer[client.connection.send(client.answer) :]
                if not client.answer:
                    self._end(client)
        except BlockingIOError:
            pass
        except OSError:
            self._end(client)

    def _receive(self, client: _Client) -> None:
        data = client.connection.recv(MOST_BYTES)
        if not data:
            self._end(client)
            return
        client.received += data
        asked: Asked | None = None
        try:
            asked = parse(client.received, self._names)
            if asked is None:
                return
            if asked.path in self._private and not secrets.compare_digest(
                asked.query.encode("latin-1"), f"token={self.token}".encode()
            ):
                raise Refused(403)
            page = self._page(asked.path)
        except Refused as refused:
            page = Page(_TOLD_ELSEWHERE if refused.status == 403 else b"", "text/plain", refused.status)
        client.answer = memoryview(_answer(page, head_only=asked is not None and asked.head_only))
        self._selector.modify(client.connection, selectors.EVENT_WRITE)

    def _page(self, path: str) -> Page:
        make = self._pages.get(path)
        if make is None:
            raise Refused(404)
        made = self._made.get(path)
        now = time.monotonic()
        if made is None or now >= made[0] + FRESH_S:
            try:
                made = self._made[path] = (now, make())
            except Exception as error:  # it is a fault of ours, which no client has to suffer without an answer
                log.error("%s: %r", path, error)
                raise Refused(500) from None
        return made[1]

    def _end(self, client: _Client) -> None:
        if self._clients.pop(client.connection.fileno(), None) is not None:
            self._selector.unregister(client.connection)
            client.connection.close()


def _answer(page: Page, head_only: bool) -> bytes:
    body = page.body
    if page.status != 200 and not body:
        body = f"{page.status} {HTTPStatus(page.status).phrase}\n".encode()
    lines = [
        f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}",
        f"Content-Type: {page.type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    ]
    if page.type.startswith("text/html"):
        lines.append(f"Content-Security-Policy: {_CONTENTS}")
        lines.append("Referrer-Policy: no-referrer")
    if page.status == 405:
        lines.append("Allow: GET, HEAD")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if head_only else body)


def _listen(host: str, port: int) -> socket.socket:
    """Raises OSError."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(MOST_CLIENTS)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener
