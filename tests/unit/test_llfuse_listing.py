"""Listings of the second binding: each name is shown, whatever a source says of it."""

from __future__ import annotations

import pytest

from alluxio_jnifuse.sources.base import Attr, Listing, Source, build_listing, directory_attr, file_attr

llfuse = pytest.importorskip("llfuse")


class One(Source):
    """A directory with one file."""

    def __init__(self, attr: Attr) -> None:
        self.attr = attr

    def stat(self, path: bytes) -> Attr:
        return self.attr

    def list(self, path: bytes) -> Listing:
        return build_listing([(b"file", self.attr)])

    def open(self, path: bytes, version: int) -> None:  # type: ignore[override]
        raise NotImplementedError

    def read_into(self, *args: object) -> int:
        raise NotImplementedError


def numbers(attr: Attr) -> list[int]:
    """The numbers that a listing shows: of the directory, of the one above it, and of the file."""
    from alluxio_jnifuse.llfuse_binding.operations import Operations

    options = {"slow_ms": 0, "debug": 0, "umask": -1, "uid": -1, "gid": -1}
    operations = Operations(One(attr), directory_attr(), options, None)
    with llfuse.lock:
        handle = operations.opendir(1, None)
        return [entry.st_ino for _, entry, _ in operations.readdir(handle, 0)]


def test_a_number_is_made_up() -> None:
    """readdir(3) passes over names with the number 0."""
    assert all(numbers(file_attr(10, version=1)))


def test_the_number_is_the_source_s() -> None:
    assert numbers(file_attr(10, version=1)._replace(ino=5))[2] == 5


def test_an_impossible_size() -> None:
    """It is a fault of that file, and does not end the mount."""
    assert numbers(file_attr(2**63, version=1)._replace(ino=5))[2] == 5
