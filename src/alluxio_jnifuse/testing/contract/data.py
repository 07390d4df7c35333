"""Promises about contents: open, reads, many threads at once."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from alluxio_jnifuse._core import Cancelled
from alluxio_jnifuse.errors import StaleVersion
from alluxio_jnifuse.sources.base import OpenFile
from alluxio_jnifuse.testing.contract.tree import LARGE, check_bytes, files_of
from alluxio_jnifuse.testing.contract.world import WithWorld, World, errno_of, has_links

_MIB = 1 << 20
_THREADS, _TURNS = 8, 100


class DataContract(WithWorld):
    """open, read_into, read_small, close_file."""

    def test_every_file_reads_as_it_was_written(self, world: World) -> None:
        """Its name and its size make no difference."""
        for path, content in files_of(world.tree):
            check_bytes(world.read_whole(path), content, path)

    def test_an_open_file_is_the_one_that_was_looked_up(self, world: World) -> None:
        """Its version and size are those of stat; what is lent covers it; what is not lent has a handle."""
        for path, _ in files_of(world.tree):
            attr = world.source.stat(path)
            with world.opened(path) as opened:
                assert isinstance(opened, OpenFile)
                assert (opened.version, opened.size) == (attr.version, attr.size), path
                if opened.extents:
                    assert sum(extent.length for extent in opened.extents) == opened.size, path
                else:
                    assert opened.handle is not None, path
                if world.source.confirms_opens:
                    told = opened.attr
                    assert told is not None, path
                    assert (told.mode, told.uid, told.gid) == (attr.mode, attr.uid, attr.gid), path

    def test_a_read_anywhere_returns_the_bytes_there(self, world: World) -> None:
        """Offsets and lengths on both sides of pages and pieces; short only at the end of the file."""
        with world.opened(b"/large") as opened:
            for offset in (0, 1, 4095, 4096, _MIB - 1, _MIB, len(LARGE) - 1):
                for length in (1, 4096, _MIB + 1):
                    found = world.read(opened, offset, length)
                    check_bytes(found, LARGE[offset : offset + length], (offset, length))

    def test_a_read_at_or_beyond_the_end_is_empty(self, world: World) -> None:
        """read(2) promises that to applications."""
        with world.opened(b"/small") as opened:
            assert world.read(opened, 5, 10) == b""
            assert world.read(opened, 4096, 10) == b""

    def test_what_progress_calls_final_is_final(self, world: World) -> None:
        """It is in the hands of a reader at once. The last call tells of all of it, and nothing is written beyond."""
        with world.copied(b"/large") as opened:
            buffer = bytearray(len(LARGE) + 10)
            told = [0]

            def progress(filled: int) -> None:
                assert filled >= told[-1], "what is final stays so"
                check_bytes(buffer[told[-1] : filled], LARGE[told[-1] : filled], (told[-1], filled))
                told.append(filled)

            assert world.source.read_into(opened.handle, 0, memoryview(buffer), progress) == len(LARGE)
            assert told[-1] == len(LARGE)
            check_bytes(buffer, LARGE + bytes(10), "all of it")

    def test_progress_is_told_often(self, world: World) -> None:
        """A reader of 128 KiB does not wait for a fetch of many MiB."""
        with world.copied(b"/large") as opened:
            told: list[int] = []
            world.source.read_into(opened.handle, 0, memoryview(bytearray(len(LARGE))), told.append)
            assert all(after - before <= _MIB for before, after in zip([0, *told], [*told, len(LARGE)])), told

    def test_a_cancelled_read_ends(self, world: World) -> None:
        """The exception passes, and nothing more is told."""
        with world.copied(b"/large") as opened:
            told: list[int] = []

            def progress(filled: int) -> None:
                told.append(filled)
                raise Cancelled

            with pytest.raises(Cancelled):
                world.source.read_into(opened.handle, 0, memoryview(bytearray(len(LARGE))), progress)
            assert len(told) == 1

    def test_a_buffer_is_given_back(self, world: World) -> None:
        """It is memory of the core, which has it for something else after the call."""
        with world.copied(b"/large") as opened:
            buffer = bytearray(len(LARGE))
            world.source.read_into(opened.handle, 0, memoryview(buffer), lambda _: None)
            try:
                buffer.append(0)  # refused while there is a view of it
            except BufferError:
                pytest.fail("the source has kept a view of the buffer")

    def test_a_call_that_nobody_waits_for_ends(self, world: World) -> None:
        """A source that asks `check_wanted` lets its exception pass."""
        refused = threading.local()

        def nobody() -> None:
            refused.once = True
            raise Cancelled

        opened = world.open(b"/large")
        calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
            (world.source.stat, (b"/d/inner",)),
            (world.source.list, (b"/d",)),
            (world.source.open, (b"/large", opened.version)),
        ]
        if not opened.extents:
            calls.append((world.source.read_into, (opened.handle, 0, memoryview(bytearray(_MIB)), lambda _: None)))
        world.source.forget(b"/")
        before, world.source.check_wanted = world.source.check_wanted, nobody
        try:
            for call, arguments in calls:
                refused.once = False
                try:
                    result = call(*arguments)
                except Cancelled:
                    continue
                assert not refused.once, f"{call} went on"
                if isinstance(result, OpenFile):
                    world.release(result)
        finally:
            world.source.check_wanted = before
            world.release(opened)

    def test_many_threads_read_one_handle(self, world: World) -> None:
        """Handles have no position and no owner."""
        step = 70_001
        with world.opened(b"/large") as opened, ThreadPoolExecutor(_THREADS) as pool:
            parts = pool.map(lambda offset: world.read(opened, offset, step), range(0, len(LARGE), step))
            check_bytes(b"".join(parts), LARGE, "all parts")

    def test_many_threads_use_one_source(self, world: World) -> None:
        """Every kind of call at once."""

        def use(turn: int) -> None:
            assert world.read_whole(b"/d/inner") == b"inside"
            assert not has_links(world) or world.source.readlink(b"/link") == b"small"
            assert world.entries(b"/d").keys() == {b"inner", b"deep"}
            assert errno_of(world.source.stat, b"/missing%d" % turn) == errno.ENOENT

        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(use, range(_TURNS)))

    def test_lent_descriptors_are_the_receivers(self, world: World) -> None:
        """Each open has its own, which the core closes when it likes."""
        with world.opened(b"/large") as kept:
            if not kept.extents:
                pytest.skip("this source lends nothing")
            world.release(world.open(b"/large"))
            for extent in kept.extents:
                os.fstat(extent.fd)
            check_bytes(world.read(kept, 0, kept.size), LARGE, "the open file")

    def test_small_files_are_read_without_an_open(self, world: World) -> None:
        """Of a source with `small_bytes`: `open`, `read_into` and `close_file` in one."""
        source = world.source
        if not source.small_bytes:
            pytest.skip("this source opens every file")
        assert source.small_bytes <= _MIB
        assert source.small_ahead > 0
        for path, content in files_of(world.tree):
            if not 0 < len(content) <= source.small_bytes:  # an empty one is never read
                continue
            version = source.stat(path).version
            for offset in (0, 1):
                buffer, told = bytearray(len(content) + 10), [0]
                view = memoryview(buffer)
                filled = source.read_small(path, version, len(content), offset, view, told.append)
                check_bytes(buffer[:filled], content[offset:], (path, offset))
                assert told[-1] <= filled, path
            with pytest.raises(StaleVersion):
                source.read_small(path, version ^ 1, len(content), 0, view, lambda _: None)
        assert errno_of(source.read_small, b"/missing", 1, 5, 0, view, lambda _: None) in (errno.ENOENT, errno.ESTALE)
