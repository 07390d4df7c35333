"""The command line: tries parsers, or replays what was found.

A failure is printed with its seed, and its input written to a file that --replay takes.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from fuzz import trial
from fuzz.parsers import PARSERS

FOUND = Path("build/fuzz")


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description="Fuzzes parsers, beside each other.")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each parser (default: %(default)g)")
    parser.add_argument("--inputs", type=int, default=1 << 39, help="at most, for each parser")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"), help="default: any")
    parser.add_argument("--replay", metavar="FILE", action="append", default=[], help="tries that input of a PARSER")
    parser.add_argument("parsers", metavar="PARSER", nargs="*", help=f"of {', '.join(PARSERS)}; default: all")
    arguments = parser.parse_args()
    if unknown := set(arguments.parsers) - set(PARSERS):
        parser.error(f"there is no parser {', '.join(unknown)}")
    if arguments.replay:
        if len(arguments.parsers) != 1:
            parser.error("which parser is an input for?")
        return replay(arguments.parsers[0], arguments.replay)
    return fuzz(arguments.parsers or list(PARSERS), arguments.seed, trial.Limits(arguments.seconds, arguments.inputs))


def replay(name: str, paths: list[str]) -> int:
    signal.signal(signal.SIGPROF, trial._too_slow)
    parser = PARSERS[name]
    with trial.scratch() as tempfile.tempdir:
        take = parser.prepare()
        for path in paths:
            trial.attempt(parser, take, Path(path).read_bytes())
            print(f"{name}: {path}: as it should be")
    return 0


def fuzz(names: list[str], seed: int, limits: trial.Limits) -> int:
    waiting, running, failed = list(names), [], 0
    while waiting or running:
        while waiting and len(running) < (os.cpu_count() or 1):
            running.append(trial.Trial(waiting.pop(0), seed, limits))
        time.sleep(0.05)
        for each in [each for each in running if each.ended()]:
            running.remove(each)
            failed += tell(each)
    return 1 if failed else 0


def tell(ended: trial.Trial) -> bool:
    """Prints what became of a trial; whether it failed."""
    rate = ended.inputs / max(ended.took_s, 0.001)
    print(
        f"{ended.name:14} {ended.inputs:9} inputs in {ended.took_s:4.0f} s, {rate:6.0f}/s, seed {ended.seed}",
        flush=True,
    )
    if not ended.failure:
        return False
    FOUND.mkdir(parents=True, exist_ok=True)
    path = FOUND / f"{ended.name}-{ended.seed}-{ended.number}.bin"
    path.write_bytes(ended.input)
    print(f"{ended.name}: FAILED: {ended.failure}; input {ended.number} of seed {ended.seed} is in {path}; again:")
    print(f"    PYTHONPATH=tests {os.path.relpath(sys.executable)} -m fuzz --replay {path} {ended.name}", flush=True)
    return True


sys.exit(main())
