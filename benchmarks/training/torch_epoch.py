"""One epoch by PyTorch's DataLoader.

`PYTHON -m benchmarks.training.torch_epoch WORKERS BATCH <PATHS` reads PATHS (separated by NUL, in the order of the
epoch), each of which is a sample, and prints samples, seconds and CPU seconds. An empty epoch comes before, in which
the loader starts its workers, which stay.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from torch.utils.data import DataLoader, Dataset, Sampler

from benchmarks.machine import cpu_seconds
from benchmarks.training.epoch import stdin_paths
from benchmarks.training.reads import read_file


class _Files(Dataset):
    def __init__(self, paths: list[str]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> int:
        return read_file(self._paths[index])


class _Order(Sampler):
    """Nothing in the first epoch, then all."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._epochs = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self):
        self._epochs += 1
        return iter(range(self._count if self._epochs > 1 else 0))


def _main(workers: str, batch: str) -> None:
    paths = stdin_paths()
    loader = DataLoader(
        _Files(paths), batch_size=int(batch), sampler=_Order(len(paths)), num_workers=int(workers),
        persistent_workers=True,
    )  # fmt: skip
    assert not list(loader)
    start, cpu = time.perf_counter(), _cpu_seconds()
    samples = sum(len(sizes) for sizes in loader)
    print(samples, time.perf_counter() - start, _cpu_seconds() - cpu, flush=True)


def _cpu_seconds() -> float:
    """Of this process and the loader's workers, which do not end between the epochs."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return time.process_time() + sum(cpu_seconds(int(pid)) for pid in children)


if __name__ == "__main__":
    _main(*sys.argv[1:])
