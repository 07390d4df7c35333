"""What the run needs in the cluster beside the chart: a bucket, a reader, and an eye on the node."""

from __future__ import annotations

from typing import Any

from k8s.cluster import ROOT
from k8s.dataset import PORT

Object = dict[str, Any]
_PAUSE = ["sh", "-c", "trap exit TERM; sleep infinity & wait"]


def bucket(image: str) -> list[Object]:
    """The pod `oss` and its program."""
    files = {"oss": sorted((ROOT / "tests" / "oss").glob("*.py")), "dataset": [ROOT / "tests" / "k8s" / "dataset.py"]}
    program = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"program-{name}", "labels": {"app": "oss"}},
            "data": {path.name: path.read_text() for path in paths if not path.name.startswith("test_")},
        }
        for name, paths in files.items()
    ]
    container = {
        "command": ["python3", "-m", "dataset"],
        "workingDir": "/program/dataset",
        "env": [{"name": "PYTHONPATH", "value": "/program"}],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": name, "mountPath": f"/program/{name}"} for name in files],
    }
    volumes = [{"name": name, "configMap": {"name": f"program-{name}"}} for name in files]
    return [*program, _pod("oss", image, container, volumes=volumes)]


def reader(image: str, directory: str) -> Object:
    """A pod without any privilege that sees the directory above the mount point."""
    return _watcher("reader", image, directory, directory)


def node(image: str) -> Object:
    """A pod that sees the whole file system of the node, beneath /host."""
    return _watcher("node", image, "/", "/host")


def fake_node(name: str) -> Object:
    """A node that says it is ready, and on which nothing runs."""
    resources = {"cpu": "8", "memory": "64Gi", "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "conditions": [{"type": "Ready", "status": "True", "reason": "Fake", "message": "of an acceptance run"}],
        },
    }


def _watcher(name: str, image: str, path: str, mount_path: str) -> Object:
    mount = {"name": "place", "mountPath": mount_path, "mountPropagation": "HostToContainer"}
    volume = {"name": "place", "hostPath": {"path": path, "type": "DirectoryOrCreate"}}
    return _pod(name, image, {"command": _PAUSE, "volumeMounts": [mount]}, volumes=[volume])


def _pod(name: str, image: str, container: Object, **spec: object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 2,
            "securityContext": {"runAsUser": 0},
            "containers": [{"name": name, "image": image, "imagePullPolicy": "IfNotPresent", **container}],
            **spec,
        },
    }
