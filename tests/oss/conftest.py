"""A server for the tests of this directory, and clients of it."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Iterator

import oss2
import pytest

from oss.server import OssServer

KEYS = {"key": "secret"}
SUFFIX = "oss.localhost"  # buckets are host names below it


@pytest.fixture(scope="module")
def module_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OssServer]:
    """Started once for a module."""
    with OssServer(tmp_path_factory.mktemp("oss"), KEYS) as made:
        yield made


@pytest.fixture
def server(module_server: OssServer) -> Iterator[OssServer]:
    """With an empty bucket, "bucket", and one that anybody may read, "public"; nothing was asked of it yet."""
    module_server.reset()
    for name, acl in (("bucket", "private"), ("public", "public-read")):
        module_server.create_bucket(name, acl)
        module_server.delete(name, *module_server.keys(name))
    yield module_server
    module_server.clear_rules()


@pytest.fixture(params=[oss2.Auth, oss2.AuthV4], ids=["V1", "V4"])
def auth(request: pytest.FixtureRequest) -> object:
    """Each of the signatures."""
    return request.param("key", "secret")


@pytest.fixture
def session() -> Iterator[oss2.Session]:
    """The connections of clients."""
    made = oss2.Session()
    yield made
    made.session.close()


@pytest.fixture
def bucket(server: OssServer, auth: object, session: oss2.Session) -> oss2.Bucket:
    """A client of the bucket, with each of the signatures."""
    return oss2.Bucket(auth, server.endpoint, "bucket", session=session, region=server.region)


@pytest.fixture
def raw(server: OssServer) -> Iterator[Callable[[], http.client.HTTPConnection]]:
    """A factory of connections, for requests that are not signed."""
    made = []

    def connect() -> http.client.HTTPConnection:
        made.append(http.client.HTTPConnection("127.0.0.1", server.port, timeout=120))
        return made[-1]

    yield connect
    for one in made:
        one.close()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """All host names below SUFFIX are this machine's."""
    real = socket.getaddrinfo

    def look(host: str, *arguments: object, **keywords: object) -> object:
        return real("127.0.0.1" if host.endswith(SUFFIX) else host, *arguments, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", look)
