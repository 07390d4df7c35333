"""The way to an endpoint: directly or through a proxy, plain or with TLS.

Proxies are those of the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY), certificates those of the system, or of
SSL_CERT_FILE and SSL_CERT_DIR.
"""

from __future__ import annotations

import base64
import os
import socket
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from alluxio_jnifuse.errors import ConfigError
from alluxio_jnifuse.sources.oss.http.connection import Broken, Connection

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from alluxio_jnifuse.sources.oss.endpoint import Endpoint


class ConnectError(Broken):
    """No connection came about; `__cause__` is why, `where` who did not want it."""

    def __init__(self, reason: str, where: str) -> None:
        super().__init__(reason)
        self.where = where


class ProxyRefused(ConnectError):
    """The proxy does not let us through."""


class Route:
    """How connections to an endpoint are made; any thread. Raises ConfigError for a proxy that cannot be used.

    `origin`: what stands in front of the path of a request: nothing, or for a proxy the server.
    `headers`: for the proxy, in every request.
    """

    def __init__(
        self, endpoint: Endpoint, connect_timeout_s: float, stall_s: float, check: Callable[[], None] | None = None
    ) -> None:
        """`check`: as that of Connection."""
        self._endpoint = endpoint
        self._timeout_s = connect_timeout_s
        self._stall_s = stall_s
        self._check = check
        self._context = _tls() if endpoint.secure else None
        self._peer = (endpoint.host, endpoint.port)
        self._tunnel = b""
        self.origin = ""
        self.headers: dict[str, str] = {}
        proxy = _proxy(endpoint)
        if proxy:
            self._through(proxy)
        kind = "" if self._peer == (endpoint.host, endpoint.port) else "the proxy "
        self._named = f"{kind}{_authority(*self._peer)}"

    @property
    def peer(self) -> str:
        """Returns the host and port that connections are made to, for messages."""
        return self._named

    def connect(self) -> Connection:
        """A new connection. Raises ConnectError."""
        try:
            sock = socket.create_connection(self._peer, self._timeout_s)
        except UnicodeError as error:
            raise ConnectError("its name cannot be one", self.peer) from error
        except OSError as error:
            raise ConnectError(_reason(error, self._endpoint.secure), self.peer) from error
        try:
            if self._tunnel:
                self._open_tunnel(sock)
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_hostname=self._endpoint.host)
            return Connection(sock, self._stall_s, self._check)
        except ConnectError:
            sock.close()
            raise
        except OSError as error:
            sock.close()
            raise ConnectError(_reason(error, self._endpoint.secure), self.peer) from error
        except BaseException:
            sock.close()
            raise

    def _through(self, proxy: str) -> None:
        try:
            parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
            host, port = parts.hostname or "", parts.port or 80
        except ValueError:
            parts, host, port = urlsplit(""), "", 0
        if parts.scheme != "http" or not host:
            raise ConfigError(
                "the proxy is no http://HOST:PORT",
                where="$HTTPS_PROXY" if self._endpoint.secure else "$HTTP_PROXY",
                remedy=f"correct it, or name {self._endpoint.host} in NO_PROXY",
            )
        self._peer = (host, port)
        said = {}
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            said["proxy-authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        if not self._endpoint.secure:
            self.origin = f"http://{self._endpoint.authority}"
            self.headers = said
            return
        target = _authority(self._endpoint.host, self._endpoint.port)
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", *(f"{name}: {value}" for name, value in said.items())]
        self._tunnel = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _open_tunnel(self, sock: socket.socket) -> None:
        until = time.monotonic() + self._timeout_s
        sock.sendall(self._tunnel)
        head = b""
        while not head.endswith(b"\r\n\r\n"):  # byte by byte: what follows is for TLS
            byte = sock.recv(1)
            if not byte or len(head) > 1 << 14:
                raise ConnectError("it hung up", self.peer)
            if time.monotonic() > until:
                raise ConnectError("it does not answer", self.peer)
            head += byte
        status = head.partition(b" ")[2][:3].decode("latin-1")
        if status != "200":
            raise ProxyRefused(f"it answers {status} to CONNECT {self._endpoint.host}:{self._endpoint.port}", self.peer)


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _tls() -> ssl.SSLContext:
    import ssl  # here: with the certificates of the system it takes 3 MB

    return ssl.create_default_context()


def _proxy(endpoint: Endpoint) -> str:
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return ""
    from urllib.request import getproxies, proxy_bypass  # here: it brings an HTTP client and TLS, 3 MB

    if proxy_bypass(endpoint.host):
        return ""
    return getproxies().get("https" if endpoint.secure else "http", "")


def _reason(error: OSError, secure: bool) -> str:
    if secure:
        import ssl

        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {error.verify_message}"
        if isinstance(error, ssl.SSLError):
            return f"no TLS connection could be made: {error.reason or error}"
    if isinstance(error, socket.gaierror):
        return "its name has no address"
    if isinstance(error, (TimeoutError, socket.timeout)):
        return "it does not answer"
    return (error.strerror or str(error)).lower()
