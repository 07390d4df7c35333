"""A master and workers in this process, files in them, and the source that reads them."""

from __future__ import annotations

import gc
import hashlib
import os
import sys
import threading
import time
import types
from collections.abc import Callable, Sequence
from typing import Any

from fake_server import FakeServer
from fake_worker import FakeWorker

from alluxio_jnifuse.errors import forget_frames
from alluxio_jnifuse.sources.alluxio.metadata.master import MasterClient
from alluxio_jnifuse.sources.alluxio.proto import block_pb2, common_pb2, file_pb2
from alluxio_jnifuse.sources.alluxio.settings import Settings
from alluxio_jnifuse.sources.alluxio.source import AlluxioSource
from alluxio_jnifuse.sources.base import OpenFile

QUICK: dict[str, Any] = {
    "user": "alice",
    "rpc_retry_base_s": 0.02,
    "rpc_retry_max_sleep_s": 0.1,
    "rpc_retry_max_duration_s": 2.0,
    "read_retry_base_s": 0.02,
    "read_retry_max_sleep_s": 0.1,
    "read_retry_max_duration_s": 1.5,
    "read_timeout_s": 6.0,  # a worker may be silent for a sixth of this
    "slow_rpc_s": 0.0,
    "short_circuit": False,
    "remembered_s": 60.0,
}


def pattern(name: str, length: int) -> bytes:
    """Bytes that no other name has, and that no shift of them is."""
    return hashlib.shake_128(name.encode()).digest(length)


class FakeCluster:
    """Workers are numbered; files are made by `put`. Sources of it are closed with it."""

    def __init__(self, workers: int = 2, addresses: Sequence[str] = (), **more: Any) -> None:
        """`more`: as for FakeServer."""
        self.store: dict[str, bytes] = {}  # the under store
        self.master = FakeServer(**more)
        self.workers = [FakeWorker(self.store, each, **more) for each in addresses or ["127.0.0.1:0"] * workers]
        self.gone: set[int] = set()  # workers whom the master does not know any more
        self.names = [""] * len(self.workers)  # see FakeWorker.address
        self.targets = [worker.target for worker in self.workers]  # what the master tells
        self._file_id = 0
        gc.disable()  # `File.read` sees what would keep a reader's buffer until the next collection
        self._sources: list[AlluxioSource] = []
        self.master.on("GetWorkerInfoList", self._list_workers)

    def close(self) -> None:
        for source in self._sources:
            source.close()
        for server in (self.master, *self.workers):
            server.close()
        gc.enable()

    def put(
        self,
        path: str,
        data: bytes,
        block_size: int,
        holders: Sequence[int] = (),
        *,
        persisted: bool = True,
        held: Sequence[int] | None = None,
    ) -> list[int]:
        """Makes a file, or replaces one, and returns the ids of its blocks.

        The master says that `holders` have them; `held` (default: the same) really do. What was there is deleted,
        its blocks too.
        """
        self.delete(path)
        self._file_id += 1
        info = file_pb2.FileInfo(
            fileId=self._file_id << 24 | 0xFFFFFF,
            name=path.rpartition("/")[2],
            path=path,
            ufsPath=f"file://{path}" if persisted else "",
            length=len(data),
            blockSizeBytes=block_size,
            completed=True,
            lastModificationTimeMs=1_700_000_000_000 + self._file_id,
            owner="alice",
            group="staff",
            mode=0o644,
            persistenceState="PERSISTED" if persisted else "NOT_PERSISTED",
            mountId=1,
            replicationMax=-1,
        )
        if persisted:
            self.store[info.ufsPath] = data
        for index in range(-(-len(data) // block_size)):
            block = info.fileBlockInfos.add(offset=index * block_size).blockInfo
            block.blockId = self._file_id << 24 | index
            block.length = min(block_size, len(data) - index * block_size)
            info.blockIds.append(block.blockId)
            for number in holders:
                block.locations.add(workerId=number + 1, workerAddress=self.address(number))
            for number in holders if held is None else held:
                part = data[index * block_size : (index + 1) * block_size]
                self.workers[number].blocks[block.blockId] = part
        self.master.files[path] = info
        return list(info.blockIds)

    def delete(self, path: str) -> None:
        """The file, its blocks, and what the under store has."""
        info = self.master.files.pop(path, None)
        if info is not None:
            self.store.pop(info.ufsPath, None)
            self.evict(path)

    def evict(self, path: str, *numbers: int) -> None:
        """Workers (default: all) lose the blocks of a file, which the master learns later."""
        info = self.master.files.get(path)
        for number in numbers or range(len(self.workers)):
            held = self.workers[number].blocks
            for block in list(held) if info is None else info.blockIds:
                if info is not None or not self._belongs(block):
                    held.pop(block, None)

    def _belongs(self, block: int) -> bool:
        return any(block in info.blockIds for info in self.master.files.values())

    def locate(self, path: str, *numbers: int) -> None:
        """From now on the master says that these workers hold the blocks of a file."""
        info = file_pb2.FileInfo.FromString(self.master.files[path].SerializeToString())
        for part in info.fileBlockInfos:
            del part.blockInfo.locations[:]
            for number in numbers:
                part.blockInfo.locations.add(workerId=number + 1, workerAddress=self.address(number))
        self.master.files[path] = info

    def address(self, number: int) -> common_pb2.WorkerNetAddress:
        """As the master tells it."""
        made = self.workers[number].address(self.names[number])
        host, _, port = self.targets[number].rpartition(":")
        if host != made.host:
            made.containerHost = host
        made.dataPort = int(port)
        return made

    def source(self, **settings: Any) -> AlluxioSource:
        """A source of it, connected."""
        chosen = Settings(masters=(self.master.target,), **{**QUICK, **settings})
        made = AlluxioSource(chosen, MasterClient(chosen), b"/")
        self._sources.append(made)
        made.connect()
        return made

    def asked(self, method: str = "GetStatus") -> int:
        """How often the master was asked."""
        return self.master.count(method)

    def _list_workers(self, _request: bytes, _context: object) -> block_pb2.GetWorkerInfoListPResponse:
        made = block_pb2.GetWorkerInfoListPResponse()
        for number in range(len(self.workers)):
            if number not in self.gone:
                made.workerInfos.add(id=number + 1, address=self.address(number), capacityBytes=1 << 40)
        return made


class File:
    """An open file of a source, as the core uses it."""

    def __init__(self, source: AlluxioSource, path: str) -> None:
        self.source = source
        self.path = path.encode()
        self.opened: OpenFile = source.open(self.path, source.stat(self.path).version)
        self.size = self.opened.size
        self.final = bytearray()  # of the last read that was begun

    def read(self, offset: int, length: int, progress: Callable[[int], None] | None = None) -> bytes:
        """One range; what was reported as final is what is there in the end."""
        buffer = bytearray(length)
        final = self.final = bytearray()

        def note(filled: int) -> None:
            assert filled >= len(final), "progress went backwards"
            final.extend(memoryview(buffer)[len(final) : filled])
            if progress is not None:
                progress(filled)

        try:
            count = self.source.read_into(self.opened.handle, offset, memoryview(buffer), note)
        except BaseException as error:
            forget_frames(error)  # as fetcher.py does
            _must_be_free(buffer)
            raise
        _must_be_free(buffer)
        assert final == memoryview(buffer)[:count], "final bytes changed, or nobody was told of them"
        return bytes(final)

    def read_all(self, piece: int, threads: int = 1) -> bytes:
        """All of it, in pieces that several threads take in order."""
        return self.read_ranges([(at, min(piece, self.size - at)) for at in range(0, self.size, piece)], threads)

    def read_ranges(self, ranges: Sequence[tuple[int, int]], threads: int) -> bytes:
        """The ranges, one behind the other in the result, each read by the thread that takes it; raises as they do."""
        parts: list[bytes] = [b""] * len(ranges)
        errors: list[BaseException] = []
        lock = threading.Lock()
        left = iter(range(len(ranges)))

        def work() -> None:
            try:
                while not errors:
                    with lock:
                        number = next(left, None)
                    if number is None:
                        return
                    parts[number] = self.read(*ranges[number])
            except BaseException as error:
                errors.append(error)

        run_all([work] * threads)
        if errors:
            raise errors[0]
        return b"".join(parts)

    def close(self) -> None:
        self.source.close_file(self.opened.handle)


def _must_be_free(buffer: bytearray) -> None:
    """Nobody keeps the buffer of a read that is over: the core waits for it."""
    try:
        buffer.append(0)
    except BufferError:
        raise AssertionError("the source kept the buffer") from None
    del buffer[-1]


def run_all(functions: Sequence[Callable[[], None]], timeout: float = 120.0) -> None:
    """Runs functions in threads of their own, to their end."""
    made = [threading.Thread(target=function, daemon=True) for function in functions]
    deadline = time.monotonic() + timeout
    for thread in made:
        thread.start()
    for thread in made:
        thread.join(max(0.0, deadline - time.monotonic()))
    assert not any(thread.is_alive() for thread in made), f"threads still run after {timeout:g} s"


def _frames() -> list[types.FrameType]:
    """Where every thread is. Nothing is collected meanwhile: a finalizer may wait for a thread, and all are locked."""
    collects = gc.isenabled()
    gc.disable()
    try:
        return list(sys._current_frames().values())
    finally:
        if collects:
            gc.enable()


def waiting_in(module: str) -> int:
    """How many threads wait for an event or a condition, in code of a module ("attempts.py")."""
    count = 0
    for frame in _frames():
        if os.path.basename(frame.f_code.co_filename) != "threading.py":
            continue
        caller: types.FrameType | None = frame
        while caller is not None and os.path.basename(caller.f_code.co_filename) == "threading.py":
            caller = caller.f_back
        count += caller is not None and os.path.basename(caller.f_code.co_filename) == module
    return count
