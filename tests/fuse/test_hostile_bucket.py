"""Buckets whose server means harm: what it takes of the daemon has a limit, and other files are served meanwhile."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from harness.children import Children, results, until
from harness.mounting import Mounted, Mounts
from harness.readers import errno_of

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(600)]

MIB = 1 << 20
CONTENTS = bytes(range(256)) * 64
WHEN = "<LastModified>2026-01-31T12:34:56.000Z</LastModified>"
DRIPS = 24  # readers of objects that drip: more than there are threads


class Hostile(ThreadingHTTPServer):
    """The directories `endless` and `drips`, and `good/file` as it should be."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages = 0
        self.drips = 0
        self.over = threading.Event()

    def handle_error(self, *_: Any) -> None:
        """The client has hung up, as it should."""

    @property
    def properties(self) -> dict[str, str]:
        return {"fs.oss.endpoint": f"http://127.0.0.1:{self.server_port}", "fs.oss.anonymous": "true"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hostile

    def log_message(self, *_: Any) -> None:
        """Tests are quiet."""

    def do_HEAD(self) -> None:
        self.answer(b"", {"Content-Length": str(len(CONTENTS))})

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if "prefix" in asked or "list-type" in asked:
            self.list(asked)
        elif "drips" in parts.path:
            self.drip()
        else:
            self.answer(CONTENTS, {})

    def list(self, asked: dict[str, str]) -> None:
        prefix = unquote(asked.get("prefix", ""))
        directory = prefix.rpartition("/")[0]
        if prefix == "endless/":
            self.server.pages += 1
            first = 1000 * self.server.pages
            text = "".join(entry(f"endless/{number:012d}") for number in range(first, first + 1000))
            text += f"<IsTruncated>true</IsTruncated><NextContinuationToken>t{first}</NextContinuationToken>"
        elif prefix and not directory:
            text = f"<CommonPrefixes><Prefix>{prefix.strip('/')}/</Prefix></CommonPrefixes>"
        else:
            text = entry(prefix) if directory else "<CommonPrefixes><Prefix>good/</Prefix></CommonPrefixes>"
        if "IsTruncated" not in text:
            text += "<IsTruncated>false</IsTruncated>"
        page = f"<ListBucketResult><Name>bucket</Name><Prefix>{prefix}</Prefix>{text}</ListBucketResult>"
        self.answer(page.encode(), {})

    def drip(self) -> None:
        self.send_response(200)
        self.send_header("ETag", '"e"')
        self.send_header("Last-Modified", "Sat, 31 Jan 2026 12:34:56 GMT")
        self.send_header("Content-Length", str(len(CONTENTS)))
        self.end_headers()
        self.server.drips += 1
        for byte in CONTENTS:
            if self.server.over.wait(0.1):
                break
            self.wfile.write(bytes([byte]))

    def answer(self, body: bytes, headers: dict[str, str]) -> None:
        headers = {"Content-Length": str(len(body)), "ETag": '"e"', **headers}
        self.send_response(200)
        for name, value in {**headers, "Last-Modified": "Sat, 31 Jan 2026 12:34:56 GMT"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def entry(key: str) -> str:
    return f'<Contents><Key>{key}</Key>{WHEN}<ETag>"e"</ETag><Size>{len(CONTENTS)}</Size></Contents>'


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    server = Hostile()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


def mount(mounts: Mounts, hostile: Hostile, options: str = "", **properties: str) -> Mounted:
    return mounts.mount("oss://bucket/", options, {**hostile.properties, **properties})


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def resident(mounted: Mounted) -> int:
    """Bytes."""
    return int(Path(f"/proc/{mounted.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_listing_that_never_ends(mounts: Mounts, hostile: Hostile, children: Children) -> None:
    """EFBIG for each reader, a line that says what can be done, and the memory that a limit needs."""
    mounted = mount(mounts, hostile, "listing_limit=4MB")
    before = resident(mounted)
    readers = [children.start(errno_of, os.listdir, mounted.join("endless")) for _ in range(4)]
    assert children.run(read, mounted.join("good/file")) == CONTENTS
    assert results(readers) == [errno.EFBIG] * 4
    assert mounted.lines("ERROR", "the listing of '/endless' is larger than 4.00MB", "listing_limit")
    assert resident(mounted) - before < 100 * MIB


def test_a_listing_whose_reader_is_killed(mounts: Mounts, hostile: Hostile, children: Children) -> None:
    """No more of it is asked for."""
    mounted = mount(mounts, hostile)
    reader = children.start(os.listdir, mounted.join("endless"))
    until(lambda: hostile.pages >= 5, "some pages")
    reader.kill()
    mounted.until(lambda stats: stats["fetch_cancelled"] >= 1, "the end of the listing")
    pages = hostile.pages
    assert children.run(read, mounted.join("good/file")) == CONTENTS
    assert hostile.pages == pages


def test_objects_that_drip(mounts: Mounts, hostile: Hostile, children: Children) -> None:
    """Whoever reads them gets EIO; the threads come back, and other files are read while the next ones drip."""
    patience = {"alluxio.user.streaming.data.read.timeout": "3s", "alluxio.underfs.oss.socket.timeout": "1s"}
    mounted = mount(mounts, hostile, "fetchers=4", **patience)
    for round_ in range(2):
        names = [mounted.join(f"drips/{round_}-{number}") for number in range(DRIPS)]
        readers = [children.start(errno_of, read, name) for name in names]
        assert results(readers) == [errno.EIO] * DRIPS
        assert children.run(read, mounted.join("good/file")) == CONTENTS
    assert hostile.drips
    began = time.monotonic()
    mounted.settled()
    print(f"threads were back after {time.monotonic() - began:.1f} s")
