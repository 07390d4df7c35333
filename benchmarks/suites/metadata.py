"""Attributes, listings, opens."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import alluxio_jnifuse
from benchmarks import data, machine, reader
from benchmarks.bench import Bench, delta
from benchmarks.measure import Outcome, Row, Target, Work, at_least, at_most, compare, single

TITLE = "Metadata"
HOW = (
    "stat and open + close: 2,000 files, again and again for a second. Listings: one directory of 100,000 files on "
    "tmpfs, readdir and lstat of every entry; the first on a fresh mount, the second on the same one."
)

_OPENED = 2000
# Requests that an `ls -l` may send beside READDIRPLUS: a few for the directory itself, none for each entry.
_FEW = 20
# A machine that reclaims idle pages (docs/BENCHMARKING.md) takes some of the directory's within seconds. One page less
# costs the rest of a listing in READDIR, then a whole one in READDIRPLUS, and the one after that is free again; a mount
# that does not let the kernel keep its listing never has a free one.
_REPEATED = 5


def run(bench: Bench) -> Iterator[Row]:
    yield from _repeated(bench)
    yield _first_listing(bench)
    with bench.mount(bench.entries()) as mount:
        yield from _ls(bench, mount)
        native, mounted = _listing(bench.entries() / "d"), _listing(bench.mountpoint / "d")
        yield compare("readdir + lstat, second", "k entries/s", native, mounted, runs=bench.runs, pid=mount.pid)
    bench.drop("entries")


def _repeated(bench: Bench) -> Iterator[Row]:
    names = data.shuffled(bench.small())[:_OPENED]
    native = [f"{bench.small()}/{name}" for name in names]
    mounted = [f"{bench.mountpoint}/{name}" for name in names]

    def row(what: str, command: str, mount: alluxio_jnifuse.Mount, target: Target | None = None) -> Row:
        return compare(
            what, "k/s",
            lambda: reader.thousands(command, 1, paths=native), lambda: reader.thousands(command, 1, paths=mounted),
            runs=bench.runs, pid=mount.pid, target=target,
        )  # fmt: skip

    with bench.mount(bench.small()) as mount:
        yield row("stat, warm", "stat", mount, at_least(0.9))
        if machine.is_root():
            yield row("open + close, passthrough", "open", mount)
    for options in ("passthrough=off", "passthrough=off,kernel_cache"):
        with bench.mount(bench.small(), options) as mount:
            yield row(f"open + close, {options}", "open", mount)


def _first_listing(bench: Bench) -> Row:
    def work() -> Outcome:
        with bench.mount(bench.entries()):
            return _listing(bench.mountpoint / "d")()

    return compare("readdir + lstat, first", "k entries/s", _listing(bench.entries() / "d"), work, runs=bench.runs)


def _listing(directory: Path) -> Work:
    return lambda: reader.thousands("list", directory)


def _ls(bench: Bench, mount: alluxio_jnifuse.Mount) -> Iterator[Row]:
    first = _ls_once(bench, mount)
    repeated = [_ls_once(bench, mount) for _ in range(_REPEATED)]
    yield single("first ls -l: listings asked of the source", "", first["fetch_list"], target=at_most(1))
    note = f"{first['op_readdirplus']} READDIRPLUS, {first['op_readdir']} READDIR"
    yield single("first ls -l: other requests of the kernel", "", _others(first), target=at_most(_FEW), note=note)
    best = min(repeated, key=_by_name)
    note = f"{best['op_getattr']} GETATTR; {_REPEATED} in turn: {', '.join(str(_by_name(each)) for each in repeated)}"
    yield single("repeated ls -l: READDIR and LOOKUP, the fewest", "", _by_name(best), target=at_most(0), note=note)


def _ls_once(bench: Bench, mount: alluxio_jnifuse.Mount) -> dict[str, int]:
    before = mount.stats()
    subprocess.run(
        ["ls", "-l", bench.mountpoint / "d"],
        stdout=subprocess.DEVNULL, check=True, env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip
    return delta(before, mount.stats())


def _by_name(grown: dict[str, int]) -> int:
    """Requests for names."""
    return grown["op_readdir"] + grown["op_readdirplus"] + grown["op_lookup"]


def _others(grown: dict[str, int]) -> int:
    """Requests that are neither READDIRPLUS nor READDIR, which come by the buffer and not by the entry."""
    names = ("op_lookup", "op_getattr", "op_readlink", "op_open", "op_read", "op_opendir", "op_statfs")
    return sum(grown[name] for name in names)
