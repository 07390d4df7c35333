"""What a load shows is true, fits its line, and stays quiet where nobody looks."""

from __future__ import annotations

import io

import pytest

from alluxio_jnifuse.load import display
from alluxio_jnifuse.load.display import Display, Rate, as_dict, bar, end_of, forecast, line, printable, summary
from alluxio_jnifuse.load.progress import MOST_FAILURES, Progress, Snapshot

MIB = 1 << 20
SNAPSHOT = Snapshot(10.0, 1200, 400 * MIB, True, 300, 100 * MIB, 0, 0, 0, 0, (), "/mnt/x/f")


class Terminal(io.StringIO):
    """A stream that says that it is one."""

    def isatty(self) -> bool:
        return True


def test_counting() -> None:
    """Files that were read, that were read before, and that failed are all done with; the oldest is the current one."""
    progress = Progress()
    for _ in range(4):
        progress.found(100)
    progress.before(100)
    progress.begin("/a")
    progress.received(60)
    assert progress.snapshot().current == "/a"
    progress.failed("/a", "Input/output error", 40)
    progress.begin("/b")
    progress.received(100)
    progress.finished()
    snapshot = progress.snapshot()
    assert (snapshot.done_files, snapshot.done_bytes) == (3, 300)
    assert (snapshot.files, snapshot.received, snapshot.failed, snapshot.current) == (1, 160, 1, "")
    assert not snapshot.counted
    progress.counted()
    assert progress.snapshot().counted


def test_the_list_of_failures_is_short() -> None:
    """The first ones are kept, and all are counted."""
    progress = Progress()
    for number in range(100_000):
        progress.failed(f"/{number}", "no")
    snapshot = progress.snapshot()
    assert snapshot.failed == 100_000
    assert [failure.path for failure in snapshot.failures] == [f"/{number}" for number in range(MOST_FAILURES)]


def test_line() -> None:
    """Share, files, bytes, rate and what is left, while counting without the latter; never more than there is."""
    text = "25%, 300 of 1,200 files, 100MB of 400MB, 10.0MB/s, 0:30 left: /mnt/x/f"
    assert line(SNAPSHOT, 10 * MIB) == text
    counting = SNAPSHOT._replace(counted=False)
    assert line(counting, 10 * MIB) == "25%, 300 of 1,200+ files, 100MB of 400MB+, 10.0MB/s: /mnt/x/f"
    grown = SNAPSHOT._replace(found_files=10, found_bytes=MIB, current="")
    assert line(grown, 1.0) == "100%, 300 of 300 files, 100MB of 100MB, 1B/s, 0:00 left"
    assert line(Progress().snapshot(), 0.0).startswith("0%, 0 of 0+ files")
    empty = SNAPSHOT._replace(found_bytes=0, received=0)
    assert line(empty, 0.0).startswith("25%, 300 of 1,200 files, 0B of 0B, 0B/s:")
    assert "3:00:10 left" in line(SNAPSHOT, 300 * MIB / 10810)


def test_bar() -> None:
    """The same in 80 columns, with as much of the end of the name as there is room for."""
    long = SNAPSHOT._replace(current="/mnt/imagenet/train/n01440764/n01440764_10026.JPEG")
    figures = "[##        ] 25% 300/1,200 files 100MB/400MB 10.0MB/s 0:30 left"
    assert bar(long, 10 * MIB, 120) == f"{figures} {long.current}"
    assert bar(long, 10 * MIB, 79) == f"{figures} ...4_10026.JPEG"
    assert bar(long, 10 * MIB, 70) == figures
    assert bar(long._replace(counted=False), 10 * MIB, 50) == "[##        ] 25% 300/1,200+ files 100MB/400MB+ 10."


def test_rate_is_that_of_the_last_seconds() -> None:
    """What was slow, or fast, long ago does not count."""
    rate = Rate()
    assert rate.add(0.0, 0) == 0.0
    assert rate.add(1.0, 500) == 500.0
    for second in range(2, 60):
        last = rate.add(float(second), 500 + second * 10)
    assert last == pytest.approx(10.0)


def test_summary() -> None:
    """What was loaded, how fast, and what was not."""
    assert summary(SNAPSHOT) == "Loaded 300 files, 100MB in 10.0 s (10.0MB/s)."
    more = SNAPSHOT._replace(before_files=1000, before_bytes=MIB, failed=2)
    assert summary(more).endswith("(10.0MB/s); 1,000 files, 1.00MB were loaded before; 2 failed.")
    assert forecast(SNAPSHOT) == "Would load 1,200 files, 400MB."
    assert as_dict(more, dry_run=False, complete=False)["bytes"] == 100 * MIB


def test_a_terminal_has_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is painted over, failures stand above it, and nothing of it is left at the end."""
    monkeypatch.setenv("COLUMNS", "41")
    stream = Terminal()
    shown = Display(stream, quiet=False)
    shown.show(SNAPSHOT)
    progress = Progress()
    for number in range(MOST_FAILURES + 5):
        progress.failed(f"/{number}", "no")
    shown.close(progress.snapshot())
    painted = stream.getvalue().split("\r\x1b[K")
    assert painted[1] == "[##        ] 25% 300/1,200 files 100MB/4"
    assert painted[2] == "load: /0: no\n"
    assert painted[-1] == "load: 5 more could not be read\n"


def test_others_get_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at once, not for each change, and not at all when it shall be quiet; failures and notes are told always."""
    now = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    lines = {}
    for quiet in (False, True):
        stream = io.StringIO()
        shown = Display(stream, quiet=quiet)
        for _ in range(120):
            now[0] += 0.1
            shown.show(SNAPSHOT)
        shown.note("a note")
        lines[quiet] = stream.getvalue().splitlines()
    assert [text[:10] for text in lines[False]] == ["load: 25%,", "load: 25%,", "load: a no"]
    assert lines[True] == ["load: a note"]


def test_names_cannot_move_the_cursor() -> None:
    """Control characters and bytes that are no UTF-8 are written out, and wide letters count twice."""
    assert printable("a\x1b[2J\n\udcff训") == "a\\x1b[2J\\n\\udcff训"
    assert end_of("a训练b", 6) == "a训练b"
    assert end_of("aa训练b", 6) == "...练b"
    assert end_of("/mnt/train/file", 9) == "...n/file"
