"""A tree in memory, shown as it is or by a source around it."""

from __future__ import annotations

from collections.abc import Callable

from alluxio_jnifuse.sources.base import Source
from alluxio_jnifuse.testing import MemorySource
from alluxio_jnifuse.testing.contract import Tree, World


def itself(source: Source) -> Source:
    return source


class MemoryWorld(World):
    """A MemorySource, or what `around` makes of it."""

    def __init__(
        self,
        tree: Tree,
        around: Callable[[MemorySource], Source] = itself,
        kind: Callable[[Tree], MemorySource] = MemorySource,
    ) -> None:
        self.memory = kind(tree)
        super().__init__(around(self.memory))

    def replace(self, path: bytes, content: bytes) -> None:
        self.memory.replace(path, content)

    def remove(self, path: bytes) -> None:
        self.memory.remove(path)
