"""A doctor for each test, and the program for ordinary users."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "alluxio"))  # its fakes

from harness.children import Children
from harness.mounting import Mounts
from harness.namespaces import in_namespace, interpreter
from patient import SOMEBODY, Doctor

SOURCES = Path(__file__).parents[2] / "src"


@pytest.fixture
def doctor(private: Path, mounts: Mounts, children: Children) -> Doctor:
    """A doctor of root; alluxio-site.properties is looked for in the directory of the test."""
    if os.geteuid() != 0:
        pytest.skip("only root has mount namespaces")
    return Doctor(children, private, mounts.environ(XDG_RUNTIME_DIR=str(private)))


@pytest.fixture
def ordinary(private: Path, doctor: Doctor, children: Children) -> Doctor:
    """The same for an ordinary user, SOMEBODY, where the checkout may be out of reach."""
    sources = private / "sources"
    ignored = shutil.ignore_patterns("*.py[cx]", "__pycache__")
    shutil.copytree(SOURCES / "alluxio_jnifuse", sources / "alluxio_jnifuse", ignore=ignored)
    subprocess.run(["chmod", "-R", "a+rX", sources], check=True)
    python = children.run(in_namespace, lambda: interpreter(sources), SOMEBODY)
    if not python:
        give_up = pytest.fail if os.environ.get("AJF_REQUIRE_FUSE") == "1" else pytest.skip
        give_up("no Python that an ordinary user may run can load our extension")
    home = private / "home"
    home.mkdir()
    os.chown(home, SOMEBODY, SOMEBODY)
    doctor.environ.update(PYTHONPATH=str(sources), HOME=str(home), XDG_RUNTIME_DIR=str(home))
    doctor.command = [python, "-m", "alluxio_jnifuse"]
    return doctor
