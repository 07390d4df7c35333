"""What children do with the files of a mount. The contents are those of alluxio_jnifuse.testing.pattern."""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from alluxio_jnifuse.testing import pattern

MIB = 1 << 20
LIBC = ctypes.CDLL(None, use_errno=True)


def write(path: Path, size: int, name: bytes | None = None) -> Path:
    """Writes a file as MemorySource shows Pattern(size) at `name` (default: the file's own name in the root)."""
    name = b"/" + os.fsencode(path.name) if name is None else name
    with open(path, "wb") as file:
        for at in range(0, size, 16 * MIB):
            file.write(pattern(name, 1, at, min(16 * MIB, size - at)))
    return path


def check(path: str, size: int, block: int = MIB, generation: int = 1, name: bytes | None = None) -> int:
    """Reads a file from its start to its end, `block` bytes at a time; returns how many there were."""
    name = b"/" + os.fsencode(os.path.basename(path)) if name is None else name
    fd = os.open(path, os.O_RDONLY)
    try:
        assert os.fstat(fd).st_size == size
        at = 0
        while True:
            data = os.read(fd, block)
            assert data == pattern(name, generation, at, len(data)), f"{path} differs in {at}+{len(data)}"
            at += len(data)
            if not data:
                break
        assert at == size, f"{path} ended after {at} of {size} bytes"
        assert os.pread(fd, 10, size) == b""
        assert os.pread(fd, 10, size + (1 << 40)) == b""
        return at
    finally:
        os.close(fd)


def check_ranges(path: str, size: int, ranges: Sequence[tuple[int, int]], name: bytes | None = None) -> None:
    """Reads ranges (offset, length) in their order with pread."""
    name = b"/" + os.fsencode(os.path.basename(path)) if name is None else name
    fd = os.open(path, os.O_RDONLY)
    try:
        for offset, length in ranges:
            expected = pattern(name, 1, offset, max(0, min(length, size - offset)))
            assert os.pread(fd, length, offset) == expected, f"{path} differs in {offset}+{length}"
    finally:
        os.close(fd)


def random_ranges(size: int, count: int, longest: int, seed: int = 1) -> list[tuple[int, int]]:
    """Ranges of up to `longest` bytes anywhere, some beyond the end; the same ones for the same seed."""
    chance = random.Random(seed)
    return [(chance.randrange(size + longest), chance.randrange(1, longest + 1)) for _ in range(count)]


def check_mapped(path: str, size: int, pages: int | None = None) -> None:
    """Maps a file and compares all of it, or `pages` pages in random order."""
    name = b"/" + os.fsencode(os.path.basename(path))
    with open(path, "rb") as file:
        for flags in (mmap.MAP_SHARED, mmap.MAP_PRIVATE):
            with mmap.mmap(file.fileno(), size, flags, mmap.PROT_READ) as mapped:
                if pages is None:
                    whole = np.frombuffer(mapped, np.uint8)
                    assert np.array_equal(whole, np.frombuffer(pattern(name, 1, 0, size), np.uint8))
                    del whole
                    continue
                chance = random.Random(flags)
                for _ in range(pages):
                    at = chance.randrange(0, size, 4096)
                    end = min(at + 4096, size)
                    assert mapped[at:end] == pattern(name, 1, at, end - at), f"{path} differs in page {at}"


def check_direct(path: str, size: int) -> None:
    """Reads a file with O_DIRECT."""
    name = b"/" + os.fsencode(os.path.basename(path))
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, MIB) as buffer:
            at = 0
            while True:
                count = os.preadv(fd, [buffer], at)
                assert buffer[:count] == pattern(name, 1, at, count)
                at += count
                if count < MIB:
                    break
        assert at == size
    finally:
        os.close(fd)


def advise(path: str, size: int) -> None:
    """Asks the kernel in every way there is to read a file ahead, or to forget it."""
    fd = os.open(path, os.O_RDONLY)
    for advice in (os.POSIX_FADV_WILLNEED, os.POSIX_FADV_SEQUENTIAL, os.POSIX_FADV_RANDOM, os.POSIX_FADV_DONTNEED):
        os.posix_fadvise(fd, 0, size, advice)
        os.posix_fadvise(fd, size // 2, 5000, advice)
    assert LIBC.readahead(fd, ctypes.c_long(0), ctypes.c_size_t(size)) == 0
    with mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ) as mapped:
        mapped.madvise(mmap.MADV_WILLNEED)
        mapped.madvise(mmap.MADV_RANDOM)
    os.close(fd)


def check_shared(path: str, size: int, processes: int = 4, block: int = 64 << 10) -> None:
    """Several processes share one descriptor after fork: with its one offset each block is read by exactly one of
    them; with pread each reads everything."""
    name = b"/" + os.fsencode(os.path.basename(path))
    fd = os.open(path, os.O_RDONLY)
    ends = []
    for number in range(processes):
        reading, writing = os.pipe()
        if os.fork() == 0:
            code = 1
            try:
                digests = []
                while block_read := os.read(fd, block):
                    digests.append(hashlib.blake2b(block_read, digest_size=16).digest())
                for i in range(number * 7, number * 7 + size // block + 1):
                    at = i * block % size
                    assert os.pread(fd, block, at) == pattern(name, 1, at, min(block, size - at))
                os.write(writing, b"".join(digests))
                code = 0
            finally:
                os._exit(code)
        os.close(writing)
        ends.append(reading)
    seen = []
    for reading in ends:
        with open(reading, "rb") as pipe:
            digests = pipe.read()
        seen += [digests[i : i + 16] for i in range(0, len(digests), 16)]
        _, status = os.wait()
        assert status == 0
    blocks = (pattern(name, 1, at, min(block, size - at)) for at in range(0, size, block))
    assert sorted(seen) == sorted(hashlib.blake2b(b, digest_size=16).digest() for b in blocks)


def errno_of(function: object, *arguments: object) -> int:
    """The errno that a call fails with; 0 when it does not."""
    try:
        function(*arguments)  # type: ignore[operator]
    except OSError as error:
        return error.errno or 0
    return 0
