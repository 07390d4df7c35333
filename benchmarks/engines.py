"""A data set in a directory, a bucket and a cluster, mounted by us and by other programs.

A Side is one of these mounts. All sides of a suite show the same data sets, each a directory of the benchmark's tmpfs:
`offer` makes one known to what is behind the side, `mounted` mounts it afresh. A bucket shows the files in place, a
cluster has copies in its worker's ramdisk.
"""

from __future__ import annotations

import os
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks import peers
from benchmarks.bench import Bench

_KEY_ID, _KEY_SECRET = "benchmark", "secret"
_BUCKET = "bench"
_RAMDISK = "6GB"  # 2 GB of a model, and room for the worker


class Mounted(NamedTuple):
    """A mount that shows a data set; `pid`: of its daemon, 0 if nobody knows it."""

    root: Path
    pid: int


class Side(ABC):
    """See the module.

    name     for tables
    base     the engine: of bench.ENGINES
    servers  processes behind the mount, whose work is part of it
    ours     whether it is our mount
    """

    name: str
    base: str
    servers: tuple[int, ...] = ()
    ours = True

    @abstractmethod
    def offer(self, directory: Path) -> None:
        """Has the data set from now on."""

    def withdraw(self, directory: Path) -> None:  # noqa: B027  (a side may have nothing of its own)
        """Gives back what the data set takes."""

    @abstractmethod
    def mounted(self, directory: Path) -> AbstractContextManager[Mounted]:
        """A mount of the data set that knows nothing yet."""

    def words(self, directory: Path) -> list[str]:
        """The arguments of our own command that mounts the data set, without the mount point."""
        raise NotImplementedError(f"{self.name} is not ours")

    @abstractmethod
    def values(self, directory: Path) -> dict[str, str]:
        """The placeholders of a peer that mounts the data set from the same place."""


class DirectorySide(Side):
    """The directory itself."""

    name = base = "directory"

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def offer(self, directory: Path) -> None:
        """It is there."""

    @contextmanager
    def mounted(self, directory: Path) -> Iterator[Mounted]:
        with self._bench.mount(directory) as mount:
            yield Mounted(self._bench.mountpoint, mount.pid)

    def words(self, directory: Path) -> list[str]:
        return ["--ufs", str(directory)]

    def values(self, directory: Path) -> dict[str, str]:
        return {"source": str(directory)}


class BucketSide(Side):
    """The test server of OSS's protocol, whose bucket anybody may read."""

    name = base = "bucket"

    def __init__(self, bench: Bench, stack: ExitStack) -> None:
        from oss.server import OssServer

        self._bench = bench
        self.server = stack.enter_context(OssServer(bench.root / "oss", {_KEY_ID: _KEY_SECRET}))
        self.server.create_bucket(_BUCKET, acl="public-read")
        self.servers = (self.server.pid,)

    def offer(self, directory: Path) -> None:
        self.server.put_tree(_BUCKET, directory, f"{directory.name}/")

    def withdraw(self, directory: Path) -> None:
        prefix = f"{directory.name}/"
        self.server.delete(_BUCKET, *(key for key in self.server.keys(_BUCKET) if key.startswith(prefix)))

    def uri(self, directory: Path) -> str:
        """The data set, for our mount and for our source without one."""
        return f"oss://{_BUCKET}/{directory.name}/"

    def properties(self) -> dict[str, str]:
        """Those that a client must have."""
        return self.server.properties(_KEY_ID)

    @contextmanager
    def mounted(self, directory: Path) -> Iterator[Mounted]:
        with self._bench.mount(self.uri(directory), properties=self.properties()) as mount:
            yield Mounted(self._bench.mountpoint, mount.pid)

    def words(self, directory: Path) -> list[str]:
        return [*_defines(self.properties()), "--ufs", self.uri(directory)]

    def values(self, directory: Path) -> dict[str, str]:
        return {
            "endpoint": self.server.endpoint,
            "bucket": _BUCKET,
            "prefix": f"{directory.name}/",
            "key_id": _KEY_ID,
            "key_secret": _KEY_SECRET,
        }


class ClusterSide(Side):
    """One master, and one worker that holds every block."""

    name = base = "cluster"

    def __init__(self, bench: Bench, stack: ExitStack) -> None:
        from cluster.cluster import Cluster

        self._bench = bench
        print("  (starting a cluster)", file=sys.stderr, flush=True)
        self._cluster = stack.enter_context(Cluster(optimized=True, ramdisk_size=_RAMDISK))
        self.servers = tuple(self._cluster.pid(name) for name in self._cluster.processes)

    def offer(self, directory: Path) -> None:
        for parent, _, names in os.walk(directory):
            path = f"/{os.path.relpath(parent, directory.parent)}"
            if len(names) == 1:  # of which copyFromLocal makes a file with the name of the directory
                self._cluster.shell.write(f"{path}/{names[0]}", Path(parent, names[0]))
            elif names:
                self._cluster.shell.fs("copyFromLocal", parent, path)
            else:  # of directories, which copyFromLocal wants to be there
                self._cluster.shell.fs("mkdir", path)

    def withdraw(self, directory: Path) -> None:
        self._cluster.shell.fs("rm", "-R", f"/{directory.name}")

    @contextmanager
    def mounted(self, directory: Path) -> Iterator[Mounted]:
        properties = self._cluster.client_properties()
        with self._bench.mount(self._cluster.uri(), properties=properties) as mount:
            yield Mounted(self._bench.mountpoint / directory.name, mount.pid)

    def words(self, directory: Path) -> list[str]:
        return [*_defines(self._cluster.client_properties()), "--ufs", self._cluster.uri(f"/{directory.name}")]

    def values(self, directory: Path) -> dict[str, str]:
        return {"master": self._cluster.masters[0]}


class PeerSide(Side):
    """Another program that mounts the same as one of our sides."""

    ours = False

    def __init__(self, bench: Bench, peer: peers.Peer, behind: Side) -> None:
        self.name = f"{behind.name}, {peer.name}"
        self.base = peer.engine
        self.servers = behind.servers
        self._peer = peer
        self._behind = behind
        self._place = bench.root / f"with-{peer.name}"

    def offer(self, directory: Path) -> None:
        """The other side did."""

    @contextmanager
    def mounted(self, directory: Path) -> Iterator[Mounted]:
        with peers.mounted(self._peer, self._behind.values(directory), self._place) as running:
            below = directory.name if self._peer.engine == "cluster" else ""
            yield Mounted(running.root / below, running.pid)
        shutil.rmtree(self._place / "scratch", ignore_errors=True)

    def values(self, directory: Path) -> dict[str, str]:
        return self._behind.values(directory)


def sides(bench: Bench, stack: ExitStack, engines: Sequence[str]) -> list[Side]:
    """Starts those of `engines` that the run is to have, and the peers beside them; the stack ends them.

    A cluster that cannot be had is left out with a line that says why; and so is a peer without its engine.
    """
    found: list[Side] = []
    for engine in engines:
        if engine not in bench.scope.engines:
            continue
        if engine == "directory":
            found.append(DirectorySide(bench))
        elif engine == "bucket":
            found.append(BucketSide(bench, stack))
        elif (reason := _no_cluster()) == "":
            found.append(ClusterSide(bench, stack))
        else:
            print(f"skipped: the cluster: {reason}")
    bases = {side.name: side for side in found}
    for peer in bench.scope.peers:
        if peer.engine in bases:
            found.append(PeerSide(bench, peer, bases[peer.engine]))
        else:
            print(f"skipped: {peer.name}: this run has no {peer.engine}")
    return found


def _defines(properties: Mapping[str, str]) -> list[str]:
    return [word for pair in properties.items() for word in ("-D", "=".join(pair))]


def _no_cluster() -> str:
    from cluster import jars

    return jars.unusable()
