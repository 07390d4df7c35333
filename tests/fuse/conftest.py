"""Fixtures of the tests about files that change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.children import Children
from harness.mounting import Mounted
from harness.versions import Reader, Readers, put


@pytest.fixture
def path(private: Path) -> Path:
    """A file of the first generation, alone in the source."""
    (private / "source").mkdir()
    put(private / "source" / "file", 1)
    return private / "source" / "file"


@pytest.fixture
def reader(children: Children) -> Iterator[Readers]:
    """A factory of readers of the file."""
    made = []

    def make(mounted: Mounted) -> Reader:
        made.append(Reader(children, mounted.join("file")))
        return made[-1]

    yield make
    for one in made:
        one.close()
