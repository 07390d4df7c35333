"""The contract passes sources that keep it, and finds each promise that one breaks."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from worlds import MemoryWorld
from wrong_sources import RIGHT, WRONG

from alluxio_jnifuse.testing import MemorySource
from alluxio_jnifuse.testing.contract import SourceContract, Tree, World

TESTS = sorted(name for name in dir(SourceContract) if name.startswith("test_"))


class Contract(SourceContract):
    """The contract for a kind of MemorySource."""

    def __init__(self, kind: type[MemorySource]) -> None:
        self.kind = kind

    def make(self, tree: Tree, directory: Path) -> World:
        return MemoryWorld(tree, kind=self.kind)

    def run(self, test: str, directory: Path) -> None:
        """Runs one test of it."""
        method = getattr(self, test)
        world = self.make(self.tree, directory)
        method(*(world if name == "world" else directory for name in inspect.signature(method).parameters))


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("kind", RIGHT.values(), ids=RIGHT.keys())
def test_what_keeps_it_passes(kind: type[MemorySource], test: str, tmp_path: Path) -> None:
    """Also what few sources do: lending, reading small files at once, remembering."""
    Contract(kind).run(test, tmp_path)


@pytest.mark.parametrize(("test", "kind"), WRONG, ids=[f"{test[5:]}-{kind.__name__}" for test, kind in WRONG])
def test_a_broken_promise_is_found(test: str, kind: type[MemorySource], tmp_path: Path) -> None:
    """By its own test, which neither passes nor is skipped."""
    with pytest.raises((Exception, pytest.fail.Exception, pytest.skip.Exception)) as caught:
        Contract(kind).run(test, tmp_path)
    assert not isinstance(caught.value, pytest.skip.Exception)


def test_every_promise_is_broken_once() -> None:
    """A test that no source fails would say nothing."""
    assert {test for test, _ in WRONG} == set(TESTS)
