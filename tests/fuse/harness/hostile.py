"""A bucket whose server means harm."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

CONTENTS = bytes(range(256)) * 64
WHEN = "<LastModified>2026-01-31T12:34:56.000Z</LastModified>"


class Hostile(ThreadingHTTPServer):
    """The directories `endless`, `elements` (16 MiB of XML) and `drips`, and `good/file` as it should be."""

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


@contextmanager
def hostile_server() -> Iterator[Hostile]:
    """One that serves in a thread of its own; nothing of it hangs on at the end."""
    server = Hostile()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


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
        if prefix == "elements/":
            text = "<a/>" * (4 << 20)
        elif prefix == "endless/":
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
