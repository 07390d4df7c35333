"""Rows as a table, for a terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.measure import Row

PEER = "native"  # what a mount is compared with, unless a suite says otherwise
HEADER = ("what", "unit", PEER, "mount", "ratio", "range", "by CPU", "target", "met", "CPU of daemon", "remark")


def cells(row: Row) -> tuple[str, ...]:
    """The texts of a row, in the order of HEADER."""
    remarks = [row.note] if row.note else []
    if row.noisy:
        remarks.append("the machine was busy")
    return (
        row.what,
        row.unit,
        "" if row.native is None else number(row.native),
        number(row.mount),
        "" if row.ratio is None else f"{row.ratio:.2f}",
        "" if row.ratio_low is None else f"{row.ratio_low:.2f}-{row.ratio_high:.2f}",
        "" if row.cpu_ratio is None else f"{row.cpu_ratio:.2f}",
        row.target,
        {None: "", True: "yes", False: "NO"}[row.met],
        "" if row.daemon_cpu is None else f"{row.daemon_cpu:.2f}",
        "; ".join(remarks),
    )


def number(value: float) -> str:
    """Three significant digits, and no more than a reader needs."""
    if value == int(value):
        return f"{int(value)}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def text(rows: Sequence[Row], peer: str = PEER) -> str:
    """Aligned columns; those that are empty everywhere are left out."""
    lines = _columns(rows, peer)
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def markdown(rows: Sequence[Row], peer: str = PEER) -> str:
    header, *lines = _columns(rows, peer)
    ruled = [header, tuple("---" for _ in header), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in ruled)


def _columns(rows: Sequence[Row], peer: str) -> list[tuple[str, ...]]:
    lines = [tuple(peer if name == PEER else name for name in HEADER), *map(cells, rows)]
    keep = [any(line[column] for line in lines[1:]) for column in range(len(HEADER))]
    return [tuple(cell for cell, kept in zip(line, keep) if kept) for line in lines]
