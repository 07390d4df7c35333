"""`options`: every setting can be found by each of its names."""

from __future__ import annotations

import json

import pytest

from alluxio_jnifuse.cli import main
from alluxio_jnifuse.config.options import OPTIONS, Option

EFFECTIVE = [row for row in OPTIONS if row.kind != "accepted"]


@pytest.mark.parametrize("row", OPTIONS, ids=lambda row: row.name)
def test_everything_about_one(row: Option, capsys: pytest.CaptureFixture[str]) -> None:
    for name in filter(None, (row.name, *row.aliases, row.env, row.off)):
        assert main(["options", name]) == 0
        told = " ".join(capsys.readouterr().out.split())
        assert told.startswith(f"{row.name} (-")
        assert " ".join(row.help.split()) in told
        assert " ".join(row.why.split()) in told
        assert row.kind == "accepted" or f"default: {row.default or 'not set'}" in told


def test_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["options"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" [")[0].split(": ")[0] for line in lines] == [row.name for row in EFFECTIVE]
    assert max(map(len, lines)) <= 140


def test_a_part_of_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["options", "TIMEOUT"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"attr_timeout", "negative_timeout"} <= {line.split(" [")[0] for line in lines}
    assert all("timeout" in line.lower() for line in lines)


def test_objects(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["options", "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["name"] for each in told] == [row.name for row in EFFECTIVE]
    assert main(["options", "--json", "MAX_IDLE_THREADS"]) == 0
    (one,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (one["name"], one["default"], one["environment"]) == ("max_idle_threads", "10", "MAX_IDLE_THREADS")


def test_what_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    """A word that is near a name; a property of another part of Alluxio; the other words are answered all the same."""
    assert main(["options", "atr_timeout", "alluxio.master.journal.type", "ro"]) == 1
    found = capsys.readouterr()
    assert "there is no 'atr_timeout'; did you mean attr_timeout" in found.err
    assert "alluxio.master.journal.type has no effect here: " in found.err
    assert found.out.startswith("ro  (-o ro)")


@pytest.mark.parametrize("words", [[""], [" "], ["--what"]])
def test_what_cannot_be_understood(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["options", *words]) == 1
    assert "Usage:" in capsys.readouterr().err
