"""Readers who open all they can, and what is left for the others."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.children import Children, results
from harness.mounting import CACHE, Mounted, Mounts
from harness.readers import MIB, check_ranges, errno_of
from harness.remote import RemoteSource

from alluxio_jnifuse.testing import Pattern

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(600)]

LIMIT = 400  # of what the daemon may open
FEW = ("prlimit", f"--nofile={LIMIT}:{LIMIT}")
NOBODY = 65534


def open_all(mounted: Mounted, user: int, opened: int, go: int) -> dict[int, int]:
    """Opens everything as `user`, and keeps it open until told to end; how many opens had which errno."""
    os.setgid(user)
    os.setuid(user)
    found: dict[int, int] = {}
    held = []
    for name in sorted(os.listdir(mounted.path)):
        try:
            held.append(os.open(mounted.join(name), os.O_RDONLY))
        except OSError as error:
            found[error.errno] = found.get(error.errno, 0) + 1
    os.write(opened, b"x")
    os.read(go, 1)
    return {0: len(held), **found}


def use_a_few(mounted: Mounted) -> int:
    """What everybody else does: the number of names."""
    names = os.listdir(mounted.path)
    held = [os.open(mounted.join(name), os.O_RDONLY) for name in names[-10:]]
    assert [os.pread(fd, 1, 0) for fd in held] == [b"x"] * 10
    for name, fd in zip(names, held):
        assert os.stat(mounted.join(name)).st_size == 1
        os.close(fd)
    return len(names)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to act for several users")
def test_a_reader_who_opens_all_files(private: Path, mounts: Mounts, children: Children) -> None:
    """EMFILE for him, and a line that says what the limit is; others list, look and open, and the counters are told."""
    source = private / "source"
    source.mkdir()
    for number in range(2 * LIMIT):
        (source / f"{number:04}").write_bytes(b"x")
    mounted = mounts.mount(source, "passthrough=off,allow_other,entry_timeout=0,attr_timeout=0", wrapper=FEW)
    opened, go = os.pipe(), os.pipe()
    greedy = [children.start(open_all, mounted, NOBODY - each, opened[1], go[0]) for each in range(2)]
    for _ in greedy:
        assert os.read(opened[0], 1)
    assert children.run(use_a_few, mounted) == 2 * LIMIT
    assert mounted.stats()["op_open"] > 2 * LIMIT
    os.write(go[1], b"xx")
    for answers in results(greedy):
        print(f"of {2 * LIMIT} files, with {LIMIT} descriptors: {answers}")
        assert set(answers) == {0, errno.EMFILE}
        assert 10 <= answers[0] < LIMIT
    assert len(mounted.lines("ERROR", "EMFILE", "ulimit -Hn")) == 1
    mounted.closed()
    os.write(go[1], b"x")
    assert children.run(open_all, mounted, NOBODY, opened[1], go[0])[0] >= LIMIT // 3  # as if nothing had been
    for end in (*opened, *go):
        os.close(end)


def test_memory_of_many_files(mounts: Mounts, children: Children, remote: Callable[..., RemoteSource]) -> None:
    """Files in memory have a descriptor each while they are read: what is idle is closed and made anew."""
    tree = {b"%03d" % number: Pattern(2 * MIB) for number in range(LIMIT)}
    mounted = mounts.mount(remote(tree), "", {**CACHE, "alluxio.user.client.cache.size": "64MB"}, wrapper=FEW)

    def read() -> list[int]:
        names = [mounted.join(name.decode()) for name in tree]
        held = [os.open(name, os.O_RDONLY) for name in names]
        failed = [errno_of(os.pread, fd, 4096, MIB) for fd in held]
        for name in names[::40]:
            check_ranges(name, 2 * MIB, [(0, 4096), (MIB, 4096)])
        return failed

    assert children.run(read) == [0] * LIMIT
    assert children.run(read) == [0] * LIMIT
