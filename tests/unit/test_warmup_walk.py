"""Files to load are found in the order of their directories, by the mount that they are on, and within it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from alluxio_jnifuse import mountpoint, mounttable
from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounttable import FSTYPE, MountEntry
from alluxio_jnifuse.registry import Record, Registry, record_of_this_process
from alluxio_jnifuse.warmup.targets import Target, find, is_beneath, why_gone
from alluxio_jnifuse.warmup.walk import Globs, walk


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with two files and two directories, and another one beside it."""
    for name in ("mnt/a", "mnt/d/b", "mnt/d/e/c", "outside/o"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path / "mnt"


def target(path: Path, mountpoint: Path | None = None) -> Target:
    """A target on a mount that there is not."""
    at = str(mountpoint or path)
    return Target(str(path), at, os.stat(at).st_dev, record_of_this_process(at, "/", "/data", ""))


def names(of: Target, globs: Globs | None = None) -> list[str]:
    """What a walk finds, as seen from the target, sorted; nothing may fail."""

    def fail(path: str, target: Target, error: OSError) -> None:
        raise AssertionError(path) from error

    return sorted(of.relative(file.path) for file in walk(of, globs or Globs(), fail))


def test_all_files_beneath(root: Path) -> None:
    """Files at every depth are found, with size and times; a file stands for itself."""
    assert names(target(root)) == ["a", "d/b", "d/e/c"]
    assert names(target(root / "d", root)) == ["b", "e/c"]
    assert names(target(root / "a", root)) == ["a"]
    (found,) = walk(target(root / "a", root), Globs(), lambda *_: None)
    status = os.stat(root / "a")
    assert found[1:4] == (status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def test_the_files_of_a_directory_stay_together(root: Path) -> None:
    """They come in the order in which the directory lists them, before those of directories in it."""
    for number in range(20):
        (root / "d" / f"n{number}").touch()
    found = [os.path.relpath(file.path, root) for file in walk(target(root), Globs(), lambda *_: None)]
    listed = [f"d/{entry.name}" for entry in os.scandir(root / "d") if entry.is_file()]
    assert found == ["a", *listed, "d/e/c"]


def test_links(root: Path) -> None:
    """A link to a file of the mount stands for it; others are not followed, and are no failures."""
    (root / "inside").symlink_to("d/b")
    (root / "d" / "absolute").symlink_to(root / "a")
    (root / "directory").symlink_to("d")
    (root / "loop").symlink_to("loop")
    (root / "nowhere").symlink_to("d/missing")
    (root / "out").symlink_to("../outside/o")
    (root / "d" / "out").symlink_to(root.parent / "outside" / "o")
    assert names(target(root)) == ["a", "d/absolute", "d/b", "d/e/c", "inside"]


def test_another_file_system(root: Path) -> None:
    """What is mounted within the mount is left out."""
    assert names(target(root)._replace(device=os.stat("/proc").st_dev)) == []


@pytest.mark.parametrize(
    ("include", "exclude", "found"),
    [
        (["*.tar"], [], ["a.tar", "x/b.tar"]),
        (["a*", "x/*"], [], ["a.tar", "a.txt", "x/b.tar", "x/tmp/c"]),
        ([], ["*.t*"], ["x/tmp/c"]),
        ([], ["tmp"], ["a.tar", "a.txt", "x/b.tar"]),
        ([], ["x/tmp"], ["a.tar", "a.txt", "x/b.tar"]),
        (["*.tar"], ["a*"], ["x/b.tar"]),
    ],
)
def test_globs(tmp_path: Path, include: list[str], exclude: list[str], found: list[str]) -> None:
    """Names are compared, paths where the pattern has a slash; excluded directories are not entered."""
    for name in ("a.tar", "a.txt", "x/b.tar", "x/tmp/c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert names(target(tmp_path), Globs(include, exclude)) == found


def test_what_cannot_be_looked_at_is_told(root: Path) -> None:
    """A target that is not there, and a directory that vanishes, are told with their errno; the rest goes on."""
    failed = []

    def fail(path: str, target: Target, error: OSError) -> None:
        failed.append((os.path.basename(path), error.errno))

    assert list(walk(target(root / "missing", root), Globs(), fail)) == []
    walking = walk(target(root), Globs(), fail)
    assert next(walking).path == str(root / "a")
    os.rename(root / "d", root.parent / "elsewhere")
    assert list(walking) == []
    assert failed == [("missing", errno.ENOENT), ("d", errno.ENOENT)]


# ------------------------------------------------------------------------------------------------------ targets


class Running(Registry):
    """A registry that knows one mount."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def running(self) -> list[Record]:
        return [self._record]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, root: Path) -> Running:
    """Of a mount at `root`; a bind mount of it, and one of nobody's, are there too."""
    entries = [
        MountEntry("/", "ext4", "/dev/vda", 8, 1),
        MountEntry(str(root), "ext4", "hidden by the next", 8, 2),
        MountEntry(str(root), FSTYPE, "alluxio-fuse", 0, 70),
        MountEntry(str(root / "d" / "e"), "tmpfs", "none", 0, 71),
        MountEntry(str(root.parent / "bound"), FSTYPE, "alluxio-fuse", 0, 70),
        MountEntry(str(root.parent / "foreign"), FSTYPE, "alluxio-fuse", 0, 72),
    ]
    monkeypatch.setattr(mounttable, "read", lambda: entries)
    return Running(record_of_this_process(str(root), "/", "/data", ""))


def test_the_mount_of_a_path(registry: Running, root: Path) -> None:
    """Links are resolved, the innermost mount counts, and a bind mount is served by whoever serves the original."""
    (root.parent / "link").symlink_to(root / "d")
    paths = [str(root), str(root / "missing"), f"{root.parent}/link/b", str(root.parent / "bound" / "x")]
    found = find(paths, registry)
    assert [one.path for one in found] == [*paths[:2], str(root / "d" / "b"), paths[3]]
    assert {one.device for one in found} == {os.makedev(0, 70)}
    assert {one.record.mountpoint for one in found} == {str(root)}
    assert found[3].mountpoint == str(root.parent / "bound")


def test_a_path_on_no_mount_of_ours(registry: Running, root: Path) -> None:
    """The error names the mounts that there are; what is mounted within ours, and its neighbour, are not ours."""
    for path in (root.parent / "outside", root / "d" / "e" / "c", Path(f"{root}2")):
        with pytest.raises(MountError, match="is not on a mount of ours") as caught:
            find([str(root), str(path)], registry)
        assert caught.value.where == str(path)
        assert caught.value.remedy.endswith(f" beneath {root}")


def test_a_mount_without_its_process(registry: Running, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose process has died, or is another user's, is not called a stranger."""
    path = str(root.parent / "foreign" / "x")
    with pytest.raises(MountError, match="not among the running mounts"):
        find([path], registry)
    monkeypatch.setattr(mounttable, "probe", lambda *_: errno.ENOTCONN)
    with pytest.raises(MountError, match="has no process any more"):
        find([path], registry)


def test_why_a_mount_is_gone(registry: Running, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was unmounted, its process has ended, or its process is just ending."""
    (there,) = find([str(root)], registry)
    assert why_gone(there, disconnected=True) == ""
    dead = there._replace(record=there.record._replace(start_time=1))
    assert why_gone(dead, disconnected=False) == "has no process any more"
    monkeypatch.setattr(mountpoint.mounttable, "probe", lambda *_: errno.ENOTCONN)
    assert why_gone(there, disconnected=False) == ""
    assert why_gone(there, disconnected=True) == "has no process any more"
    monkeypatch.setattr(mounttable, "read", list)
    assert why_gone(there, disconnected=False) == "has been unmounted"


def test_beneath() -> None:
    """Whole components are compared."""
    assert is_beneath("/a/b", "/a")
    assert is_beneath("/a", "/a")
    assert is_beneath("/a", "/")
    assert not is_beneath("/ab", "/a")
