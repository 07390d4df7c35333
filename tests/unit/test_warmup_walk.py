"""Files to load are found in the order of their directories, by the mount that they are on, and within it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.load.targets import Target, find, is_beneath, why_gone
from alluxio_jnifuse.load.walk import Globs, walk
from alluxio_jnifuse.mounts import point, table
from alluxio_jnifuse.mounts.registry import Record, Registry, record_of_this_process
from alluxio_jnifuse.mounts.table import FSTYPE, MountEntry


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


def _never(path: str, target: Target, error: OSError) -> None:
    raise AssertionError(path) from error


def names(of: Target, globs: Globs | None = None) -> list[str]:
    """What a walk finds, as seen from the target, sorted; nothing may fail."""
    return sorted(of.relative(file.path) for file in walk([of], globs or Globs(), _never))


def test_all_files_beneath(root: Path) -> None:
    """Files at every depth are found, with size and times; a file stands for itself."""
    assert names(target(root)) == ["a", "d/b", "d/e/c"]
    assert names(target(root / "d", root)) == ["b", "e/c"]
    assert names(target(root / "a", root)) == ["a"]
    (found,) = walk([target(root / "a", root)], Globs(), lambda *_: None)
    status = os.stat(root / "a")
    assert found[1:4] == (status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def test_the_files_of_a_directory_stay_together(root: Path) -> None:
    """They come in the order in which the directory lists them, before those of directories in it."""
    for number in range(20):
        (root / "d" / f"n{number}").touch()
    found = [os.path.relpath(file.path, root) for file in walk([target(root)], Globs(), lambda *_: None)]
    listed = [f"d/{entry.name}" for entry in os.scandir(root / "d") if entry.is_file()]
    assert found == ["a", *listed, "d/e/c"]


def test_links(root: Path) -> None:
    """A link to a file of the mount stands for it; others are not followed, and are no failures."""
    (root / "d" / "inside").symlink_to("e/c")
    (root / "d" / "absolute").symlink_to(root / "a")
    (root / "directory").symlink_to("d")
    (root / "loop").symlink_to("loop")
    (root / "ping").symlink_to("pong")
    (root / "pong").symlink_to("ping")
    (root / "nowhere").symlink_to("d/missing")
    (root / "through").symlink_to("a/b")
    (root / "long").symlink_to("x" * 4000)
    (root / "longer").symlink_to("x" * 4095)
    (root / "out").symlink_to("../outside/o")
    (root / "d" / "out").symlink_to(root.parent / "outside" / "o")
    (root / "top").symlink_to(root)
    (root / "above").symlink_to("..")
    assert names(target(root)) == ["a", "d/b", "d/e/c"]
    assert names(target(root / "d", root)) == ["absolute", "b", "e/c"]


def test_each_file_once(root: Path) -> None:
    """Whatever links there are to it, and if it has a name of its own."""
    snapshots, blobs = root / "snapshots", root / "blobs"
    snapshots.mkdir()
    blobs.mkdir()
    (blobs / "b").write_text("b")
    (root / "dir").symlink_to("blobs")
    for number in range(40):
        (snapshots / str(number)).symlink_to("../blobs/b")
    (snapshots / "far").symlink_to("./" * 1900 + "../dir/../blobs/b")
    (snapshots / "near").symlink_to("39")
    (snapshots / "around").symlink_to(f"{root}/../{root.name}/dir/b")
    assert names(target(root)) == ["a", "blobs/b", "d/b", "d/e/c"]
    assert len(names(target(snapshots, root))) == 1
    assert len(names(target(root), Globs([], ["blobs"]))) == 4
    assert names(target(root), Globs(["3?"])) == names(target(root), Globs(["snapshots/3?"]))


def test_hard_links_once(root: Path) -> None:
    """The first name counts; a link to one of them is another name."""
    for number in range(5):
        os.link(root / "a", root / "d" / f"n{number}")
    (root / "d" / "s").symlink_to("n3")
    assert [name for name in names(target(root)) if name not in ("d/b", "d/e/c")] == ["a"]
    assert len(names(target(root / "d", root))) == 3
    assert len(list(walk([target(root / "d", root), target(root / "a", root)], Globs(), _never))) == 3


def test_targets_that_overlap(root: Path) -> None:
    """What lies beneath two of them belongs to the first, if its patterns let it."""
    paths = [root / "d" / "b", root / "d", root, root, root / "a", root / "d" / "e"]
    for order in (paths, paths[::-1], paths[2:] + paths[:2]):
        found = [file.path for file in walk([target(path, root) for path in order], Globs(), _never)]
        assert sorted(found) == [str(root / name) for name in ("a", "d/b", "d/e/c")]
    both = [target(root, root), target(root / "d", root)]
    assert [file.path for file in walk(both, Globs(["e/*"]), _never)] == [str(root / "d/e/c")]
    assert [file.path for file in walk(both, Globs([], ["d"]), _never)].count(str(root / "d/b")) == 1


def test_what_lies_outside_is_not_looked_at(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by links to links either, nor by links to directories."""
    looked: list[str] = []
    for name in ("lstat", "stat", "readlink"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda path, *a, real=real, **k: (looked.append(str(path)), real(path, *a, **k))[1]
        )
    (root / "up").symlink_to("..")
    (root / "far").symlink_to("up/outside/o")
    (root / "further").symlink_to("far")
    (root / "back").symlink_to(f"../{root.name}/d/../d/b")
    one = target(root)
    looked.clear()
    assert names(one) == ["a", "d/b", "d/e/c"]
    assert looked
    assert not [path for path in looked if not is_beneath(path, str(root))]


def test_names_of_all_kinds(root: Path) -> None:
    """Names are bytes; links to them, and to themselves, too."""
    for name in (b"\xff\xfe", b"a\nb", b" ", b"\x1b[31m", "\u6302\u8f7d".encode()):
        path = os.path.join(os.fsencode(root / "d" / "e"), name)
        with open(path, "wb"):
            pass
        os.symlink(os.path.join(b"e", name), os.path.join(os.fsencode(root / "d"), name))
    assert len(names(target(root / "d", root))) == 2 + 5
    (root / "loop").symlink_to("loop")
    failed: list[int | None] = []
    one = Target(str(root / "loop"), str(root), os.stat(root).st_dev, target(root).record)
    assert not list(walk([one], Globs(), lambda _path, _target, error: failed.append(error.errno)))
    assert failed == [errno.ELOOP]


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

    assert list(walk([target(root / "missing", root)], Globs(), fail)) == []
    walking = walk([target(root)], Globs(), fail)
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
    monkeypatch.setattr(table, "read", lambda: entries)
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
    monkeypatch.setattr(table, "probe", lambda *_: errno.ENOTCONN)
    with pytest.raises(MountError, match="has no process any more"):
        find([path], registry)


def test_why_a_mount_is_gone(registry: Running, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was unmounted, its process has ended, or its process is just ending."""
    (there,) = find([str(root)], registry)
    assert why_gone(there, disconnected=True) == ""
    dead = there._replace(record=there.record._replace(start_time=1))
    assert why_gone(dead, disconnected=False) == "has no process any more"
    monkeypatch.setattr(point.table, "probe", lambda *_: errno.ENOTCONN)
    assert why_gone(there, disconnected=False) == ""
    assert why_gone(there, disconnected=True) == "has no process any more"
    monkeypatch.setattr(table, "read", list)
    assert why_gone(there, disconnected=False) == "has been unmounted"


def test_beneath() -> None:
    """Whole components are compared."""
    assert is_beneath("/a/b", "/a")
    assert is_beneath("/a", "/a")
    assert is_beneath("/a", "/")
    assert not is_beneath("/ab", "/a")
