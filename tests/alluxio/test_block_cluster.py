"""Connections of our own for block data against real workers: they are what serves, not gRPC after them."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from cluster.cluster import Cluster
from fake_worker import Proxy

from alluxio_jnifuse.sources.alluxio.data.blockfiles import BlockFiles
from alluxio_jnifuse.sources.alluxio.data.shortcircuit import LocalBlocks
from alluxio_jnifuse.sources.alluxio.metadata.master import MasterClient
from alluxio_jnifuse.sources.alluxio.proto import worker_pb2
from alluxio_jnifuse.sources.alluxio.rpc import requests
from alluxio_jnifuse.sources.alluxio.settings import Settings
from alluxio_jnifuse.sources.alluxio.workers.link import WorkerLink

pytestmark = pytest.mark.cluster

MIB = 1 << 20
DATA = random.Random(5).randbytes(8 * MIB)


class Block(NamedTuple):
    """A block of DATA, and a way to the worker that has it."""

    id: int
    link: WorkerLink
    proxy: Proxy


@pytest.fixture
def block(cluster: Cluster) -> Iterator[Block]:
    """A block in the memory of a worker alone."""
    path = f"/block-{os.getpid()}"
    cluster.shell.write(path, DATA, block_size=8 * MIB, write_type="MUST_CACHE", overwrite=True)
    settings = Settings(masters=tuple(cluster.masters), user="alice")
    master = MasterClient(settings)
    try:
        info = master.get_status(path).fileBlockInfos[0].blockInfo
    finally:
        master.close()
    address = info.locations[0].workerAddress
    proxy = Proxy(f"{address.host}:{address.dataPort}")
    link = WorkerLink(proxy.target, settings)
    yield Block(info.blockId, link, proxy)
    link.close()
    proxy.close()


def read(block: Block, begin: int, end: int, chunk_bytes: int = MIB) -> bytes:
    """A range, in messages of that size."""
    request = requests.read_block(block.id, begin, end - begin, chunk_bytes, worker_pb2.OpenUfsBlockOptions())
    buffer = bytearray(end - begin)
    call = block.link.read(request.SerializeToString(), begin, end)
    filled = call.read_into(memoryview(buffer), 0, end - begin, lambda _: None)
    call.finish()
    return bytes(buffer[:filled])


def test_hundreds_of_reads_take_one_connection(block: Block) -> None:
    """Besides that of the channel, which authenticates; of any length, in messages of any size."""
    seed = random.Random(7)
    for _ in range(100):
        begin = seed.randrange(len(DATA))
        end = min(len(DATA), begin + 1 + seed.randrange(1 << seed.randrange(22)))
        assert read(block, begin, end, 1 << seed.randrange(14, 22)) == DATA[begin:end]
    assert block.proxy.accepted == 2


def test_a_block_file_is_asked_for_on_one_connection(block: Block) -> None:
    """And given back on it; one more is that of the thread that tells of the blocks that were opened without asking."""
    local = LocalBlocks(BlockFiles((), "alluxioworker"), promote=False)
    for _ in range(20):
        held = local.open(block.link, block.id, len(DATA))
        assert held is not None
        assert os.pread(held.fd, len(DATA), 0) == DATA
        held.close()
    assert read(block, 0, 100) == DATA[:100]
    assert block.proxy.accepted <= 3
