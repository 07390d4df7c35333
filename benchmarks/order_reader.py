"""Reads of a mount for which the order counts, each as a program of its own, which prints count, seconds, CPU seconds.

`python -m benchmarks.order_reader files MOUNT <PATHS`    one file after the other; PATHS are separated by NUL
`python -m benchmarks.order_reader told MOUNT <PATHS`     the same, with the order told by `alluxio_jnifuse.prefetch`
`python -m benchmarks.order_reader read FILE`             a file from start to end; bytes
`python -m benchmarks.order_reader strided FILE`          a mapping touched in PLACES places in turn; bytes
`python -m benchmarks.order_reader tensors FILE`          every tensor of a safetensors file; bytes
"""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.measure import Outcome

PLACES = 8
_ROOT = Path(__file__).parents[1]
_STEP_BYTES = 1 << 20
_TIMEOUT_S = 600


def run(what: str, where: Path, paths: Sequence[str] = ()) -> Outcome:
    """Runs the program; the count is in thousands of files, or in GB."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.order_reader", what, str(where)],
        input=b"".join(os.fsencode(path) + b"\0" for path in paths),
        capture_output=True, timeout=_TIMEOUT_S, check=False, cwd=_ROOT,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"order_reader {what}: {done.stderr.decode(errors='replace').strip()[-1000:]}")
    count, seconds, cpu_s = (float(word) for word in done.stdout.split())
    return Outcome(count / (1e3 if paths else 1e9), seconds, cpu_s)


def _files(mount: str, paths: Iterable[str]) -> int:
    count = 0
    for path in paths:
        with open(os.path.join(mount, path), "rb") as file:
            file.read()
        count += 1
    return count


def _told(mount: str, paths: Iterable[str]) -> int:
    from alluxio_jnifuse import prefetch

    with prefetch(mount, paths) as ahead:
        return _files(mount, ahead)


def _read(path: str) -> int:
    count = 0
    buffer = bytearray(_STEP_BYTES)
    with open(path, "rb", buffering=0) as file:
        while got := file.readinto(buffer):
            count += got
    return count


def _strided(path: str) -> int:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        stride = -(-len(mapped) // PLACES)
        count = 0
        for step in range(0, stride, _STEP_BYTES):
            for place in range(0, len(mapped), stride):
                count += len(mapped[place + step : place + min(step + _STEP_BYTES, stride)])
        return count


def _tensors(path: str) -> int:
    from benchmarks.training.reads import tensors

    return sum(tensors([path]))


_KINDS = {"files": _files, "told": _told, "read": _read, "strided": _strided, "tensors": _tensors}


def _main(what: str, where: str) -> None:
    paths = [os.fsdecode(path) for path in sys.stdin.buffer.read().split(b"\0")[:-1]]
    if what == "told":
        import alluxio_jnifuse

        alluxio_jnifuse.prefetch  # noqa: B018 - imported before the clock is started
    if what == "tensors":
        import safetensors.numpy  # noqa: F401
    start, cpu = time.perf_counter(), time.process_time()
    count = _KINDS[what](where, *([paths] if paths else []))
    print(count, time.perf_counter() - start, time.process_time() - cpu, flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
