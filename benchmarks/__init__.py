"""How fast a mount is, side by side with the directory that it shows: `python -m benchmarks`, docs/BENCHMARKING.md.

suites/      one module for each suite: what is measured, and the target
measure.py   interleaved pairs, medians, and what else the machine was doing meanwhile
bench.py     what a suite gets: its data, its mounts, its options
data.py      the files that are read
fio.py       fio on the job files in jobs/
reader.py    reader.c: small files, metadata, bursts
order_reader.py  small files in an order that is told or not, models
training/    data sets of training programs, and how those read them
sources.py   storages that are slow, huge or lend nothing
engines.py   one data set from a directory, a bucket and a cluster
peers.py     other mount programs: --with
machine.py   CPU seconds, memory, versions
results.py   results/*.jsonl and RESULTS.md
plots.py     docs/plots: figures of these
"""

import sys
from pathlib import Path

_TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(_TESTS), str(_TESTS / "fuse")]  # for the packages "cluster", "oss" and "harness"
