"""Masters of a real cluster that are killed while a mount is in use: what was known stays, and the rest comes back."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import dataset
from cluster.cluster import Cluster
from cluster.dataset import MIB, Place
from harness.children import Children, until
from harness.mounting import Mounts
from harness.readers import errno_of
from on_cluster import mount, refused
from steady import Readers, timed_read

pytestmark = [pytest.mark.cluster, pytest.mark.fuse]

BLOCK = 2 * MIB
FILES = {f"file{number}": 2 * BLOCK + number for number in range(4)}
SMALL = {f"small{number}": 5000 + number for number in range(10)}
REMOTE = {"alluxio.user.short.circuit.enabled": "false"}
REMEMBERED = {"alluxio.user.metadata.cache.enabled": "true"}
FORGETFUL = "direct_io,attr_timeout=0,entry_timeout=0"  # the kernel asks for each name each time


def fill(cluster: Cluster, path: str) -> None:
    for name, size in {**FILES, **SMALL}.items():
        cluster.shell.write(f"{path}/{name}", dataset.content(name, 0, size), block_size=BLOCK)


def look_up(path: str) -> tuple[int, float]:
    """The errno of a look-up, and the seconds that it took."""
    began = time.monotonic()
    return errno_of(os.stat, path), time.monotonic() - began


def test_the_master_is_started_anew(
    cluster: Cluster, place: Place, mounts: Mounts, children: Children, private: Path
) -> None:
    """While it is away, what was looked up, listed or read before still can be; the rest waits, and then works.

    Without the metadata cache as well as with it; the first call that finds the master gone takes a moment.
    """
    fill(cluster, place.path)
    (place.ufs / "unknown").write_bytes(b"unknown")
    mounted = mount(mounts, cluster, place.path, FORGETFUL, {**REMOTE, **REMEMBERED})
    plain = mount(mounts, cluster, place.path, FORGETFUL, REMOTE)
    names = sorted(children.run(os.listdir, mounted.path))
    assert sorted(children.run(os.listdir, plain.path)) == names
    (private / "plain").mkdir()
    cluster.kill9("master0")
    readers = Readers(children, mounted.path, {**FILES, **SMALL}, private, 2)
    others = Readers(children, plain.path, {**FILES, **SMALL}, private / "plain", 2)
    assert sorted(children.run(os.listdir, mounted.path)) == names
    waiting = children.start(timed_read, mounted.join("unknown"), 100)
    for each in (readers, others):
        each.read_on()
    began = time.monotonic()
    cluster.restart("master0")
    number, data, _ = waiting.result(120)
    took = time.monotonic() - began
    assert (number, data) == (0, b"unknown")
    cluster.shell.write(f"{place.path}/later", b"later")
    assert children.run(timed_read, mounted.join("later"), 100)[1] == b"later"
    for each in (readers, others):
        each.read_on()
        report = each.stop()
        print(f"restart of the master: a look-up was answered after {took:.1f} s; reads took {report.longest_s:.2f} s")
        assert not report.errors


@pytest.fixture(scope="module")
def three() -> Iterator[Cluster]:
    """Three masters, and a worker."""
    with Cluster(masters=3) as made:
        fill(made, "/d")
        yield made


def test_a_standby_master(three: Cluster, mounts: Mounts) -> None:
    """It cannot be mounted alone; together with the one that serves it can."""
    number = int(three.primary()[-1])
    serving, waiting = three.masters[number], three.masters[(number + 1) % 3]
    assert "standby" in refused(mounts, waiting)
    mounts.mount(f"alluxio://{waiting},{serving}/")


def test_the_primary_is_killed(three: Cluster, mounts: Mounts, children: Children, private: Path) -> None:
    """Another one takes over: reads go on meanwhile, look-ups wait for it."""
    mounted = mount(mounts, three, "/d", FORGETFUL, REMOTE)
    primary = three.primary()
    readers = Readers(children, mounted.path, {**FILES, **SMALL}, private, 2)
    began = time.monotonic()
    three.kill9(primary)
    number, seconds = children.run(look_up, mounted.join("no such file"))
    took = time.monotonic() - began
    assert number == 2
    assert seconds > 0.5  # nobody could know
    readers.read_on()
    report = readers.stop()
    print(f"fail-over: a look-up was answered after {took:.1f} s; reads took at most {report.longest_s:.2f} s")
    assert not report.errors
    assert three.primary() != primary
    three.shell.write("/d/later", b"later")
    assert children.run(timed_read, mounted.join("later"), 100)[1] == b"later"
    assert len(mounted.lines("the primary master is")) >= 2  # on a busy machine they may elect another one soon
    until(lambda: mounted.lines("looking for the primary master"), "the log")
