"""A fake worker that lends block files, and a source that takes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import grpc
from fake_cluster import FakeCluster

from alluxio_jnifuse.sources.alluxio.proto import worker_pb2
from alluxio_jnifuse.sources.alluxio.source import AlluxioSource


class Lender:
    """Has a FakeWorker answer OpenLocalBlock with files in `directory`."""

    def __init__(self, cluster: FakeCluster, directory: Path, number: int = 0) -> None:
        self.worker = cluster.workers[number]
        self.directory = directory
        self.locks = 0
        self.asked = 0
        self.answer = "{directory}/{block}"
        self.worker.on("OpenLocalBlock", self._open)

    def keep(self, blocks: list[int]) -> None:
        """Writes the files of blocks."""
        for block in blocks:
            (self.directory / str(block)).write_bytes(self.worker.blocks[block])

    def locked(self, number: int) -> None:
        """Waits until the locks of so many blocks are held."""
        self.worker.wait_for(lambda: self.locks == number)

    def unlocked(self) -> None:
        """Waits until nothing is lent."""
        self.locked(0)

    def _open(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        request = worker_pb2.OpenLocalBlockRequest.FromString(next(messages))
        with self.worker.lock:
            self.asked += 1
        if request.block_id not in self.worker.blocks:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such block")
        with self.worker.lock:
            self.locks += 1
            self.worker.lock.notify_all()
        context.add_callback(self._unlock)
        path = self.answer.format(directory=self.directory, block=request.block_id)
        yield worker_pb2.OpenLocalBlockResponse(path=path).SerializeToString()
        for _ in messages:
            pass

    def _unlock(self) -> None:
        with self.worker.lock:
            self.locks -= 1
            self.worker.lock.notify_all()


def lending(cluster: FakeCluster, **settings: object) -> AlluxioSource:
    return cluster.source(short_circuit=True, **settings)


def read(source: AlluxioSource, path: bytes = b"/f") -> tuple[bytes, int]:
    """All of a file, by what was lent or through the handle; and how many extents were lent."""
    opened = source.open(path, source.stat(path).version)
    if opened.extents:
        data = b"".join(os.pread(extent.fd, extent.length, extent.offset) for extent in opened.extents)
        for extent in opened.extents:
            os.close(extent.fd)
    else:
        buffer = bytearray(opened.size)
        source.read_into(opened.handle, 0, memoryview(buffer), lambda _: None)
        data = bytes(buffer)
    source.close_file(opened.handle)
    return data, len(opened.extents)
