"""Bytes that are fetched for those that programs need: read here and there, and from start to end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from cluster.cluster import Cluster
from cluster.dataset import BLOCK
from harness import patterns
from harness.children import Child, Children, results
from oss.server import OssServer

import alluxio_jnifuse
from benchmarks import data
from benchmarks.bench import Bench, Wrong
from benchmarks.measure import Row, at_most, single

TITLE = "Bytes fetched ÷ bytes needed, for each program and pattern"
PEER = "kernel"
HOW = (
    "Column `mount`: bytes that a bucket sent for each that the program needed, whole pages counted; column `kernel`: "
    "bytes that the kernel asked for, for each of those. It asks for more than the program when a read is longer than "
    "its read-ahead, which nobody can decline; the target is for the ratio of the two. 15 reads far apart in 400 MiB, "
    "in no order; one column of 50 of a Parquet file. The cluster over the bucket: files of 130 MiB in blocks of 64, "
    "which no worker holds; since it keeps blocks that were read, the bytes needed are those of whole blocks."
)

_KEYS = {"benchmark": "secret"}
_HOLE_BYTES = 400 << 20
_READS = 15
_LENGTHS = {
    "4 KiB": 4096, "64 KiB": 64 << 10, "200 KB": 200_000, "700 KB": 700_000, "1 MiB": 1 << 20, "2.5 MB": 2_500_000,
    "6 MB": 6_000_000, "16 MiB": 16 << 20,
}  # fmt: skip
_OPTIONS = {"": "", "max_readahead=128KB": ", max_readahead=128KB", "direct_io": ", direct_io"}
_COLUMN_READERS = {"PyArrow": patterns.arrow_column, "DuckDB": patterns.duckdb_column}
_LINES = {"guide's line": "kernel_cache,ro,max_read=131072,attr_timeout=7200,entry_timeout=7200", "defaults": ""}
_PROGRAMS = {
    "cat": patterns.cat, "cmp": patterns.cmp, "md5sum": patterns.md5sum, "dd bs=4k": patterns.dd,
    "Python read()": patterns.python_read, "TFRecords": patterns.records, "head -c 1M": patterns.head,
}  # fmt: skip
_FILE_BYTES = 130 << 20
_TIMEOUT_S = 600.0
_T = TypeVar("_T")


def run(bench: Bench) -> Iterator[Row]:
    with ExitStack() as stack:
        server = stack.enter_context(OssServer(bench.root / "oss", _KEYS))
        server.create_bucket("bench")
        site = {
            "fs.oss.endpoint": server.endpoint,
            "fs.oss.accessKeyId": "benchmark",
            "fs.oss.accessKeySecret": _KEYS["benchmark"],
        }
        yield from _bucket(bench, server, site)
        yield from _cluster(bench, stack, server, site)


def _bucket(bench: Bench, server: OssServer, site: dict[str, str]) -> Iterator[Row]:
    files = bench.root / "files"
    files.mkdir()
    with open(files / "hole", "wb") as file:
        file.truncate(_HOLE_BYTES)
    patterns.write_columns(files / "columns", 50, 60_000, 5)
    server.put_tree("bench", files, "files/")
    for options, suffix in _OPTIONS.items():
        for name, length in _LENGTHS.items():
            places = patterns.scattered(_READS, length, _HOLE_BYTES)
            yield _mounted(
                bench, server, site, options, f"pread of {name}{suffix}", patterns.pages_of(places, length),
                lambda path, places=places, length=length: patterns.preads(f"{path}/hole", places, length),
            )  # fmt: skip
    for options, suffix in _OPTIONS.items():
        for name, read in _COLUMN_READERS.items():
            yield _mounted(
                bench, server, site, options, f"a column of 480 KB chunks, {name}{suffix}",
                patterns.bytes_of_column(files / "columns", "c17"),
                lambda path, read=read: read(f"{path}/columns", "c17"),
            )  # fmt: skip


def _mounted(
    bench: Bench, server: OssServer, site: dict[str, str], options: str, what: str, needed: int,
    work: Callable[[Path], object],
) -> Row:  # fmt: skip
    """Returns the bytes that leave the bucket while a child does `work` on a fresh mount."""
    with bench.mount("oss://bench/files/", options, site) as mount:
        server.reset()
        results([_child(work, bench.mountpoint)], _TIMEOUT_S)
        stats = _settled(mount)
    sent = server.counts()["bytes_sent"]
    asked = max(needed, stats["read_hit_bytes"] + stats["read_miss_bytes"])
    target = at_most(1.2)
    return Row(
        what, "", sent / needed, asked / needed, sent / asked, target=str(target), met=target.met(sent / asked)
    )  # fmt: skip


def _cluster(bench: Bench, stack: ExitStack, server: OssServer, site: dict[str, str]) -> Iterator[Row]:
    files = bench.root / "large-files"
    files.mkdir()
    size = bench.scaled(_FILE_BYTES)
    data.make_large(files, size)
    server.put_tree("bench", files, "dataset/0/")
    cluster = stack.enter_context(Cluster(ramdisk_size="2GB", root="oss://bench/dataset/", site=site))
    case = 0
    for name, program in _PROGRAMS.items():
        for line, options in _LINES.items():
            for readers in (1, data.LARGE_FILES):
                case += 1
                server.put_tree("bench", files, f"dataset/{case}/")
                server.reset()
                at = bench.root / f"mnt{case}"
                with alluxio_jnifuse.mount(
                    cluster.uri(), at, options=options, properties=cluster.client_properties()
                ) as mount:
                    each = [at / str(case) / f"large-{number}" for number in range(readers)]
                    results([_child(program, str(path), str(files / path.name)) for path in each], _TIMEOUT_S)
                    _settled(mount)
                    needed = readers * (min(BLOCK, size) if program is patterns.head else size)
                    if program is not patterns.head:  # which leaves the worker with some of a block
                        _kept(cluster, case, readers, needed)
                plural = "s" if readers > 1 else ""
                ratio = server.counts()["bytes_sent"] / needed
                what = f"cold cluster: {name}, {line}, {readers} reader{plural}"
                yield single(what, "", ratio, target=at_most(1.05))


def _child(function: Callable[..., object], *arguments: object) -> Child:
    return Children().start(function, *arguments)


def _settled(mount: alluxio_jnifuse.Mount) -> dict[str, int]:
    """The counters once nothing is fetched any more, and no file is open."""
    granted = ("open_passthrough", "open_cached", "open_direct")
    return _until(
        mount.stats,
        lambda s: s["fetches_born"] == s["fetches_died"] and sum(s[name] for name in granted) == s["op_release"],
    )


def _kept(cluster: Cluster, case: int, readers: int, needed: int) -> None:
    """Waits for the worker to have what was read: it may fetch it for itself."""
    number = -(-needed // readers // BLOCK) * readers

    def held() -> int:
        paths = [f"/{case}/large-{number}" for number in range(readers)]
        return sum(bool(holders) for path in paths for holders in cluster.shell.locations(path))

    _until(held, lambda blocks: blocks >= number)


def _until(look: Callable[[], _T], good: Callable[[_T], bool]) -> _T:
    deadline = time.monotonic() + _TIMEOUT_S
    while not good(found := look()):
        if time.monotonic() > deadline:
            raise Wrong(f"it did not come to rest: {found}")
        time.sleep(0.05)
    return found
