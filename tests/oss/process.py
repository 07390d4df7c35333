"""The process of a server: its listener, and the commands of the process that started it, with which it ends.

Commands come over a connection of multiprocessing: name and arguments of a method of Commands; what it returns goes
back, or the exception that it raised.
"""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import NamedTuple

from oss import certificate, contents
from oss.access import Access, Token
from oss.connection import Connection
from oss.contents import Contents
from oss.log import Entry
from oss.rules import Rule
from oss.site import Site
from oss.store import PRIVATE, Object, etag_of

_BACKLOG = 1024


class Settings(NamedTuple):
    """What a server is started with; see server.OssServer."""

    directory: Path
    keys: dict[str, str]
    tokens: dict[str, Token]
    region: str
    https: bool
    port: int


class Commands:
    """What the process that started this one may ask for; see server.OssServer."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def create_bucket(self, name: str, acl: str = PRIVATE) -> None:
        """Makes a bucket."""
        self._site.store.create(name, acl)

    def put(self, bucket: str, bodies: Mapping[str, bytes | Path], about: Mapping[str, object]) -> None:
        """Objects by their keys. `about`: fields of Object."""
        found = {}
        for key, body in bodies.items():
            content = contents.of_file(body) if isinstance(body, Path) else self._site.contents.keep([body])
            fields = {"modified": time.time(), **about}
            found[key] = Object(content, fields.pop("etag", None) or etag_of(content), **fields)  # type: ignore[arg-type]
        self._site.store.put(bucket, found)

    def put_tree(self, bucket: str, directory: Path, prefix: str) -> None:
        """Files as objects of multipart uploads, whose ETags say nothing but which version they are of."""
        found = {}
        for path in directory.rglob("*"):
            if path.is_file():
                status = path.stat()
                version = f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"
                etag = f"{hashlib.md5(version.encode()).hexdigest().upper()}-1"
                key = prefix + path.relative_to(directory).as_posix()
                found[key] = Object(contents.of_file(path), etag, status.st_mtime, kind="Multipart")
        self._site.store.put(bucket, found)

    def get(self, bucket: str, key: str) -> bytes:
        """What an object holds."""
        content = self._site.store.get(bucket, key).content
        return content.read(0, content.size)

    def keys(self, bucket: str) -> list[str]:
        """All keys, in order."""
        return self._site.store.page(bucket, "", "", "", sys.maxsize)[0].keys

    def delete(self, bucket: str, *keys: str) -> None:
        """Removes objects."""
        self._site.store.delete(bucket, keys)

    def counts(self) -> Counter[str]:
        """See Log."""
        return self._site.log.counts()

    def requests(self) -> list[Entry]:
        """See Log."""
        return self._site.log.entries()

    def reset(self) -> None:
        """See Log."""
        self._site.log.reset()

    def add_rule(self, rule: Rule) -> None:
        """See Rules."""
        self._site.rules.add(rule)

    def clear_rules(self) -> None:
        """See Rules."""
        self._site.rules.clear()

    def set_token(self, token: str, value: Token | None) -> None:
        """A token is good from now on, or unknown."""
        self._site.access.tokens.pop(token, None)
        if value is not None:
            self._site.access.tokens[token] = value

    def set_keys(self, keys: Mapping[str, str]) -> None:
        """The keys that are good from now on."""
        self._site.access.keys = dict(keys)

    def set_clock(self, offset: float) -> None:
        """The server's clock is so much fast, s."""
        self._site.access.clock_offset = offset


def main() -> None:
    """Runs until the other end of the pipe, whose descriptor is the argument, is closed."""
    pipe = Pipe(int(sys.argv[1]))
    settings: Settings = pipe.recv()
    access = Access(settings.keys, settings.tokens, settings.region)
    site = Site(access, Contents(settings.directory))
    listener = socket.create_server(("127.0.0.1", settings.port), backlog=_BACKLOG)
    context = _context(settings.directory) if settings.https else None
    threading.Thread(target=_accept, args=(site, listener, context), daemon=True).start()
    pipe.send(listener.getsockname()[1])
    try:
        _obey(Commands(site), pipe)
    except (EOFError, OSError):
        pass
    os._exit(0)  # no thread is waited for


def _obey(commands: Commands, pipe: Pipe) -> None:
    while True:
        name, arguments = pipe.recv()
        try:
            result = getattr(commands, name)(*arguments)
        except Exception as error:
            result = error
        pipe.send(result)


def _accept(site: Site, listener: socket.socket, context: ssl.SSLContext | None) -> None:
    number = 0
    while True:
        connection, _ = listener.accept()
        number += 1
        site.log.connected()
        threading.Thread(target=_run, args=(site, connection, number, context), daemon=True).start()


def _run(site: Site, connection: socket.socket, number: int, context: ssl.SSLContext | None) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context is not None:
        try:
            connection = context.wrap_socket(connection, server_side=True)
        except OSError:  # the client does not like the certificate
            connection.close()
            return
    Connection(site, connection, number).run()


def _context(directory: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        file.write(certificate.KEY + certificate.CERTIFICATE)
        file.flush()
        context.load_cert_chain(file.name)
    return context


if __name__ == "__main__":
    main()
