"""What the tests of mounts on a cluster share: mounting, what children read, and what servers have counted."""

from __future__ import annotations

import json
import mmap
import os
import random
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from cluster import dataset
from cluster.cluster import Cluster
from harness.mounting import COMMAND, Mounted, Mounts, beneath, run

MIB = 1 << 20
PIECE = 256 << 10


def mount(
    mounts: Mounts,
    cluster: Cluster,
    path: str = "/",
    options: str = "",
    properties: Mapping[str, str] | None = None,
    **more: object,
) -> Mounted:
    """Mounts a directory of a cluster. The client is told nothing but where the masters are, and how to log in."""
    own = {"alluxio.security.authentication.type": cluster.plan.auth}
    return mounts.mount(cluster.uri(path), options, {**own, **(properties or {})}, **more)  # type: ignore[arg-type]


def refused(mounts: Mounts, masters: str, *properties: str) -> str:
    """What the command says that mounts a cluster in vain."""
    words = [word for each in ("alluxio.user.rpc.retry.max.duration=2sec", *properties) for word in ("-D", each)]
    path = str(mounts.root / "mnt")
    began = time.monotonic()
    done = run([*COMMAND, "mount", *words, "-u", f"alluxio://{masters}/", path], mounts.environ())
    took = time.monotonic() - began
    assert done.returncode == 1, f"{done.stdout}{done.stderr}"
    assert took < 10, f"{took:.1f} s"
    assert not beneath(str(mounts.root))
    assert "Traceback" not in done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert f"alluxio://{masters}" in line
    return line


# ----------------------------------------------------------------------------------------------------- in children


def walk(top: str) -> dict[str, tuple[int, int]]:
    """Type and size of everything below a directory, as `ls -lR` asks for it; of a directory 0."""
    found = {}
    for directory, _, _ in os.walk(top, onerror=_fail):
        with os.scandir(directory) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                kind = status.st_mode & 0o170000
                found[os.path.relpath(entry.path, top)] = kind, status.st_size if entry.is_file() else 0
    return found


def _fail(error: OSError) -> None:
    raise error


def check(path: str, name: str, size: int, piece: int = PIECE) -> None:
    """Reads a file of cluster.dataset from its start to its end."""
    with open(path, "rb", buffering=0) as file:
        assert os.fstat(file.fileno()).st_size == size, name
        at = 0
        while data := file.read(piece):
            assert data == dataset.content(name, at, len(data)), f"{name} differs in {at}+{len(data)}"
            at += len(data)
    assert at == size, f"{name} ended after {at} of {size} bytes"


def check_ranges(path: str, name: str, size: int, count: int, longest: int, seed: int = 1) -> None:
    """Reads ranges of a file anywhere, with pread."""
    chance = random.Random(seed)
    with open(path, "rb", buffering=0) as file:
        for _ in range(count):
            at, length = chance.randrange(size + longest), chance.randrange(1, longest + 1)
            expected = dataset.content(name, at, max(0, min(length, size - at)))
            assert os.pread(file.fileno(), length, at) == expected, f"{name} differs in {at}+{length}"


def check_mapped(path: str, name: str, size: int) -> None:
    """Maps a file and compares all of it."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), size, mmap.MAP_SHARED, mmap.PROT_READ) as mapped:
        for at in range(0, size, PIECE):
            end = min(size, at + PIECE)
            assert mapped[at:end] == dataset.content(name, at, end - at), f"{name} differs in {at}"


# -------------------------------------------------------------------------------------------------------- servers


def calls(stats: Mapping[str, int]) -> dict[str, int]:
    """The calls to the cluster that were made, of counters of a mount."""
    return {name[len("rpc_") :]: number for name, number in stats.items() if name.startswith("rpc_") and number}


def calls_seen_by(cluster: Cluster, user: str, number: int = 0) -> dict[str, int]:
    """The calls of a user that a master has counted, by name."""
    url = f"http://127.0.0.1:{cluster.layout.masters[number].web}/metrics/json/"
    with urllib.request.urlopen(url, timeout=20) as answer:
        timers = json.load(answer)["timers"]
    found = {}
    for name, timer in timers.items():
        parts = name.split(".")
        if len(parts) == 3 and parts[2] == f"User:{user}" and timer["count"]:
            found[parts[1]] = timer["count"]
    return found


def snapshot(top: Path) -> dict[str, bytes]:
    """The files below a local directory, with what they hold."""
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}
