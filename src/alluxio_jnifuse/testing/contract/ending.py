"""Promises about the end: a source leaves nothing behind."""

from __future__ import annotations

import os

import pytest

from alluxio_jnifuse.testing.contract.world import WithWorld, World, errno_of

_ROUNDS = 64  # more than a source keeps open: connections of a pool, files of a table


class EndingContract(WithWorld):
    """Descriptors, close."""

    def test_nothing_is_left_open(self, world: World) -> None:
        """Descriptors are given back by successful and failed calls alike."""
        before = _descriptors()
        for _ in range(_ROUNDS):
            assert world.read_whole(b"/small") == world.tree[b"small"]
            world.source.list(b"/d")
            for wrong in (b"/d", b"/missing", b"/small"):
                assert errno_of(world.source.open, wrong, 1) is not None
        assert _descriptors() - before < _ROUNDS

    def test_close_is_idempotent(self, world: World) -> None:
        """The end of a mount may come from two sides."""
        world.source.close()
        world.source.close()

    def test_handles_outlive_the_source(self, world: World) -> None:
        """A thread that hung in a read gives up its file after the end of the mount."""
        opened = world.open(b"/large")
        world.source.close()
        world.release(opened)


def _descriptors() -> int:
    """How many this process has."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        pytest.skip("/proc is not mounted")
