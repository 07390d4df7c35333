"""Uses of files, as lines of a trace, and the report that adds them up."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from alluxio_jnifuse.cli import main
from alluxio_jnifuse.cli.trace_page import page
from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts.trace_report import STANDING_OUT, report_of
from alluxio_jnifuse.mounts.uses import PATTERNS, Use, line_of, parsed, pattern_of, use_of

MIB = 1 << 20
BEGIN = b'{"trace": 1, "mount": "/m", "version": "1", "began": 100.0}\n'
END = b'{"ended": 112.5, "lost": 0, "read_bytes": 7000000, "fetched_bytes": 9000000}\n'


def use(**facts: Any) -> Use:
    told = {
        "path": "a", "pattern": "small", "size": 100, "mode": "cached", "opened": 1.5, "seconds": 2.0,
        "still_open": False, "opens": 1, "reads": 1, "read_bytes": 100, "runs": 1, "missed": 1, "fetched_bytes": 100,
        "waited": 0.25, "longest": 0.125, "failed": 0, "tid": 8, "pid": 7, "process": "cat", "uid": 0, **facts,
    }  # fmt: skip
    return use_of(told)


def told(name: bytes, path: bytes, *numbers: int) -> bytes:
    """A use as the mount tells it."""
    return struct.pack("q11Q5I20s", *numbers, name) + path


def test_as_the_mount_tells_it() -> None:
    """Names of processes and paths may hold any bytes."""
    numbers = (1500000000, 2000000000, 100, 1, 2, 150, 1, 1, 100, 250000000, 125000000, 3, 1, 0, 8, 7, 1000)
    item = told(b'a/ "\\', b"//b:\xff\n c\x1b", *numbers)
    assert parsed(item) == use(reads=2, read_bytes=150, failed=3, uid=1000, process='a/ "\\', path="/b:\udcff\n c\x1b")
    assert use_of(json.loads(line_of(parsed(item)))) == parsed(item)
    assert line_of(parsed(item)).count(b"\n") == 1
    passed = told(b"", b"/x", 1, 2, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 8, 0, 0)
    assert parsed(passed).pattern == "passthrough"
    for wrong in (b"/x", told(b"", b"/x", *numbers[:12], 4, *numbers[13:])):
        with pytest.raises(ValueError, match="no use of a file"):
            parsed(wrong)


@pytest.mark.parametrize(
    ("size", "mode", "reads", "read_bytes", "runs", "pattern"),
    [
        (MIB, "cached", 9, 2 * MIB, 9, "small"),
        (MIB + 1, "cached", 9, MIB + 1, 1, "whole"),
        (MIB + 1, "direct", 9, MIB, 1, "sequential"),
        (99 * MIB, "cached", 100, 40 * MIB, 10, "sequential"),
        (99 * MIB, "cached", 100, 39 * MIB, 10, "random"),
        (99 * MIB, "passthrough", 0, 0, 0, "passthrough"),
        (99 * MIB, "cached", 0, 0, 0, "unread"),
        (0, "cached", 0, 0, 0, "unread"),
    ],
)
def test_patterns(size: int, mode: str, reads: int, read_bytes: int, runs: int, pattern: str) -> None:
    assert pattern_of(size, mode, reads, read_bytes, runs) == pattern
    assert pattern in PATTERNS


def test_sums_are_those_of_the_lines() -> None:
    uses = [
        use(path=f"{number}", pattern=pattern, pid=number % 3, reads=number, read_bytes=100, fetched_bytes=100 * number)
        for number, pattern in enumerate(list(PATTERNS) * 5)
    ]
    report = report_of([BEGIN, *map(line_of, uses), END], "f")
    assert report.total.uses == len(uses)
    assert report.total.reads == sum(each.reads for each in uses)
    assert sum(row.fetched_bytes for row in report.by_pattern.values()) == sum(each.fetched_bytes for each in uses)
    assert {key: row.uses for key, row in report.by_process.items()} == {("cat", pid): 10 for pid in range(3)}
    assert [each.path for each in report.wasteful] == [f"{29 - number}" for number in range(STANDING_OUT)]
    assert [each.path for each in report.slow] == [
        f"{number}" for number in range(STANDING_OUT)
    ]  # all alike: the first
    assert report.end is not None
    assert (report.end.read_bytes, report.end.lost) == (7000000, 0)
    told = report.as_told()
    assert told["by_pattern"]["small"]["amplification"] == pytest.approx(sum(range(0, 30, 6)) / 5)
    assert json.loads(json.dumps(told)) == told


def test_a_trace_that_is_being_written() -> None:
    """Its lines count, up to the last whole one."""
    report = report_of([BEGIN, line_of(use()), line_of(use())[:50]], "f")
    assert (report.total.uses, report.end) == (1, None)
    text = "\n".join(page(report))
    assert "cut off" in text
    assert "whole mount" not in text


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "f: is empty: no trace"),
        ([b"d/name\n"], "f: line 1 is none of a trace"),
        ([b"[]\n"], "f: line 1 is none of a trace"),
        ([b'{"trace": 2, "mount": "/m"}\n'], "another release"),
        ([BEGIN, b"{}\n"], "f: line 2 is none of a trace"),
        ([BEGIN, line_of(use()), b"\xff\n"], "f: line 3 is none of a trace"),
        ([BEGIN, line_of(use()).replace(b'"small"', b'"odd"')], "f: line 2 is none of a trace"),
        ([BEGIN, line_of(use()).replace(b'"reads": 1', b'"reads": true')], "f: line 2 is none of a trace"),
        ([BEGIN, END.replace(b"112.5", b'"x"')], "f: line 2 is none of a trace"),
        ([BEGIN, END.replace(b"112.5", b"NaN")], "f: line 2 is none of a trace"),
        ([BEGIN, END.replace(b"112.5", b"-1")], "f: line 2 is none of a trace"),
        ([BEGIN.replace(b"100.0", b"1e999")], "f: line 1 is none of a trace"),
        ([BEGIN.replace(b"100.0", b"1" + b"0" * 400)], "f: line 1 is none of a trace"),
        ([b"[" * 100_000], "f: line 1 is none of a trace"),
        ([BEGIN, line_of(use()).replace(b'"waited": 0.25', b'"waited": Infinity')], "f: line 2 is none of a trace"),
    ],
)
def test_what_is_no_trace(lines: list[bytes], reason: str) -> None:
    with pytest.raises(MountError, match=reason):
        report_of(lines, "f")


def test_names_that_would_move_a_terminal() -> None:
    lines = [BEGIN, line_of(use(path="\x1b[2J\n\x9b2J", process="\x1b]0;x\x07", fetched_bytes=999)), END]
    text = "\n".join(page(report_of(lines, "f")))
    assert not set("\x1b\x07\x9b") & set(text)


def test_totals_that_the_mount_did_not_tell() -> None:
    """It was unmounted: what was recorded is reported all the same."""
    end = b'{"ended": 112.5, "lost": 3, "read_bytes": -1, "fetched_bytes": -1}\n'
    text = "\n".join(page(report_of([BEGIN, line_of(use()), end], "f")))
    assert "12.5 s: 1 uses of files" in text
    assert "whole mount" not in text
    assert "3 uses are missing" in text


def test_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "trace"
    trace.write_bytes(b"".join([BEGIN, line_of(use(fetched_bytes=3_000_000)), END]))
    assert main(["trace", "--report", str(trace)]) == 0
    out = capsys.readouterr().out
    assert "/m, " in out
    assert "cat (7)" in out
    assert "30000.00 times" in out
    assert main(["trace", "--report", str(trace), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["total"]["fetched_bytes"] == 3_000_000
    assert main(["trace", "--report", str(tmp_path / "missing")]) == 1
    assert "missing: No such file or directory" in capsys.readouterr().err
