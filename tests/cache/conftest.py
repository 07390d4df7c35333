"""Where stores are tested, and what they leave behind."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from rocksdict import Env
from stores import KINDS, close_all

_MEMORY = "/dev/shm"  # flushes to a disk would take most of the time


@pytest.fixture(autouse=True, scope="module")
def no_threads_are_left() -> Iterator[None]:
    """RocksDB keeps its threads for the next database, and they would be in the way of tests that fork."""
    yield
    Env().set_background_threads(0)
    Env().set_high_priority_background_threads(0)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def directory() -> Iterator[Path]:
    """An empty directory, which need not survive the machine."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None) as path:
        yield Path(path)
        close_all()
