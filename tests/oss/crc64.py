"""The CRC64 of OSS (ECMA-182, reflected), which is also that of .xz files: liblzma computes it at some 8 GB/s."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable, Iterable


def _find() -> Callable[[bytes, int], int]:
    """A function of data and the CRC of what was before."""
    try:
        function = ctypes.CDLL(ctypes.util.find_library("lzma") or "liblzma.so.5").lzma_crc64
    except (OSError, AttributeError):
        import crcmod  # type: ignore[import-untyped]  # comes with oss2

        made = crcmod.mkCrcFun(0x142F0E1EBA9EA3693, initCrc=0, xorOut=0xFFFFFFFFFFFFFFFF, rev=True)
        return lambda data, before: int(made(data, before))
    function.restype = ctypes.c_uint64
    function.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
    return lambda data, before: int(function(data, len(data), before))


_crc64 = _find()


def of_pieces(pieces: Iterable[bytes]) -> int:
    """Of bytes, piece by piece."""
    found = 0
    for piece in pieces:
        found = _crc64(piece, found)
    return found
