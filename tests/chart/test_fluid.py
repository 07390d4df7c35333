"""The example for Fluid, as far as it can be tried without Fluid."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import alluxio_jnifuse
from alluxio_jnifuse.mounts.table import FSTYPE

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "fluid" / "alluxio-jnifuse.yaml"


@pytest.fixture(scope="module")
def profile() -> dict:
    """What Fluid is told of the client."""
    return next(yaml.safe_load_all(EXAMPLE.read_text()))["spec"]


def test_objects(profile: dict) -> None:
    """The type is the one that Fluid finds in the mount table; the tag is this release."""
    assert [each["kind"] for each in yaml.safe_load_all(EXAMPLE.read_text())] == [
        "ThinRuntimeProfile",
        "Dataset",
        "ThinRuntime",
    ]
    assert profile["fileSystemType"] == FSTYPE
    assert str(profile["fuse"]["imageTag"]) == alluxio_jnifuse.__version__


def test_command(profile: dict, tmp_path: Path) -> None:
    """It becomes the mount command; properties, and above all keys, are not among its words."""
    config = {
        "mounts": [
            {"mountPoint": "oss://bucket/data/", "options": {"fs.oss.endpoint": "host", "fs.oss.accessKeyId": "k"}}
        ],
        "targetPath": "/runtime-mnt/thin/default/imagenet/thin-fuse",
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    program = tmp_path / "alluxio-jnifuse"
    program.write_text('#!/bin/sh\necho "$@"\necho "$ALLUXIO_SITE_PROPERTIES"\n')
    program.chmod(0o755)
    *words, script, path = profile["fuse"]["command"]
    assert (words, path) == (["python3", "-c"], "/etc/fluid/config/config.json")
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "config.json"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    command, *properties = done.stdout.splitlines()
    assert command == f"mount -n -o allow_other,kernel_cache,wait --ufs oss://bucket/data/ {config['targetPath']}"
    assert properties == ["fs.oss.endpoint=host", "fs.oss.accessKeyId=k"]
