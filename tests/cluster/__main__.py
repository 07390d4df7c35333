"""`make cluster`: a cluster in the foreground, until Ctrl-C."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import time
from pathlib import Path

from cluster import jars
from cluster.cluster import Cluster
from cluster.errors import ClusterError

_COMMAND = Path(__file__).parents[2] / ".venv" / "bin" / "alluxio-jnifuse"
_SCRIPT = """\
#!/bin/sh
# Alluxio's own commands for this cluster: fs ARGUMENTS, fsadmin ARGUMENTS, class NAME ARGUMENTS.
case $1 in
    fs) class=alluxio.cli.fs.FileSystemShell ;;
    fsadmin) class=alluxio.cli.fsadmin.FileSystemAdminShell ;;
    class) class=$2; shift ;;
    *) sed -n 2p "$0" >&2; exit 2 ;;
esac
shift
CLASSPATH={classpath} exec {java} "$class" "$@"
"""


def main() -> int:
    arguments = _parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    began = time.monotonic()
    try:
        with Cluster(
            masters=arguments.masters,
            workers=arguments.workers,
            jobs=arguments.jobs,
            store=arguments.store,
            auth=arguments.auth,
            domain_socket=arguments.domain_socket,
            version=arguments.version,
            ufs=arguments.ufs and arguments.ufs.absolute(),
            ramdisk_size=arguments.ramdisk,
            site=dict(arguments.property),
            optimized=True,
        ) as cluster:
            _tell(cluster, time.monotonic() - began)
            _watch(cluster)
    except KeyboardInterrupt:
        print("\nended, and nothing of it is left", flush=True)
    except ClusterError as error:
        print(f"make cluster: {error}", file=sys.stderr)
        return 1
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make cluster", description="An Alluxio cluster in the foreground.")
    parser.add_argument("--masters", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--jobs", action="store_true", help="with the job service")
    parser.add_argument("--store", choices=("FILE", "PAGE"), default="FILE", help="how workers keep blocks")
    parser.add_argument("--auth", choices=("SIMPLE", "NOSASL"), default="SIMPLE")
    parser.add_argument("--domain-socket", action="store_true", help="workers listen on one")
    parser.add_argument("--version", default=jars.VERSION, help="of Alluxio")
    parser.add_argument(
        "--ufs", type=Path, help="the under-store, a directory; default: one that goes with the cluster"
    )
    parser.add_argument("--ramdisk", default="4GB", help="of each worker")
    parser.add_argument("-D", dest="property", action="append", default=[], type=_property, help="name=value")
    return parser.parse_args()


def _property(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _tell(cluster: Cluster, seconds: float) -> None:
    java = shlex.join(cluster.java("client"))
    script = cluster.base / "alluxio"
    script.write_text(_SCRIPT.format(classpath=shlex.quote(cluster.environ("client")["CLASSPATH"]), java=java))
    script.chmod(0o755)
    words = [word for name, value in cluster.client_properties().items() for word in ("-D", f"{name}={value}")]
    print(f"Alluxio {cluster.plan.version}, up after {seconds:.1f} s")
    for name, address in zip(("master", *[""] * len(cluster.masters)), cluster.masters):
        print(f"  {name:12} {address}")
    for name, address, ramdisk in zip(("workers", *[""] * len(cluster.workers)), cluster.workers, cluster.ramdisks):
        print(f"  {name:12} {address}, blocks in {ramdisk}")
    print(f"  {'under-store':12} {cluster.ufs}")
    print(f"  {'logs':12} {cluster.log('*')}")
    print(f"  {'shell':12} {script} fs copyFromLocal README.md /")
    print(f"  {'mount':12} {shlex.join([str(_COMMAND), 'mount', *words])} DIRECTORY")
    print("Ctrl-C ends it and removes all of this.", flush=True)


def _watch(cluster: Cluster) -> None:
    told: set[str] = set()
    while True:
        time.sleep(1)
        for name, process in cluster.processes.items():
            if not process.alive() and name not in told:
                told.add(name)
                print(f"{name} has ended\n{process.tail()}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
