"""How a connection of gRPC to a server is made: its options, and TLS."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from alluxio_jnifuse.errors import ConfigError

if TYPE_CHECKING:
    import grpc

    from alluxio_jnifuse.sources.alluxio.settings import Settings

_CONNECT_MS = 10_000  # for one attempt to connect
_RECONNECT_MS = 2_000  # at most, between two of them
_UNREAD_BYTES = 4 << 20  # of a call, on the way or here: 100 ms at 40 MB/s
_UNACKNOWLEDGED_MS = 20_000  # a peer that does not even acknowledge is gone

_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.use_local_subchannel_pool", 1),  # or channels to one address share a connection, and its fate
    ("grpc.enable_http_proxy", 0),  # $http_proxy is for the web, and Alluxio's own clients do not heed it
    ("grpc.service_config_disable_resolution", 1),  # no TXT queries
    ("grpc.max_metadata_size", 1 << 20),  # an error's text is metadata, and may hold stack traces
    ("grpc.min_reconnect_backoff_ms", _CONNECT_MS),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", _RECONNECT_MS),
    # Servers close connections that ping. A ping every 24 days is none, but lets gRPC set TCP_USER_TIMEOUT.
    ("grpc.keepalive_time_ms", 2**31 - 2),
    ("grpc.keepalive_timeout_ms", _UNACKNOWLEDGED_MS),
    ("grpc.enable_retries", 0),  # ours are the caller's, who knows about other servers
    ("SingleThreadedUnaryStream", 1),  # replies are worked off by their reader
    # Replies that nobody reads yet are kept in memory. By itself gRPC takes more of them the longer a round trip is:
    # beside a busy machine it took gigabytes.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", _UNREAD_BYTES),
)

# Files of certificates, where the library's own default is not there.
_CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def connect(target: str, settings: Settings) -> grpc.Channel:
    """A channel to "host:port", or to "unix:/path", which is never encrypted; it connects when it is used."""
    import grpc  # errors.py has loaded it

    options = (*_OPTIONS, ("grpc.max_receive_message_length", settings.message_bytes))
    if settings.tls and not target.startswith("unix:"):
        credentials = grpc.ssl_channel_credentials(_certificates(settings.tls_ca_path))
        return grpc.secure_channel(target, credentials, options)
    return grpc.insecure_channel(target, options)


@functools.lru_cache(maxsize=4)
def _certificates(path: str) -> bytes | None:
    """Trusted certificates, as PEM: those in the file `path`, else the system's; None: those that gRPC brings."""
    import ssl  # here: few clusters have TLS, and gRPC brings one of its own

    default = ssl.get_default_verify_paths().cafile
    paths = (path,) if path else tuple(filter(None, (default, *_CERTIFICATES)))
    for candidate in paths:
        try:
            with open(candidate, "rb") as file:
                return file.read()
        except OSError as error:
            if path:
                raise ConfigError(f"cannot be read: {error.strerror}", where=f"certificates {path!r}") from None
    return None
