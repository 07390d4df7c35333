"""The CRC-64 of an object from pieces: in any order, from any thread, some of them twice."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from alluxio_jnifuse._wire import crc64
from alluxio_jnifuse.sources.oss.objects.checksum import Checksum, Damaged

DATA = random.Random(1).randbytes(100_000)


def watching(data: bytes = DATA) -> Checksum:
    """A checksum that expects `data`."""
    made = Checksum(len(data))
    made.expect(str(crc64(data)))
    return made


@pytest.mark.parametrize("header", [None, "", "\xb2", "-1", "9" * 5000])
def test_a_header_that_is_no_checksum(header: str | None) -> None:
    """Is as if there were none."""
    made = Checksum(len(DATA))
    made.expect(header)
    made.add(0, memoryview(DATA))
    assert not made.checked


@pytest.mark.parametrize("seed", range(20))
def test_pieces_in_any_order(seed: int) -> None:
    """Some of them overlap others, or lie within them."""
    chance = random.Random(seed)
    made = watching()
    pieces = [(at, at + 3000) for at in range(0, len(DATA), 3000)]
    for _ in range(30):
        begin = chance.randrange(len(DATA))
        pieces.append((begin, begin + chance.randrange(1, 20_000)))
    chance.shuffle(pieces)
    missing = set(range(len(DATA)))
    for begin, end in pieces:
        assert made.checked == (not missing)
        made.add(begin, memoryview(DATA)[begin:end])
        missing.difference_update(range(begin, end))
    assert made.checked


def test_many_threads() -> None:
    """Each piece from several of them at once."""
    made = watching()
    pieces = [(at, at + 700) for at in range(0, len(DATA), 500)] * 4
    random.Random(2).shuffle(pieces)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda piece: made.add(piece[0], memoryview(DATA)[piece[0] : piece[1]]), pieces))
    assert made.checked


@pytest.mark.parametrize("at", [0, 49_999, 50_000, 99_999])
def test_what_completes_a_damaged_object_is_refused(at: int) -> None:
    """Again and again, until it is right or another piece was the damaged one."""
    damaged = bytearray(DATA)
    damaged[at] ^= 1
    view, right = memoryview(damaged), memoryview(DATA)
    made = watching()
    made.add(50_000, view[50_000:])
    for _ in range(2):
        with pytest.raises(Damaged, match=f"CRC-64 {crc64(damaged)}, and OSS says {crc64(DATA)}"):
            made.add(0, view[:50_000])
    assert not made.checked
    if at < 50_000:
        made.add(0, right[:50_000])
        assert made.checked
    else:
        with pytest.raises(Damaged):
            made.add(0, right[:50_000])


@pytest.mark.parametrize("header", [None, "", "nonsense", "-1"])
def test_without_a_checksum_nothing_is_compared(header: str | None) -> None:
    """Objects that are older than the checksums of OSS have none."""
    made = Checksum(len(DATA))
    made.expect(header)
    made.add(0, memoryview(DATA))
    assert not made.checked


def test_an_object_that_is_read_here_and_there_is_given_up() -> None:
    """After a thousand pieces that do not touch nothing is kept of them."""
    made = Checksum(1 << 40)
    made.expect("1")
    for number in range(1100):
        made.add(number * 100_000, memoryview(DATA)[:10])
    assert made._pieces == []
    made.add(0, memoryview(DATA))
    assert not made.checked
