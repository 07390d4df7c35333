"""How a worker reads one piece of a data set: a batch of files, a shard, a model.

Each function takes what Piece holds and yields how many samples it has read, a batch at a time. Bytes are read and
thrown away: decoding would hide what a mount costs. PyTorch's reader imports this under another interpreter.
"""

from __future__ import annotations

import struct
import tarfile
from collections.abc import Callable, Iterator, Sequence

BATCH = 256
_TF_BUFFER_BYTES = 256 << 10  # of TFRecordDataset, unless it is told


def files(paths: Sequence[str]) -> Iterator[int]:
    """A batch of files, each of which is a sample."""
    for path in paths:
        read_file(path)
    yield len(paths)


def read_file(path: str) -> int:
    """Opens a file, reads it whole and closes it, as the loaders of images do; its size."""
    with open(path, "rb") as file:
        return len(file.read())


def tfrecords(paths: Sequence[str]) -> Iterator[int]:
    """Shards of TFRecords: a header of 12 bytes, which tells the length, then the data and their sum of 4."""
    held = 0
    for path in paths:
        with open(path, "rb", buffering=_TF_BUFFER_BYTES) as file:
            while header := file.read(12):
                length = struct.unpack_from("<Q", header)[0]
                if len(file.read(length + 4)) != length + 4:
                    raise ValueError(f"{path} ends within a record")
                held += 1
                if held == BATCH:
                    yield held
                    held = 0
    yield held


def tars(paths: Sequence[str]) -> Iterator[int]:
    """Shards of WebDataset: a stream of members, two of which are a sample."""
    held = 0
    for path in paths:
        with open(path, "rb") as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                content = tar.extractfile(member)
                assert content is not None
                content.read()
                held += member.name.endswith(".jpg")
                if held == BATCH:
                    yield held
                    held = 0
    yield held


def tensors(paths: Sequence[str]) -> Iterator[int]:
    """Models, each tensor copied out of the mapped file; yields bytes."""
    from safetensors import safe_open

    for path in paths:
        with safe_open(path, framework="numpy") as model:
            for name in model.keys():  # noqa: SIM118 - it is no mapping
                yield model.get_tensor(name).nbytes


READS: dict[str, Callable[[Sequence[str]], Iterator[int]]] = {
    "files": files,
    "tfrecords": tfrecords,
    "tars": tars,
    "tensors": tensors,
}
