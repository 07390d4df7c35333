"""kubectl and helm, and waiting for what they show."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "alluxio"
_COMMAND_S = 120
_POLL_S = 1.0

T = TypeVar("T")


class Failed(Exception):
    """What was expected did not come about."""


class Cluster:
    """The cluster of $KUBECONFIG, in one namespace of it."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._kubectl = os.environ.get("KUBECTL", "kubectl")
        self._helm = _run([str(ROOT / "scripts" / "ensure-helm")]).strip()

    def kubectl(self, *words: str, stdin: str | None = None, timeout: float = _COMMAND_S) -> str:
        """Its output. Raises Failed."""
        return _run([self._kubectl, "--namespace", self.namespace, *words], stdin, timeout)

    def helm(self, *words: str, stdin: str | None = None, timeout: float = _COMMAND_S) -> str:
        """Its output. Raises Failed."""
        return _run([self._helm, "--namespace", self.namespace, *words], stdin, timeout)

    def get(self, *words: str) -> list[dict[str, Any]]:
        """Objects. Raises Failed."""
        return json.loads(self.kubectl("get", *words, "--output", "json"))["items"]

    def apply(self, *objects: dict[str, Any]) -> None:
        """Makes objects. Raises Failed."""
        self.kubectl(
            "apply", "--filename", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        )

    def execute(self, pod: str, *command: str, timeout: float = _COMMAND_S) -> str:
        """What a command in a pod (or the first one of deployment/NAME, daemonset/NAME) prints. Raises Failed."""
        return self.kubectl("exec", pod, "--", *command, timeout=timeout)

    @contextmanager
    def beginning(self, pod: str, *command: str) -> Iterator[Callable[[], str]]:
        """Runs a command in a pod meanwhile, from its first line on; calling what is given returns the rest of them."""
        words = [self._kubectl, "--namespace", self.namespace, "exec", pod, "--", *command]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise Failed(f"{' '.join(command[:8])}: it said nothing")
            try:
                yield lambda: process.communicate(timeout=_COMMAND_S)[0].strip()
            finally:
                process.kill()

    def ready(self, release: str) -> dict[str, str]:
        """The column READY of `kubectl get pods` by name, of those that are not on their way out."""
        found = {}
        for pod in self.get("pods", "--selector", f"release={release}"):
            if "deletionTimestamp" not in pod["metadata"]:
                states = pod["status"].get("containerStatuses", [])
                count = sum(state["ready"] for state in states)
                found[pod["metadata"]["name"]] = f"{count}/{len(pod['spec']['containers'])}"
        return found

    def restarts(self, selector: str) -> int:
        """Of the containers of the pods, together."""
        states = (each["status"].get("containerStatuses", []) for each in self.get("pods", "--selector", selector))
        return sum(state["restartCount"] for found in states for state in found)


def wait(what: str, check: Callable[[], T], timeout: float) -> T:
    """What `check` returns once that is true; a Failed in it means not yet. Raises Failed."""
    end = time.monotonic() + timeout
    reason = ""
    while time.monotonic() < end:
        try:
            if result := check():
                return result
            reason = f"it is {result!r}"
        except Failed as error:
            reason = str(error)
        time.sleep(_POLL_S)
    raise Failed(f"{what}: not within {timeout:g} s; {reason}")


def _run(command: list[str], stdin: str | None = None, timeout: float = _COMMAND_S) -> str:
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failed(f"{' '.join(command)}: no end after {timeout:g} s") from None
    if done.returncode != 0:
        raise Failed(f"{' '.join(command[:8])}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
