"""Messages that are large because they repeat something, in parts.

A message of protobuf becomes objects all at once, which take eight times as much memory as it does. Parts of one that
lie between two of its fields are messages themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PART_BYTES = 256 << 10  # a thousand files
_FIXED_BYTES = {1: 8, 5: 4}  # by wire type


class Malformed(ValueError):
    """It is no message."""


def parts(message: bytes, most: int = _PART_BYTES) -> Iterator[bytes]:
    """The message in parts of whole fields, of up to `most` bytes each unless a single field has more.

    Together they are the message, field by field; what a field holds is not looked at. Raises Malformed.
    """
    begin = at = 0
    while at < len(message):
        end = _end_of_field(message, at)
        if end - begin > most and at > begin:
            yield message[begin:at]
            begin = at
        at = end
    if begin < at:
        yield message[begin:] if begin else message


def _end_of_field(message: bytes, at: int) -> int:
    tag, at = _number(message, at)
    wire = tag & 7
    if wire == 2:
        length, at = _number(message, at)
        at += length
    elif wire == 0:
        _, at = _number(message, at)
    elif wire in _FIXED_BYTES:
        at += _FIXED_BYTES[wire]
    else:
        raise Malformed("a field of an unknown kind")
    if at > len(message):
        raise Malformed("a field longer than its message")
    return at


def _number(message: bytes, at: int) -> tuple[int, int]:
    """A number in the notation of protobuf, and where it ends."""
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise Malformed("a number without an end")
