"""Figures of recorded results, as SVG: `python -m benchmarks.plots [RESULTS [PLACE]]`.

A row with a `point` is a point of a figure; the suite's FIGURES say what the figure shows. The newest run of each suite
in RESULTS (benchmarks/results) is drawn into PLACE (docs/plots), one file a figure. The same rows make the same bytes.

Lines and bars need so little that no library is used: pygal puts 15 KB of its own licence and style into each figure,
and the day on which it was made.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.suites import NAMES

_HERE = Path(__file__).parent
_RESULTS = _HERE / "results"
_PLACE = _HERE.parent / "docs" / "plots"

_WIDTH, _HEIGHT = 760, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 64, 48
_COLOURS = ("#0969da", "#cf222e", "#1a7f37", "#9a6700", "#8250df", "#57606a")  # readable on white and on black
_GREY = "#8c959f"
_TICKS = 5


class Figure(NamedTuple):
    """The title, axes and kind of a figure.

    y     the label of its vertical axis; "ratio ..." draws the rows' ratios, anything else their figures
    kind  "bars", or "lines" whose horizontal axis has powers of ten
    x     the label of the horizontal axis
    """

    title: str
    y: str
    kind: str
    x: str = ""


class Line(NamedTuple):
    """The points of one colour, by place on the horizontal axis."""

    name: str
    points: Mapping[str | float, float]


def draw(results: Path = _RESULTS, place: Path = _PLACE) -> list[Path]:
    """Draws the newest run of every suite that has figures; the files that were written."""
    written = []
    for name in NAMES:
        figures: Mapping[str, Figure] = getattr(importlib.import_module(f"benchmarks.suites.{name}"), "FIGURES", {})
        path = results / f"{name}.jsonl"
        if not figures or not path.exists():
            continue
        record = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
        place.mkdir(parents=True, exist_ok=True)
        for figure, about in figures.items():
            lines = lines_of(record["rows"], figure, about)
            if lines:
                (place / f"{figure}.svg").write_text(svg(about, lines, _where(record)), encoding="utf-8")
                written.append(place / f"{figure}.svg")
    return written


def lines_of(rows: Iterable[Mapping[str, Any]], figure: str, about: Figure) -> list[Line]:
    """The lines of a figure, in the order of its rows."""
    found: dict[str, dict[str | float, float]] = {}
    for row in rows:
        if (row.get("point") or [""])[0] != figure:
            continue
        value = row["ratio"] if about.y.startswith("ratio") else row["mount"]
        if value is not None:
            found.setdefault(row["point"][1], {})[row["point"][2]] = value
    return [Line(name, points) for name, points in found.items()]


def svg(about: Figure, lines: Sequence[Line], where: str = "") -> str:
    """A figure as text of an SVG file."""
    top = max(value for line in lines for value in line.points.values()) or 1.0
    ticks = _ticks(max(top, 1.0) if about.y.startswith("ratio") else top)
    body = [*_frame(about, where), *_grid(ticks, about), *_legend(lines)]
    body += _bars(lines, ticks[-1]) if about.kind == "bars" else _curves(about, lines, ticks[-1])
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="12" fill="{_GREY}" role="img">'
    )
    return "\n".join([head, f"<title>{escape(about.title)}</title>", *body, "</svg>", ""])


def _frame(about: Figure, where: str) -> list[str]:
    return [
        _text(_LEFT, 20, about.title, size=15),
        _text(_WIDTH - _RIGHT, _HEIGHT - 4, where, anchor="end", size=10),
        _text(_LEFT, _HEIGHT - 4, about.x),
        _text(14, (_TOP + _HEIGHT - _BOTTOM) / 2, about.y, anchor="middle", more=" rotate(-90)"),
    ]


def _grid(ticks: Sequence[float], about: Figure) -> list[str]:
    made = []
    for tick in ticks:
        y = _y(tick, ticks[-1])
        strong = about.y.startswith("ratio") and tick == 1
        dash = "" if strong or tick == 0 else ' stroke-dasharray="2 4"'
        made.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="{_GREY}"{dash}/>')
        made.append(_text(_LEFT - 6, y + 4, f"{tick:g}", anchor="end"))
    return made


def _legend(lines: Sequence[Line]) -> list[str]:
    made, x = [], float(_LEFT)
    for number, line in enumerate(lines):
        made.append(f'<rect x="{x:.0f}" y="34" width="10" height="10" fill="{_colour(number)}"/>')
        made.append(_text(x + 14, 43, line.name))
        x += 34 + 6.6 * len(line.name)
    return made


def _bars(lines: Sequence[Line], top: float) -> list[str]:
    """Groups of bars, one for each place; each bar has its value above it."""
    places = list(dict.fromkeys(x for line in lines for x in line.points))
    room = (_WIDTH - _LEFT - _RIGHT) / len(places)
    width = min(40.0, room * 0.8 / len(lines))
    made = []
    for group, place in enumerate(places):
        middle = _LEFT + room * (group + 0.5)
        made.append(_text(middle, _HEIGHT - _BOTTOM + 16, str(place), anchor="middle", size=11))
        for number, line in enumerate(lines):
            if place not in line.points:
                continue
            value = line.points[place]
            x, y = middle + width * (number - len(lines) / 2), _y(value, top)
            height = _HEIGHT - _BOTTOM - y
            made.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{width * 0.9:.1f}" height="{height:.1f}" '
                f'fill="{_colour(number)}"/>'
            )
            size = 9 if width > 22 else 7
            made.append(_text(x + width * 0.45, y - 3, _short(value), anchor="middle", size=size))
    return made


def _curves(about: Figure, lines: Sequence[Line], top: float) -> list[str]:
    """Lines with a dot for each point, over powers of ten."""
    places = sorted(float(x) for x in dict.fromkeys(x for line in lines for x in line.points))
    low, high = math.log10(places[0]), math.log10(places[-1])

    def x_of(place: float) -> float:
        return _LEFT + 20 + (math.log10(place) - low) / max(high - low, 1e-9) * (_WIDTH - _LEFT - _RIGHT - 40)

    made = [_text(x_of(x), _HEIGHT - _BOTTOM + 16, f"{x:,.0f}", anchor="middle", size=11) for x in places]
    for number, line in enumerate(lines):
        dots = [(x_of(float(x)), _y(value, top)) for x, value in sorted(line.points.items(), key=lambda p: float(p[0]))]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in dots)
        made.append(f'<path d="M{path}" fill="none" stroke="{_colour(number)}" stroke-width="2"/>')
        made += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{_colour(number)}"/>' for x, y in dots]
    return made


def _y(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - value / top * (_HEIGHT - _TOP - _BOTTOM)


def _ticks(top: float) -> list[float]:
    """Round numbers from 0 to `top` or a little above."""
    step = 10 ** math.floor(math.log10(max(top, 1e-9) / _TICKS))
    step *= next(factor for factor in (1, 2, 5, 10) if step * factor * _TICKS >= top)
    return [round(step * number, 10) for number in range(math.ceil(top / step - 1e-9) + 1)]


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, more: str = "") -> str:
    if not text:
        return ""
    return (
        f'<text transform="translate({x:.1f} {y:.1f}){more}" text-anchor="{anchor}" font-size="{size}">'
        f"{escape(text)}</text>"
    )


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _where(record: Mapping[str, Any]) -> str:
    return f"{record['date'][:10]}, {record['commit']}, {record['cpus']} processors"


if __name__ == "__main__":
    for written in draw(*map(Path, sys.argv[1:3])):
        print(written)
