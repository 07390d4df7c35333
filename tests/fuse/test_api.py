"""The Python API mounts in a process of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import alluxio_jnifuse
from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts import table

pytestmark = pytest.mark.fuse


@pytest.fixture
def data(private: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with one file; logs go beside it."""
    monkeypatch.setenv("ALLUXIO_LOGS_DIR", str(private / "logs"))
    (private / "data").mkdir()
    (private / "data" / "file").write_text("contents\n")
    return private / "data"


def test_context_manager(data: Path, private: Path) -> None:
    """Within the block the mount is there, afterwards it is not."""
    mountpoint = private / "mnt"
    with alluxio_jnifuse.mount(data, mountpoint, options={"attr_timeout": 5, "kernel_cache": True}) as mount:
        assert mount.mountpoint == os.path.realpath(mountpoint)
        assert mount.pid != os.getpid()
        read = subprocess.run(["cat", mountpoint / "file"], capture_output=True, text=True, check=True)
        assert read.stdout == "contents\n"
        assert all(isinstance(value, int) for value in mount.stats().values())
        assert "readdirplus" in mount.features()
        assert "kernel_cache=on" in Path(mount.log).read_text()
    assert table.top_at(mount.mountpoint) is None
    with pytest.raises(MountError, match="not mounted"):
        mount.stats()
    mount.unmount()


def test_the_working_directory_brings_no_modules(data: Path, private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever calls may be root, and stand in a directory where somebody else left modules."""
    planted = private / "planted"
    planted.mkdir()
    for name in ("getopt", "pkgutil", "runpy", "numpy", "resource", "alluxio_jnifuse"):
        (planted / f"{name}.py").write_text(f"open({str(private / 'ran')!r}, 'w').close()\n")
    monkeypatch.chdir(planted)
    try:
        with alluxio_jnifuse.mount(data, private / "mnt") as mount:
            subprocess.run(["cat", f"{mount.mountpoint}/file"], capture_output=True, check=True)
    finally:
        assert not (private / "ran").exists()


def test_failure(private: Path) -> None:
    """A mount that does not come about raises with the reason of the command."""
    with pytest.raises(MountError, match="no such directory"):
        alluxio_jnifuse.mount(private / "missing", private / "mnt")
    with pytest.raises(MountError, match="unknown mount option: foo"):
        alluxio_jnifuse.mount(private, private / "mnt", options="foo")


def test_several_mounts(data: Path, private: Path) -> None:
    """Several mounts live beside each other, each with its own log file."""
    with alluxio_jnifuse.mount(data, private / "a") as first, alluxio_jnifuse.mount(data, private / "b") as second:
        assert first.pid != second.pid
        assert first.log != second.log
