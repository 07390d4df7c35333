"""A bare gRPC client in Python: takes the messages of ReadBlock as bytes, and does nothing with them.

`python -m benchmarks.grpc_reader MASTER STREAMS PATH...` reads the blocks of each file one after the other, STREAMS
files at once, and prints bytes, seconds and CPU seconds. No acknowledgements are sent: with them it is slower.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Outcome

_ROOT = Path(__file__).parents[1]
_TIMEOUT_S = 300
_CHUNK_BYTES = 1 << 20
_MOST_MESSAGE_BYTES = 16 << 20


class _Block(NamedTuple):
    target: str
    id: int
    length: int


def read(master: str, streams: int, paths: list[str]) -> Outcome:
    """Runs the program; the count is in GB."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.grpc_reader", master, str(streams), *paths],
        capture_output=True, timeout=_TIMEOUT_S, check=False, cwd=_ROOT,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"grpc_reader: {done.stderr.decode().strip()}")
    count, seconds, cpu_s = (float(word) for word in done.stdout.split())
    return Outcome(count / 1e9, seconds, cpu_s)


def _main(master: str, streams: str, *paths: str) -> None:
    import grpc

    from alluxio_jnifuse.sources.alluxio.from_config import user_name
    from alluxio_jnifuse.sources.alluxio.rpc.channel import Channel
    from alluxio_jnifuse.sources.alluxio.settings import Settings

    settings = Settings(masters=(master,), user=user_name())
    files = [_blocks(settings, path) for path in paths]
    target = files[0][0].target
    session = Channel(target, settings).session()  # the worker knows its users by the channel id alone
    options = (("grpc.max_receive_message_length", _MOST_MESSAGE_BYTES),)
    with grpc.insecure_channel(target, options) as channel, ThreadPoolExecutor(int(streams)) as threads:
        grpc.channel_ready_future(channel).result(_TIMEOUT_S)
        start, cpu = time.perf_counter(), time.process_time()
        count = sum(threads.map(lambda blocks: sum(_read(channel, session, block) for block in blocks), files))
        print(count, time.perf_counter() - start, time.process_time() - cpu, flush=True)


def _blocks(settings: object, path: str) -> list[_Block]:
    from alluxio_jnifuse.sources.alluxio.metadata.master import MasterClient

    master = MasterClient(settings)
    try:
        infos = [each.blockInfo for each in master.get_status(path).fileBlockInfos]
    finally:
        master.close()
    addresses = [info.locations[0].workerAddress for info in infos]
    return [
        _Block(f"{address.host}:{address.rpcPort}", info.blockId, info.length)
        for info, address in zip(infos, addresses)
    ]


def _read(channel: object, session: object, block: _Block) -> int:
    """Reads one block, and returns how many bytes came; a message's are those of its chunk and a few more."""
    from alluxio_jnifuse.sources.alluxio.proto import worker_pb2
    from alluxio_jnifuse.sources.alluxio.rpc import requests
    from alluxio_jnifuse.sources.alluxio.rpc.streams import READ_BLOCK, Requests

    options = worker_pb2.OpenUfsBlockOptions()
    request = requests.read_block(block.id, 0, block.length, _CHUNK_BYTES, options).SerializeToString()
    held = Requests(request)  # a call that is half-closed before its last byte is cut short
    messages: Iterator[bytes] = channel.stream_stream(READ_BLOCK)(held, metadata=session.metadata)
    count = 0
    while count < block.length:
        count += len(next(messages))
    held.close()
    assert next(messages, None) is None
    return block.length


if __name__ == "__main__":
    _main(*sys.argv[1:])
