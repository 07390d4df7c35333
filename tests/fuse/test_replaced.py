"""Objects that are replaced behind the mount, while the kernel trusts what a listing said of them: whoever opens one

that nobody has read yet gets the new version, whole; versions are never mixed."""

from __future__ import annotations

import errno
import mmap
import os
import random
import subprocess
import time
from collections.abc import Callable, Mapping

import pytest
from harness.children import Children
from harness.mounting import Mounted, Mounts
from oss.bucket import Bucket

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(600)]

MIB = 1 << 20
SMALL = [1, 4096, 5000, 131_072, 131_073, 300_000, MIB]
LARGE = [MIB + 1, 3 * MIB + 7, 9 * MIB]
JUST_NOW_S = 0.2  # what is younger is not asked for anew when a large object is opened
TIMES = {"same": 1.0, "longer": 1.7, "shorter": 0.4}


def body(name: str, version: int, size: int) -> bytes:
    """What a file holds; no two versions agree in any of their pages."""
    return random.Random(f"{name} {version}").randbytes(size)


def by_read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def by_mmap(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        return mapped[:]


def by_cat(path: str) -> bytes:
    return subprocess.run(["cat", path], stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout


def by_cp(path: str) -> bytes:
    copy = f"/dev/shm/{os.getpid()}-copy"
    try:
        subprocess.run(["cp", path, copy], stdin=subprocess.DEVNULL, check=True)
        return by_read(copy)
    finally:
        os.unlink(copy)


def from_the_end(path: str) -> bytes:
    """The last page first."""
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        half = size // 2
        tail = b"".join(os.pread(file.fileno(), 1 << 16, at) for at in range(half, size, 1 << 16))
        return b"".join(os.pread(file.fileno(), min(1 << 16, half - at), at) for at in range(0, half, 1 << 16)) + tail


WAYS = (by_read, by_mmap, by_cat, from_the_end)


def list_long(path: str) -> dict[str, int]:
    """As `ls -l`."""
    with os.scandir(path) as found:
        return {entry.name: entry.stat().st_size for entry in found}


def read_all(top: str, names: list[str], ways: tuple[Callable[[str], bytes], ...]) -> dict[str, bytes]:
    return {name: ways[at % len(ways)](f"{top}/{name}") for at, name in enumerate(names)}


def put(bucket: Bucket, sizes: Mapping[str, int], version: int) -> dict[str, bytes]:
    files = {name: body(name, version, size) for name, size in sizes.items()}
    bucket.put_many({f"d/{name}": data for name, data in files.items()})
    return files


def differing(found: Mapping[str, bytes], wanted: Mapping[str, bytes]) -> list[str]:
    return [name for name in wanted if found.get(name) != wanted[name]]


def mount(mounts: Mounts, bucket: Bucket, options: str = "", properties: Mapping[str, str] | None = None) -> Mounted:
    return mounts.mount(bucket.uri, options, {**bucket.properties(), **(properties or {})})


@pytest.mark.parametrize("change", TIMES)
def test_small_objects(bucket: Bucket, mounts: Mounts, children: Children, change: str) -> None:
    """Two hundred, replaced between `ls -l` and whoever reads them: not one read fails, and each is the new one."""
    sizes = {f"{number:03}": SMALL[number % len(SMALL)] for number in range(200)}
    put(bucket, sizes, 1)
    mounted = mount(mounts, bucket)
    assert children.run(list_long, mounted.join("d")) == sizes
    new = put(bucket, {name: max(1, int(size * TIMES[change])) for name, size in sizes.items()}, 2)
    found = children.run(read_all, mounted.join("d"), sorted(sizes), WAYS, timeout=120)
    assert differing(found, new) == []
    assert children.run(list_long, mounted.join("d")) == {name: len(data) for name, data in new.items()}


@pytest.mark.parametrize("change", TIMES)
def test_large_objects(bucket: Bucket, mounts: Mounts, children: Children, change: str) -> None:
    """The same of those that have a handle."""
    sizes = {f"{number:03}": LARGE[number % len(LARGE)] for number in range(15)}
    put(bucket, sizes, 1)
    mounted = mount(mounts, bucket)
    assert children.run(list_long, mounted.join("d")) == sizes
    new = put(bucket, {name: max(1, int(size * TIMES[change])) for name, size in sizes.items()}, 2)
    found = children.run(read_all, mounted.join("d"), sorted(sizes), WAYS, timeout=120)
    assert differing(found, new) == []


def test_no_request_more_than_objects(bucket: Bucket, mounts: Mounts, children: Children) -> None:
    """Proving that a version is there costs none; nor does a file that the kernel has kept cost one."""
    sizes = {f"{number:03}": SMALL[number % len(SMALL)] for number in range(100)}
    files = put(bucket, sizes, 1)
    mounted = mount(mounts, bucket)
    bucket.server.reset()
    children.run(list_long, mounted.join("d"))

    def requests() -> Mapping[str, int]:
        found = children.run(read_all, mounted.join("d"), sorted(sizes), (by_read, by_cat), timeout=120)
        assert differing(found, files) == []
        return bucket.counts()

    counts = requests()
    assert counts["GET"] == len(sizes)
    assert counts["bytes_sent"] == sum(sizes.values())
    for _ in range(5):  # the kernel may drop some of a file at any time, but hardly each time
        before, counts = counts, requests()
        assert counts["LIST"] <= 3
        if counts["GET"] == before["GET"]:
            break
    assert counts["GET"] == before["GET"]


def test_an_object_that_is_gone(bucket: Bucket, mounts: Mounts, children: Children) -> None:
    """Is missing to who opens it, whatever a listing said."""
    put(bucket, {"small": 5000, "large": 3 * MIB}, 1)
    mounted = mount(mounts, bucket)
    children.run(list_long, mounted.join("d"))
    bucket.delete("d/small", "d/large")
    time.sleep(JUST_NOW_S)
    for name in ("small", "large"):
        assert children.run(errno_of_opening, mounted.join(f"d/{name}")) == errno.ENOENT


def errno_of_opening(path: str) -> int:
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError as error:
        return error.errno or 0
    return 0


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("size", [MIB, 9 * MIB])
def test_what_was_read_is_not_continued_by_another_version(
    bucket: Bucket, mounts: Mounts, children: Children, size: int, dropped: bool
) -> None:
    """Some bytes were handed out, the others are nowhere: EIO, for this handle and for one opened meanwhile.

    The kernel may drop pages that it has read at any time, as it does here when told to: what was read whole by one
    program is then in part nowhere for the next.
    """
    put(bucket, {"file": size}, 1)
    mounted = mount(mounts, bucket, "prefetch_window=0")
    path = mounted.join("d/file")
    read = children.run(read_in_two, path, lambda: put(bucket, {"file": size}, 2), timeout=120)
    old, new = body("file", 1, size), body("file", 2, size)
    assert read == old[: len(read)]
    if dropped:
        children.run(drop_pages, path, size // 2)
    allowed = (new,) if len(read) < size else (new, old, errno.EIO)
    found = children.run(read_or_errno, path, timeout=120)
    assert found in allowed
    if found == errno.EIO:
        assert children.run(by_read, path, timeout=120) == new


def read_or_errno(path: str) -> bytes | int:
    try:
        return by_read(path)
    except OSError as error:
        return error.errno or 0


def read_in_two(path: str, between: Callable[[], object]) -> bytes:
    """What could be read, half of it before something happens."""
    with open(path, "rb", buffering=0) as file:
        found = file.read(4096)
        between()
        try:
            while data := os.pread(file.fileno(), 1 << 16, len(found)):
                found += data
        except OSError as error:
            if error.errno != errno.EIO:
                raise
        return found


def test_an_object_replaced_again_and_again(bucket: Bucket, mounts: Mounts, children: Children) -> None:
    """After each time it is the new one, also for who has another version of it open."""
    put(bucket, {"file": 20_000}, 0)
    mounted = mount(mounts, bucket, "attr_timeout=3600,entry_timeout=3600")
    children.run(list_long, mounted.join("d"))
    for version in range(1, 6):
        new = put(bucket, {"file": 20_000 + version}, version)["file"]
        assert children.run(open_and_compare, mounted.join("d/file"), new)
        children.run(drop_pages, mounted.join("d/file"))
        bucket.delete("d/file")
        with pytest.raises(FileNotFoundError):
            children.run(read_once_more, mounted.join("d/file"))
    assert not mounted.lines("ERROR")


def open_and_compare(path: str, wanted: bytes) -> bool:
    return by_read(path) == wanted


def drop_pages(path: str, start: int = 0) -> None:
    with open(path, "rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), start, 0, os.POSIX_FADV_DONTNEED)


def read_once_more(path: str) -> None:
    """The first time may fail: the kernel may have had pages of it."""
    try:
        by_read(path)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
    by_read(path)
