"""The two READMEs say the same, and what they say of speed was measured."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
ENGLISH, CHINESE = PROJECT / "README.md", PROJECT / "README.zh-CN.md"
RESULTS = PROJECT / "benchmarks" / "results"
FENCE = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
# A row of a table whose last cell names a suite and a row of its last run.
CPUS = ("AMD EPYC", "Intel(R) Xeon(R)")  # of the machines that the rows are of
QUOTED = re.compile(r"^\|(?P<cells>.*)\| `(?P<suite>\w+)`: (?P<what>.*?) \|$", re.MULTILINE)


def last_run(suite: str) -> dict[str, Any]:
    """The newest record of benchmarks/results/SUITE.jsonl."""
    return dict(json.loads((RESULTS / f"{suite}.jsonl").read_text().splitlines()[-1]))


def number(value: float) -> str:
    """A figure as benchmarks/RESULTS.md has it."""
    if value == int(value):
        return f"{int(value)}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def figure(value: float | None, unit: str) -> str:
    return "" if value is None else f"{number(value)} {unit}"


def prose(path: Path) -> str:
    """The text without blocks of code."""
    return FENCE.sub("", path.read_text())


def found(pattern: str, path: Path) -> list[str]:
    return [" ".join(text.split()) for text in re.findall(pattern, prose(path), re.MULTILINE)]


@pytest.mark.parametrize("path", [ENGLISH, CHINESE, PROJECT / "docs" / "TUNING.md"], ids=lambda path: path.name)
def test_figures_are_those_of_the_last_runs(path: Path) -> None:
    """Each row of the tables of results is the row of the last recorded run that it names, and of a quiet machine."""
    quoted = list(QUOTED.finditer(path.read_text()))
    assert len(quoted) >= 4
    for match in quoted:
        rows = {row["what"]: row for row in last_run(match["suite"])["rows"]}
        row = rows[match["what"]]
        _, mount, peer, ratio = (cell.strip() for cell in match["cells"].split("|"))
        native = re.split(": |\N{FULLWIDTH COLON}", peer)[-1]
        assert (mount, native) == (figure(row["mount"], row["unit"]), figure(row["native"], row["unit"])), match["what"]
        assert ratio == ("" if row["ratio"] is None else f"{row['ratio']:.2f}"), match["what"]
        assert not row["noisy"], match["what"]


@pytest.mark.parametrize("path", [ENGLISH, CHINESE], ids=lambda path: path.name)
def test_where_and_when_it_was_measured(path: Path) -> None:
    """The README names the machines of these runs, which suites were run on which, and their days."""
    suites = sorted({match["suite"] for match in QUOTED.finditer(path.read_text())})
    records = {suite: last_run(suite) for suite in suites}
    days = sorted(record["date"][:10] for record in records.values())
    text = " ".join(prose(path).split())
    assert {(record["cpus"], record["memory_gib"], record["kernel"][:4]) for record in records.values()} == {
        (2, 24, "6.18")
    }
    assert all(fact in text for fact in ("24 GiB", "Linux 6.18"))
    machines = {}
    for cpu in CPUS:
        named = re.search(re.escape(cpu) + r"[^\w`]{1,2}((?:`\w+`[^\w`]{1,2})+)", text)
        machines[cpu] = sorted(re.findall(r"`(\w+)`", named[1])) if named else []
    assert machines == {
        cpu: sorted(suite for suite, record in records.items() if record["cpu"].startswith(cpu)) for cpu in CPUS
    }
    assert re.findall(r"\d{4}-\d\d-\d\d", prose(path)) == [days[0], days[-1]]


def test_the_table_shows_where_it_loses() -> None:
    """Small files and first epochs are in it, however they come out."""
    whats = [match["what"] for match in QUOTED.finditer(ENGLISH.read_text())]
    assert sum("first epoch" in what for what in whats) >= 3
    assert any(what.startswith("small objects") for what in whats)


def test_both_have_the_same_commands() -> None:
    """The blocks of code are the same, in the same order."""
    commands = FENCE.findall(ENGLISH.read_text())
    assert len(commands) >= 7
    assert FENCE.findall(CHINESE.read_text()) == commands


def test_both_have_the_same_figures_names_and_links() -> None:
    """Headings, table rows, numbers, code and links of one are those of the other."""
    names = {"README.md", "README.zh-CN.md"}
    for pattern in (r"\d[\d.,:-]*\d|\d", r"`[^`]+`", r"\]\(([^)]+)\)"):
        assert set(found(pattern, ENGLISH)) - names == set(found(pattern, CHINESE)) - names, pattern
    for pattern in (r"^#+ ", r"^\|", r"^- "):
        assert found(pattern, ENGLISH) == found(pattern, CHINESE), pattern


def test_installing_comes_before_building() -> None:
    """A reader meets the wheel and one start for each storage before anything about make."""
    text = ENGLISH.read_text()
    building = text.index("make run")
    for word in ("pip install", "mount --ufs /", "--ufs oss://", "alluxio.master.hostname=", "## What it is not for"):
        assert text.index(word) < building, word
