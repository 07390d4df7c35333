"""One release of the chart, from its installation until nothing is left of it."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from k8s import dataset, objects
from k8s.cluster import CHART, Cluster, Failed, wait

RELEASE = "alluxio"
MOUNT = "/mnt/alluxio-fuse"
_PODS_S = 400  # until all are ready, on a busy machine
_MOUNT_S = 90  # until a mount is back
_READ_LATER = """
import sys, time
with open(sys.argv[1], "rb") as file:
    file.read(1)
    print("open", flush=True)
    time.sleep(15)
    try:
        print(len(file.read()) + 1, "bytes")
    except OSError as error:
        print(error.strerror)
"""
_FUSE = f"release={RELEASE},role=alluxio-fuse"


class Run:
    """The steps by name, in order; each raises Failed, or returns a remark."""

    def __init__(self, cluster: Cluster, values: Path, overrides: dict[str, Any], image: str) -> None:
        self.cluster = cluster
        self._values = values
        self._overrides = overrides
        self._image = image

    def install(self) -> str:
        """The bucket, the onlookers, and the chart with the given values."""
        self.cluster.apply(
            *objects.bucket(self._image),
            objects.reader(self._image, str(Path(MOUNT).parent)),
            objects.node(self._image),
        )
        wait(
            "the bucket", lambda: self._is_ready("oss") and self._is_ready("reader") and self._is_ready("node"), _PODS_S
        )
        (bucket,) = self.cluster.get("pods", "--field-selector", "metadata.name=oss")
        self._overrides["properties"] = {
            "fs.oss.endpoint": f"http://{bucket['status']['podIP']}:{dataset.PORT}",
            "fs.oss.accessKeyId": dataset.KEY_ID,
            "fs.oss.accessKeySecret": dataset.SECRET,
            "alluxio.master.mount.table.root.ufs": f"oss://{dataset.BUCKET}/{dataset.DIRECTORY}/",
        }
        notes = self._helm("install", {})
        for secret in (dataset.KEY_ID, dataset.SECRET):
            _check(secret not in notes, "the notes have a secret")
        return ""

    def ready(self) -> str:
        """The pods that users were shown, with their counts."""
        nodes = len(self.cluster.get("nodes"))
        counts = [f"{RELEASE}-fuse 1/1"] * nodes + [f"{RELEASE}-master-0 2/2"] + [f"{RELEASE}-worker 2/2"] * nodes

        def shown() -> bool:
            pods = self.cluster.ready(RELEASE).items()
            found = sorted(
                f"{re.sub('-[a-z0-9]{5}$', '', name)} {count}" for name, count in pods if "client" not in name
            )
            if found != counts:
                raise Failed(f"they are {found}")
            return True

        wait(f"the pods {counts}", shown, _PODS_S)
        return ", ".join(counts)

    def node(self) -> str:
        """The mount is there on the node itself."""
        line = wait("a mount on the node", lambda: self._on_node(), _MOUNT_S)
        _check(self.cluster.execute("node", "ls", f"/host{MOUNT}").split() == ["train", "validation"], "ls on the node")
        return line

    def reader(self) -> str:
        """A pod that was there before sees it, and every byte is right."""
        wait("the mount in the reader", lambda: self._listing() == ["train", "validation"], _MOUNT_S)
        sums = self.cluster.execute("reader", "sha256sum", *(f"{MOUNT}/{name}" for name in dataset.FILES))
        for line, name in zip(sums.splitlines(), dataset.FILES):
            _check(line.split()[0] == hashlib.sha256(dataset.content(name)).hexdigest(), f"{name} has other bytes")
        return f"{sum(dataset.FILES.values())} bytes equal"

    def client(self) -> str:
        """The demonstration pod sees it too."""
        if not self.cluster.get("deployments", "--selector", f"release={RELEASE}"):
            return "not asked for"
        pod = f"deployment/{RELEASE}-fuse-client"
        wait("the client", lambda: self.cluster.execute(pod, "ls", MOUNT).split() == ["train", "validation"], _MOUNT_S)
        return ""

    def upgrade(self) -> str:
        """Another option replaces the mounts, and only those; readers see the new ones."""
        before = self._pods()
        self._helm("upgrade", {"fuse": {"env": {"MAX_IDLE_THREADS": "32"}}})
        self._replaced(before)
        return self.reader()

    def rollback(self) -> str:
        """And back."""
        before = self._pods()
        self.cluster.helm("rollback", RELEASE)
        self._replaced(before)
        return self.reader()

    def kill(self) -> str:
        """kill -9 of the daemon: the pod heals, the reader sees the new mount; what it had open meanwhile is told."""
        restarts = self.cluster.restarts(_FUSE)
        pod = min(_split(self._pods())[0])
        pid = self.cluster.execute(pod, "alluxio-jnifuse", "stat").splitlines()[-1].split()[0]
        with self.cluster.beginning("reader", "python3", "-c", _READ_LATER, f"{MOUNT}/train/part-00001") as rest:
            self.cluster.execute(pod, "sh", "-c", f"kill -9 {pid}")
            wait("the pod to heal", lambda: self.cluster.restarts(_FUSE) > restarts and self._all_ready(), _MOUNT_S)
            return f"{self.reader()}; a file that was open meanwhile: {rest()}"

    def wrong_option(self) -> str:
        """The pod says which one it is, and a rollback cures it."""
        before = self._pods()
        self._helm("upgrade", {"fuse": {"args": ["fuse", "--fuse-opts=no_such_option"]}})
        said = self._said(_FUSE, "no_such_option")
        self.cluster.helm("rollback", RELEASE)
        self._replaced(before)
        self.reader()
        return said

    def second_mount(self) -> str:
        """Another pod that would mount on the same mount point is refused, and does no harm when it goes."""
        mounted = self._on_node()
        (mount,) = self.cluster.get("daemonsets", "--selector", _FUSE)
        second = {"app": "second"}
        mount["spec"]["selector"]["matchLabels"] = mount["spec"]["template"]["metadata"]["labels"] = second
        self.cluster.apply({**mount, "metadata": {"name": "second", "labels": second}})
        said = self._said("app=second", "mounted there already")
        self.cluster.kubectl("delete", "daemonset", "second", "--cascade=foreground", "--wait")
        _check(self._on_node() == mounted, "the mount is another one")
        self.reader()
        return said

    def drain(self) -> str:
        """The master is sent away: the mount stays, and works again when he is back."""
        (node,) = {each["spec"]["nodeName"] for each in self.cluster.get("pods", "--selector", "role=alluxio-master")}
        restarts, before = self.cluster.restarts(_FUSE), _split(self._pods())[0]
        words = (
            "--ignore-daemonsets",
            "--delete-emptydir-data",
            "--pod-selector",
            f"release={RELEASE}",
            "--timeout=90s",
        )
        try:
            self.cluster.kubectl("drain", node, *words)
        finally:
            self.cluster.kubectl("uncordon", node)
        wait("the master to come back", self._all_ready, _PODS_S)
        now = self.cluster.restarts(_FUSE), _split(self._pods())[0]
        _check(now == (restarts, before), "the mount was restarted")
        return self.reader()

    def four_nodes(self) -> str:
        """With three nodes more: one master, four workers, four mounts, each on a node of its own."""
        names = [f"fake-{number}" for number in range(4 - len(self.cluster.get("nodes")))]
        self.cluster.apply(*(objects.fake_node(name) for name in names))
        try:
            wait("4 workers, 4 mounts", lambda: self._placed() == {"master": 1, "worker": 4, "fuse": 4}, _MOUNT_S)
        finally:
            self.cluster.kubectl("delete", "node", *names)
            wait("their pods to go", self._all_ready, _PODS_S)
        return "1 master, 4 workers, 4 mounts"

    def uninstall(self) -> str:
        """Nothing is left: no object, no mount on the node, only the empty directory."""
        self.cluster.helm("uninstall", RELEASE, "--wait", timeout=_PODS_S)
        self.cluster.kubectl(
            "wait", "--for=delete", "pods", "--selector", f"release={RELEASE}", "--timeout=120s", timeout=130
        )
        kinds = "pods,services,configmaps,secrets,statefulsets,daemonsets,deployments,persistentvolumeclaims"
        left = self.cluster.get(kinds, "--selector", f"release={RELEASE}")
        _check(not left, f"left: {[each['metadata']['name'] for each in left]}")
        _check(not self._on_node(), "the mount is left on the node")
        _check(self._listing() == [], "the directory is not empty")
        self.cluster.kubectl("delete", "pod,configmap", "--selector", "app", "--wait")
        return ""

    # ------------------------------------------------------------------------------------------------------- helpers

    def _helm(self, command: str, more: dict[str, Any]) -> str:
        values = json.dumps(_merged(self._overrides, more))
        return self.cluster.helm(
            command, RELEASE, str(CHART), "--values", str(self._values), "--values", "-", stdin=values
        )

    def _is_ready(self, name: str) -> bool:
        (pod,) = self.cluster.get("pods", "--field-selector", f"metadata.name={name}")
        return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))

    def _all_ready(self) -> bool:
        counts = [count.split("/") for count in self.cluster.ready(RELEASE).values()]
        return bool(counts) and all(ready == total for ready, total in counts)

    def _pods(self) -> list[str]:
        return sorted(self.cluster.ready(RELEASE))

    def _said(self, selector: str, words: str) -> str:
        """The first line with `words` in the log of a pod."""

        def found() -> str:
            lines = self.cluster.kubectl("logs", "--selector", selector, "--tail=50").splitlines()
            return next((line for line in lines if words in line), "")

        return wait(f"{words!r} in a log", found, _PODS_S)

    def _replaced(self, before: list[str]) -> None:
        """Waits until there are new mounts; the servers are the old ones."""
        mounts, servers = _split(before)

        def done() -> bool:
            now = _split(self._pods())[0]
            return len(now) == len(mounts) and not now & mounts and self._all_ready()

        wait("new mounts", done, _PODS_S)
        _check(_split(self._pods())[1] == servers, "servers were replaced")

    def _listing(self) -> list[str]:
        return self.cluster.execute("reader", "ls", MOUNT).split()

    def _on_node(self) -> str:
        lines = self.cluster.execute("node", "cat", "/proc/mounts").splitlines()
        return " | ".join(line for line in lines if line.split()[1] == f"/host{MOUNT}")

    def _placed(self) -> dict[str, int]:
        found: dict[str, set[str]] = {}
        for pod in self.cluster.get("pods", "--selector", f"release={RELEASE}"):
            role = pod["metadata"]["labels"]["role"].removeprefix("alluxio-")
            if role != "fuse-client" and "nodeName" in pod["spec"]:
                found.setdefault(role, set()).add(pod["spec"]["nodeName"])
        return {role: len(nodes) for role, nodes in found.items()}


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Failed(otherwise)


def _split(pods: list[str]) -> tuple[set[str], set[str]]:
    """The mounts, and the servers."""
    mounts = {name for name in pods if re.match(rf"{RELEASE}-fuse-\w{{5}}$", name)}
    return mounts, {name for name in pods if "-fuse-" not in name}


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    found = dict(first)
    for key, value in second.items():
        found[key] = _merged(found.get(key, {}), value) if isinstance(value, dict) else value
    return found
