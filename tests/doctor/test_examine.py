"""Checks that hang, raise or find nothing; and how findings are printed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator

import pytest

from alluxio_jnifuse.doctor import names, report
from alluxio_jnifuse.doctor.checks import CHECKS
from alluxio_jnifuse.doctor.examine import Check, examine
from alluxio_jnifuse.doctor.finding import ERROR, NOTE, OK, WARNING, Examined, Finding, line_of, worst
from alluxio_jnifuse.doctor.subject import Subject
from alluxio_jnifuse.errors import MountError

MACHINE = Subject({})


def check(run: Callable[[Subject], Iterable[Finding]], deadline_s: float = 100.0) -> Check:
    return Check("name", run, "it does not answer", lambda _: True, deadline_s)


def test_a_check_that_hangs() -> None:
    """Is given up; what it has found counts, and the others go on."""
    over = threading.Event()

    def hang(_: Subject) -> Iterator[Finding]:
        yield Finding(OK, "begun")
        over.wait(100)

    def other(_: Subject) -> Iterator[Finding]:
        yield Finding(OK, "done")

    hanging, done = examine([MACHINE], [check(hang, 0.2), check(other)])
    over.set()
    assert [finding.what for finding in done.findings] == ["done"]
    assert hanging.findings[-1].severity == WARNING
    assert hanging.findings[-1].what == "it does not answer (the check was given up after 0.2 s)"


@pytest.mark.parametrize(
    ("error", "severity", "what"),
    [
        (MountError("is gone", where="/m", remedy="make it (chmod 1 x)"), ERROR, "is gone"),
        (PermissionError(13, "Permission denied", "/p"), WARNING, "/p: Permission denied"),
        (ZeroDivisionError("by zero"), WARNING, "the check name failed: ZeroDivisionError: by zero"),
    ],
)
def test_a_check_that_raises(error: Exception, severity: str, what: str) -> None:
    """That is a finding, and what it found before counts."""

    def fail(_: Subject) -> Iterator[Finding]:
        yield Finding(NOTE, "before")
        raise error

    (found,) = examine([MACHINE], [check(fail)])
    assert [finding.what for finding in found.findings] == ["before", what]
    assert found.findings[-1].severity == severity


def test_checks_run_side_by_side() -> None:
    """Each waits for the other here."""
    barrier = threading.Barrier(2, timeout=100)

    def meet(_: Subject) -> Iterator[Finding]:
        barrier.wait()
        yield Finding(OK, "met")

    found = examine([MACHINE], [check(meet), check(meet)])
    assert [each.findings[0].what for each in found] == ["met", "met"]


def test_questions_side_by_side() -> None:
    """All of them have one deadline; an error of one is the caller's."""
    over = threading.Event()

    def answer(number: int) -> int:
        if number:
            over.wait(100)
        return number

    assert names.side_by_side(answer, range(50), 0.2).keys() <= {0}
    over.set()
    assert names.side_by_side(answer, range(3), 100) == {0: 0, 1: 1, 2: 2}
    with pytest.raises(ZeroDivisionError):
        names.side_by_side(lambda number: 1 // number, [1, 0], 100)


@pytest.mark.parametrize("target", ["host:19998", "[::1]:19998", "host"])
def test_targets(target: str) -> None:
    host, port = names.split(target)
    assert host in ("host", "::1")
    assert port in (19998, 0)


@pytest.mark.parametrize(
    ("remedy", "line"),
    [
        ("mount it again, or remove it (alluxio-jnifuse umount /m)", "alluxio-jnifuse umount /m"),
        ("pip install 'alluxio-jnifuse[oss]'", "pip install 'alluxio-jnifuse[oss]'"),
        ("set fs.oss.endpoint=oss-cn-x.aliyuncs.com", "-D fs.oss.endpoint=oss-cn-x.aliyuncs.com"),
        ("name its authority by alluxio.network.tls.ca.path", "-D alluxio.network.tls.ca.path=VALUE"),
        ("look at it (umbrella)", ""),
    ],
)
def test_the_line_of_a_remedy(remedy: str, line: str) -> None:
    assert line_of(remedy) == line


EXAMINED = [
    Examined("a", "", (Finding(OK, "well"),)),
    Examined(
        "b", "/m", (Finding(NOTE, "slow", "/m", "mend it", "type this"), Finding(ERROR, "two\nlines\x1b[2J", "/x"))
    ),
    Examined("c", "", ()),
]


def test_for_a_person() -> None:
    """Problems first, the worst of them before the others; no control character of a storage gets to the terminal."""
    assert report.as_text(EXAMINED) == (
        "error    /m: /x: two lines\\x1b[2J\n"
        "note     /m: slow\n"
        "         mend it:\n"
        "           type this\n"
        "3 checks: 1 error, 1 note; 2 found nothing to mend.\n"
    )
    assert "ok       well\n" in report.as_text(EXAMINED, verbose=True)
    assert report.as_text(EXAMINED, colour=True).startswith("\x1b[31merror  \x1b[0m")
    assert report.as_text([EXAMINED[0]]) == "1 check: no problem; 1 found nothing to mend.\n"


def test_for_a_program() -> None:
    told = json.loads(report.as_json(EXAMINED))
    assert set(told) == {"format", "version", "worst", "checks", "findings"}
    assert (told["format"], told["worst"]) == (1, "error")
    assert told["checks"][1] == {"check": "b", "mount": "/m"}
    assert told["findings"][1] == {
        "check": "b",
        "mount": "/m",
        "severity": "note",
        "what": "slow",
        "where": "/m",
        "remedy": "mend it",
        "line": "type this",
    }


def test_the_worst() -> None:
    assert worst([]) == OK
    assert worst(EXAMINED) == ERROR


def test_each_check_has_a_name_of_its_own() -> None:
    assert len({row.name for row in CHECKS}) == len(CHECKS)
