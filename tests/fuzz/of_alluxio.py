"""What masters and workers send: listings, statuses, lists of workers, bytes of blocks and where block files lie."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from alluxio_jnifuse._core import ENTRY_BYTES
from alluxio_jnifuse.sources.alluxio.data.blockfiles import BlockFiles
from alluxio_jnifuse.sources.alluxio.metadata.cache import MISSING, MetadataCache
from alluxio_jnifuse.sources.alluxio.metadata.owners import Owners
from alluxio_jnifuse.sources.alluxio.metadata.status import Addresses, FileStatus, attr, from_info
from alluxio_jnifuse.sources.alluxio.proto import block_pb2, file_pb2, sasl_pb2, worker_pb2
from alluxio_jnifuse.sources.alluxio.rpc.errors import CallError, diagnose
from alluxio_jnifuse.sources.alluxio.rpc.messages import Malformed, parts
from alluxio_jnifuse.sources.alluxio.rpc.session import SaslSession
from alluxio_jnifuse.sources.alluxio.rpc.streams import MalformedChunk, payload
from alluxio_jnifuse.sources.alluxio.settings import Settings
from fuzz.parser import Parser

_MOST_PATHS = 10_000
_ROWS = 2_000  # until a mount begins anew: how much it remembers of a cluster is bounded, but not by 64 MiB
BLOCK = 1260
BETWEEN = b"\n\0\n"  # of an input of `authentication`
_STATUSES = tuple(grpc.StatusCode)

_WORDS = (
    *(
        b"\x0a",
        b"\x12",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\xff\xff\xff\xff\x0f",
        b"\x80",
        b"\x7f",
        b"\x00",
    ),
    *(
        b"\x48\x01",
        b"\x48\x00",
        b"\x40\x00",
        b"\x68\x01",
        b"\x28\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x30\x01",
        b"\x30\x00",
    ),
    *(
        b"\x12\x02..",
        b"\x12\x01/",
        b"\x12\x00",
        b"\x12\x01\x00",
        b"\xaa\x01\x00",
        b"\x22\x02/x",
        b"PERSISTED",
        b"\xed\xa0\x80",
    ),
)


def _files() -> Callable[[bytes], object]:
    """A listing, and the status of each file as it is remembered of that."""
    owners = Owners(0, 0)
    made = 0

    def take(data: bytes) -> None:
        nonlocal made, cache
        made += 1
        if not made % _ROWS:
            cache = MetadataCache(_MOST_PATHS, 1e9)
        infos = (file_pb2.ListStatusPResponse.FromString(part).fileInfos for part in parts(data, 1000))
        listing = cache.put_listing(b"/d", infos, owners, float(made))
        assert len(listing.entries) % ENTRY_BYTES == 0
        for part in parts(data):
            for info in file_pb2.ListStatusPResponse.FromString(part).fileInfos:
                found = cache.get(b"/d/" + info.name.encode(), made + 1.0)
                assert found is None or found is MISSING or found.completed

    cache = MetadataCache(_MOST_PATHS, 1e9)
    return take


def _status() -> Callable[[bytes], object]:
    """One status, which is remembered as it is."""
    cache = MetadataCache(_MOST_PATHS, 1e9)
    owners = Owners(0, 0)
    made = 0

    def take(data: bytes) -> None:
        nonlocal made, cache
        made += 1
        if not made % _ROWS:
            cache = MetadataCache(_MOST_PATHS, 1e9)
        status = from_info(file_pb2.GetStatusPResponse.FromString(data).fileInfo, cache.addresses)
        attr(status, owners)
        if not status.name or "/" in status.name:
            return
        path = b"/d/" + status.name.encode()
        cache.put(path, status, float(made))
        found = cache.get(path, made + 1.0)
        if status.completed:
            assert isinstance(found, FileStatus)
            assert found == status._replace(folder=found.folder)
        else:
            assert found is None

    return take


def _workers() -> Callable[[bytes], object]:
    addresses = Addresses()

    def take(data: bytes) -> None:
        for worker in block_pb2.GetWorkerInfoListPResponse.FromString(data).workerInfos:
            address = addresses.of(worker.address)
            assert address == addresses.of(worker.address)
            hash(address.endpoint)

    return take


def _blocks() -> Callable[[bytes], object]:
    """A piece of a block, which is compared with what protobuf makes of it."""

    def take(data: bytes) -> None:
        said = bytes(payload(data))
        assert said == worker_pb2.ReadResponse.FromString(data).chunk.data

    return take


def _block_files() -> Callable[[bytes], object]:
    """Where a worker says that a block's file lies: `T` stands for a directory, beside which there is a secret."""
    top = Path(tempfile.mkdtemp())
    for name in ("tier/alluxioworker", "secret"):
        (top / name).mkdir(parents=True)
        (top / name / str(BLOCK)).write_text(name)
    (top / "tier" / "link").symlink_to(top / "secret")
    files = [BlockFiles((), "alluxioworker"), BlockFiles((str(top / "tier"),), "alluxioworker")]

    def take(data: bytes) -> None:
        path = worker_pb2.OpenLocalBlockResponse.FromString(data).path.replace("T", str(top))
        for each in files:
            place = each.place_of(path, BLOCK)
            if place is None:
                continue
            place.is_seen()
            fd, text = place.open(BLOCK, 0), bytearray(4)
            read = place.read(BLOCK, 0, 0, memoryview(text))
            assert read == (fd is not None)
            if fd is not None:
                assert os.read(fd, 100) == b"tier/alluxioworker"
                os.close(fd)
                assert text == b"tier"

    return take


class _Answered(grpc.RpcError):
    """The `authenticate` stream of a server that says what an input has: a status, words about it, and a message."""

    def __init__(self, data: bytes, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        said, _, self._message = data.partition(BETWEEN)
        self._status = _STATUSES[said[0] % len(_STATUSES)] if said else grpc.StatusCode.OK
        self._details = said[1:].decode("utf-8", "replace")
        self._given = self._ended = False

    def stream_stream(self, method: str, request_serializer: Any, response_deserializer: Any) -> Any:
        self._parse = response_deserializer
        return self._begin

    def _begin(self, requests: Iterator[Any]) -> _Answered:
        self._requests = requests
        return self

    def add_callback(self, callback: Callable[[], None]) -> bool:
        self._on_end = callback
        self._taken = self._threads.submit(list, self._requests)
        return True

    def __next__(self) -> Any:
        """Answers like gRPC: the message, then the status; a message that is none ends the call."""
        try:
            if self._message and not self._given:
                self._given = True
                return self._parse(self._message)
        except DecodeError:
            self._status = grpc.StatusCode.INTERNAL
        if self._status is grpc.StatusCode.OK:
            raise StopIteration
        raise self

    def code(self) -> grpc.StatusCode:
        return self._status

    def details(self) -> str:
        return self._details

    def cancel(self) -> None:
        if not self._ended:
            self._ended = True
            self._on_end()
            self._taken.result()


def _authentication() -> Callable[[bytes], object]:
    settings = Settings(("master:19998",), "somebody", impersonated="another")
    threads = ThreadPoolExecutor(1)  # one for all inputs: each would take addresses anew, of which there are few

    def take(data: bytes) -> None:
        answered: Any = _Answered(data, threads)
        session = SaslSession()
        failure = None
        try:
            session.open(answered, "master:19998", settings, 60.0)
            assert session.alive
        except CallError as error:
            failure = error
        finally:
            session.end()
        if failure is None:
            assert sasl_pb2.SaslMessage.FromString(data.partition(BETWEEN)[2]).messageType == sasl_pb2.SUCCESS
        else:
            assert len(str(failure)) < 1000
            assert sum(map(len, diagnose(failure)[:2])) < 1000

    return take


PARSERS = {
    "authentication": Parser(
        _authentication,
        (),
        (
            BETWEEN,
            b"\x08\x01",
            b"\x08\x00",
            b"\x12\x00",
            b"\x1a\x02..",
            b"\xff" * 9,
            b"Stream removed",
            b"\x1b[2J",
            b"\xed\xa0\x80",
        ),
        most=4096,
    ),
    "files": Parser(_files, (DecodeError, Malformed, NotADirectoryError), _WORDS),
    "status": Parser(_status, (DecodeError,), _WORDS),
    "workers": Parser(_workers, (DecodeError,), _WORDS),
    "blocks": Parser(_blocks, (MalformedChunk,), _WORDS),
    "block-files": Parser(
        _block_files,
        (DecodeError,),
        (b"/", b"..", b"\0", b"T", b"/secret", b"/link", b"/alluxioworker/1260", b"1260", b"/proc/self/cwd"),
        most=8192,
    ),
}
