"""The command `doctor` in a mount namespace where nothing of other tests is in the way, and what it finds."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from harness.children import Children, as_user
from harness.mounting import COMMAND
from harness.namespaces import unshare

from alluxio_jnifuse.mounts import table

SOMEBODY = 65534
TIMEOUT_S = 300.0
PROBLEMS = ("note", "warning", "error")


class Report(NamedTuple):
    """The exit code, and what was printed with --json."""

    code: int
    told: dict[str, Any]

    def problems(self) -> list[dict[str, str]]:
        """The findings on which somebody may have to act; that the kernel is old is no fault that was planted."""
        found = [finding for finding in self.told["findings"] if finding["check"] != "versions"]
        return [finding for finding in found if finding["severity"] in PROBLEMS]

    def of(self, check: str) -> list[dict[str, str]]:
        """The problems that one check has found."""
        return [finding for finding in self.problems() if finding["check"] == check]


class Fault(NamedTuple):
    """A fault that is planted: the check that finds it, and parts of the finding and of its line."""

    check: str
    severity: str
    what: str
    line: str

    def is_found(self, report: Report) -> None:
        """It is found, with a line to type, and nothing else is. Raises AssertionError."""
        assert {finding["check"] for finding in report.problems()} == {self.check}, report.problems()
        (found,) = [each for each in report.of(self.check) if self.what in each["where"] + ": " + each["what"]]
        assert found["severity"] == self.severity
        assert self.line in found["line"]
        assert found["line"]
        assert report.code == (self.severity in ("warning", "error"))


class Doctor:
    """Examines; `environ`: of the command. Others' mounts are not in its namespace, whose mounts are shared ones."""

    def __init__(self, children: Children, root: Path, environ: Mapping[str, str]) -> None:
        self._children = children
        self._root = root
        self.environ = dict(environ)
        self.command = COMMAND

    def examine(
        self,
        *words: str,
        plant: Callable[[], object] = lambda: None,
        uid: int = 0,
        wrapper: Iterable[str] = (),
        shared: bool = True,
    ) -> Report:
        """Runs `doctor --json`; `plant` is called in the namespace before that."""
        done = self.run("--json", *words, plant=plant, uid=uid, wrapper=wrapper, shared=shared)
        assert done.stderr == ""
        return Report(done.returncode, json.loads(done.stdout))

    def run(
        self,
        *words: str,
        plant: Callable[[], object] = lambda: None,
        uid: int = 0,
        wrapper: Iterable[str] = (),
        shared: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Runs `doctor` with these words."""

        def work() -> subprocess.CompletedProcess[str]:
            unshare()
            for path in foreign(self._root):  # one may go with another that it lies in
                subprocess.run(["umount", "-i", "-l", path], check=False, capture_output=True)
            assert not foreign(self._root)
            if shared:
                root = str(self._root)
                subprocess.run(["mount", "--rbind", root, root], check=True)
                subprocess.run(["mount", "--make-rshared", root], check=True)
            plant()
            command = [*wrapper, *self.command, "doctor", *words]
            options: dict[str, Any] = {"env": self.environ, "capture_output": True, "text": True, "check": False}
            options["stdin"] = subprocess.DEVNULL
            if not uid:
                return subprocess.run(command, **options)
            with as_user(uid):
                return subprocess.run(command, **options)
            raise AssertionError

        done: subprocess.CompletedProcess[str] = self._children.run(work, timeout=TIMEOUT_S)
        return done


def foreign(root: Path) -> list[str]:
    """The places of other tests' mounts in this namespace, each once for every mount there."""
    found = [entry.mountpoint for entry in table.read() if entry.fstype == table.FSTYPE]
    return [path for path in found if not path.startswith(f"{root}/")]


def bind(text: str, over: str, at: Path) -> None:
    """Lays a file with this text over another one, in this namespace."""
    at.write_text(text)
    subprocess.run(["mount", "--bind", str(at), over], check=True)


def names(path: Path) -> set[str]:
    """Everything below a directory that has a name."""
    return {os.path.join(where, name) for where, inner, files in os.walk(path) for name in (*inner, *files)}
