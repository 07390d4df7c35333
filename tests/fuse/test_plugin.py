"""A package with a source, installed as anybody would install it: the example of docs/SOURCES.md."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from harness.children import Children, results
from harness.mounting import CACHE, COMMAND, Mounts, run
from harness.readers import MIB, check

from alluxio_jnifuse.testing import pattern

pytestmark = pytest.mark.fuse

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "zip"
MEMBERS = {  # name, and size of its pattern
    "small": 5,
    "empty": 0,
    "train/large": 20 * MIB + 7,
    "train/deep/er/file": 100_000,
    "caf\u00e9 \u8bad": 1000,
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for PYTHONPATH with the example's package."""
    root = tmp_path_factory.mktemp("plugin")
    shutil.copytree(EXAMPLE, root / "zip")  # a build leaves things behind
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(root / "site")]
    subprocess.run([*pip, *offline, str(root / "zip")], check=True)
    assert list((root / "site").glob("alluxio_jnifuse_zip-1.0.dist-info"))
    return root / "site"


@pytest.fixture
def archive(private: Path) -> Path:
    """A zip file of MEMBERS, compressed, stored, and with an empty directory."""
    made = private / "some archive.zip"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as writer:
        for name, size in MEMBERS.items():
            how = random.Random(name).choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
            writer.writestr(name, pattern(b"/" + os.fsencode(name), 1, 0, size), how)
        writer.writestr("void/", b"")
        writer.writestr("../outside", b"x")
    return made


def uri(archive: Path) -> str:
    """How the archive is named to be mounted."""
    return f"zip://{archive}".replace(" ", "%20")


@pytest.mark.parametrize("properties", [{}, CACHE], ids=["window", "cached"])
def test_the_example(
    mounts: Mounts, children: Children, installed: Path, archive: Path, properties: dict[str, str]
) -> None:
    """Every member is there with its bytes, its time and its directories, for several readers at once."""
    mounted = mounts.mount(uri(archive), "", properties, environ={"PYTHONPATH": str(installed)})
    listed = children.command("find", mounted.path, "-printf", "%P %y %s\n").stdout.splitlines()
    files = [f"{name} f {size}" for name, size in MEMBERS.items()]
    directories = [f"{name} d 0" for name in ("", "train", "train/deep", "train/deep/er", "void")]
    assert sorted(listed) == sorted([*files, *directories, "outside f 1"])
    for _ in range(2):
        readers = [
            children.start(check, mounted.join(name), size, MIB, 1, b"/" + os.fsencode(name))
            for name, size in MEMBERS.items()
            for _ in range(2)
        ]
        results(readers)
    with zipfile.ZipFile(archive) as reader:
        year = reader.getinfo("small").date_time[0]
    assert children.command("date", "+%Y", "-r", mounted.join("small")).stdout == f"{year}\n"
    assert children.command("readlink", mounted.join("small")).returncode == 1
    assert children.command("ls", mounted.join("missing")).returncode != 0
    assert children.command("df", mounted.path).returncode == 0


def test_what_is_no_archive(mounts: Mounts, installed: Path, private: Path) -> None:
    """What the example cannot open is told with its package, by the command; nothing is mounted."""
    (private / "text.zip").write_text("this is no archive")
    environ = mounts.environ(PYTHONPATH=str(installed))
    for name, reason in (("text", "BadZipFile: File is not a zip file"), ("missing", "FileNotFoundError: ")):
        done = run([*COMMAND, "mount", "-u", f"zip://{private}/{name}.zip", str(private / "mnt")], environ)
        assert done.returncode == 1
        assert (
            f"package alluxio-jnifuse-zip 1.0: 'zip://{private}/{name}.zip' cannot be opened: {reason}" in done.stderr
        )
    assert "Traceback" in (private / "logs0" / "fuse.log").read_text()


def test_a_package_that_is_not_installed(mounts: Mounts, private: Path, archive: Path) -> None:
    """Without it the scheme is unknown, and the message says which are known."""
    done = run([*COMMAND, "mount", "-u", uri(archive), str(private / "mnt")], mounts.environ())
    assert done.returncode == 1
    assert "no source for the scheme 'zip'; use /absolute/path, " in done.stderr
