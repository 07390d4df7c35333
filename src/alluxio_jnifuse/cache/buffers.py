"""Memory for what is on its way to a disk or from it, while its caller may go: used again and again.

A new buffer of some MiB is a mapping of its own, whose pages the kernel has to clear: that takes longer than copying
into them.
"""

from __future__ import annotations

_POOLED_FROM_BYTES = 128 << 10  # smaller ones cost next to nothing


class Buffers:
    """Any thread. It keeps as many as were in use at once, until `drop`."""

    def __init__(self) -> None:
        self._spare: dict[int, list[memoryview]] = {}  # by length

    def take(self, size: int) -> memoryview:
        """A buffer of at least `size` bytes, which may hold anything."""
        length = size if size < _POOLED_FROM_BYTES else 1 << (size - 1).bit_length()
        try:
            return self._spare[length].pop()
        except LookupError:
            return memoryview(bytearray(length))

    def give_back(self, buffer: memoryview) -> None:
        """A whole buffer that nobody is using any more. One that is lost need not be given back."""
        if len(buffer) >= _POOLED_FROM_BYTES:
            self._spare.setdefault(len(buffer), []).append(buffer)

    def drop(self) -> None:
        """Frees those that nobody uses."""
        self._spare = {}
