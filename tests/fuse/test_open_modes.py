"""`-o open=`: whether the kernel asks before it opens a file. Without asking the same bytes come, and nothing stays."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.children import Children
from harness.mounting import CACHE, Mounted, Mounts
from oss.bucket import Bucket

from alluxio_jnifuse.config.values import Config
from alluxio_jnifuse.errors import ConfigError

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(600)]

MIB = 1 << 20
SIZES = [0, 1, 4096, 5000, 60_000, 131_073, 300_000, MIB, 3 * MIB + 7]
STABLE = "kernel_cache,attr_timeout=7200,entry_timeout=7200"


def body(name: str, size: int) -> bytes:
    return (name.encode() * (size // len(name) + 1))[:size]


def files_of(count: int, sizes: list[int]) -> dict[str, bytes]:
    return {f"{n:04}": body(f"{n:04}", sizes[n % len(sizes)]) for n in range(count)}


def put(top: Path, files: dict[str, bytes]) -> None:
    top.mkdir()
    for name, data in files.items():
        (top / name).write_bytes(data)


def read_all(top: str) -> dict[str, bytes]:
    found = {}
    for name in sorted(os.listdir(top)):
        with open(f"{top}/{name}", "rb") as file:
            found[name] = file.read()
    return found


def errno_of(work: Callable[[str], object], path: str) -> int:
    try:
        work(path)
    except OSError as error:
        return error.errno or 0
    return 0


def read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()


def let_go(mounted: Mounted) -> None:
    """Returns when no file is held any more."""
    mounted.until(lambda stats: stats["files_born"] == stats["files_died"], "files are let go")


@pytest.mark.parametrize("properties", [{}, CACHE], ids=["lent", "cached"])
def test_a_directory(tmp_path: Path, mounts: Mounts, children: Children, properties: dict[str, str]) -> None:
    files = files_of(200, SIZES)
    put(tmp_path / "data", files)
    mounted = mounts.mount(tmp_path / "data", f"open=never,{STABLE}", properties)
    assert children.run(read_all, mounted.path) == files
    first = mounted.stats()
    assert first["op_open"] <= 2  # a read of two processes at once may come before the first answer
    assert first["open_by_read"] >= sum(1 for data in files.values() if data)
    assert first["op_release"] == 0
    assert children.run(read_all, mounted.path) == files
    again = mounted.since(first)
    assert "op_open" not in again  # READs there may be: the kernel gives up pages when it likes


def test_a_bucket(bucket: Bucket, mounts: Mounts, children: Children) -> None:
    """Each object is fetched once, with one request, as with OPENs; the second time nothing is asked for."""
    files = files_of(200, SIZES)
    bucket.put_many({f"d/{name}": data for name, data in files.items()})
    mounted = mounts.mount(bucket.uri, f"open=never,{STABLE}", bucket.properties())
    bucket.server.reset()
    assert children.run(read_all, mounted.join("d")) == files
    sent = bucket.counts()
    small = sum(1 for data in files.values() if 0 < len(data) <= MIB)
    assert sent["bytes_sent"] == sum(map(len, files.values()))
    assert sent["GET"] >= small
    before = mounted.stats()
    assert children.run(read_all, mounted.join("d")) == files
    assert "op_open" not in mounted.since(before)
    let_go(mounted)


def test_a_part_of_a_file(bucket: Bucket, mounts: Mounts, children: Children) -> None:
    """Reading only the head of each is one request for each small object, and nothing stays open."""
    files = files_of(50, [60_000, 300_000])
    bucket.put_many({f"d/{name}": data for name, data in files.items()})
    mounted = mounts.mount(bucket.uri, f"open=never,{STABLE}", bucket.properties())
    children.run(os.listdir, mounted.join("d"))
    bucket.server.reset()
    for name, data in files.items():
        done = children.run(subprocess.check_output, ["head", "-c", "100", mounted.join(f"d/{name}")])
        assert done == data[:100]
    assert bucket.counts()["GET"] == len(files)
    let_go(mounted)


def test_more_files_than_descriptors(tmp_path: Path, mounts: Mounts, children: Children) -> None:
    """Files that are read in part are given back for others."""
    files = files_of(1500, [200_000])
    put(tmp_path / "data", dict.fromkeys(files, b""))
    for name in files:
        os.truncate(tmp_path / "data" / name, 200_000)
    mounted = mounts.mount(tmp_path / "data", "open=never", wrapper=["prlimit", "--nofile=400:400"])
    assert children.run(heads, mounted.path, timeout=300) == len(files)
    assert not mounted.lines("EMFILE")
    let_go(mounted)


def heads(top: str) -> int:
    count = 0
    for name in os.listdir(top):
        with open(f"{top}/{name}", "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            count += file.read(10) == bytes(10)
    return count


def test_an_object_that_was_replaced(bucket: Bucket, mounts: Mounts, children: Children) -> None:
    """The kernel believes in the old one. Reading says so, and after that the name means the new one."""
    bucket.put_many({"d/a": body("old", 5000)})
    mounted = mounts.mount(bucket.uri, f"open=never,{STABLE}", bucket.properties())
    children.run(os.stat, mounted.join("d/a"))
    bucket.put_many({"d/a": body("new", 7000)})
    assert children.run(errno_of, read, mounted.join("d/a")) in (errno.EIO, errno.ESTALE)
    mounted.until(lambda stats: children.run(errno_of, read, mounted.join("d/a")) == 0, "the new one is found")
    assert children.run(read, mounted.join("d/a")) == body("new", 7000)


def test_a_file_that_was_written_in_place(tmp_path: Path, mounts: Mounts, children: Children) -> None:
    """Is seen when the kernel asks for attributes again; auto_cache drops the old pages then."""
    put(tmp_path / "data", {"a": body("old", 5000)})
    mounted = mounts.mount(tmp_path / "data", "open=never,attr_timeout=0")
    assert children.run(read, mounted.join("a")) == body("old", 5000)
    (tmp_path / "data" / "a").write_bytes(body("new", 7000))
    assert children.run(read, mounted.join("a")) == body("new", 7000)


def test_a_file_that_was_deleted_while_it_is_open(tmp_path: Path, mounts: Mounts, children: Children) -> None:
    put(tmp_path / "data", {"a": bytes(50_000_000)})
    mounted = mounts.mount(tmp_path / "data", "open=never")
    assert children.run(read_the_end_later, mounted, mounted.join("a"), tmp_path / "data" / "a") in (
        errno.EIO,
        errno.ESTALE,
    )


def read_the_end_later(mounted: Mounted, path: str, source: Path) -> int:
    with open(path, "rb", buffering=0) as file:
        file.read(10)
        source.unlink()
        let_go(mounted)
        try:
            os.pread(file.fileno(), 4096, 49_000_000)
        except OSError as error:
            return error.errno or 0
    return 0


def test_nothing_is_written(tmp_path: Path, mounts: Mounts, children: Children) -> None:
    put(tmp_path / "data", {"a": b"a"})
    for options in ("open=never", "open=never,rw"):
        mounted = mounts.mount(tmp_path / "data", options)
        children.run(read, mounted.join("a"))
        assert children.run(errno_of, append, mounted.join("a")) == errno.EROFS
        assert children.run(errno_of, empty, mounted.join("a")) == errno.EROFS
        assert (tmp_path / "data" / "a").read_bytes() == b"a"
        assert mounted.unmount().returncode == 0


def append(path: str) -> None:
    with open(path, "ab", buffering=0) as file:
        file.write(b"b")


def empty(path: str) -> None:
    with open(path, "wb"):
        pass


def test_where_modes_count_at_each_open(tmp_path: Path, mounts: Mounts) -> None:
    """It is refused: nothing would be asked."""
    put(tmp_path / "data", {"a": b"a"})
    with pytest.raises(AssertionError, match="open=never and default_permissions exclude each other"):
        mounts.mount(tmp_path / "data", "open=never,default_permissions")


def test_what_contradicts_itself() -> None:
    with pytest.raises(ConfigError, match="open=never and direct_io exclude each other"):
        Config.load(ufs="/", options=["open=never,direct_io"], environ={})
    assert Config.load(ufs="/", options=["open=never"], environ={}).core_options()["asks_no_open"] == 1
    with pytest.raises(ConfigError, match="open"):
        Config.load(ufs="/", options=["open=sometimes"], environ={})
