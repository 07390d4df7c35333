"""Promises about names: attributes, listings, links."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from alluxio_jnifuse.sources.base import ATTR_DTYPE, Attr
from alluxio_jnifuse.testing.contract.tree import files_of, walk
from alluxio_jnifuse.testing.contract.world import WithWorld, World, errno_of, has_links, kind_of
from alluxio_jnifuse.testing.memory import Link

_MANY = 1_100  # names of one directory: more than a page of the common object stores


class MetadataContract(WithWorld):
    """stat, list, readlink, statfs, and the small ones."""

    def test_the_root_is_a_directory(self, world: World) -> None:
        """The kernel asks for "/" before anything else."""
        assert stat.S_ISDIR(world.source.stat(b"/").mode)

    def test_everything_has_its_kind_and_size(self, world: World) -> None:
        """Applications read as far as the size that stat tells."""
        for path, node in walk(world.tree):
            attr = world.source.stat(path)
            if isinstance(node, bytes):
                assert (kind_of(attr), attr.size) == (stat.S_IFREG, len(node)), path
            else:
                assert kind_of(attr) == (stat.S_IFLNK if isinstance(node, Link) else stat.S_IFDIR), path

    def test_attributes_are_those_of_the_core(self, world: World) -> None:
        """They are handed on as a C struct: whole numbers, in the ranges of its fields."""
        for path, _ in walk(world.tree):
            attr = world.source.stat(path)
            assert isinstance(attr, Attr), path
            assert all(type(field) is int for field in attr), path
            assert np.array([tuple(attr)], dtype=ATTR_DTYPE).tolist() == [tuple(attr)], path

    def test_stat_shows_the_link_and_not_its_target(self, world: World) -> None:
        """Links are followed by the kernel, in the mount, and nowhere else."""
        if not has_links(world):
            pytest.skip("this storage has no links")
        for path, node in walk(world.tree):
            if isinstance(node, Link):
                assert stat.S_ISLNK(world.source.stat(path).mode), path
                assert world.source.readlink(path) == node.target

    def test_readlink_of_what_is_no_link_is_einval(self, world: World) -> None:
        """readlink(2) promises that to applications."""
        for path in (b"/", b"/small", b"/d"):
            assert errno_of(world.source.readlink, path) == errno.EINVAL, path

    def test_what_is_not_there_is_enoent(self, world: World) -> None:
        """The kernel keeps that answer, and programs look for files that way. An open may say that it was replaced."""
        for path in (b"/missing", b"/d/missing", b"/missing/x"):
            assert errno_of(world.source.stat, path) == errno.ENOENT, path
            assert errno_of(world.source.list, path) == errno.ENOENT, path
            assert errno_of(world.source.open, path, 1) in (errno.ENOENT, errno.ESTALE), path

    def test_nothing_is_below_a_file(self, world: World) -> None:
        """A look-up of the kernel may come after its directory was replaced by a file."""
        for call in (world.source.stat, world.source.list):
            assert errno_of(call, b"/small/x") in (errno.ENOENT, errno.ENOTDIR)

    def test_list_of_a_file_is_enotdir(self, world: World) -> None:
        """A directory can be replaced by a file between two requests."""
        assert errno_of(world.source.list, b"/small") == errno.ENOTDIR

    def test_a_listing_is_complete(self, world: World) -> None:
        """Every name once, without "." and "..": a name that it does not have is not there, and stat is not asked."""
        for path, node in walk(world.tree):
            if isinstance(node, Mapping):
                assert world.entries(path).keys() == node.keys(), path

    def test_a_long_listing_is_complete(self, tmp_path: Path) -> None:
        """A storage that answers in pages is asked for all of them."""
        names = [b"%04d" % number for number in range(_MANY)]
        world = self.make({b"many": dict.fromkeys(names, b"x")}, tmp_path)
        try:
            assert sorted(world.entries(b"/many")) == names
        finally:
            world.source.close()

    def test_a_listing_agrees_with_stat(self, world: World) -> None:
        """The core takes its attributes as the answer of stat. Without them (`nlink` 0) only kind and number count."""
        for path, node in walk(world.tree):
            if not isinstance(node, Mapping):
                continue
            for name, listed in world.entries(path).items():
                told = world.source.stat(path.rstrip(b"/") + b"/" + name)
                if listed.nlink:
                    assert listed._replace(atime_ns=0) == told._replace(atime_ns=0), name
                else:
                    assert kind_of(listed) == kind_of(told), name
                    assert listed.ino == told.ino, name
                    assert listed.ino or listed.version == told.version, name

    def test_an_inode_number_is_that_of_one_file(self, world: World) -> None:
        """Programs take two paths with one number for one file. 0 has the core make a number up."""
        numbers = {path: world.source.stat(path).ino for path, _ in walk(world.tree)}
        told = [number for number in numbers.values() if number]
        assert len(set(told)) == len(told), numbers
        assert numbers == {path: world.source.stat(path).ino for path in numbers}, "a number stays"

    def test_the_version_of_an_unchanged_file_stays(self, world: World) -> None:
        """Else each look-up would throw away what is cached."""
        before = {path: world.source.stat(path).version for path, _ in files_of(world.tree)}
        world.read_whole(b"/large")
        assert before == {path: world.source.stat(path).version for path in before}

    def test_statfs_is_plausible(self, world: World) -> None:
        """df divides by these."""
        s = world.source.statfs()
        assert s.block_size > 0
        assert s.blocks >= s.blocks_free >= 0
        assert s.blocks >= s.blocks_available >= 0
        assert s.files >= s.files_free >= 0
        assert s.name_max >= 255

    def test_mounted_is_a_hook_that_changes_nothing_elsewhere(self, world: World) -> None:
        """The device of a mount that is somewhere else hides nothing."""
        world.source.mounted(os.makedev(0, 4_000))
        assert world.entries(b"/").keys() == world.tree.keys()
        assert stat.S_ISREG(world.source.stat(b"/small").mode)

    def test_forget_loses_nothing_but_memory(self, world: World) -> None:
        """`alluxio-jnifuse refresh` forgets what is remembered, not what is there."""
        world.source.forget(b"/small")
        world.source.forget(b"/missing")
        world.source.forget(b"/")
        assert world.source.remembered() >= 0
        assert world.entries(b"/").keys() == world.tree.keys()
        assert world.source.stat(b"/small").size == len(world.tree[b"small"])

    def test_counters_keep_their_names(self, world: World) -> None:
        """A program that collects them makes a column of each."""
        before = world.source.counters()
        world.read_whole(b"/large")
        after = world.source.counters()
        assert list(after) == list(before)
        assert all(type(value) is int for value in after.values())

    def test_servers_have_parts_of_the_counters(self, world: World) -> None:
        """They add up to no more than the counters say, and are called by what may be shown."""
        world.read_whole(b"/large")
        servers, counters = world.source.servers(), world.source.counters()
        for server, counts in servers.items():
            assert server.isprintable()
            assert "@" not in server
            assert counts.keys() <= counters.keys()
        for name, value in counters.items():
            assert sum(counts.get(name, 0) for counts in servers.values()) <= value

    def test_it_can_be_named(self, world: World) -> None:
        """Lines of the log say which source it was."""
        assert len(str(world.source).splitlines()) == 1
