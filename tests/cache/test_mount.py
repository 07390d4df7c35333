"""Mounts with a client cache on a disk: warm after a restart, right whatever the disk does, within the budget."""

from __future__ import annotations

import ctypes
import mmap
import os
import random
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.children import Children, until
from harness.mounting import COMMAND, Mounted, Mounts, run
from harness.readers import LIBC, MIB, check
from harness.remote import RemoteSource
from stores import used_by

from alluxio_jnifuse.mounts.registry import candidates, file_stem
from alluxio_jnifuse.testing import Pattern, pattern

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(600)]

Remote = Callable[..., RemoteSource]
PREFIX = "alluxio.user.client.cache."
KILLS = int(os.environ.get("AJF_KILLS", "10"))
SIZES = {"large": 40 * MIB + 4097, "middle": 3 * MIB, "small": 10_000, "empty": 0}
STORES = ["LOCAL", "ROCKS"]


def settings(store: str, directory: Path, size: str = "256MB", **more: str) -> dict[str, str]:
    """Properties of a client cache in a directory; `more` by the end of their names."""
    own = {"enabled": "true", "store.type": store, "dir": str(directory), "size": size}
    return {f"{PREFIX}{name}": value for name, value in {**own, **more}.items()}


def tree() -> dict[bytes, Pattern]:
    return {os.fsencode(name): Pattern(size) for name, size in SIZES.items()}


def read_all(mounted: Mounted) -> None:
    """In a child: every file, right to its end."""
    for name, size in SIZES.items():
        check(mounted.join(name), size)


def remount(mounts: Mounts, mounted: Mounted, source: RemoteSource, properties: dict[str, str]) -> Mounted:
    """Unmounts, and mounts the same storage with the same cache."""
    assert not mounted.end()
    source.restart()
    again = mounts.mount(source, "", properties)
    until_restored(again)
    return again


def until_restored(mounted: Mounted) -> None:
    """What an earlier mount left has been looked through."""
    mounted.until(lambda stats: stats["cache_pages"] == stats["cache_restored_pages"] > 0, "the cache to be restored")


@pytest.mark.parametrize("store", STORES)
def test_what_is_cached_is_for_the_user_alone(
    mounts: Mounts, children: Children, remote: Remote, private: Path, store: str
) -> None:
    """Each directory and each file, those that a database makes among them, whatever the umask; not so the record."""
    before = os.umask(0)
    try:
        mounted = mounts.mount(remote(tree()), "", settings(store, private / "cache"))
    finally:
        os.umask(before)
    children.run(read_all, mounted)
    mounted.closed()
    found = {path: path.lstat().st_mode for path in (private / "cache").rglob("*")}
    assert sum(map(stat.S_ISREG, found.values())) >= 4
    assert not [(str(path), oct(mode)) for path, mode in found.items() if mode & 0o077]
    (record,) = [path for top in candidates(os.geteuid()) for path in Path(top).glob(f"{file_stem(mounted.path)}.json")]
    assert record.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("store", STORES)
def test_the_second_read_hits(mounts: Mounts, children: Children, remote: Remote, private: Path, store: str) -> None:
    """All of it, in the same mount and after a restart; the source is not asked for a byte."""
    source = remote(tree())
    properties = settings(store, private / "cache")
    mounted = mounts.mount(source, "", properties)
    children.run(read_all, mounted)
    cold = source.bytes_read()
    assert cold == sum(SIZES.values())
    mounted.closed()
    children.run(read_all, mounted)
    assert source.bytes_read() == cold
    again = remount(mounts, mounted, source, properties)
    for _ in range(2):
        children.run(read_all, again)
        again.closed()
    stats = again.stats()
    assert source.bytes_read() == stats["cache_miss_bytes"] == 0
    assert stats["cache_corrupt_granules"] == stats["cache_errors"] == 0
    if store == "LOCAL" and again.has("passthrough"):
        assert stats["open_passthrough"] > 0


def flip(path: str, at: int) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0x40]))


def stored_files(directory: Path) -> dict[str, int]:
    """Files beneath a directory that hold bytes of the LOCAL store, with their sizes."""
    found = [path for path in directory.rglob("*") if path.is_file() and len(path.name) == 32]
    return {str(path): path.stat().st_size for path in found}


def test_corrupted_pages_are_fetched_again(mounts: Mounts, children: Children, remote: Remote, private: Path) -> None:
    """500 runs of 4 KiB are changed behind the cache's back; each is noticed, and every read is right."""
    source = remote(tree())
    properties = settings("LOCAL", private / "cache")
    mounted = mounts.mount(source, "", properties)
    children.run(read_all, mounted)
    assert not mounted.end()
    order = random.Random(11)
    places = [(path, at) for path, size in stored_files(private / "cache").items() for at in range(0, size, 4096)]
    for path, at in order.sample(places, 500):
        flip(path, min(at + order.randrange(4096), os.path.getsize(path) - 1))
    again = remount(mounts, mounted, source, properties)
    for _ in range(3):
        children.run(read_all, again)
        again.closed()
    stats = again.stats()
    print(f"500 corruptions, {stats['cache_corrupt_granules']} noticed, 0 wrong bytes")
    assert stats["cache_corrupt_granules"] == 500
    assert source.bytes_read() <= 500 * 4096


def test_corruption_under_a_running_mount(mounts: Mounts, children: Children, remote: Remote, private: Path) -> None:
    """A file that was written by this mount is changed before it is opened again."""
    mounted = mounts.mount(
        remote(tree()), "direct_io", settings("LOCAL", private / "cache")
    )  # the kernel keeps nothing
    children.run(read_all, mounted)
    mounted.closed()
    for path, size in stored_files(private / "cache").items():
        flip(path, size // 2)
    for _ in range(2):
        children.run(read_all, mounted)
        mounted.closed()
    assert mounted.stats()["cache_corrupt_granules"] == 3


@pytest.mark.timeout(120 * KILLS // 10)
@pytest.mark.parametrize("store", STORES)
def test_killed_at_any_moment(mounts: Mounts, children: Children, remote: Remote, private: Path, store: str) -> None:
    """Ten times, or AJF_KILLS, under readers of more than fits; what the next mount finds is right."""
    source = remote(tree())
    properties = settings(store, private / "cache", size="24MB", **{"async.restore.enabled": "false"})
    order = random.Random(5)
    restored = []
    for _ in range(KILLS):
        mounted = mounts.mount(source, "", properties)
        restored.append(mounted.stats()["cache_restored_pages"])
        readers = [children.start(read_patiently, mounted.path, seed) for seed in range(2)]
        target = order.randrange(30 * MIB)
        mounted.until(lambda stats, n=target: stats["op_read_bytes"] + stats["open_passthrough_bytes"] >= n, "reads")
        mounted.kill()
        mounted.end()
        for reader in readers:
            reader.result()
        source.restart()
    mounted = mounts.mount(source, "", properties)
    children.run(read_all, mounted)
    print(f"{KILLS} kills, pages found afterwards: {restored}, corrupt: {mounted.stats()['cache_corrupt_granules']}")
    assert max(restored) > 0


def read_patiently(path: str, seed: int) -> int:
    """In a child: reads random ranges, which are right, until the mount is gone; returns how many."""
    order = random.Random(seed)
    done = 0
    while True:
        name = order.choice(["large", "large", "middle", "small"])
        first = order.randrange(SIZES[name])
        length = min(order.choice([4096, 100_000, 2 * MIB]), SIZES[name] - first)
        try:
            with open(f"{path}/{name}", "rb", buffering=0) as file:
                data = os.pread(file.fileno(), length, first)
        except OSError:
            return done
        assert data == pattern(b"/" + name.encode(), 1, first, len(data)), f"{name} differs in {first}+{length}"
        if len(data) < length:  # the mount went meanwhile
            return done
        done += 1


@pytest.mark.parametrize("store", STORES)
def test_one_directory_one_mount(mounts: Mounts, children: Children, remote: Remote, private: Path, store: str) -> None:
    """The second mount is refused with the process that has it, and the first one goes on."""
    properties = settings(store, private / "cache")
    mounted = mounts.mount(remote(tree()), "", properties)
    refused = try_mount(mounts, remote(tree()).uri, private / "second", properties)
    assert refused.returncode != 0
    assert f"used by another mount (process {mounted.pid})" in refused.stdout + refused.stderr
    children.run(read_all, mounted)
    mounts.mount(remote(tree()), "", settings(store, private / "other"))


def try_mount(mounts: Mounts, uri: str, path: Path, properties: dict[str, str]) -> subprocess.CompletedProcess[str]:
    words = [word for key, value in properties.items() for word in ("-D", f"{key}={value}")]
    return run([*COMMAND, "mount", *words, "-u", uri, str(path)], mounts.environ(99))


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A factory of file systems of so many MiB. Asked for before `mounts`, so they outlive those."""
    made: list[Path] = []

    def make(size: int) -> Path:
        path = tmp_path / f"disk{len(made)}"
        path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", path], check=True)
        made.append(path)
        return path

    yield make
    for path in made:
        subprocess.run(["umount", path], check=True)


root_only = pytest.mark.skipif(os.geteuid() != 0, reason="mounts file systems")


@root_only
@pytest.mark.parametrize("store", STORES)
def test_the_budget_on_disk(
    disks: Callable[[int], Path], mounts: Mounts, children: Children, remote: Remote, store: str
) -> None:
    """Four times the budget passes through; the disk never holds more than a tenth more."""
    disk = disks(256)
    files = {b"%d" % i: Pattern(size) for i, size in enumerate([100_000] * 300 + [40 * MIB] * 6)}
    mounted = mounts.mount(remote(files), "", settings(store, disk / "cache", size="64MB"))

    def read(names: list[bytes]) -> None:
        for name in names:
            check(mounted.join(os.fsdecode(name)), files[name].size)

    names = list(files)
    readers = [children.start(read, names[half::2]) for half in (0, 1)]
    most = 0
    while not all(reader.ended() for reader in readers):
        status = os.statvfs(disk)
        most = max(most, (status.f_blocks - status.f_bfree) * status.f_frsize)
    for reader in readers:
        reader.result()
    print(f"most on the disk: {most / 64 / MIB:.3f} of the budget")
    assert mounted.stats()["cache_evicted_pages"] > 0
    assert most <= 1.1 * 64 * MIB


@root_only
def test_a_disk_smaller_than_the_budget(
    disks: Callable[[int], Path], mounts: Mounts, children: Children, remote: Remote
) -> None:
    """ENOSPC is nobody's business: reads are right, what fits is kept, and the log says it."""
    source = remote(tree())
    mounted = mounts.mount(source, "", settings("LOCAL", disks(24) / "cache"))
    for _ in range(3):
        children.run(read_all, mounted)
    assert mounted.stats()["cache_pages"] > 0
    before = source.bytes_read()
    children.run(check, mounted.join("middle"), SIZES["middle"])
    children.run(check, mounted.join("middle"), SIZES["middle"])
    assert source.bytes_read() <= before + SIZES["middle"]


@root_only
@pytest.mark.parametrize("store", STORES)
def test_a_directory_that_cannot_be_written(
    disks: Callable[[int], Path], mounts: Mounts, remote: Remote, private: Path, store: str
) -> None:
    """A clear error at the mount, with the directory and what to do."""
    disk = disks(1)
    (private / "file").write_bytes(b"")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for directory in (disk / "cache", private / "file"):
        refused = try_mount(mounts, remote(tree()).uri, private / "mnt", settings(store, directory))
        assert refused.returncode != 0
        said = refused.stdout + refused.stderr
        assert str(directory) in said
        assert "cache.dirs" in said


def test_a_directory_that_vanishes(mounts: Mounts, children: Children, remote: Remote, private: Path) -> None:
    """Somebody removes it: reads go to the source, and nothing is made in its place."""
    mounted = mounts.mount(remote(tree()), "", settings("LOCAL", private / "cache"))
    children.run(read_all, mounted)
    mounted.closed()
    shutil.rmtree(private / "cache")
    for _ in range(3):
        children.run(read_all, mounted)
        mounted.closed()
    assert not (private / "cache").exists()


@pytest.fixture
def freezing(tmp_path: Path) -> Iterator[Path]:
    """A disk that hangs in every write when it is frozen. Asked for before `mounts`."""
    image, path = tmp_path / "image", tmp_path / "disk"
    path.mkdir()
    with open(image, "wb") as file:
        file.truncate(128 * MIB)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


@root_only
def test_a_disk_that_hangs(freezing: Path, mounts: Mounts, children: Children, remote: Remote) -> None:
    """Readers wait for the timeout at most, once; all they read is right; the log says it."""
    properties = settings("LOCAL", freezing / "cache", **{"timeout.duration": "500ms"})
    mounted = mounts.mount(remote(tree()), "", properties)
    children.run(check, mounted.join("middle"), SIZES["middle"])
    mounted.closed()
    subprocess.run(["fsfreeze", "--freeze", freezing], check=True)
    try:
        children.run(read_all, mounted)
        waited = mounted.stats()["cache_timeouts"]
        children.run(read_all, mounted)
        assert waited > 0
        assert mounted.lines("did not answer for 0.5 s")
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", freezing], check=True)
    children.run(read_all, mounted)


def test_what_is_mapped_outlives_its_eviction(
    mounts: Mounts, children: Children, remote: Remote, private: Path
) -> None:
    """A file was read by the kernel itself, mapped, and closed: its bytes stay, whatever becomes of the cache."""
    files = {b"mapped": Pattern(4 * MIB), **{b"%d" % i: Pattern(4 * MIB) for i in range(8)}}
    mounted = mounts.mount(remote(files), "", settings("LOCAL", private / "cache", size="16MB"))
    if not mounted.has("passthrough"):
        pytest.skip("passthrough is not granted here")
    children.run(check, mounted.join("mapped"), 4 * MIB)
    mounted.closed()
    evicted, go_on = private / "evicted", private / "mapped-now"

    def hold() -> None:
        LIBC.mmap.restype = ctypes.c_void_p
        with open(mounted.join("mapped"), "rb") as file:  # Python's own mmap keeps it open
            where = LIBC.mmap(None, 4 * MIB, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), ctypes.c_long(0))
        go_on.touch()
        until(evicted.exists, "the file to be evicted")
        assert ctypes.string_at(where, 4 * MIB) == pattern(b"/mapped", 1, 0, 4 * MIB)

    holder = children.start(hold)
    until(go_on.exists, "the file to be mapped")
    assert mounted.closed()["open_passthrough"] == 1
    for i in range(8):
        children.run(check, mounted.join(str(i)), 4 * MIB)
    mounted.until(lambda stats: stats["cache_evicted_pages"] >= 4, "pages to be evicted")
    evicted.touch()
    holder.result()


def test_what_is_open_outlives_daemon_and_cache(
    mounts: Mounts, children: Children, remote: Remote, private: Path
) -> None:
    """The daemon is killed under a reader in passthrough, and the next mount evicts what he reads."""
    source = remote({b"open": Pattern(4 * MIB), b"other": Pattern(40 * MIB)})
    properties = settings("LOCAL", private / "cache")
    mounted = mounts.mount(source, "", properties)
    if not mounted.has("passthrough"):
        pytest.skip("passthrough is not granted here")
    children.run(check, mounted.join("open"), 4 * MIB)
    mounted.closed()
    evicted, opened = private / "evicted", private / "opened"

    def hold() -> None:
        with open(mounted.join("open"), "rb", buffering=0) as file:
            opened.touch()
            until(evicted.exists, "the file to be evicted")
            assert os.pread(file.fileno(), 4 * MIB, 0) == pattern(b"/open", 1, 0, 4 * MIB)

    holder = children.start(hold)
    until(opened.exists, "the file to be open")
    mounted.until(lambda stats: stats["open_passthrough"] == 1, "the kernel to read it")
    mounted.kill()
    mounted.end()
    source.restart()
    again = mounts.mount(source, "", {**properties, f"{PREFIX}size": "8MB"})
    children.run(check, again.join("other"), 40 * MIB)
    again.until(lambda stats: stats["cache_evicted_pages"] >= 4, "pages to be evicted")
    evicted.touch()
    holder.result()


def test_somebody_elses_directory(mounts: Mounts, remote: Remote, private: Path) -> None:
    """What others may write to is not used: they could put anything there."""
    (private / "cache" / "alluxio-jnifuse").mkdir(parents=True)
    (private / "cache" / "alluxio-jnifuse").chmod(0o777)
    refused = try_mount(mounts, remote(tree()).uri, private / "mnt", settings("LOCAL", private / "cache"))
    assert refused.returncode != 0
    assert "others may write to it" in refused.stdout + refused.stderr


def test_a_cache_of_another_page_size(mounts: Mounts, children: Children, remote: Remote, private: Path) -> None:
    """Pages are what is evicted at once, no more: what is stored stays of use."""
    source = remote(tree())
    mounted = mounts.mount(source, "", settings("LOCAL", private / "cache"))
    children.run(read_all, mounted)
    again = remount(mounts, mounted, source, settings("LOCAL", private / "cache", **{"page.size": "4MB"}))
    children.run(read_all, again)
    assert source.bytes_read() == 0


@pytest.mark.parametrize("store", STORES)
def test_a_cache_of_another_version(
    mounts: Mounts, children: Children, remote: Remote, private: Path, store: str
) -> None:
    """It is emptied, with a line in the log; what is not ours stays."""
    source = remote(tree())
    properties = settings(store, private / "cache")
    mounted = mounts.mount(source, "", properties)
    children.run(read_all, mounted)
    assert not mounted.end()
    (private / "cache" / "LOCAL").mkdir()
    (private / "cache" / "LOCAL" / "foreign").write_bytes(b"somebody else's")
    (private / "cache" / "alluxio-jnifuse" / store / "format").write_text("alluxio-jnifuse client cache, 99\n")
    source.restart()
    again = mounts.mount(source, "", properties)
    children.run(read_all, again)
    assert source.bytes_read() == sum(SIZES.values())
    assert again.lines("of another version", "emptied")
    assert (private / "cache" / "LOCAL" / "foreign").exists()


def test_a_smaller_budget(mounts: Mounts, children: Children, remote: Remote, private: Path) -> None:
    """What an earlier mount left beyond it goes at once."""
    source = remote(tree())
    mounted = mounts.mount(source, "", settings("LOCAL", private / "cache"))
    children.run(read_all, mounted)
    assert not mounted.end()
    source.restart()
    again = mounts.mount(source, "", settings("LOCAL", private / "cache", size="8MB"))
    again.until(lambda stats: stats["cache_evicted_pages"] > 0, "pages to be evicted")
    until(lambda: used_by(private / "cache") <= 1.1 * 8 * MIB, "the directory to shrink")
    children.run(read_all, again)


@pytest.mark.parametrize("store", ["MEM", *STORES])
def test_pages_have_a_time_to_live(
    mounts: Mounts, children: Children, remote: Remote, private: Path, store: str
) -> None:
    """What was fetched too long ago is dropped, and fetched again when it is read."""
    ttl = {"ttl.enabled": "true", "ttl.check.interval.seconds": "1", "ttl.threshold.seconds": "1"}
    source = remote(tree())
    mounted = mounts.mount(source, "direct_io", settings(store, private / "cache", **ttl))  # the kernel keeps nothing
    children.run(read_all, mounted)
    gauge = "cache_used_bytes" if store == "MEM" else "cache_pages"
    mounted.until(lambda stats: stats[gauge] == 0, "pages to expire")
    before = source.bytes_read()
    children.run(read_all, mounted)
    assert source.bytes_read() > before


def test_the_line_of_the_hit_ratio(mounts: Mounts, children: Children, remote: Remote, private: Path) -> None:
    """AlluxioFuse's own, after 500 reads; what passthrough served stands beside it."""
    mounted = mounts.mount(remote(tree()), "max_read=4096,max_readahead=4096", settings("LOCAL", private / "cache"))
    children.run(read_all, mounted)
    mounted.closed()
    until(lambda: mounted.lines("read: cached "), "the line")
    line = mounted.lines("read: cached ")[0]
    words = line.partition("read: ")[2].replace(",", "").split()
    assert words[0::3] == ["cached", "missed", "ratio"][: len(words[0::3])]
    cached, missed, ratio = int(words[1]), int(words[4]), float(words[7])
    assert ratio == pytest.approx(cached / (cached + missed + 1), abs=1e-6)


def test_signals_in_mid_write_end_in_order(mounts: Mounts, children: Children, remote: Remote, private: Path) -> None:
    """SIGTERM while pages are being stored: the mount goes, and what is stored is right."""
    source = remote(tree())
    properties = settings("LOCAL", private / "cache")
    mounted = mounts.mount(source, "", properties)
    reader = children.start(read_patiently, mounted.path, 1)
    mounted.until(lambda stats: stats["cache_miss_bytes"] > MIB, "pages to be stored")
    os.kill(mounted.pid, signal.SIGTERM)
    until(mounted.gone, "the mount to be gone")
    reader.result()
    source.restart()
    again = mounts.mount(source, "", properties)
    children.run(read_all, again)
