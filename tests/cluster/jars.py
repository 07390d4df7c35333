"""The jars of an Alluxio release, which scripts/ensure-alluxio fetches; and where things made once are kept."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

from cluster.errors import ClusterError

VERSION = "2.9.6"
_SCRIPT = Path(__file__).parents[2] / "scripts" / "ensure-alluxio"


def directory(version: str = VERSION) -> Path:
    """Where the jars are. Raises ClusterError when they are not there."""
    reason = unusable(version)
    if reason:
        raise ClusterError(reason)
    return _look(version)[0]


def unusable(version: str = VERSION) -> str:
    """Why no cluster of that release can be started here; "" when it can."""
    if shutil.which("javac") is None:
        return "there is no JDK on PATH: run `make cluster-jars`, or install default-jdk-headless"
    path, there = _look(version)
    if not there:
        return f"{path} is not there: run `make cluster-jars`"
    return ""


def cache() -> Path:
    """The directory of this user for what is made once."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "alluxio-jnifuse"


@functools.cache
def java() -> str:
    """What Java says of its version."""
    return subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr


@functools.cache
def _look(version: str) -> tuple[Path, bool]:
    done = subprocess.run([_SCRIPT, "--print", version], capture_output=True, text=True, check=False)
    if not done.stdout:
        raise ClusterError(done.stderr.strip())
    return Path(done.stdout.strip()), done.returncode == 0
