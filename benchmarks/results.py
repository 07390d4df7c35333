"""Results: one line of JSON for each run of a suite in results/SUITE.jsonl, and RESULTS.md made of all of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine, tables
from benchmarks.measure import Row
from benchmarks.suites import NAMES

_HERE = Path(__file__).parent
PLACE = _HERE / "results"
_PAGE = _HERE / "RESULTS.md"
_HISTORY = 10

_HEAD = """\
<!-- Made of benchmarks/results/ by `python -m benchmarks`; it is not edited by hand. -->
# Results

The newest full run of each suite; how it is measured and what the columns mean stands in
[BENCHMARKING](../docs/BENCHMARKING.md).
"""


def append(
    suite: str, title: str, how: str, runs: int, rows: Sequence[Row], peer: str = tables.PEER,
    place: Path = PLACE,
) -> None:  # fmt: skip
    """Adds a run to the suite's file in `place`."""
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        **machine.facts(),
        "title": title,
        "how": how,
        "runs": runs,
        "peer": peer,
        "rows": [row._asdict() for row in rows],
    }
    place.mkdir(exist_ok=True)
    with open(place / f"{suite}.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(record, ensure_ascii=False) + "\n")


def write_page() -> None:
    """Makes RESULTS.md anew, of what is in PLACE."""
    sections = [_section(records) for name in NAMES if (records := _load(name))]
    _PAGE.write_text("\n".join([_HEAD, *sections]), encoding="utf-8")


def _section(records: list[dict[str, Any]]) -> str:
    newest = records[-1]
    rows = [Row(**row) for row in newest["rows"]]
    lines = [
        f"## {newest['title']}",
        "",
        newest["how"],
        "",
        tables.markdown(rows, newest.get("peer", tables.PEER)),
        "",
        f"{_where(newest)}",
        "",
    ]
    if len(records) > 1:
        lines += ["Earlier runs: " + "; ".join(_summary(record) for record in records[-_HISTORY:-1][::-1]) + ".", ""]
    return "\n".join(lines)


def _where(record: dict[str, Any]) -> str:
    return (
        f"{record['date'][:10]}, {record['commit']}: {record['cpus']} processors {record['cpu']}, "
        f"{record['memory_gib']} GiB, Linux {record['kernel']}, libfuse {record['libfuse']}, "
        f"Python {record['python']}, {record['user']} user, medians of {record['runs']}."
    )


def _summary(record: dict[str, Any]) -> str:
    judged = [row["met"] for row in record["rows"] if row["met"] is not None]
    return f"{record['date'][:10]} {record['commit']} met {sum(judged)} of {len(judged)} targets"


def _load(suite: str) -> list[dict[str, Any]]:
    path = PLACE / f"{suite}.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _commit() -> str:
    """The commit of the sources; "+" when they are changed since."""
    command = ["git", "-C", str(_HERE), "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
