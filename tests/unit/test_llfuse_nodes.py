"""Nodes of the second binding: a number is one version of one file, the source's own number wherever it is free."""

from __future__ import annotations

import stat

from alluxio_jnifuse.llfuse_binding.nodes import ROOT, Nodes
from alluxio_jnifuse.sources.base import Attr, directory_attr, file_attr


def nodes() -> Nodes:
    return Nodes(directory_attr()._replace(ino=77))


def file(number: int, version: int = 1, size: int = 10, nlink: int = 1) -> Attr:
    return file_attr(size, version=version)._replace(ino=number, nlink=nlink)


def test_the_number_is_the_source_s() -> None:
    assert nodes().found(b"/a", file(5)).number == 5


def test_numbers_that_are_taken_or_mean_something() -> None:
    """The root is 1, whatever the source calls it; 0 is no number; libfuse writes 2**32 - 1 where it knows none."""
    made = nodes()
    found = [made.found(f"/{number}".encode(), file(number)).number for number in (0, ROOT, 2**32 - 1)]
    assert not {0, ROOT, 2**32 - 1} & set(found)
    assert len(set(found)) == 3
    other = made.found(b"/other", file(0))
    same = made.found(b"/same", file(other.number))
    assert same.number != other.number


def test_made_up_numbers_are_the_same_again() -> None:
    assert nodes().found(b"/a", file(0)).number == nodes().found(b"/a", file(0)).number


def test_a_version_is_a_node() -> None:
    """The new one has another number while the kernel remembers the old one; afterwards the source's again."""
    made = nodes()
    old = made.found(b"/a", file(5, version=1))
    new = made.found(b"/a", file(5, version=2))
    assert new is not old
    assert new.number != old.number
    assert made.at(b"/a") is new
    made.forget(old.number, 1)
    assert made.at(b"/a") is new
    made.forget(new.number, 1)
    assert made.get(new.number) is None
    assert made.at(b"/a") is None
    assert made.found(b"/a", file(5, version=3)).number == 5


def test_a_file_that_grew_is_another_node() -> None:
    made = nodes()
    assert made.found(b"/a", file(5, size=10)) is not made.found(b"/a", file(5, size=11))


def test_a_directory_stays_what_it_is() -> None:
    made = nodes()
    first = made.found(b"/d", directory_attr(mtime_ns=1)._replace(ino=6, version=1))
    second = made.found(b"/d", directory_attr(mtime_ns=2)._replace(ino=6, version=2))
    assert first is second
    assert second.attr.mtime_ns == 2


def test_hard_links_are_one_node() -> None:
    made = nodes()
    one = made.found(b"/a", file(5, nlink=2))
    assert made.found(b"/b", file(5, nlink=2)) is one
    assert one.lookups == 2
    made.forget(5, 2)
    assert made.at(b"/a") is made.at(b"/b") is None


def test_a_file_in_place_of_a_link_is_another_node() -> None:
    made = nodes()
    link = made.found(b"/a", file(5)._replace(mode=stat.S_IFLNK | 0o777))
    assert made.found(b"/a", file(5)) is not link


def test_the_kernel_forgets_in_steps() -> None:
    made = nodes()
    for _ in range(3):
        made.found(b"/a", file(5))
    made.forget(5, 2)
    assert made.get(5) is not None
    made.forget(5, 1)
    assert made.get(5) is None
    made.forget(5, 1)  # a number that is not known
    made.forget(ROOT, 1)
    assert made.get(ROOT) is not None


def test_what_lies_below() -> None:
    made = nodes()
    for number, path in enumerate((b"/d", b"/d/a", b"/dd", b"/d/e/f"), 10):
        made.found(path, file(number))
    assert {node.path for node in made.below(b"/d")} == {b"/d", b"/d/a", b"/d/e/f"}
    assert len(made.below(b"/")) == len(made)
