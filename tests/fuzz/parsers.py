"""The parsers that are tried: how each takes an input, and what it may raise."""

from __future__ import annotations

from pathlib import Path

from fuzz import of_alluxio, of_cache, of_oss, of_runtime, of_settings
from fuzz.parser import Parser

CORPUS = Path(__file__).parent / "corpus"

PARSERS: dict[str, Parser] = {
    **of_oss.PARSERS,
    **of_alluxio.PARSERS,
    **of_cache.PARSERS,
    **of_settings.PARSERS,
    **of_runtime.PARSERS,
}


def corpus(name: str) -> list[bytes]:
    """The inputs that are kept for a parser."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
