"""Inputs that are almost well-formed: those of a corpus with bytes changed, left out, repeated, moved and cut off."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from random import Random

_NUMBER = re.compile(rb"\d+")
_BYTES = b"\0\x01\n\r\x20-.:;<\x7f\x80\xfe\xff"
_NUMBERS = [0, 1, -1, 2**7, 2**15, 2**16, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**19]
_TEXTS = [*(str(number).encode() for number in _NUMBERS), b"9" * 20, b"9" * 5000, b"1e9", b"0x10", b"+1", b"\xd9\xa3"]


def mutate(rng: Random, corpus: Sequence[bytes], words: Sequence[bytes], most: int) -> bytes:
    """An input of up to `most` bytes. `words`: what means something in the format."""
    data = bytearray(rng.choice(corpus))
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5, 9))):
        rng.choice(_WAYS)(rng, data, corpus, words)
        if len(data) > most:
            del data[most:]
    return bytes(data)


def _place(rng: Random, data: bytearray) -> tuple[int, int]:
    """A part of the data, most often a small one."""
    begin = rng.randrange(len(data) + 1)
    longest = rng.choice((1, 4, 16, 64, len(data)))
    return begin, min(len(data), begin + rng.randint(0, longest))


def _flip(rng: Random, data: bytearray, corpus: Sequence[bytes], words: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set(rng: Random, data: bytearray, corpus: Sequence[bytes], words: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice(_BYTES)


def _scramble(rng: Random, data: bytearray, corpus: Sequence[bytes], words: Sequence[bytes]) -> None:
    begin, end = _place(rng, data)
    data[begin:end] = rng.randbytes(end - begin)


def _leave_out(rng: Random, data: bytearray, corpus: Sequence[bytes], words: Sequence[bytes]) -> None:
    begin, end = _place(rng, data)
    del data[begin:end]


def _cut(rng: Random, data: bytearray, corpus: Sequence[bytes], words: Sequence[bytes]) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _repeat(rng: Random, data: bytearray, corpus: Sequence[bytes], words: Sequence[bytes]) -> None:
    begin, end = _place(rng, data)
    data[begin:begin] = data[begin:end] * rng.choice((1, 2, 10, 1000 if end - begin < 64 else 1))


def _move(rng: Random, data: bytearray, corpus: Sequence[bytes], words: Sequence[bytes]) -> None:
    begin, end = _place(rng, data)
    part = data[begin:end]
    del data[begin:end]
    at = rng.randrange(len(data) + 1)
    data[at:at] = part


def _splice(rng: Random, data: bytearray, corpus: Sequence[bytes], words: Sequence[bytes]) -> None:
    """Goes on as another input."""
    other = rng.choice(corpus)
    data[rng.randrange(len(data) + 1) :] = other[rng.randrange(len(other) + 1) :]


def _insert_word(rng: Random, data: bytearray, corpus: Sequence[bytes], words: Sequence[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    data[at:at] = rng.choice(words or (b"\0",))


def _put_word(rng: Random, data: bytearray, corpus: Sequence[bytes], words: Sequence[bytes]) -> None:
    """Instead of as many bytes."""
    word = rng.choice(words or (b"\0",))
    at = rng.randrange(len(data) + 1)
    data[at : at + len(word)] = word


def _put_number(rng: Random, data: bytearray, corpus: Sequence[bytes], words: Sequence[bytes]) -> None:
    """Instead of bytes of a number."""
    letter, size = rng.choice((("H", 2), ("I", 4), ("Q", 8)))
    at = rng.randrange(len(data) + 1)
    data[at : at + size] = struct.pack(rng.choice("<>") + letter, rng.choice(_NUMBERS) % (1 << 8 * size))


def _put_digits(rng: Random, data: bytearray, corpus: Sequence[bytes], words: Sequence[bytes]) -> None:
    """Instead of a number that is written in digits."""
    found = _NUMBER.search(data, rng.randrange(len(data) + 1)) or _NUMBER.search(data)
    if found:
        data[found.start() : found.end()] = rng.choice(_TEXTS)


_WAYS: tuple[Callable[[Random, bytearray, Sequence[bytes], Sequence[bytes]], None], ...] = (
    _flip,
    _flip,
    _set,
    _scramble,
    _leave_out,
    _cut,
    _repeat,
    _move,
    _splice,
    _insert_word,
    _put_word,
    _put_number,
    _put_digits,
)
