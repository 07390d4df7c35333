"""Parsers of the files in the runtime directory, records and journals of loads; and of requests for metrics."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from alluxio_jnifuse.daemon.web.requests import Refused, parse
from alluxio_jnifuse.load.journal import Journal
from alluxio_jnifuse.load.targets import Target
from alluxio_jnifuse.load.walk import File
from alluxio_jnifuse.mounts.registry import Registry, record_of_this_process
from fuzz.parser import Parser

PID, START, NAMESPACE = b"PID", b"START", b"NAMESPACE"  # of a record: what they are of this process
_RECORD = record_of_this_process("/mnt/x", "/", "oss://b/", "/var/log/x.log")
_TARGET = Target("/mnt/x", "/mnt/x", 1, _RECORD)
FILES = [File(f"/mnt/x/{number}", number, 10, 10, _TARGET) for number in range(4)]

_WORDS = (
    *(PID, START, NAMESPACE, b'"pid": ', b'"start_time": ', b'"mountpoint": ', b'"cache_bytes": ', b'"log": ', b"null"),
    *(b"[", b"]", b"{", b"}", b'"', b",", b":", b"true", b"NaN", b"1e999", b"-1", b'"/mnt/x"', b'"self"', b'"\\udcff"'),
    *(b'"\\ud800"', b"\\u0000", b"\xff", b'"../../x"', b"[" * 1000, b'{"a":' * 1000),
)


def _registry() -> Callable[[bytes], object]:
    directory = Path(tempfile.mkdtemp())
    registry = Registry([str(directory)])
    registry.add(_RECORD._replace(mountpoint="/mnt/beside"))
    path = directory / "a.json"
    said = {PID: _RECORD.pid, START: _RECORD.start_time, NAMESPACE: _RECORD.pid_namespace}

    def take(data: bytes) -> None:
        for word, number in said.items():
            data = data.replace(word, b"%d" % number)
        path.write_bytes(data)
        found = registry.running()
        assert "/mnt/beside" in [record.mountpoint for record in found]
        for record in found:
            assert [type(value) for value in record] == [type(value) for value in _RECORD]
            os.fsencode(record.mountpoint + record.log)
            assert registry.find(record.mountpoint) in found

    return take


def _journal() -> Callable[[bytes], object]:
    path = os.path.join(tempfile.mkdtemp(), "a.journal")

    def take(data: bytes) -> None:
        Path(path).write_bytes(data)
        journal = Journal(path)
        try:
            known = [file for file in FILES if file in journal]
            assert len(known) <= len(data) // 8
            for file in FILES:
                journal.add(file)
        finally:
            os.close(journal._fd)
        again = Journal(path)
        try:
            assert len(data) % 8 or all(file in again for file in FILES)
        finally:
            os.close(again._fd)

    return take


def _requests() -> Callable[[bytes], object]:
    def take(data: bytes) -> None:
        asked = None
        for end in sorted({len(data) // 2, len(data)}):
            asked = parse(data[:end], {"this.one"})
            if asked is not None:
                break
        if asked is not None:
            assert data.startswith((b"GET ", b"HEAD "))
            assert not {" ", "?", "\r\n"} & set(asked.path)
            assert any(name in data.lower() for name in (b"localhost", b"this.one", b".", b":"))

    return take


_REQUEST_WORDS = (
    *(b"GET ", b"HEAD ", b"POST ", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\n", b"\r\n\r\n", b"Host: ", b"localhost"),
    *(b":49999", b"[::1]", b"127.0.0.1", b"this.one", b"evil.example", b"?", b"\0", b"\xff", b"A" * 9000),
)

PARSERS = {
    "web": Parser(_requests, (Refused,), _REQUEST_WORDS, most=16_384),
    "registry": Parser(_registry, (), _WORDS, most=8192),
    "journal": Parser(_journal, (), (bytes(8), b"\xff" * 8, b"\x80" + bytes(7)), most=4096),
}
