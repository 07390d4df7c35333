"""`python -m benchmarks [SUITE]... [--quick] [--runs N]`: runs suites, prints their tables, records the results."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time

from benchmarks import results, tables
from benchmarks.bench import Bench, Skip
from benchmarks.measure import Row
from benchmarks.suites import NAMES

_RUNS = 7
_QUICK_RUNS = 3


def main() -> int:
    """Exit code 0: all suites ran, whatever they found; 1: one could not."""
    arguments = _parse()
    runs = arguments.runs or (_QUICK_RUNS if arguments.quick else _RUNS)
    record = not (arguments.quick or arguments.no_record)
    _warn_of_load()
    failed, missed = [], 0
    with Bench(runs, arguments.quick) as bench:
        for name in arguments.suites or NAMES:
            try:
                missed += _run(bench, name, record)
            except Exception as error:
                print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
                failed.append(name)
    if record:
        results.write_page()
    print(f"targets missed: {missed}" + (f"; suites that failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="a tenth of the data, 3 runs, nothing recorded")
    parser.add_argument("--runs", type=int, help=f"pairs for each figure (default {_RUNS})")
    parser.add_argument("--no-record", action="store_true", help="only print")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.suites if name not in NAMES]
    if unknown:
        parser.error(f"no such suite: {', '.join(unknown)}")
    return arguments


def _run(bench: Bench, name: str, record: bool) -> int:
    """Runs and prints one suite; returns how many targets it missed."""
    suite = importlib.import_module(f"benchmarks.suites.{name}")
    print(f"\n{name}: {suite.TITLE}\n{suite.HOW}\n", flush=True)
    start, rows = time.monotonic(), []
    try:
        for row in suite.run(bench):
            rows.append(row)
            _progress(row)
    except Skip as reason:
        print(f"skipped: {reason}")
        return 0
    peer = getattr(suite, "PEER", tables.PEER)
    print(f"{tables.text(rows, peer)}\n({time.monotonic() - start:.0f} s)", flush=True)
    if record:
        results.append(name, suite.TITLE, suite.HOW, bench.runs, rows, peer)
    return sum(row.met is False for row in rows)


def _progress(row: Row) -> None:
    if sys.stderr.isatty():
        print(f"  {row.what}: {tables.number(row.mount)} {row.unit}", file=sys.stderr, flush=True)


def _warn_of_load() -> None:
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"The load of this machine is {load:.2f}: figures will be worse and vary more.", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
