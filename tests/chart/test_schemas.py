"""What is rendered is what Kubernetes takes, with every values file."""

from __future__ import annotations

from pathlib import Path

import kubernetes_validate
import pytest
from helm import CHART, VALUES, VERSIONS, helm, render

import alluxio_jnifuse

pytestmark = pytest.mark.chart

FILES = [*VALUES, CHART / "values.yaml"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_kubernetes_takes_it(path: Path, version: str) -> None:
    """No unknown field, no wrong type, in either release."""
    for each in render(path.read_text(), version=version):
        kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_lint(path: Path) -> None:
    """Helm itself has no complaint, not even a small one."""
    done = helm("lint", "--strict", CHART, "--kube-version", VERSIONS[-1], "--values", path)
    assert done.returncode == 0, done.stdout
    assert "WARNING" not in done.stdout


def test_package(tmp_path: Path) -> None:
    """It can be packed, and says which release of this package it deploys."""
    done = helm("package", CHART, "--destination", tmp_path)
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("alluxio-*.tgz")
    shown = helm("show", "chart", archive).stdout
    assert f"appVersion: {alluxio_jnifuse.__version__}" in shown
