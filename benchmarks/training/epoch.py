"""One epoch by worker processes, without a framework: they are given work as PyTorch's DataLoader gives it.

`python -m benchmarks.training.epoch KIND WORKERS FILES <PATHS` reads PATHS (separated by NUL, in the order of the
epoch) in pieces of FILES paths: KIND is a function of reads.READS. It prints samples, seconds and CPU seconds. Each
worker has two pieces to do at any time, and tells of each batch. Workers are started before the clock is.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from typing import Any

from benchmarks.training.reads import READS

AHEAD = 2  # pieces of each worker: prefetch_factor of DataLoader
Read = Callable[[Sequence[str]], Iterator[int]]


def pieces(paths: Sequence[str], files: int) -> list[Sequence[str]]:
    """The paths in pieces of `files`; the last may be shorter."""
    return [paths[start : start + files] for start in range(0, len(paths), files)]


def run(
    read: Read, workers: int, work: Sequence[Sequence[str]], prepare: Callable[[], None] = lambda: None
) -> tuple[float, float, float]:
    """Has worker processes read all pieces; samples, seconds, and CPU seconds of all.

    `prepare` is called by each worker before the clock is started. Raises RuntimeError for what a worker met.
    """
    context = get_context("fork")
    tasks = [context.SimpleQueue() for _ in range(workers)]
    done = context.SimpleQueue()
    processes = [
        context.Process(target=_work, args=(number, read, prepare, tasks[number], done), daemon=True)
        for number in range(workers)
    ]
    for process in processes:
        process.start()
    for _ in processes:
        _told(done)
    start, cpu = time.perf_counter(), time.process_time()
    left = iter(work)
    open_pieces = 0
    for number, piece in zip([number for _ in range(AHEAD) for number in range(workers)], left):
        tasks[number].put(piece)
        open_pieces += 1
    samples = 0.0
    while open_pieces:
        number, count = _told(done)
        if count >= 0:
            samples += count
            continue
        open_pieces -= 1
        piece = next(left, None)
        if piece is not None:
            tasks[number].put(piece)
            open_pieces += 1
    seconds = time.perf_counter() - start
    for queue in tasks:
        queue.put(None)
    worked = 0.0
    for _ in processes:
        worked += _told(done)[1]
    for process in processes:
        process.join()
    return samples, seconds, time.process_time() - cpu + worked


def _told(done: Any) -> tuple[int, float]:
    """The next message of a worker. Raises RuntimeError for what it met."""
    number, what = done.get()
    if isinstance(what, str):
        raise RuntimeError(what)
    return number, what


def _work(number: int, read: Read, prepare: Callable[[], None], tasks: Any, done: Any) -> None:
    """A worker: tells (number, samples) of each batch, (number, -1) of each piece, and its CPU seconds at the end."""
    try:
        prepare()
        done.put((number, 0))
        cpu = time.process_time()
        while (piece := tasks.get()) is not None:
            for count in read(piece):
                done.put((number, count))
            done.put((number, -1))
        done.put((number, time.process_time() - cpu))
    except Exception as error:
        done.put((number, f"{type(error).__name__}: {error}"))


def stdin_paths() -> list[str]:
    """The paths on standard input."""
    return [os.fsdecode(path) for path in sys.stdin.buffer.read().split(b"\0")[:-1]]


def main(kind: str, workers: str, files: str) -> None:
    if kind == "tensors":
        import safetensors.numpy  # noqa: F401 - by no worker while the clock runs
    print(*run(READS[kind], int(workers), pieces(stdin_paths(), int(files))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
