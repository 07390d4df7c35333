"""The chart as helm renders it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "alluxio"
VALUES = sorted(Path(__file__).parent.glob("values/*.yaml"))
VERSIONS = ("1.25", "1.34")  # of Kubernetes: the oldest that the chart is for, and the one it was run on
_TIMEOUT_S = 60

Object = dict[str, Any]


@cache
def unusable() -> str:
    """Why there is no helm; "" when there is one."""
    found = _run(ROOT / "scripts" / "ensure-helm", "--print")
    return "" if found.returncode == 0 and os.access(found.stdout.strip(), os.X_OK) else "no helm: make helm builds it"


def helm(*words: object, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs helm, whatever becomes of it."""
    return _run(_run(ROOT / "scripts" / "ensure-helm", "--print").stdout.strip(), *words, stdin=stdin)


def template(values: str = "", *words: object, version: str = VERSIONS[-1]) -> subprocess.CompletedProcess[str]:
    """`helm template` of a release called alluxio, with the text of a values file."""
    return helm("template", "alluxio", CHART, "--kube-version", version, "--values", "-", *words, stdin=values)


def render(values: str = "", *words: object, version: str = VERSIONS[-1]) -> Manifest:
    """The same, which must succeed."""
    done = template(values, *words, version=version)
    assert done.returncode == 0, done.stderr
    return Manifest(done.stdout)


class Manifest:
    """What a release consists of."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.objects: list[Object] = [each for each in yaml.safe_load_all(text) if each]

    def __iter__(self) -> Iterator[Object]:
        return iter(self.objects)

    def names(self) -> set[tuple[str, str]]:
        """(kind, name) of every object."""
        return {(each["kind"], each["metadata"]["name"]) for each in self}

    def get(self, kind: str, name: str) -> Object:
        """The one object of that kind and name."""
        (found,) = (each for each in self if (each["kind"], each["metadata"]["name"]) == (kind, name))
        return found

    def pods(self) -> dict[str, Object]:
        """The specs of pods by the name of what makes them."""
        return {
            each["metadata"]["name"]: each["spec"]["template"]["spec"]
            for each in self
            if "template" in each.get("spec", {})
        }

    def pod(self, name: str) -> Object:
        """The spec of one of them."""
        return self.pods()[name]

    def fuse(self) -> Object:
        """The container of the mount."""
        (container,) = self.pod("alluxio-fuse")["containers"]
        return container

    def options(self, variable: str) -> str:
        """ALLUXIO_JAVA_OPTS or one like it."""
        return self.get("ConfigMap", "alluxio-config")["data"][variable]


def _run(program: object, *words: object, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(word) for word in (program, *words)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=_TIMEOUT_S)
