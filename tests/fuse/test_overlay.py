"""Overlays on a mount of ours, and mounts of what lies on an overlay; passthrough in both."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.children import Children
from harness.mounting import CACHE, Mounted, Mounts
from oss.bucket import Bucket

pytestmark = pytest.mark.fuse

MIB = 1 << 20
FILES = {"small": b"small\n", "dir/large": os.urandom(3 * MIB + 5), "dir/gone": b"gone\n", "other/empty": b""}
DISK = {**CACHE, "alluxio.user.client.cache.store.type": "LOCAL"}
# Whose files the kernel reads itself: at once, once they are in the client cache, or never.
LENT, CACHED, NEVER = range(3)

Overlay = Callable[[str], Path]


@pytest.fixture
def disk(private: Path, mounts: Mounts) -> Iterator[Path]:
    """A file system that lies on no other, whatever the tests' own directory lies on; detached before mounts of it."""
    path = private / "disk"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", path], capture_output=True, check=False).returncode:
        pytest.skip("this user cannot mount a tmpfs")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


@pytest.fixture
def overlay(disk: Path, mounts: Mounts) -> Iterator[Overlay]:
    """A factory of overlays: given the lower directory, mounts one; the upper directory is called NAME.upper."""
    made: list[Path] = []

    def make(lower: str) -> Path:
        path = disk / f"overlay{len(made)}"
        upper, work = path.with_suffix(".upper"), path.with_suffix(".work")
        for directory in (path, upper, work):
            directory.mkdir()
        done = mount_overlay(lower, upper, work, path)
        assert done.returncode == 0, done.stderr
        made.append(path)
        return path

    yield make
    for path in reversed(made):
        subprocess.run(["umount", "-l", path], check=True)


def mount_overlay(lower: str, upper: Path, work: Path, path: Path) -> subprocess.CompletedProcess[str]:
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    return subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", options, path], capture_output=True, text=True, check=False
    )


def fill(directory: Path) -> Path:
    for name, contents in FILES.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(contents)
    return directory


def tree(top: str) -> dict[str, bytes | None]:
    """The contents of all files beneath a directory; None for directories."""
    found: dict[str, bytes | None] = {}
    for parent, directories, names in os.walk(top):
        for name in directories:
            found[os.path.relpath(f"{parent}/{name}", top)] = None
        for name in names:
            with open(f"{parent}/{name}", "rb") as file:
                found[os.path.relpath(f"{parent}/{name}", top)] = file.read()
    return found


def write(top: str) -> dict[str, bytes | None]:
    """What a container does with its image; returns what is there afterwards."""
    with open(f"{top}/new", "wb") as file:
        file.write(b"new\n")
    with open(f"{top}/small", "ab") as file:
        file.write(b"and more\n")
    with open(f"{top}/dir/large", "r+b") as file:
        file.seek(MIB)
        file.write(b"x" * 10)
    os.unlink(f"{top}/dir/gone")
    os.rename(f"{top}/other/empty", f"{top}/dir/moved")
    os.chmod(f"{top}/dir/moved", 0o600)
    os.rmdir(f"{top}/other")
    os.mkdir(f"{top}/other")
    return tree(top)


def read_twice(top: str) -> None:
    for _ in range(2):
        for name, contents in FILES.items():
            with open(f"{top}/{name}", "rb") as file:
                assert file.read() == contents


@pytest.mark.parametrize(
    ("of", "options", "properties", "reads"),
    [
        ("directory", "", {}, LENT),
        ("directory", "passthrough=off", {}, NEVER),
        ("directory", "", CACHE, CACHED),
        ("directory", "", DISK, CACHED),
        ("bucket", "", {}, NEVER),
        ("bucket", "", CACHE, CACHED),
        ("bucket", "", DISK, CACHED),
    ],
    ids=["directory", "daemon", "cached", "cached-disk", "bucket", "bucket-cached", "bucket-cached-disk"],
)
def test_an_overlay_on_the_mount(
    request: pytest.FixtureRequest,
    disk: Path,
    mounts: Mounts,
    overlay: Overlay,
    children: Children,
    of: str,
    options: str,
    properties: dict[str, str],
    reads: int,
) -> None:
    """Shows what it shows on the directory itself, writes go to the upper directory, and passthrough is granted."""
    source = fill(disk / "source")
    uri: object = source
    if of == "bucket":
        bucket: Bucket = request.getfixturevalue("bucket")
        bucket.put_many(dict(FILES))
        uri, properties = bucket.uri, {**bucket.properties(), **properties}
    if properties.get("alluxio.user.client.cache.store.type"):
        properties = {**properties, "alluxio.user.client.cache.dirs": str(disk / "cache")}
    mounted = mounts.mount(uri, options, properties)
    top = overlay(mounted.path)
    children.run(read_twice, str(top))
    if not passthrough_is_possible(mounts, disk):
        reads = NEVER
    assert mounted.has("passthrough") == (reads != NEVER)
    assert (mounted.closed()["open_passthrough"] > 0) == (reads != NEVER)
    plain = overlay(str(source))
    assert children.run(write, str(top)) == children.run(write, str(plain))
    upper = top.with_suffix(".upper")
    assert {str(path.relative_to(upper)) for path in upper.rglob("*") if path.is_file()} == {
        "new",
        "small",
        "dir/large",
        "dir/moved",
    }
    assert children.run(tree, mounted.path) == tree(str(source))
    assert tree(str(source)) == tree(str(fill(disk / "reference")))


def passthrough_is_possible(mounts: Mounts, disk: Path) -> bool:
    """Whether the kernel grants it to anybody here."""
    return mounts.mount(fill(disk / "plain")).has("passthrough")


@pytest.fixture
def on_overlay(overlay: Overlay, disk: Path) -> str:
    """A directory as a container has it: an overlay with a file of its own."""
    return str(overlay(str(fill(disk / "image"))))


def opened(mounted: Mounted, children: Children) -> int:
    """How many opens of a pass are in passthrough."""
    children.run(read_twice, mounted.path)
    return mounted.closed()["open_passthrough"]


@pytest.mark.parametrize("properties", [{}, DISK], ids=["directory", "cached-disk"])
def test_what_lies_on_an_overlay(
    on_overlay: str, disk: Path, mounts: Mounts, children: Children, private: Path, properties: dict[str, str]
) -> None:
    """Is read in passthrough all the same, for which an overlay on the mount is given up; the log says so."""
    if not passthrough_is_possible(mounts, disk):
        pytest.skip("passthrough is not granted here")
    source = on_overlay
    if properties:
        source = str(disk / "image")
        properties = {**properties, "alluxio.user.client.cache.dirs": f"{on_overlay}/cache"}
    mounted = mounts.mount(source, "", properties)
    assert opened(mounted, children)
    assert mounted.lines("lie on an overlay", "stack_depth=1")
    refused = mount_overlay(mounted.path, *(made(disk / name) for name in ("u", "w", "o")))
    assert refused.returncode


def made(path: Path) -> Path:
    path.mkdir()
    return path


def test_the_other_choice(on_overlay: str, overlay: Overlay, mounts: Mounts, disk: Path, children: Children) -> None:
    """With stack_depth=1 the overlay can be mounted, and the log says what that costs, and the way back."""
    mounted = mounts.mount(on_overlay, "stack_depth=1")
    top = overlay(mounted.path)
    children.run(read_twice, str(top))
    assert not mounted.closed()["open_passthrough"]
    if mounted.has("passthrough"):
        assert mounted.lines("no passthrough for", "overlay", "stack_depth=2")
    deep = mounts.mount(disk / "image", "stack_depth=2")
    if deep.has("passthrough"):
        assert mount_overlay(deep.path, *(made(disk / name) for name in ("u", "w", "o"))).returncode


def test_two_overlays(mounts: Mounts, bucket: Bucket, overlay: Overlay, children: Children) -> None:
    """What lends nothing is not stacked at all: an overlay on an overlay on a bucket."""
    bucket.put_many(dict(FILES))
    mounted = mounts.mount(bucket.uri, "", bucket.properties())
    children.run(read_twice, str(overlay(str(overlay(mounted.path)))))
