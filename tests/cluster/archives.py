"""Archives of the classes that a cluster loads, which halve the time of its start; see jvm.py.

A cluster is run once for them. Programs write them when they end in an orderly way, which may take a while.
"""

from __future__ import annotations

import argparse
import sys

from cluster import jars
from cluster.cluster import Cluster
from cluster.jvm import Jvm

_END_S = 120.0


def make(version: str) -> None:
    """Makes the archives of a release."""
    with Cluster(version=version, workers=1, jobs=True, dumping=True) as cluster:
        shell = cluster.shell
        shell.write("/a/file", b"content" * 100_000, block_size=1 << 18)
        for words in (["ls", "/a"], ["cat", "/a/file"], ["free", "/a"], ["cat", "/a/file"], ["rm", "-R", "/a"]):
            shell.fs(*words)
        shell.close(_END_S)
        for process in cluster.processes.values():
            process.terminate()
        for process in cluster.processes.values():
            process.wait(_END_S)
    Jvm(version).keep()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", nargs="?", default=jars.VERSION)
    version = parser.parse_args().version
    if not Jvm(version).archived():
        print(f"archiving the classes of Alluxio {version}, once", file=sys.stderr)
        make(version)
    return 0


if __name__ == "__main__":
    sys.exit(main())
