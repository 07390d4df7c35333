"""Whether a version of a file begins with all that was read of another one, and what counts as not known."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from alluxio_jnifuse.errors import StaleVersion
from alluxio_jnifuse.sources import seen as seen_module
from alluxio_jnifuse.sources.local import LocalSource

OLD = bytes(range(256)) * 16


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.write_bytes(OLD)
    return made


@pytest.fixture
def source(path: Path) -> LocalSource:
    return LocalSource(os.fsencode(path.parent), lend=False)


def read(source: LocalSource, offset: int, length: int, version: int = 0) -> int:
    """Opens the file and reads; the version that was opened."""
    version = version or source.stat(b"/file").version
    opened = source.open(b"/file", version)
    buffer = bytearray(length)
    source.read_into(opened.handle, offset, memoryview(buffer), lambda filled: None)
    source.close_file(opened.handle)
    return version


def change(path: Path, at: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


def test_what_was_appended_to_is_gone_on_in(path: Path, source: LocalSource) -> None:
    """Again and again, and by whoever reads meanwhile."""
    version = read(source, 0, 1000)
    for number in range(1, 4):
        change(path, len(OLD) * number, OLD)
        grown = source.grown(b"/file", version)
        assert grown is not None
        assert grown.size == len(OLD) * (number + 1)
        assert grown.version != version
        opened = source.open(b"/file", grown.version)
        change(path, len(OLD) * 9, b"x")  # again before it is read
        buffer = bytearray(len(OLD))
        assert source.read_into(opened.handle, len(OLD), memoryview(buffer), lambda filled: None) == len(OLD)
        assert buffer == OLD
        os.truncate(path, len(OLD) * (number + 1))
        source.close_file(opened.handle)
        version = read(source, 0, 10)


def test_what_was_read_counts_wherever_it_was(path: Path, source: LocalSource) -> None:
    """Of the version itself, of those before, by other handles; not what nobody has read."""
    version = read(source, 100, 50)
    read(source, 3000, 50)
    change(path, 2000, b"other")
    change(path, len(OLD), b"more")
    second = source.grown(b"/file", version)
    assert second is not None
    change(path, 120, b"other")
    change(path, len(OLD), b"more and more")
    assert source.grown(b"/file", version) is None
    assert source.grown(b"/file", second.version) is None
    with pytest.raises(StaleVersion):
        source.open(b"/file", second.version)


def test_two_who_came_to_a_version_in_two_ways(path: Path, source: LocalSource) -> None:
    """One who opened it and one who went on in it: what either has read counts for both."""
    first = read(source, 0, 100)
    change(path, len(OLD), b"more")
    second = read(source, 2000, 100)
    assert source.grown(b"/file", first) is not None
    change(path, 50, b"other")
    change(path, len(OLD), b"more and more")
    assert source.grown(b"/file", second) is None


def test_no_other_file_goes_on(path: Path, source: LocalSource) -> None:
    """Neither one that took its place, nor one that became shorter."""
    version = read(source, 0, 100)
    os.truncate(path, 1000)
    assert source.grown(b"/file", version) is None
    other = path.with_name("other")
    other.write_bytes(OLD + OLD)
    other.rename(path)
    assert source.grown(b"/file", version) is None
    path.unlink()
    assert source.grown(b"/file", version) is None
    assert source.grown(b"/file", 12345) is None


def test_who_did_not_go_on_keeps_what_he_opened(path: Path, source: LocalSource) -> None:
    """An append is another version to whoever has not been told of it."""
    opened = source.open(b"/file", source.stat(b"/file").version)
    change(path, len(OLD), b"more")
    with pytest.raises(StaleVersion):
        source.read_into(opened.handle, 0, memoryview(bytearray(100)), lambda filled: None)
    source.close_file(opened.handle)


def test_what_is_too_much_or_forgotten_proves_nothing(
    path: Path, source: LocalSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that was read and forgotten is not one of which nothing was read."""
    monkeypatch.setattr(seen_module, "_MOST_BYTES", 150)
    version = read(source, 0, 100)
    read(source, 0, 100, version)  # the same again is no more
    change(path, len(OLD), b"1")
    version = source.stat(b"/file").version
    read(source, 0, 100)
    read(source, 1000, 100)
    change(path, len(OLD), b"22")
    assert source.grown(b"/file", version) is None
    monkeypatch.setattr(seen_module, "_MOST_VERSIONS", 1)
    version = read(source, 0, 10)
    path.with_name("other").write_bytes(b"x")
    other = source.open(b"/other", source.stat(b"/other").version)
    source.close_file(other.handle)
    read(source, 20, 10, version)
    change(path, len(OLD), b"333")
    assert source.grown(b"/file", version) is None


TOUCHES: dict[str, Callable[[Path], object]] = {
    "chmod": lambda path: path.chmod(0o600),
    "chown": lambda path: os.chown(path, os.getuid(), os.getgid()),
    "link": lambda path: os.link(path, f"{path}.2"),
}


@pytest.mark.parametrize("touch", TOUCHES.values(), ids=list(TOUCHES))
@pytest.mark.parametrize("before", [0, len(OLD) // 2])
def test_what_was_only_touched_is_read_on(
    path: Path, source: LocalSource, touch: Callable[[Path], object], before: int
) -> None:
    """By a reader that has it open, whether it has read anything or not, and again and again."""
    opened = source.open(b"/file", source.stat(b"/file").version)
    buffer = memoryview(bytearray(len(OLD)))
    for begin in range(before, len(OLD), 512):
        source.read_into(opened.handle, 0, buffer[:begin], lambda filled: None)
        touch(path)
        Path(f"{path}.2").unlink(missing_ok=True)
        assert source.read_into(opened.handle, begin, buffer[begin:], lambda filled: None) == len(OLD) - begin
        assert buffer == OLD
    source.close_file(opened.handle)


@pytest.mark.parametrize("at", [0, len(OLD) // 2])
def test_a_write_whose_time_was_set_back(path: Path, source: LocalSource, at: int) -> None:
    """Is found where it changed what was read; elsewhere the reader goes on in the new version."""
    opened = source.open(b"/file", source.stat(b"/file").version)
    half = len(OLD) // 2
    buffer = memoryview(bytearray(half))
    source.read_into(opened.handle, 0, buffer, lambda filled: None)
    status = path.stat()
    change(path, at, b"other")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    if at < half:
        with pytest.raises(StaleVersion):
            source.read_into(opened.handle, half, buffer, lambda filled: None)
    else:
        source.read_into(opened.handle, half, buffer, lambda filled: None)
        assert buffer == path.read_bytes()[half:]
    source.close_file(opened.handle)
