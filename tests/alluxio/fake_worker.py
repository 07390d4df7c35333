"""A worker of Alluxio in this process, which serves blocks, as badly as a test wants, and what lies between."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import grpc
from fake_server import FakeServer

from alluxio_jnifuse.sources.alluxio.proto import common_pb2, worker_pb2

MIB = 1 << 20
_CHUNK_BYTES = 64 << 10
_WAIT_S = 100.0


class Read(NamedTuple):
    """A ReadBlock call; `ufs`: the path in the under store, "" when the block is wanted as it is held."""

    block: int
    offset: int
    length: int
    positioned: bool
    ufs: str

    @property
    def end(self) -> int:
        """Of the range."""
        return self.offset + self.length


Fault = Callable[["FakeWorker", Read, bytes, grpc.ServicerContext], Iterator[bytes]]


class FakeWorker(FakeServer):
    """Holds `blocks` by id, and gets others from `store`, the under store by path; `reads`: what it was asked for.

    `faults`: each ReadBlock call takes the first one; where there is none it behaves. `too_early`: blocks of which a
    copy was asked for while a call fetched them from their start: a real worker makes none then.
    """

    def __init__(self, store: dict[str, bytes], address: str = "127.0.0.1:0", **more: Any) -> None:
        super().__init__(address, **more)
        self.blocks: dict[int, bytes] = {}
        self.reads: list[Read] = []
        self.copies: list[worker_pb2.CacheRequest | worker_pb2.AsyncCacheRequest] = []
        self.faults: list[Fault] = []
        self.always: Fault | None = None  # for the calls that get none of these
        self.under_way = 0  # lock
        self.too_early: list[int] = []
        self._fetching: list[int] = []  # lock
        self._store = store
        self.on("ReadBlock", self._read_block)
        self.on("Cache", self._cache)
        self.on("AsyncCache", self._async_cache)

    def address(self, host: str = "") -> common_pb2.WorkerNetAddress:
        """As a master tells it. `host`: another name for it, to which nobody connects."""
        own, _, port = self.target.rpartition(":")
        made = common_pb2.WorkerNetAddress(host=host or own, rpcPort=int(port), dataPort=int(port))
        if host:
            made.containerHost = own
        return made

    def begun(self, block: int) -> list[Read]:
        """The calls for a block so far."""
        with self.lock:
            return [read for read in self.reads if read.block == block]

    def _read_block(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        request = worker_pb2.ReadRequest.FromString(next(messages))
        options = request.open_ufs_block_options
        read = Read(request.block_id, request.offset, request.length, request.position_short, options.ufs_path)
        fetched = [read.block] if read.ufs and not read.offset else []
        with self.lock:
            self.reads.append(read)
            self.under_way += 1
            self._fetching += fetched
            fault = self.faults.pop(0) if self.faults else self.always
            self.lock.notify_all()
        context.add_callback(self._ended)
        try:
            yield from self._send(read, options, fault, messages, context)
        finally:
            with self.lock:
                for block in fetched:
                    self._fetching.remove(block)

    def _send(
        self,
        read: Read,
        options: worker_pb2.OpenUfsBlockOptions,
        fault: Fault | None,
        messages: Iterator[bytes],
        context: grpc.ServicerContext,
    ) -> Iterator[bytes]:
        data = self.blocks.get(read.block)
        if data is None and read.ufs:
            if read.ufs not in self._store:
                context.abort(grpc.StatusCode.UNAVAILABLE, f"{read.ufs} cannot be opened")
            data = self._store[read.ufs][options.offset_in_file :][: options.block_size]
        if data is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"BlockMeta not found for blockId {read.block}")
            return
        data = data[read.offset : read.end]
        if fault is not None:
            yield from fault(self, read, data, context)
            return
        yield from chunks(data)
        for _ in messages:  # until the client half-closes
            pass

    def _ended(self) -> None:
        with self.lock:
            self.under_way -= 1
            self.lock.notify_all()

    def _cache(self, request: bytes, _: grpc.ServicerContext) -> worker_pb2.CacheResponse:
        copy = worker_pb2.CacheRequest.FromString(request)
        with self.lock:
            self.copies.append(copy)
            if copy.block_id in self._fetching:
                self.too_early.append(copy.block_id)
            self.lock.notify_all()
        return worker_pb2.CacheResponse()

    def _async_cache(self, request: bytes, _: grpc.ServicerContext) -> worker_pb2.AsyncCacheResponse:
        with self.lock:
            self.copies.append(worker_pb2.AsyncCacheRequest.FromString(request))
            self.lock.notify_all()
        return worker_pb2.AsyncCacheResponse()


def chunks(data: bytes, size: int = _CHUNK_BYTES) -> Iterator[bytes]:
    """The messages that carry some bytes."""
    for at in range(0, len(data), size):
        yield chunk(data[at : at + size])


def chunk(data: bytes) -> bytes:
    """One message."""
    return worker_pb2.ReadResponse(chunk=worker_pb2.Chunk(data=data)).SerializeToString()


# ---------------------------------------------------------------------------------------------------------- faults
# Those that happen somewhere happen at a place of the block, however it is asked for.


def _before(place: int, read: Read, data: bytes) -> Iterator[bytes]:
    yield from chunks(data[: max(0, place - read.offset)])


def stall(place: int) -> Fault:
    """From there on sends nothing, and does not hang up."""

    def fault(worker: FakeWorker, read: Read, data: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from _before(place, read, data)
        if read.end > place:
            with worker.lock:
                worker.lock.wait_for(lambda: not context.is_active(), _WAIT_S)

    return fault


def short(place: int) -> Fault:
    """Says that this is all."""
    return lambda _worker, read, data, _context: _before(place, read, data)


def more(extra: bytes) -> Fault:
    """Sends more than it was asked for, in the last message."""
    return lambda _worker, _read, data, _context: iter((*chunks(data[:-1000]), chunk(data[-1000:] + extra)))


def failing(status: grpc.StatusCode, place: int = 0, details: str = "a fault") -> Fault:
    """Fails there."""

    def fault(_worker: FakeWorker, read: Read, data: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from _before(place, read, data)
        if read.end > place:
            context.abort(status, details)

    return fault


def message(said: bytes, place: int = 0) -> Fault:
    """Sends a message there that is none, and then goes on."""

    def fault(_worker: FakeWorker, read: Read, data: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from _before(place, read, data)
        if read.end > place:
            yield said
            yield from chunks(data[max(0, place - read.offset) :])

    return fault


def held(place: int, reached: threading.Event, go_on: threading.Event) -> Fault:
    """Stops there until it is told to go on."""

    def fault(_worker: FakeWorker, read: Read, data: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from _before(place, read, data)
        reached.set()
        go_on.wait(_WAIT_S)
        yield from chunks(data[max(0, place - read.offset) :])

    return fault


def slow(seconds: float) -> Fault:
    """Sends all, later."""

    def fault(_worker: FakeWorker, _read: Read, data: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
        time.sleep(seconds)
        yield from chunks(data)

    return fault


# ------------------------------------------------------------------------------------------------------ the network


class Proxy:
    """Stands between clients and a server, at `target`. `stalled`: nothing passes; `cut` resets connections.

    `cut_after`: bytes from the server, over all connections, after which they are reset, once.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []  # lock
        self._closed = False  # lock
        self._going = threading.Event()
        self._going.set()
        self.cut_after = 0
        self.accepted = 0  # connections so far
        threading.Thread(target=self._accept, daemon=True).start()

    def stall(self) -> None:
        """From now on nothing passes, and nobody hangs up."""
        self._going.clear()

    def go_on(self) -> None:
        """As if nothing had been."""
        self._going.set()

    def cut(self) -> None:
        """Resets all connections."""
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            try:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.shutdown(socket.SHUT_RD)
            except OSError:
                pass
            connection.close()

    def close(self) -> None:
        """Ends it, and its connections."""
        with self._lock:
            self._closed = True
        self._listener.close()
        self._going.set()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            host, _, port = self._server.rpartition(":")
            try:
                server = socket.create_connection((host, int(port)))
            except OSError:
                client.close()
                continue
            with self._lock:
                if not self._closed:
                    self.accepted += 1
                    self._connections += [client, server]
            if self._closed:
                client.close()
                server.close()
                return
            threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, down: bool) -> None:
        try:
            while data := source.recv(_CHUNK_BYTES):
                self._going.wait()
                sink.sendall(data)
                if down and self.cut_after:
                    self.cut_after -= min(len(data), self.cut_after)
                    if not self.cut_after:
                        self.cut()
        except OSError:
            pass
        for each in (source, sink):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
