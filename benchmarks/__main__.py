"""`python -m benchmarks [SUITE]... [--quick] [--runs N]`: runs suites, prints their tables, records the results.

A run of less than the full size, of some engines only or with peers is not recorded, but with --record-in.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import peers, plots, results, tables
from benchmarks.bench import ENGINES, QUICK, Bench, Scope, Skip
from benchmarks.measure import Row
from benchmarks.suites import NAMES

_RUNS = 7
_QUICK_RUNS = 3


def main(words: Sequence[str] | None = None) -> int:
    """Exit code 0: all suites ran, whatever they found; 1: one could not."""
    arguments = parse(words)
    scope = arguments.scope
    _warn_of_load()
    failed, missed = [], 0
    with Bench(scope) as bench:
        for name in arguments.suites:
            try:
                missed += _run(bench, name, arguments.place)
            except Exception as error:
                print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
                failed.append(name)
    if arguments.place == results.PLACE:
        results.write_page()
        plots.draw()
    print(f"targets missed: {missed}" + (f"; suites that failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


class Arguments(NamedTuple):
    """The command line, understood; results go to `place`, if anywhere."""

    suites: Sequence[str]
    scope: Scope
    place: Path | None


def parse(words: Sequence[str] | None = None) -> Arguments:
    """Reads a command line; the process's own unless one is given. Ends the process when there is a mistake in it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--quick", action="store_true", help=f"--scale {QUICK} --runs {_QUICK_RUNS}")
    parser.add_argument("--scale", type=float, help="of the data, above 0 and up to 1; only 1 is recorded")
    parser.add_argument("--runs", type=int, help=f"pairs for each figure (default {_RUNS})")
    parser.add_argument(
        "--engines",
        default=",".join(ENGINES),
        help="for training, scale and start, separated by commas (default %(default)s)",
    )
    parser.add_argument(
        "--with", dest="peers", action="append", default=[], type=_peer, metavar="NAME=COMMAND",
        help=f"another mount program beside ours (training, latency, scale, start); may have {peers.known()}",
    )  # fmt: skip
    parser.add_argument("--torch", default=sys.executable, metavar="PYTHON", help="an interpreter that has PyTorch")
    parser.add_argument("--no-record", action="store_true", help="only print")
    parser.add_argument("--record-in", type=Path, metavar="DIRECTORY", help="record there, whatever the run is")
    found = parser.parse_args(words)
    unknown = [name for name in found.suites if name not in NAMES]
    if unknown:
        parser.error(f"no such suite: {', '.join(unknown)}")
    engines = found.engines.split(",")
    if not set(engines) <= set(ENGINES):
        parser.error(f"engines are {', '.join(ENGINES)}, not {found.engines!r}")
    names = [peer.name for peer in found.peers]
    if len(set(names)) < len(names):
        parser.error("two programs have one name")
    scale = found.scale if found.scale is not None else QUICK if found.quick else 1.0
    runs = found.runs if found.runs is not None else _QUICK_RUNS if found.quick else _RUNS
    if not 0 < scale <= 1 or runs < 1:
        parser.error("the scale is above 0 and at most 1, and there is 1 run at least")
    whole = scale == 1 and set(engines) == set(ENGINES) and not names and not found.quick
    scope = Scope(runs, scale, engines, found.peers, found.torch)
    place = found.record_in or (results.PLACE if whole and not found.no_record else None)
    return Arguments(found.suites or NAMES, scope, place)


def _peer(text: str) -> peers.Peer:
    try:
        return peers.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _run(bench: Bench, name: str, place: Path | None) -> int:
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
    if place is not None:
        results.append(name, suite.TITLE, suite.HOW, bench.runs, rows, peer, place)
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
