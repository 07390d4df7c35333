"""What a user reads after an installation. Helm shows that with a cluster only, so the text becomes an object here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from helm import CHART, VERSIONS, helm

pytestmark = pytest.mark.chart

COMPLETE = (
    "properties: {alluxio.master.mount.table.root.ufs: 'oss://bucket/'}\njournal: {volumeType: persistentVolumeClaim}\n"
)


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart with its notes as one more object."""
    copy = tmp_path_factory.mktemp("notes") / "alluxio"
    shutil.copytree(CHART, copy)
    notes = (copy / "templates" / "NOTES.txt").read_text()
    text = '{{- define "notes" }}' + notes + '{{ end -}}\nkind: Notes\ntext: {{ include "notes" . | toJson }}\n'
    (copy / "templates" / "notes.yaml").write_text(text)
    return copy


def notes(chart: Path, values: str) -> str:
    """The text for the given values."""
    words = ("--kube-version", VERSIONS[-1], "--show-only", "templates/notes.yaml", "--values", "-")
    done = helm("template", "alluxio", chart, *words, stdin=values)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)["text"]


def test_where_it_is(chart: Path) -> None:
    """The pods to wait for, and how a pod sees the mount; nothing to complain about."""
    text = notes(chart, COMPLETE)
    assert "1 of alluxio-master (2/2), and on every node alluxio-worker (2/2) and alluxio-fuse (1/1)" in text
    assert "{mountPath: /mnt, mountPropagation: HostToContainer}" in text
    assert "exec deploy" not in text
    assert "MISSING" not in text
    assert "NOTE" not in text
    assert "exec deploy/alluxio-fuse-client -- ls /mnt/alluxio-fuse" in notes(
        chart, COMPLETE + "fuse: {clientEnabled: true}"
    )


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ("", "MISSING: properties has no alluxio.master.mount.table.root.ufs"),
        ("properties: {fs.oss.endpoint: <OSS_ENDPOINT>}", "MISSING: fs.oss.endpoint is still <OSS_ENDPOINT>"),
        ("fuse: {args: [fuse, --fuse-opts=kernel_cache]}", "NOTE: without the mount option allow_other"),
        ("", "NOTE: the journal ends with the master's pod"),
    ],
)
def test_what_is_missing(chart: Path, values: str, line: str) -> None:
    """It is said."""
    assert line in notes(chart, values)


def test_no_secret(chart: Path) -> None:
    """Not even a wrong one."""
    assert "ACCESS_KEY" not in notes(chart, "properties: {fs.oss.accessKeyId: <ACCESS_KEY_ID>}")
