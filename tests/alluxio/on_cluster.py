"""What the tests of mounts on a cluster share: mounting, and what servers have counted."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from cluster.cluster import Cluster
from harness.mounting import COMMAND, Mounted, Mounts, beneath, run


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
    done = run([*COMMAND, "mount", *words, "-u", f"alluxio://{masters}/", path], mounts.environ())
    assert done.returncode == 1, f"{done.stdout}{done.stderr}"
    assert not beneath(str(mounts.root))
    assert "Traceback" not in done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert f"alluxio://{masters}" in line
    return line


# -------------------------------------------------------------------------------------------------------- servers


def calls(stats: Mapping[str, int]) -> dict[str, int]:
    """The calls to the cluster that were made, of counters of a mount."""
    return {name[len("rpc_") :]: number for name, number in stats.items() if name.startswith("rpc_") and number}


def calls_seen_by(cluster: Cluster, user: str, number: int = 0) -> dict[str, int]:
    """The calls of a user that a master has counted, by name."""
    url = f"http://127.0.0.1:{cluster.layout.masters[number].web}/metrics/json/"
    with urllib.request.urlopen(url, timeout=120) as answer:
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
