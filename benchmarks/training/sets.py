"""Data sets as training programs keep them. Contents are random; sizes and names are the same every time."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import tarfile
from pathlib import Path

from benchmarks.training.mlperf import RETINANET

SHARD_BYTES = 130_000_000
VOLUME_BYTES = 100_000_000  # a sample of UNet3D
_RECORD_BYTES = (60_000, 160_000)  # of ImageNet: 110 KB on average
_TENSOR_BYTES = 16 << 20
_PER_DIRECTORY = 100
_NOISE = os.urandom(1 << 20)  # files are cut out of it; nothing on the way compresses


def make_retinanet(directory: Path, count: int) -> None:
    """One file a sample, in directories of 100."""
    for number in range(count):
        parent = directory / f"{number // _PER_DIRECTORY:03}"
        parent.mkdir(exist_ok=True)
        (parent / f"{number:06}.jpg").write_bytes(_noise(RETINANET.sample_bytes, number))


def make_volumes(directory: Path, count: int) -> None:
    """Large files, each of which is one sample."""
    for number in range(count):
        (directory / f"case_{number:05}.npz").write_bytes(_noise(VOLUME_BYTES, number))


def make_tfrecords(directory: Path, size: int) -> None:
    """Shards of TFRecords, `size` bytes in all."""
    for number in range(-(-size // SHARD_BYTES)):
        lengths = random.Random(number)
        left = min(SHARD_BYTES, size - number * SHARD_BYTES)
        with open(directory / f"train-{number:05}.tfrecord", "wb") as file:
            while left > 0:
                data = _noise(min(lengths.randint(*_RECORD_BYTES), left), left)
                file.write(record(data))
                left -= len(data) + 16


def record(data: bytes) -> bytes:
    """A record of the TFRecord format: its length, the check sum of that, the data, and theirs.

    The sums are 0: computing them takes longer than making all other data sets, and no reader here checks them.
    """
    return struct.pack("<QI", len(data), 0) + data + struct.pack("<I", 0)


def make_tars(directory: Path, size: int) -> None:
    """Shards of WebDataset, `size` bytes in all: each sample is an image and its class, beside each other."""
    sample = 0
    for number in range(-(-size // SHARD_BYTES)):
        lengths = random.Random(number)
        left = min(SHARD_BYTES, size - number * SHARD_BYTES)
        with tarfile.open(directory / f"train-{number:06}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            while left > 0:
                image = _noise(min(lengths.randint(*_RECORD_BYTES), left), left)
                _add(tar, f"{sample:08}.jpg", image)
                _add(tar, f"{sample:08}.cls", b"%d" % (sample % 1000))
                left -= len(image) + 2048
                sample += 1


def make_safetensors(directory: Path, size: int) -> None:
    """One model of float32 matrices, `size` bytes in all."""
    header: dict[str, object] = {}
    at = 0
    while at < size:
        length = min(_TENSOR_BYTES, size - at) // 4 * 4 or 4
        place = [at, at + length]
        header[f"layer.{len(header)}.weight"] = {"dtype": "F32", "shape": [length // 4], "data_offsets": place}
        at += length
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(directory / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        while at > 0:
            at -= file.write(_NOISE[:at])


def _noise(size: int, seed: int) -> bytes:
    start = seed * 4099 % len(_NOISE)
    return (_NOISE[start:] + _NOISE * (size // len(_NOISE) + 1))[:size]


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
