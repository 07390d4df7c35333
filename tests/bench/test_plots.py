"""Figures of recorded rows."""

from __future__ import annotations

import importlib
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks import plots
from benchmarks.measure import Point, Row
from benchmarks.plots import Figure, Line
from benchmarks.suites import NAMES

BARS = Figure("Rates & ratios", "ratio to the directory", "bars")
LINES = Figure("Time for a file", "µs", "lines", "files")
SVG = "{http://www.w3.org/2000/svg}"
DOCS = Path(__file__).parents[2] / "docs"


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


def test_bars_are_as_high_as_their_values() -> None:
    svg = plots.svg(BARS, [Line("directory", {"JPEG": 1.0, "tar": 0.5}), Line("bucket", {"JPEG": 0.25})])
    bars = [rect for rect in ET.fromstring(svg).iter(f"{SVG}rect") if rect.get("height") != "10"]
    heights = [float(bar.attrib["height"]) for bar in bars]
    assert heights[0] == pytest.approx(4 * heights[1], abs=0.5)
    assert heights[0] == pytest.approx(2 * heights[2], abs=0.5)
    assert {"Rates & ratios", "JPEG", "tar", "directory", "bucket", "1.00", "0.25"} <= set(texts(svg))


def test_lines_have_a_dot_for_each_point() -> None:
    """Places are powers of ten apart, equally far."""
    svg = plots.svg(LINES, [Line("ours", {1000: 20.0, 10_000: 21.0, 100_000: 19.0})])
    dots = [float(dot.attrib["cx"]) for dot in ET.fromstring(svg).iter(f"{SVG}circle")]
    assert dots[1] - dots[0] == pytest.approx(dots[2] - dots[1], abs=0.2)
    assert {"1,000", "10,000", "100,000", "files", "µs"} <= set(texts(svg))


@pytest.mark.parametrize("points", [{1000: 20.0}, {1: 0.0, 10: 0.0}], ids=["one point", "nothing but zeros"])
def test_few_points_are_drawn_too(points: dict[str | float, float]) -> None:
    assert ET.fromstring(plots.svg(LINES, [Line("ours", points)])) is not None


def test_the_same_rows_make_the_same_bytes_from_recorded_lines(tmp_path: Path) -> None:
    """The newest run counts; rows without a point, of another figure or without a ratio are left out."""
    rows = [
        Row("a", "k files/s", 5.0, 10.0, 0.5, point=Point("training-first", "directory", "JPEG")),
        Row("b", "k files/s", 5.0, 10.0, 0.7, point=Point("training-second", "directory", "JPEG")),
        Row("c", "", 5.0, point=Point("training-first", "bucket", "JPEG")),
        Row("d", "", 5.0),
    ]
    record = {"date": "2026-01-02T03:04:05", "commit": "abc", "cpus": 2, "rows": [row._asdict() for row in rows]}
    (tmp_path / "training.jsonl").write_text(f"{json.dumps({**record, 'rows': []})}\n{json.dumps(record)}\n")
    first, second = tmp_path / "first", tmp_path / "second"
    written = plots.draw(tmp_path, first)
    assert [path.name for path in written] == ["training-first.svg", "training-second.svg"]
    plots.draw(tmp_path, second)
    assert [path.read_bytes() for path in written] == [(second / path.name).read_bytes() for path in written]
    drawn = texts(written[0].read_text())
    assert "0.50" in drawn
    assert "0.70" not in drawn
    assert "bucket" not in drawn
    assert "2026-01-02, abc, 2 processors" in drawn


def test_every_figure_has_a_suite_and_one_name() -> None:
    names = [
        name
        for suite in NAMES
        for name in getattr(importlib.import_module(f"benchmarks.suites.{suite}"), "FIGURES", {})
    ]
    assert len(set(names)) == len(names) >= 7


def test_figures_of_the_pages_are_those_that_are_drawn(tmp_path: Path) -> None:
    """docs/plots is what the recorded results make."""
    drawn = {path.name: path.read_bytes() for path in plots.draw(place=tmp_path)}
    assert {path.name: path.read_bytes() for path in (DOCS / "plots").glob("*.svg")} == drawn
    page = (DOCS / "BENCHMARKING.md").read_text()
    assert all(f"](plots/{name})" in page for name in drawn)
