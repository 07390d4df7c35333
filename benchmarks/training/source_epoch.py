"""One epoch from the source of a bucket: what the storage and our reading of it give, without a mount.

`python -m benchmarks.training.source_epoch URI PROPERTIES WORKERS FILES <PATHS` is as epoch.py, but reads PATHS from
the source of URI, each whole: small ones by `read_small`, others in steps. PROPERTIES is a JSON object. Each worker has
a source of its own, and knows the names of the files before the clock is started, as a mount does that has listed them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence

from benchmarks.training import epoch

_STEP_BYTES = 8 << 20


class _Reader:
    """Reads files of one source; made before the workers are, connected in each of them."""

    def __init__(self, uri: str, properties: dict[str, str], paths: Sequence[str]) -> None:
        self._uri = uri
        self._properties = properties
        self._directories = sorted({os.path.dirname(path) or "/" for path in paths})
        self._buffer = memoryview(bytearray(_STEP_BYTES))

    def start(self) -> None:
        """Connects, and lists all directories."""
        from alluxio_jnifuse.config.values import Config
        from alluxio_jnifuse.sources import open_source

        properties = [f"{name}={value}" for name, value in self._properties.items()]
        config = Config.load(properties=properties, ufs=self._uri)
        self._source = open_source(config.ufs, config)
        for directory in self._directories:
            self._source.list(os.fsencode(directory))

    def read(self, paths: Sequence[str]) -> Iterator[int]:
        """Reads a piece, like the functions of reads.READS."""
        for path in paths:
            self._read(os.fsencode(path))
        yield len(paths)

    def _read(self, path: bytes) -> None:
        about = self._source.stat(path)
        if about.size <= self._source.small_bytes:
            self._source.read_small(path, about.version, about.size, 0, self._buffer[: about.size], _no_matter)
            return
        handle = self._source.open(path, about.version).handle
        for at in range(0, about.size, _STEP_BYTES):
            self._source.read_into(handle, at, self._buffer[: min(_STEP_BYTES, about.size - at)], _no_matter)
        self._source.close_file(handle)


def _no_matter(done: int) -> None:
    """Nobody waits for the bytes before the last."""


def _main(uri: str, properties: str, workers: str, files: str) -> None:
    paths = epoch.stdin_paths()
    reader = _Reader(uri, json.loads(properties), paths)
    print(*epoch.run(reader.read, int(workers), epoch.pieces(paths, int(files)), reader.start), flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
