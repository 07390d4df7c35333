"""The acceptance run of the Helm chart: `make test-k8s`. It needs the cluster of $KUBECONFIG, and leaves nothing there.

The values are those that users of AlluxioFuse were told to use, but for the address of the bucket and its keys, and the
pull policy. The images carry the names of those values too, or else are those of $ALLUXIO_IMAGE and $FUSE_IMAGE.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import yaml

from k8s.cluster import Cluster, Failed
from k8s.steps import RELEASE, Run

_VALUES = Path(__file__).parents[1] / "chart" / "values"
_STEPS = {
    "basic": (
        "install",
        "ready",
        "node",
        "reader",
        "client",
        "wrong_option",
        "second_mount",
        "four_nodes",
        "uninstall",
    ),
    "advanced": ("install", "ready", "node", "reader", "upgrade", "rollback", "kill", "drain", "uninstall"),
}


def main() -> int:
    arguments = _parse()
    cluster = Cluster(f"acceptance-{uuid.uuid4().hex[:6]}")
    version = cluster.kubectl("version").splitlines()[-1].rpartition(" ")[2]
    print(f"{datetime.date.today()}, Kubernetes {version}")
    cluster.kubectl("create", "namespace", cluster.namespace)
    try:
        for name in arguments.values or _STEPS:
            if not _run(cluster, name):
                return 1
    finally:
        if not arguments.keep:
            _remove(cluster)
    print("accepted")
    return 0


def _run(cluster: Cluster, name: str) -> bool:
    values = _VALUES / f"guide-{name}.yaml"
    overrides = _images(yaml.safe_load(values.read_text()))
    image = f"{overrides['fuse']['image']}:{overrides['fuse']['imageTag']}"
    run = Run(cluster, values, overrides, image)
    for step in _STEPS[name]:
        began = time.monotonic()
        try:
            remark = getattr(run, step)()
        except Failed as error:
            print(f"| {name} | {step} | FAILED | {error} |", flush=True)
            _tell(cluster)
            return False
        print(f"| {name} | {step.replace('_', ' ')} | {time.monotonic() - began:.0f} s | {remark} |", flush=True)
    return True


def _images(values: dict[str, Any]) -> dict[str, Any]:
    """What may differ from the values: where the images come from."""
    found: dict[str, Any] = {"imagePullPolicy": "IfNotPresent", "fuse": {"imagePullPolicy": "IfNotPresent"}}
    for variable, own, given in (("ALLUXIO_IMAGE", found, values), ("FUSE_IMAGE", found["fuse"], values["fuse"])):
        name = os.environ.get(variable) or f"{given['image']}:{given['imageTag']}"
        own["image"], _, own["imageTag"] = name.rpartition(":")
    return found


def _tell(cluster: Cluster) -> None:
    """What there is to see of a failure."""
    pods = [each["metadata"]["name"] for each in cluster.get("pods")]
    questions = [("get", "pods", "--output", "wide"), ("get", "events", "--sort-by", ".lastTimestamp")]
    for words in [*questions, *(("logs", pod, "--all-containers", "--prefix", "--tail=40") for pod in pods)]:
        try:
            print(f"\n$ kubectl {' '.join(words)}\n{cluster.kubectl(*words)}", file=sys.stderr)
        except Failed as error:
            print(error, file=sys.stderr)


def _remove(cluster: Cluster) -> None:
    for step in (
        lambda: cluster.helm("uninstall", RELEASE, "--ignore-not-found", "--wait", timeout=300),
        lambda: cluster.kubectl("delete", "namespace", cluster.namespace, timeout=300),
    ):
        try:
            step()
        except Failed as error:
            print(error, file=sys.stderr)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m k8s", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--values", action="append", choices=list(_STEPS), help="default: both")
    parser.add_argument("--keep", action="store_true", help="leave everything in the cluster")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
