"""reader.c, built when it is newer than the program in build/."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from benchmarks.measure import Outcome

_SOURCE = Path(__file__).with_name("reader.c")
_PROGRAM = _SOURCE.parent.parent / "build" / "benchmarks" / "reader"
_TIMEOUT_S = 300


def run(*arguments: object, paths: Iterable[str] = ()) -> list[float]:
    """The numbers that the reader prints; `paths` go to its standard input."""
    _build()
    done = subprocess.run(
        [str(_PROGRAM), *map(str, arguments)],
        input="".join(f"{path}\0" for path in paths).encode(),
        capture_output=True, timeout=_TIMEOUT_S, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"reader: {done.stderr.decode().strip()}")
    return [float(word) for word in done.stdout.split()]


def thousands(*arguments: object, paths: Iterable[str] = ()) -> Outcome:
    """Like `run`, for everything but bursts; the count is in thousands."""
    count, seconds, cpu_s = run(*arguments, paths=paths)
    return Outcome(count / 1e3, seconds, cpu_s)


def _build() -> None:
    if _PROGRAM.exists() and _PROGRAM.stat().st_mtime >= _SOURCE.stat().st_mtime:
        return
    _PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-pthread", str(_SOURCE), "-o", str(_PROGRAM)], check=True)
