"""Promises about files that are other ones than before."""

from __future__ import annotations

import errno

import pytest

from alluxio_jnifuse.errors import StaleVersion
from alluxio_jnifuse.testing.contract.tree import LARGE, check_bytes
from alluxio_jnifuse.testing.contract.world import WithWorld, World, errno_of, has_links


class VersionContract(WithWorld):
    """Versions, and what is remembered of them."""

    def test_open_of_another_version_is_stale(self, world: World) -> None:
        """The kernel must look the name up again before it may have other bytes."""
        with pytest.raises(StaleVersion):
            world.source.open(b"/small", world.source.stat(b"/small").version ^ 1)

    def test_open_of_what_is_no_file_is_stale(self, world: World) -> None:
        """The kernel opens files only: if something else is there, it has been put there since the look-up."""
        for path in (b"/", b"/d", *((b"/link",) if has_links(world) else ())):
            with pytest.raises(StaleVersion):
                world.release(world.open(path))

    def test_a_replaced_file_is_another_version(self, world: World) -> None:
        """Other bytes, other version, as soon as the source has forgotten what it knew."""
        source = world.source
        before = source.stat(b"/small")
        world.entries(b"/")
        world.replace(b"/small", b"goodbye")
        source.forget(b"/")
        after = source.stat(b"/small")
        assert after.version != before.version
        assert after.size == 7
        assert world.entries(b"/")[b"small"].version == after.version
        assert world.read_whole(b"/small") == b"goodbye"

    def test_the_version_before_it_is_stale(self, world: World) -> None:
        """A kernel that has the old attributes must not get the new bytes with them."""
        before = world.source.stat(b"/small").version
        world.replace(b"/small", b"goodbye")
        world.source.forget(b"/")
        with pytest.raises(StaleVersion):
            world.source.open(b"/small", before)

    def test_contents_of_the_same_size_are_another_version(self, world: World) -> None:
        """A version is the identity of bytes, not of a size."""
        before = world.source.stat(b"/small").version
        world.replace(b"/small", b"HELLO")
        world.source.forget(b"/")
        assert world.source.stat(b"/small").version != before
        assert world.read_whole(b"/small") == b"HELLO"

    def test_an_open_file_never_shows_bytes_of_another_version(self, world: World) -> None:
        """After a replacement an old handle reads the old bytes, or says that it is stale."""
        with world.opened(b"/large") as opened:
            first = world.read(opened, 0, 1 << 20)
            world.replace(b"/large", bytes(byte ^ 0xFF for byte in LARGE))
            try:
                rest = world.read(opened, 1 << 20, len(LARGE))
            except StaleVersion:
                rest = LARGE[1 << 20 :]
            check_bytes(first + rest, LARGE, "the open file")

    def test_a_replaced_file_has_not_grown(self, world: World) -> None:
        """Readers of the old version do not go on in one that begins otherwise."""
        before = world.source.stat(b"/small").version
        world.read_whole(b"/small")
        world.replace(b"/small", b"goodbye")
        world.source.forget(b"/")
        assert world.source.grown(b"/small", before) is None

    def test_a_removed_file_is_gone_and_its_handle_can_be_closed(self, world: World) -> None:
        """Forgetting a handle never fails for what has become of the file."""
        with world.opened(b"/d/inner"):
            world.remove(b"/d/inner")
            world.source.forget(b"/")
            assert errno_of(world.source.stat, b"/d/inner") == errno.ENOENT
            assert world.entries(b"/d").keys() == {b"deep"}
