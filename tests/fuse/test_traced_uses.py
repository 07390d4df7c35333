"""How the files of a mount are read, recorded on real mounts: by whom, in which pattern, at which cost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness.children import Children, until
from harness.mounting import COMMAND, Mounted, Mounts, run
from oss.bucket import Bucket

pytestmark = pytest.mark.fuse

MIB = 1 << 20
SMALL = bytes(range(256)) * 40
LARGE = os.urandom(1 << 12) * 4096  # 16 MiB

READER = """
import os, sys
name, how = sys.argv[1:]
fd = os.open(name, os.O_RDONLY)
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)  # the kernel asks for what is read, and nothing else
if how == "random":
    for number in range(12):
        assert len(os.pread(fd, 8192, (5 * number % 12) * 1310720 + 4096)) == 8192
"""


@pytest.fixture
def mounted(mounts: Mounts, bucket: Bucket) -> Mounted:
    bucket.put_many({f"d/small-{number}": SMALL for number in range(6)})
    bucket.put_many({"d/large": LARGE, "d/other": LARGE})
    return mounts.mount(f"{bucket.uri}d/", "", bucket.properties())


def begin(mounted: Mounted, output: Path) -> subprocess.Popen[bytes]:
    """A trace that goes on until it gets a signal."""
    command = [*COMMAND, "trace", "-q", "-o", str(output), mounted.path]
    process = subprocess.Popen(command, env=mounted.environ, stdin=subprocess.DEVNULL)
    until(lambda: output.exists() and output.stat().st_size, "the trace to begin")
    return process


def traced(mounted: Mounted, tmp_path: Path, *command: str) -> list[dict[str, Any]]:
    """Uses while a command runs, which ends well."""
    output = tmp_path / "trace"
    done = run([*COMMAND, "trace", "-o", str(output), mounted.path, "--", *command], mounted.environ)
    assert done.returncode == 0, done.stderr
    return uses_in(output)


def uses_in(output: Path) -> list[dict[str, Any]]:
    first, *uses, last = map(json.loads, output.read_text().splitlines())
    assert first["trace"] == 1
    assert last["lost"] == 0
    return uses


def python(mounted: Mounted, name: str, how: str) -> list[str]:
    return [sys.executable, "-c", READER, mounted.join(name), how]


def test_patterns_of_real_programs(mounted: Mounted, tmp_path: Path) -> None:
    """Each is told with the process, the bytes that were asked for, and those that were fetched."""
    before = mounted.stats()
    names = " ".join(mounted.join(f"small-{number}") for number in range(6))
    small = traced(mounted, tmp_path, "sh", "-c", f"exec cat {names} > /dev/null")
    assert [use["path"] for use in small] == [f"small-{number}" for number in range(6)]
    assert {use["pattern"] for use in small} == {"small"}
    assert {use["process"] for use in small} == {"cat"}
    assert {use["read_bytes"] for use in small} == {len(SMALL)}
    assert sum(use["fetched_bytes"] for use in small) == mounted.since(before)["fetch_bytes"] == 6 * len(SMALL)

    before = mounted.stats()
    [whole] = traced(mounted, tmp_path, "sh", "-c", f"cat {mounted.join('large')} > /dev/null")
    assert (whole["pattern"], whole["runs"], whole["opens"]) == ("whole", 1, 1)
    assert whole["read_bytes"] == whole["fetched_bytes"] == len(LARGE) == mounted.since(before)["fetch_bytes"]
    assert 0 < whole["missed"] <= whole["reads"]
    assert 0 < whole["longest"] <= whole["waited"]

    before = mounted.stats()
    [random] = traced(mounted, tmp_path, *python(mounted, "other", "random"))
    assert (random["pattern"], random["runs"], random["reads"]) == ("random", 12, 12)
    assert random["read_bytes"] == 12 * 8192
    assert random["fetched_bytes"] == mounted.since(before)["fetch_bytes"]

    [unread] = traced(mounted, tmp_path, *python(mounted, "other", "nothing"))
    assert (unread["pattern"], unread["reads"], unread["opens"]) == ("unread", 0, 1)


def test_a_report_of_it(mounted: Mounted, tmp_path: Path) -> None:
    traced(mounted, tmp_path, "sh", "-c", f"cat {mounted.join('large')} {mounted.join('small-0')} > /dev/null")
    done = run([*COMMAND, "trace", "--report", str(tmp_path / "trace")], mounted.environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 uses of files, 16.8 MB read, 16.8 MB fetched for them" in done.stdout
    assert "The whole mount meanwhile: 16.8 MB read, 16.8 MB fetched" in done.stdout
    told = run([*COMMAND, "trace", "--report", str(tmp_path / "trace"), "--json"], mounted.environ)
    assert json.loads(told.stdout)["by_pattern"]["whole"]["amplification"] == 1.0


def test_files_that_are_open_at_the_end(mounted: Mounted, children: Children, tmp_path: Path) -> None:
    """They are told as they are then; those that were open before are told once they are read."""
    output = tmp_path / "trace"

    def open_around_it() -> int:
        with open(mounted.join("small-2"), "rb"), open(mounted.join("other"), "rb", buffering=0) as other:
            trace = begin(mounted, output)
            with open(mounted.join("large"), "rb", buffering=0) as large:
                assert large.read(4096) == LARGE[:4096]
                assert other.read(4096) == LARGE[:4096]
                trace.send_signal(signal.SIGINT)
                assert trace.wait(120) == 0
        return os.getpid()

    pid = children.run(open_around_it)
    uses = {use["path"]: use for use in uses_in(output)}
    assert set(uses) == {"large", "other"}
    assert (uses["large"]["still_open"], uses["large"]["opens"], uses["large"]["pid"]) == (True, 1, pid)
    assert (uses["other"]["still_open"], uses["other"]["opens"], uses["other"]["reads"]) == (True, 0, 1)


def test_passthrough_is_told_as_such(mounts: Mounts, tmp_path: Path) -> None:
    """The kernel reads by itself: it is seen that, not how."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_bytes(LARGE)
    mounted = mounts.mount(str(source))
    [use] = traced(mounted, tmp_path, "sh", "-c", f"cat {mounted.join('a')} > /dev/null")
    if mounted.has("passthrough"):
        assert (use["mode"], use["pattern"], use["reads"]) == ("passthrough", "passthrough", 0)
    else:
        assert (use["pattern"], use["read_bytes"]) == ("whole", len(LARGE))


def test_one_program_records_at_a_time(mounted: Mounted, tmp_path: Path) -> None:
    """Whatever it records. Of a trace that was killed the lines can be read."""
    process = begin(mounted, tmp_path / "first")
    try:
        done = run([*COMMAND, "trace", "--record", str(tmp_path / "second"), mounted.path], mounted.environ)
        assert done.returncode == 1
        assert "another process records already" in done.stderr
    finally:
        process.kill()
        process.wait()
    done = run([*COMMAND, "trace", "--report", str(tmp_path / "first")], mounted.environ)
    assert (done.returncode, "cut off: 0 uses of files" in done.stdout) == (0, True)
    assert traced(mounted, tmp_path, "true") == []


def test_a_full_disk_ends_it(mounted: Mounted) -> None:
    done = run([*COMMAND, "trace", "-o", "/dev/full", mounted.path, "--", "true"], mounted.environ)
    assert (done.returncode, "No space left on device" in done.stderr) == (1, True)
