"""Findings for a person, problems first, and as JSON for a program."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from alluxio_jnifuse import __version__
from alluxio_jnifuse.doctor.finding import ERROR, NOTE, OK, SEVERITIES, WARNING, Examined, Finding, worst
from alluxio_jnifuse.errors import printable

FORMAT = 1  # of the JSON; another number when a key goes or means something else

_COLOURS = {ERROR: "\x1b[31m", WARNING: "\x1b[33m", NOTE: "\x1b[36m", OK: "\x1b[32m"}
_PLAIN = "\x1b[0m"
_INDENT = " " * 9  # of what stands below a severity


def as_text(examined: Sequence[Examined], *, verbose: bool = False, colour: bool = False) -> str:
    """A line or more for each finding; without `verbose` those that nobody has to act on are only counted."""
    found = [(each, finding) for each in examined for finding in each.findings]
    found.sort(key=lambda pair: -SEVERITIES.index(pair[1].severity))  # stable
    lines = [
        line for each, finding in found if verbose or finding.severity != OK for line in _lines(each, finding, colour)
    ]
    return "\n".join([*lines, _summary(examined)]) + "\n"


def as_json(examined: Sequence[Examined]) -> str:
    """One object; docs/TROUBLESHOOTING.md has the meaning of each key."""
    told = {
        "format": FORMAT,
        "version": __version__,
        "worst": worst(list(examined)),
        "checks": [{"check": each.check, "mount": each.subject} for each in examined],
        "findings": [
            {"check": each.check, "mount": each.subject, **finding._asdict()}
            for each in examined
            for finding in each.findings
        ],
    }
    return json.dumps(told, indent=2) + "\n"


def _lines(each: Examined, finding: Finding, colour: bool) -> Iterator[str]:
    word = f"{finding.severity:7}"
    if colour:
        word = f"{_COLOURS[finding.severity]}{word}{_PLAIN}"
    subject = f"{each.subject}: " if each.subject and each.subject != finding.where else ""
    where = f"{finding.where}: " if finding.where else ""
    yield f"{word}  {_one_line(subject + where + finding.what)}"
    if finding.remedy:
        yield f"{_INDENT}{_one_line(finding.remedy)}{':' if finding.line else ''}"
    if finding.line:
        yield f"{_INDENT}  {_one_line(finding.line)}"


def _one_line(text: str) -> str:
    return printable(" ".join(text.split("\n")))


def _summary(examined: Sequence[Examined]) -> str:
    severities = [finding.severity for each in examined for finding in each.findings]
    counts = [(severities.count(severity), severity) for severity in (ERROR, WARNING, NOTE)]
    parts = [f"{count} {severity}{'s' if count > 1 else ''}" for count, severity in counts if count]
    well = sum(all(finding.severity == OK for finding in each.findings) for each in examined)
    checks = f"{len(examined)} check{'' if len(examined) == 1 else 's'}"
    return f"{checks}: {', '.join(parts) or 'no problem'}; {well} found nothing to mend."
