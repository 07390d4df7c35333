"""Whatever happens to the files of a store, it gives no wrong byte, and says what it has lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import busy
import pytest
from stores import LIMIT, PAGE, SIZES, contents, digest, files_of, open_store, right_bytes, used_by, write

from alluxio_jnifuse._wire import SUM_BYTES

FILES = dict(enumerate(SIZES * 4))
TOTAL = sum(FILES.values())


def fill(kind: str, directory: Path) -> None:
    store = open_store(kind, directory)
    for name, size in FILES.items():
        write(store, name, size)
    store.close()


def flip(path: Path, rng: random.Random, low: float = 0.0, high: float = 1.0) -> None:
    """Flips a bit of a file, between two parts of its length."""
    size = path.stat().st_size
    if not size:
        return
    at = min(size - 1, int(size * rng.uniform(low, high)))
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << rng.randrange(8)]))


@pytest.mark.parametrize("when", ["closed", "open"])
def test_flipped_bits(kind: str, directory: Path, when: str) -> None:
    """Of bytes and sums alike: they are noticed, what they are in is stored again, and the rest is served."""
    rng = random.Random(when)
    fill(kind, directory)
    store = open_store(kind, directory) if when == "open" else None
    paths = [path for path in files_of(directory, kind) if path.stat().st_size > PAGE]
    for path in rng.choices(paths, k=8):
        flip(path, rng, 0.05, 0.9)  # not where RocksDB looks when it opens a file: test_rocks.py
    store = store or open_store(kind, directory)
    right = sum(right_bytes(store, name, size) for name, size in FILES.items())
    assert TOTAL - 16 * PAGE <= right < TOTAL, (store.counts.__dict__, [(p.name, p.stat().st_size) for p in paths])
    assert 4 <= store.counts.corrupt <= 8 * 16
    for name, size in FILES.items():
        write(store, name, size)
    corrupt = store.counts.corrupt
    assert sum(right_bytes(store, name, size) for name, size in FILES.items()) == TOTAL
    assert store.counts.corrupt == corrupt
    store.close()


@pytest.mark.parametrize("seed", range(12))
def test_anything_at_all(kind: str, directory: Path, seed: int) -> None:
    """Bits flipped anywhere, files cut, emptied, lengthened and removed: the store opens, and is right or empty."""
    rng = random.Random(seed)
    fill(kind, directory)
    own = directory / "alluxio-jnifuse" / kind
    paths = sorted(path for path in own.rglob("*") if path.is_file() and path.name != "lock")
    for path in rng.sample(paths, 2):
        damage(path, rng)
    store = open_store(kind, directory)
    for name, size in FILES.items():
        right_bytes(store, name, size)
        write(store, name, size)
    assert sum(right_bytes(store, name, size) for name, size in FILES.items()) == TOTAL
    store.close()
    store = open_store(kind, directory)
    assert sum(right_bytes(store, name, size) for name, size in FILES.items()) == TOTAL
    store.close()


def damage(path: Path, rng: random.Random) -> None:
    size = path.stat().st_size
    how = rng.randrange(6)
    if how == 0:
        path.unlink()
    elif how == 1:
        os.truncate(path, rng.randrange(size + 1))
    elif how == 2:
        with path.open("ab") as file:
            file.write(rng.randbytes(5000))
    elif how == 3:
        with path.open("r+b") as file:
            file.seek(rng.randrange(size + 1))
            file.write(bytes(rng.randrange(2 * PAGE)))
    else:
        for _ in range(20):
            flip(path, rng)


def test_files_that_were_mixed_up(directory: Path) -> None:
    """LOCAL: bytes and sums of one file under the name of another, or bytes alone."""
    fill("LOCAL", directory)
    large = [name for name, size in FILES.items() if size == SIZES[-1]]
    paths = {name: next(directory.rglob(digest(name).hex())) for name in large}
    names = [f"{paths[name]}{ending}" for ending in ("", ".sums") for name in large[:2]]
    for one, other in ((names[0], names[1]), (names[2], names[3])):
        os.rename(one, f"{one}.x")
        os.rename(other, one)
        os.rename(f"{one}.x", other)
    os.replace(paths[large[2]], paths[large[3]])
    store = open_store("LOCAL", directory)
    assert [right_bytes(store, name, SIZES[-1]) for name in large] == [0] * 4
    for name in large:
        held = store.hold(digest(name))
        assert held.lend() is None
        held.release()
    store.close()


def test_a_removal_that_was_cut_short(directory: Path) -> None:
    """LOCAL: of two names one went before the process was killed. The other goes at the next start."""
    fill("LOCAL", directory)
    paths = [path for path in directory.rglob("*") if path.is_file() and len(path.name) == 32]
    for path in paths:
        path.with_name(f"{path.name}.sums").unlink()
    store = open_store("LOCAL", directory)
    assert not any(path.exists() for path in paths)
    assert store.counts.discarded == len(paths)
    store.close()


def test_granules_that_were_mixed_up(directory: Path) -> None:
    """LOCAL: right bytes and their sum, in another place of the same file."""
    fill("LOCAL", directory)
    name = len(SIZES) - 1
    path = next(directory.rglob(digest(name).hex()))
    for moved, unit, header in ((path, SUM_BYTES, 0), (Path(f"{path}.sums"), 8, 64)):
        raw = bytearray(moved.read_bytes())
        first, second = (slice(header + i * unit, header + (i + 1) * unit) for i in (3, 7))
        raw[first], raw[second] = raw[second], raw[first]
        moved.write_bytes(raw)
    store = open_store("LOCAL", directory)
    assert right_bytes(store, name, SIZES[-1]) == SIZES[-1] - 2 * SUM_BYTES
    assert store.counts.corrupt == 2
    store.close()


@pytest.mark.parametrize("part", ["bytes", "sums"])
def test_what_is_lent_is_right(directory: Path, part: str) -> None:
    """LOCAL: who wrote a file lends it; when somebody has changed it, or after a restart, it is checked before."""
    name = len(SIZES) - 1
    size = SIZES[name]
    store = open_store("LOCAL", directory)
    write(store, name, size)
    held = store.hold(digest(name))
    for _ in range(2):
        fd = held.lend()
        assert fd is not None
        assert os.pread(fd, size, 0) == contents(name, size)
        os.close(fd)
        held.take_back()
    path = next(directory.rglob(digest(name).hex()))
    raw = bytearray(path.read_bytes())
    raw[PAGE + 5] ^= 1
    if part == "bytes":
        path.write_bytes(raw)
    else:
        flip(Path(f"{path}.sums"), random.Random(1), 0.5, 0.6)
        os.utime(path)
    assert held.lend() is None
    held.release()
    store.close()
    store = open_store("LOCAL", directory)
    held = store.hold(digest(name))
    assert held.lend() is None
    assert right_bytes(store, name, size) == size - SUM_BYTES
    assert not held.is_complete()
    held.release()
    write(store, name, size)
    held = store.hold(digest(name))
    fd = held.lend()
    assert fd is not None
    os.close(fd)
    held.take_back()
    held.release()


@pytest.mark.stress
def test_killed_at_any_moment(kind: str, directory: Path) -> None:
    """Ten times, while it writes, reads, evicts and drops; what the next one finds is right."""
    rng = random.Random(kind)
    words = [sys.executable, busy.__file__, kind, str(directory)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, text=True, bufsize=1, **pipes) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for seed in range(10):
            child.stdin.write(f"{seed}\n")
            pid = int(child.stdout.readline())
            time.sleep(rng.uniform(0.0, 0.2))  # any moment will do
            os.kill(pid, signal.SIGKILL)
            assert child.stdout.readline() == f"ended by {int(signal.SIGKILL)}\n"
            store = open_store(kind, directory)
            right = sum(right_bytes(store, name, size) for name, size in busy.FILES.items())
            assert used_by(directory) <= 1.1 * LIMIT
            store.close()
        child.stdin.close()
    assert right > 0
