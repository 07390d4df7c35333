"""`stats`: figures of a running mount."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from harness.children import Children
from harness.mounting import COMMAND, Mounted, Mounts, run

pytestmark = pytest.mark.fuse

SIZE = 3_000_000


@pytest.fixture
def mounted(private: Path, mounts: Mounts) -> Mounted:
    source = private / "source"
    source.mkdir()
    (source / "file").write_bytes(b"x" * SIZE)
    return mounts.mount(source, "passthrough=off")


def stats(mounted: Mounted, *words: str) -> subprocess.CompletedProcess[str]:
    return run([*COMMAND, "stats", *words], mounted.environ)


def read(mounted: Mounted, children: Children) -> None:
    assert len(children.run(Path(mounted.join("file")).read_bytes)) == SIZE
    children.run(Path(mounted.join("none")).exists)


def test_since_the_beginning(mounted: Mounted, children: Children) -> None:
    read(mounted, children)
    done = stats(mounted, mounted.path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 opens, 0% of them in passthrough" in done.stdout
    (lookup,) = [line for line in done.stdout.splitlines() if line.startswith("op_lookup")]
    assert lookup.endswith("1 ENOENT")
    told = json.loads(stats(mounted, "--json", mounted.path).stdout)
    assert told["waits"]["op_open"]["number"] == 1
    assert told["read_bytes"] * told["seconds"] >= SIZE - 1


def test_lines_for_a_pipe(mounted: Mounted) -> None:
    done = stats(mounted, "--watch", "--interval", "0.05", "--count", "3", mounted.path)
    header, *lines = done.stdout.splitlines()
    assert header.startswith("read MB/s")
    assert len(lines) == 3
    objects = stats(mounted, "-w", "-i", "0.05", "-n", "2", "--json", mounted.path).stdout.splitlines()
    assert [json.loads(line)["opens"] for line in objects] == [0, 0]


def test_it_ends_with_the_mount(mounted: Mounted) -> None:
    with subprocess.Popen(
        [*COMMAND, "stats", "-w", "-i", "0.05", mounted.path],
        env=mounted.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as watching:  # fmt: skip
        assert watching.stdout is not None
        assert watching.stdout.readline()
        assert watching.stdout.readline()
        assert mounted.unmount().returncode == 0
        _, said = watching.communicate(timeout=120)
    assert watching.returncode == 0
    assert mounted.path in said


@pytest.mark.parametrize(
    "words",
    [("-n", "3"), ("-w", "-i", "soon"), ("-w", "-i", "0"), ("-w", "-n", "-1"), ("/a", "/b"), ("--what",)],
    ids=" ".join,
)
def test_what_cannot_be_understood(mounted: Mounted, words: tuple[str, ...]) -> None:
    done = stats(mounted, *words)
    assert done.returncode == 1
    assert done.stderr.startswith("alluxio-jnifuse stats: ")
    assert "Usage:" in done.stderr


def test_what_is_not_mounted(mounted: Mounted, private: Path) -> None:
    done = stats(mounted, str(private))
    assert (done.returncode, done.stdout) == (1, "")
    assert "not mounted" in done.stderr
