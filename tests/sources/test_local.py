"""What is particular to a local directory: what it hides, lends, and notices of changes behind its back."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from alluxio_jnifuse._core import Cancelled
from alluxio_jnifuse.errors import SourceError, StaleVersion
from alluxio_jnifuse.sources.base import OpenFile
from alluxio_jnifuse.sources.local import LocalSource

MIB = 1 << 20
NOBODY = 65534


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture(params=[True, False], ids=["lend", "copy"])
def source(request: pytest.FixtureRequest, root: Path) -> Iterator[LocalSource]:
    made = LocalSource(os.fsencode(root), lend=request.param)
    yield made
    made.close()


@pytest.fixture
def copying(root: Path) -> Iterator[LocalSource]:
    made = LocalSource(os.fsencode(root), lend=False)
    yield made
    made.close()


@pytest.fixture
def lending(root: Path) -> Iterator[LocalSource]:
    made = LocalSource(os.fsencode(root), lend=True)
    yield made
    made.close()


def open_now(source: LocalSource, path: bytes) -> OpenFile:
    return source.open(path, source.stat(path).version)


def names(source: LocalSource, path: bytes = b"/") -> bytes:
    return source.list(path).names


@contextmanager
def without_rights() -> Iterator[None]:
    """Makes permissions count also where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


# ---------------------------------------------------------------------------------------------------- hidden


def test_more_names_than_there_is_room_for(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """EFBIG and a line that says what can be done; whoever gives up meanwhile is heard."""
    for number in range(13_000):
        (root / f"{number:06}").touch()
    source = LocalSource(os.fsencode(root), lend=True, listing_bytes=MIB)
    with pytest.raises(OSError) as caught:
        source.list(b"/")
    assert caught.value.errno == errno.EFBIG
    assert caplog.messages == ["the listing of '/' is larger than 1.00MB; it can be raised with -o listing_limit=SIZE"]
    source.close()
    source = LocalSource(os.fsencode(root), lend=True)
    assert len(source.list(b"/").names) == 6 * 13_000

    def gone() -> None:
        raise Cancelled

    source.check_wanted = gone
    with pytest.raises(Cancelled):
        source.list(b"/")
    source.close()


def test_fifos_and_sockets_are_not_there(source: LocalSource, root: Path) -> None:
    """There is nothing to read in them, and opening one may hang."""
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket"))
        assert names(source) == b""
        for path in (b"/fifo", b"/socket"):
            with pytest.raises(FileNotFoundError):
                source.stat(path)


def test_devices_are_not_there() -> None:
    """A program that reads the mount does not read the machine's devices."""
    source = LocalSource(b"/dev", lend=True)
    with pytest.raises(FileNotFoundError):
        source.stat(b"/null")
    assert b"zero" not in names(source)
    source.close()


def test_the_mount_within_itself_is_hidden() -> None:
    """A mount below the directory that it shows would wait for itself."""
    source = LocalSource(b"/", lend=True)
    assert stat.S_ISDIR(source.stat(b"/proc").mode)
    source.mounted(os.stat("/proc").st_dev)
    with pytest.raises(FileNotFoundError):
        source.stat(b"/proc")
    assert b"proc" not in names(source)
    source.close()


def test_what_took_the_place_of_a_file_is_not_opened(source: LocalSource, root: Path) -> None:
    """A FIFO, a socket or a link where a file was looked up: the open is stale, at once."""
    (root / "f").write_bytes(b"x")
    version = source.stat(b"/f").version

    def link() -> None:
        (root / "f").symlink_to("/etc/passwd")

    def listen() -> None:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(root / "f"))

    def pipe() -> None:
        os.mkfifo(root / "f")

    for make in (pipe, listen, link):
        (root / "f").unlink()
        make()
        with pytest.raises(StaleVersion):
            source.open(b"/f", version)


# ------------------------------------------------------------------------------------------------------ lent


def test_a_lent_file_is_one_descriptor(lending: LocalSource, root: Path) -> None:
    """It covers the whole file, and nothing else is kept."""
    (root / "f").write_bytes(b"0123456789")
    opened = open_now(lending, b"/f")
    assert opened.handle is None
    assert opened.size == 10
    [extent] = opened.extents
    assert extent[1:] == (0, 10)
    assert os.pread(extent.fd, 100, 0) == b"0123456789"
    assert not os.get_inheritable(extent.fd)
    os.close(extent.fd)


def test_a_lent_file_may_be_written_in_place(lending: LocalSource, root: Path) -> None:
    """It stays the same file, as it does for programs that read it without us."""
    (root / "f").write_bytes(b"old")
    version = lending.stat(b"/f").version
    with open(root / "f", "ab") as f:
        f.write(b" and new")
    opened = lending.open(b"/f", version)
    assert opened.size == 11
    os.close(opened.extents[0].fd)


# ---------------------------------------------------------------------------------------------------- copied


def _overwrite(path: Path) -> None:
    with open(path, "r+b") as f:
        f.write(b"\xff" * 3 * MIB)


def _overwrite_and_hide_it(path: Path) -> None:
    before = path.stat()
    _overwrite(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _overwrite_one_byte(path: Path) -> None:
    with open(path, "r+b") as f:
        f.seek(2 * MIB)
        f.write(b"\xff")


def _truncate(path: Path) -> None:
    os.truncate(path, MIB + 10)


def _append(path: Path) -> None:
    with open(path, "ab") as f:
        f.write(b"more")


def _replace(path: Path) -> None:
    new = path.with_name("new")
    new.write_bytes(b"\xff" * 3 * MIB)
    new.rename(path)


@pytest.mark.parametrize("change", [_overwrite, _overwrite_and_hide_it, _overwrite_one_byte, _truncate, _append])
def test_a_file_that_changes_during_a_read_is_stale(
    copying: LocalSource, root: Path, change: Callable[[Path], None]
) -> None:
    """Whatever was called final before is of the version that was opened, and nothing after is."""
    (root / "f").write_bytes(b"\x01" * 3 * MIB)
    opened = open_now(copying, b"/f")
    buffer = bytearray(3 * MIB)
    final = 0

    def progress(filled: int) -> None:
        nonlocal final
        if final == 0:
            change(root / "f")
        final = filled

    with pytest.raises(StaleVersion):
        copying.read_into(opened.handle, 0, memoryview(buffer), progress)
    assert final == MIB
    assert buffer[:final] == b"\x01" * MIB
    copying.close_file(opened.handle)


@pytest.mark.parametrize("change", [_replace, os.unlink])
def test_a_file_that_is_only_unlinked_during_a_read_is_read_to_its_end(
    copying: LocalSource, root: Path, change: Callable[[Path], None]
) -> None:
    """What was opened is still there, whole, as for any open file."""
    (root / "f").write_bytes(b"\x01" * 3 * MIB)
    opened = open_now(copying, b"/f")
    buffer = bytearray(3 * MIB)
    change(root / "f")
    assert copying.read_into(opened.handle, 0, memoryview(buffer), lambda _: None) == 3 * MIB
    assert buffer == b"\x01" * 3 * MIB
    copying.close_file(opened.handle)


def test_a_write_right_after_open_is_noticed(copying: LocalSource, root: Path) -> None:
    """Also when the file was written in the same tick of the clock as it was looked up."""
    path = root / "f"
    for turn in range(20):
        path.write_bytes(b"a%09d" % turn)
        opened = open_now(copying, b"/f")
        path.write_bytes(b"b%09d" % turn)
        with pytest.raises(StaleVersion):
            copying.read_into(opened.handle, 0, memoryview(bytearray(10)), lambda _: None)
        copying.close_file(opened.handle)


def test_a_file_that_shrank_before_open_is_stale(copying: LocalSource, root: Path) -> None:
    """The size that was looked up is not there any more."""
    (root / "f").write_bytes(b"0123456789")
    version = copying.stat(b"/f").version
    os.truncate(root / "f", 3)
    with pytest.raises(StaleVersion):
        copying.open(b"/f", version)


# ---------------------------------------------------------------------------------------------------- limits


def test_names_may_have_255_bytes_and_no_more(source: LocalSource, root: Path) -> None:
    """As the file system below says."""
    (root / ("x" * 255)).write_bytes(b"long")
    assert source.stat(b"/" + b"x" * 255).size == 4
    with pytest.raises(OSError) as caught:
        source.stat(b"/" + b"x" * 256)
    assert caught.value.errno == errno.ENAMETOOLONG


def test_running_out_of_descriptors_says_so(source: LocalSource, root: Path) -> None:
    """EMFILE reaches the application, and the source works again afterwards."""
    (root / "f").write_bytes(b"x")
    version = source.stat(b"/f").version
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        for call in (lambda: source.open(b"/f", version), lambda: source.list(b"/")):
            with pytest.raises(OSError) as caught:
                call()
            assert caught.value.errno == errno.EMFILE
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    opened = source.open(b"/f", version)
    for extent in opened.extents:
        os.close(extent.fd)
    if opened.handle is not None:
        source.close_file(opened.handle)


def test_what_may_not_be_read_is_eacces(source: LocalSource, root: Path) -> None:
    """The daemon's rights are what counts here; those of the application are the kernel's business."""
    (root / "f").write_bytes(b"x")
    (root / "f").chmod(0)
    (root / "d").mkdir(mode=0)
    version = source.stat(b"/f").version
    with without_rights():
        for call in (lambda: source.open(b"/f", version), lambda: source.list(b"/d")):
            with pytest.raises(PermissionError):
                call()


# ------------------------------------------------------------------------------------------------------ root


def test_a_root_that_moves_is_still_the_root(source: LocalSource, root: Path) -> None:
    """The path named the directory once, at the mount."""
    (root / "f").write_bytes(b"x")
    root.rename(root.with_name("elsewhere"))
    root.mkdir()
    assert names(source) == b"f"


def test_a_root_that_vanishes_is_an_error(source: LocalSource, root: Path) -> None:
    """An empty directory instead would invite whoever mirrors the mount to delete everything."""
    (root / "f").write_bytes(b"x")
    version = source.stat(b"/f").version
    shutil.rmtree(root)
    assert stat.S_ISDIR(source.stat(b"/").mode)
    for call in (lambda: source.stat(b"/f"), lambda: source.open(b"/f", version), lambda: source.list(b"/")):
        with pytest.raises(FileNotFoundError):
            call()


def test_a_root_that_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    """At the mount, with what and where; not at the first read."""
    with pytest.raises(SourceError) as caught:
        LocalSource(os.fsencode(tmp_path / "missing"), lend=True)
    assert "missing" in caught.value.where
    assert caught.value.remedy


def test_a_root_that_is_a_file_is_an_error_at_once(tmp_path: Path) -> None:
    """A mount shows a directory."""
    (tmp_path / "f").write_bytes(b"x")
    with pytest.raises(SourceError, match="not a directory"):
        LocalSource(os.fsencode(tmp_path / "f"), lend=True)


@pytest.mark.parametrize("mode", [0o000, 0o311, 0o644])
def test_a_root_that_may_not_be_read_is_an_error_at_once(
    root: Path, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither without the right to list nor without the right to enter."""
    root.chmod(mode)
    with monkeypatch.context() as patch:
        patch.chdir(root)  # so that no directory above decides
        with without_rights(), pytest.raises(SourceError, match="may not read"):
            LocalSource(b".", lend=True)


def test_a_root_may_be_reached_through_a_link(root: Path, tmp_path: Path) -> None:
    """Whoever mounts named it, not somebody within it."""
    (root / "f").write_bytes(b"x")
    (tmp_path / "link").symlink_to(root)
    source = LocalSource(os.fsencode(tmp_path / "link"), lend=True)
    assert names(source) == b"f"
    source.close()


def test_after_close_every_call_is_ebadf(source: LocalSource, root: Path) -> None:
    """A thread that comes late must not work on somebody else's descriptor, or on the working directory."""
    (root / "f").write_bytes(b"x")
    source.close()
    for call in (
        lambda: source.stat(b"/f"),
        lambda: source.list(b"/"),
        lambda: source.readlink(b"/f"),
        lambda: source.open(b"/f", 1),
        source.statfs,
    ):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == errno.EBADF
