"""Writes the well-formed inputs of the corpus, with our own code.

PYTHONPATH=tests:tests/alluxio .venv/bin/python -m fuzz.seeds
"""

from __future__ import annotations

import json
import struct
import tempfile
from pathlib import Path

from infos import directory_info, file_info, worker_address
from oss.documents import document, element

from alluxio_jnifuse._wire import make_sums
from alluxio_jnifuse.cache.evictors import make_evictor
from alluxio_jnifuse.cache.local.layout import SUMS, name_of
from alluxio_jnifuse.cache.local.store import LocalStore
from alluxio_jnifuse.cache.rocks.catalogue import encode
from alluxio_jnifuse.cache.rocks.pages import Piece, Stored
from alluxio_jnifuse.cache.store import identity_of
from alluxio_jnifuse.load.journal import Journal
from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.mounts.registry import Registry, record_of_this_process
from alluxio_jnifuse.sources.alluxio.proto import block_pb2, file_pb2, sasl_pb2, worker_pb2
from fuzz import of_cache, of_runtime
from fuzz.of_alluxio import BETWEEN, BLOCK
from fuzz.of_oss import BETWEEN_PAGES
from fuzz.of_runtime import NAMESPACE, PID, START
from fuzz.parsers import CORPUS

_ETAG = '"5B3C1A2E053D763E1B002CC607C5A0FE"'
_OBJECT = (
    f"ETag: {_ETAG}\r\nLast-Modified: Fri, 24 Feb 2012 06:07:48 GMT\r\nx-oss-hash-crc64ecma: 1234567890\r\n"
    "x-oss-request-id: 5A2D\r\n"
)


def http() -> dict[str, bytes]:
    size, body = "Content-Length: 1000\r\n", "x" * 1000
    chunks = f"3e8;a=b\r\n{body}\r\n1\r\ny\r\n0\r\nTrailer: z\r\n\r\n"
    texts = {
        "whole": f"GET\nHTTP/1.1 200 OK\r\n{_OBJECT}{size}\r\n{body}",
        "place": f"GET place\nHTTP/1.1 200 OK\r\n{_OBJECT}{size}\r\n{body}",
        "head": f"HEAD\nHTTP/1.1 200 OK\r\n{_OBJECT}{size}\r\n",
        "pieces": f"GET pieces\nHTTP/1.1 206 Some\r\n{_OBJECT}{size}Content-Range: bytes 0-999/1000\r\n\r\n{body}",
        "pinned": f"GET pieces pinned\nHTTP/1.1 200 OK\r\n{_OBJECT}{size}\r\n{body}",
        "interim": f"GET\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n{size}\r\n{body}",
        "chunks": f"GET\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}",
        "until-the-end": f"GET little\nHTTP/1.0 200 OK\r\n\r\n{body}",
        "not-modified": "GET little\nHTTP/1.1 304 Not Modified\r\nConnection: keep-alive\r\n\r\n",
    }
    return {name: text.encode() for name, text in texts.items()}


def _page(keys: list[tuple[str, str]], prefixes: list[str], *more: tuple[str, str]) -> bytes:
    contents = [
        element(
            "Contents",
            ("Key", key),
            ("LastModified", "2026-01-31T12:34:56.000Z"),
            ("ETag", _ETAG),
            ("Type", kind),
            ("Size", "123"),
            ("StorageClass", "Standard"),
        )
        for key, kind in keys
    ]
    common = [element("CommonPrefixes", ("Prefix", prefix)) for prefix in prefixes]
    said = [("Name", "bucket"), ("Prefix", "d/"), ("MaxKeys", "1000"), ("Delimiter", "/"), *more]
    return document("ListBucketResult", *said, *contents, *common).encode()


def listing() -> dict[str, bytes]:
    end, on = ("IsTruncated", "false"), ("IsTruncated", "true")
    url = ("EncodingType", "url")
    one = _page([("d%2F", "Normal"), ("d%2Fa%20b", "Normal"), ("d%2Fl", "Symlink")], ["d%2Fa%2F"], url, end)
    token = _page([("d/a", "Normal")], [], on, ("NextContinuationToken", "abc"))
    marker = _page([("d/a", "Normal")], ["d/b/"], on, ("NextMarker", "d/b/"))
    last = _page([("d/c", "Normal"), ("d/c//x", "Normal")], ["d/c/", "d/d/"], end)
    return {
        "one-page": one,
        "empty": _page([], [], end),
        "tokens": BETWEEN_PAGES.join([token, last]),
        "markers": BETWEEN_PAGES.join([marker, last]),
        "namespace": last.replace(b"<ListBucketResult>", b"<ListBucketResult xmlns='http://doc.oss'>", 1),
    }


def refusal() -> dict[str, bytes]:
    body = document(
        "Error",
        ("Code", "AccessDenied"),
        ("Message", "The bucket has the token secret elsewhere."),
        ("RequestId", "5A2D"),
        ("Endpoint", "bucket.oss-cn-x.example"),
    )
    skewed = document("Error", ("Code", "RequestTimeTooSkewed"), ("ServerTime", "2026-01-31T12:34:56.000Z"))
    texts = {
        "denied": "HTTP/1.1 403 Forbidden\r\nx-oss-request-id: 5A2D\r\nDate: Fri, 24 Feb 2012 06:07:48 GMT\r\n\r\n"
        + body,
        "skewed": f"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\n\r\n{skewed}",
        "moved": "HTTP/1.1 301 Moved\r\nLocation: http://bucket.oss-cn-y.example/\r\nRetry-After: 7\r\n\r\n<html/>",
        "head": "HTTP/1.1 404 Not Found\r\nx-oss-err: PEVycm9yPjxDb2RlPk5vU3VjaEtleTwvQ29kZT48L0Vycm9yPg==\r\n\r\n",
    }
    return {name: text.encode() for name, text in texts.items()}


def credentials() -> dict[str, bytes]:
    found = {
        "AccessKeyId": "id",
        "AccessKeySecret": "hidden",
        "SecurityToken": "t",
        "Expiration": "2026-01-31T12:34:56Z",
    }
    return {
        "role": json.dumps({"Code": "Success", **found}).encode(),
        "cli": json.dumps(
            {"mode": "StsToken", "access_key_id": "id", "access_key_secret": "x", "sts_token": "t"}
        ).encode(),
    }


def files() -> dict[str, bytes]:
    usual = [file_info(f"/d/f{n}", n + 1, 1000, (0, 1)) for n in range(4)]
    large = file_info("/d/large", 9, 3 << 20, (0, 1, 2), blockSizeBytes=1 << 20)
    odd = file_info("/d/odd", 10, 5000, blockSizeBytes=1000, ufsPath="s3://elsewhere", completed=False)
    made = {
        "usual": usual,
        "mixed": [directory_info("/d/a", 7), *usual[:2], large, odd],
        "a-file": [file_info("/d", 3)],
        "empty": [],
    }
    return {name: file_pb2.ListStatusPResponse(fileInfos=infos).SerializeToString() for name, infos in made.items()}


def status() -> dict[str, bytes]:
    made = {
        "usual": file_info("/d/f", 1, 1000, (0,)),
        "blocks": file_info("/d/large", 9, 3 << 20, (0, 1), blockSizeBytes=1 << 20),
        "odd": file_info("/d/odd", 10, 5000, (1,), blockSizeBytes=1000, ufsPath="s3://elsewhere"),
        "directory": directory_info("/d/a", 7),
    }
    return {name: file_pb2.GetStatusPResponse(fileInfo=info).SerializeToString() for name, info in made.items()}


def workers() -> dict[str, bytes]:
    made = block_pb2.GetWorkerInfoListPResponse()
    for number in range(3):
        worker = made.workerInfos.add(id=number + 1, state="In Service", capacityBytes=1 << 40, usedBytes=1 << 30)
        worker.address.CopyFrom(worker_address(number))
    return {"three": made.SerializeToString()}


def blocks() -> dict[str, bytes]:
    made = {"some": b"x" * 300, "few": b"y", "none": b""}
    chunks = {name: worker_pb2.ReadResponse(chunk=worker_pb2.Chunk(data=data)) for name, data in made.items()}
    return {**{name: chunk.SerializeToString() for name, chunk in chunks.items()}, "empty": b""}


def block_files() -> dict[str, bytes]:
    paths = {"tier": f"T/tier/alluxioworker/{BLOCK}", "secret": f"T/secret/{BLOCK}", "paged": "DUMMY_FILE_PATH"}
    return {name: worker_pb2.OpenLocalBlockResponse(path=path).SerializeToString() for name, path in paths.items()}


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


def h2() -> dict[str, bytes]:
    """What a worker says on a connection, behind what tests/c/test_h2_fuzz.c wants to know."""
    response = worker_pb2.ReadResponse(chunk=worker_pb2.Chunk(data=b"x" * 300)).SerializeToString()
    message = b"\0" + len(response).to_bytes(4, "big") + response
    greeting = _frame(4, 0, 0, struct.pack(">HIHI", 3, 100, 5, 1 << 20)) + _frame(4, 1, 0, b"")
    head, trailers = _frame(1, 4, 1, b"\x88_headers"), _frame(1, 5, 1, b"\x40\x0bgrpc-status\x010")
    made = {
        "answer": [greeting, head, _frame(0, 0, 1, message), trailers],
        "pieces": [
            greeting,
            head,
            *(_frame(0, 0, 1, (2 * message)[at : at + 100]) for at in range(0, 632, 100)),
            trailers,
        ],
        "padded": [greeting, head, _frame(0, 8, 1, b"\x09" + message + bytes(9)), _frame(6, 0, 0, bytes(8)), trailers],
        "refused": [greeting, _frame(1, 5, 1, b"\x88\x40\x0bgrpc-status\x015")],
        "reset": [greeting, head, _frame(0, 0, 1, message[:50]), _frame(3, 0, 1, struct.pack(">I", 2))],
        "going-away": [greeting, head, _frame(7, 0, 0, struct.pack(">II", 1, 0)), _frame(0, 0, 1, message), trailers],
        "flow": [
            greeting,
            _frame(8, 0, 0, struct.pack(">I", 1 << 20)),
            _frame(8, 0, 1, struct.pack(">I", 7)),
            head,
            trailers,
        ],
    }
    return {
        name: b"\1" + struct.pack("<Q", number) + b"".join(parts) for number, (name, parts) in enumerate(made.items())
    }


def local() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as top:
        store = LocalStore(top, 16 << 20, of_cache.PAGE, make_evictor("LRUCacheEvictor"))
        store.restore()
        held = store.hold(of_cache.DIGEST, of_cache.SIZE)
        held.write(0, memoryview(of_cache.CONTENTS), 0)
        held.release()
        raw = Path(top, "alluxio-jnifuse", "LOCAL", name_of(of_cache.DIGEST) + SUMS).read_bytes()
        store.close()
    part = bytearray(raw)
    part[64 + 8 : 64 + 24] = bytes(16)
    how = {"whole": 0, "sealed": of_cache.SEALED, "stretched": of_cache.SEALED | of_cache.STRETCHED}
    return {**{name: bytes([byte]) + raw for name, byte in how.items()}, "part": b"\0" + part}


def rocks() -> dict[str, bytes]:
    identity = identity_of(of_cache.DIGEST)
    data = memoryview(of_cache.CONTENTS)[: of_cache.PAGE]
    run = bytes(make_sums(data, identity, 0)) + data
    first = ((of_cache.DIGEST, 0), Stored(of_cache.SIZE, 1e9, (Piece(of_cache.SEGMENT, 3, 1),)))
    second = ((of_cache.DIGEST, 1), Stored(of_cache.SIZE, 1e9, (Piece(of_cache.SEGMENT, 2, 2),)))
    made = {}
    for name, gone, pages in (("page", [], [first]), ("part", [(bytes(16), 5)], [first, second]), ("nothing", [], [])):
        raw = encode(of_cache.SEGMENT, gone, pages, of_cache.PAGE)
        for how in (0, of_cache.SEALED):
            made[f"{name}{'-sealed' if how else ''}"] = bytes([how]) + of_cache.LENGTH.pack(len(raw)) + raw + run
    return made


def properties() -> dict[str, bytes]:
    text = (
        "# the cluster's\nalluxio.master.hostname=master\nalluxio.user.client.cache.enabled = true\n"
        "alluxio.user.client.cache.size: 2GB\nalluxio.fuse.mount.options=attr_timeout=7200,\\\n    entry_timeout=7200\n"
        "alluxio.user.metadata.cache.expiration.time 2day\n! none\nfs.oss.endpoint=oss-cn-x.example\n"
        "alluxio.logs.dir=/opt/l\\u00f6gs\nalluxio.user.file.readtype.default=CACHE\n"
    )
    return {
        "site": text.encode(),
        "latin": text.encode().replace(b"\\u00f6", b"\xf6"),
        "options": b"-Xmx1g -Da.b='c d' $HOME",
    }


def configuration() -> dict[str, bytes]:
    return {"site": properties()["site"]}


def mounts() -> dict[str, bytes]:
    lines = (
        b"22 27 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n"
        b"45 27 0:41 / /mnt/a\\040b\\134 ro,nosuid shared:20 master:1 - fuse.alluxio-fuse alluxio\\040fuse ro\n"
        b"46 27 259:2 /sub /mnt/\xff\r rw - ext4 /dev/vda1 rw\n"
    )
    assert len(table.parse(lines)) == 3
    return {"three": lines, "one": lines.splitlines(keepends=True)[1]}


def authentication() -> dict[str, bytes]:
    accepted = sasl_pb2.SaslMessage(messageType=sasl_pb2.SUCCESS, clientId="a").SerializeToString()
    asked = sasl_pb2.SaslMessage(messageType=sasl_pb2.CHALLENGE, message=b"what else?").SerializeToString()
    return {
        "accepted": b"\0" + BETWEEN + accepted,
        "asked": b"\0" + BETWEEN + asked,
        "refused": b"\x10Plain authentication failed" + BETWEEN,
        "gone": b"\x02Stream removed" + BETWEEN,
    }


def registry() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as top:
        path = Registry([top]).add(
            record_of_this_process("/mnt/\u8bad\udcff", "/", "oss://b/", "/var/log/x.log", 1 << 30)
        )
        made = json.loads(Path(path).read_text(encoding="ascii"))
    words = {"pid": PID, "start_time": START, "pid_namespace": NAMESPACE}
    for name in words:
        made[name] = name.upper()
    text = json.dumps(made).encode()
    for name, word in words.items():
        text = text.replace(b'"%s"' % name.upper().encode(), word)
    older = text.replace(b', "cache_bytes": 1073741824', b"")
    return {
        "usual": text,
        "older": older,
        "dead": text.replace(START, b"1"),
        "elsewhere": text.replace(NAMESPACE, b"1"),
    }


def journal() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as top:
        path = Path(top, "a.journal")
        kept = Journal(str(path))
        for file in of_runtime.FILES[:2]:
            kept.add(file)
        data = path.read_bytes()
    return {"two": data, "torn": data[:-3], "empty": b""}


def web() -> dict[str, bytes]:
    usual = b"GET /metrics/prometheus?x=1 HTTP/1.1\r\nHost: 127.0.0.1:49999\r\nAccept: */*\r\n\r\n"
    return {
        "usual": usual,
        "named": usual.replace(b"127.0.0.1", b"this.one"),
        "head": usual.replace(b"GET", b"HEAD").replace(b"127.0.0.1", b"[::1]"),
        "stranger": usual.replace(b"127.0.0.1", b"evil.example"),
    }


def main() -> None:
    for made in (
        *(http, listing, refusal, credentials, files, status, workers, blocks, block_files, h2, local, rocks),
        *(properties, configuration, mounts, authentication, registry, journal, web),
    ):
        directory = CORPUS / made.__name__.replace("_", "-")
        directory.mkdir(parents=True, exist_ok=True)
        for name, data in made().items():
            (directory / f"{name}.bin").write_bytes(data)


if __name__ == "__main__":
    main()
