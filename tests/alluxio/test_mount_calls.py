"""How many calls a mount makes, as it counts them and as the master does."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Mapping

import pytest
from cluster import dataset
from cluster.cluster import Cluster
from cluster.dataset import Place
from harness.children import Children, until
from harness.datasets import check, check_ranges, walk
from harness.mounting import Mounted, Mounts
from on_cluster import calls, calls_seen_by, mount

pytestmark = [pytest.mark.cluster, pytest.mark.fuse]

FILES = dataset.small(120)
METADATA = {"GetStatus", "ListStatus", "Exists", "CheckAccess", "GetBlockInfo", "GetWorkerInfoList"}
DATA = {"ReadBlock", "OpenLocalBlock", "Cache", "AsyncCache"}
IDLE_S = 10.0

_users = (f"reader{number}" for number in itertools.count())


class Watched:
    """A mount whose user is nobody else's, so that the master's counts of him are the mount's."""

    def __init__(self, mounts: Mounts, cluster: Cluster, path: str, properties: Mapping[str, str]) -> None:
        self.user = next(_users)
        self._cluster = cluster
        self._properties = {"alluxio.security.login.username": self.user, **properties}
        self.mounted: Mounted = mount(mounts, cluster, path, "", self._properties)

    def during(self, action: Callable[[], object]) -> dict[str, int]:
        """The calls that were made during an action; master and mount must agree about those to the master."""
        before, seen_before = self.mounted.settled(), calls_seen_by(self._cluster, self.user)
        action()
        self.mounted.settled()
        made = calls(self.mounted.since(before))
        seen = calls_seen_by(self._cluster, self.user)
        news = {name: number - seen_before.get(name, 0) for name, number in seen.items()}
        assert {name: number for name, number in news.items() if number} == {
            name: number for name, number in made.items() if name not in DATA | {"authenticate"}
        }
        return made


@pytest.fixture
def watch(cluster: Cluster, mounts: Mounts, place: Place) -> Callable[..., Watched]:
    """Mounts the directory of the test."""
    return lambda **properties: Watched(
        mounts, cluster, place.path, {name.replace("_", "."): value for name, value in properties.items()}
    )


@pytest.fixture
def loaded(cluster: Cluster, place: Place) -> None:
    """The files are in the directory, and in the memory of the workers."""
    dataset.make(place.ufs, FILES)
    cluster.shell.fs("load", place.path)


def read_all(top: str, order: str) -> None:
    """Reads all files to their end."""
    names = sorted(FILES)
    if order == "random":
        random.Random(1).shuffle(names)
    for name in names:
        check(f"{top}/{name}", name, FILES[name], 1 << 20)


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("short_circuit", ["true", "false"])
@pytest.mark.parametrize("order", ["random", "listed"])
def test_reading_what_was_listed(
    watch: Callable[..., Watched], children: Children, short_circuit: str, order: str
) -> None:
    """A small file that was listed is opened without a call, and its read costs one; again, none."""
    watched = watch(alluxio_user_short_circuit_enabled=short_circuit)
    top = watched.mounted.path
    made = watched.during(lambda: children.run(walk, top))
    assert made.keys() == {"ListStatus"}
    files = sum(size > 0 for size in FILES.values())

    def read_and_told() -> None:
        children.run(read_all, top, order)
        watched.mounted.until(
            lambda stats: sum(stats[f"rpc_{name}"] for name in DATA) == files,
            "the worker of this machine to be told of what was read",
        )

    assert not METADATA & watched.during(read_and_told).keys()
    assert not watched.during(lambda: children.run(read_all, top, order))


def test_a_recursive_listing(watch: Callable[..., Watched], place: Place, children: Children) -> None:
    """`ls -lR` is one call for a directory, whatever is in it; for the mount's root too, which was asked for before."""
    dataset.make(place.ufs, FILES)
    watched = watch()
    made = watched.during(lambda: children.command("ls", "-lR", watched.mounted.path))
    assert made == {"ListStatus": len(dataset.directories(FILES)) + 1}


def test_a_recursive_listing_that_is_remembered(
    watch: Callable[..., Watched], place: Place, children: Children
) -> None:
    """With the metadata cache the second one makes none."""
    dataset.make(place.ufs, FILES)
    watched = watch(alluxio_user_metadata_cache_enabled="true")
    assert watched.during(lambda: children.run(walk, watched.mounted.path))
    assert not watched.during(lambda: children.run(walk, watched.mounted.path))


def test_a_file_of_the_under_store(watch: Callable[..., Watched], place: Place, children: Children) -> None:
    """One that nobody has listed or loaded is looked up, read by a worker, which keeps it, and verified."""
    dataset.make(place.ufs, {"small": 5000})
    watched = watch()
    made = watched.during(lambda: children.run(check, watched.mounted.join("small"), "small", 5000))
    assert made["GetStatus"] <= 2
    assert made["ReadBlock"] == 1
    assert "ListStatus" not in made


def test_a_block_that_was_read_in_part(
    cluster: Cluster, watch: Callable[..., Watched], place: Place, children: Children
) -> None:
    """Only what was wanted is read from the under-store; the worker is asked to keep the block, and does."""
    size = 8 << 20
    dataset.make(place.ufs, {"file": size})
    watched = watch()
    children.run(check_ranges, watched.mounted.join("file"), "file", size, 1, 1000)
    stats = watched.mounted.until(lambda stats: calls(stats).get("Cache"), "the copy is asked for")
    assert calls(stats)["Cache"] == 1
    assert stats["fetch_bytes"] <= 2 << 20
    until(lambda: all(cluster.shell.locations(f"{place.path}/file")), "the copy")


@pytest.mark.usefixtures("loaded")
def test_idle(watch: Callable[..., Watched], place: Place, children: Children) -> None:
    """Nobody is asked anything while nobody wants anything, files that are open included."""
    dataset.make(place.ufs, {"file": 8 << 20})
    watched = watch()

    def hold() -> None:
        with open(watched.mounted.join("file"), "rb") as file:
            file.read(1)
            time.sleep(IDLE_S + 30)

    children.run(read_all, watched.mounted.path, "random")
    children.start(hold)
    watched.mounted.until(lambda stats: stats["op_open"] > stats["op_release"], "a file is open")
    watched.mounted.settled()
    time.sleep(1)
    assert not watched.during(lambda: time.sleep(IDLE_S))
