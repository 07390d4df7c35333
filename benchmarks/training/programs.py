"""The programs of this package, run as such: each reads its paths once and tells samples, seconds and CPU seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.measure import Outcome

_ROOT = Path(__file__).parents[2]
_TIMEOUT_S = 1200
_HAS_TORCH = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)"


def epoch(kind: str, workers: int, files: int, paths: Sequence[str]) -> Outcome:
    """epoch.py."""
    return _run(sys.executable, "epoch", [kind, str(workers), str(files)], paths)


def torch_epoch(python: str, workers: int, batch: int, paths: Sequence[str]) -> Outcome:
    """torch_epoch.py, by an interpreter that has PyTorch."""
    return _run(python, "torch_epoch", [str(workers), str(batch)], paths)


def source_epoch(uri: str, properties: Mapping[str, str], workers: int, files: int, paths: Sequence[str]) -> Outcome:
    """source_epoch.py; `paths` begin with a slash, which is the directory of `uri`."""
    return _run(
        sys.executable, "source_epoch", [uri, json.dumps(dict(properties)), str(workers), str(files)], paths
    )  # fmt: skip


def has_torch(python: str) -> bool:
    """Whether that interpreter has PyTorch."""
    return subprocess.run([python, "-c", _HAS_TORCH], check=False, capture_output=True).returncode == 0


def _run(python: str, module: str, words: Sequence[str], paths: Sequence[str]) -> Outcome:
    done = subprocess.run(
        [python, "-m", f"benchmarks.training.{module}", *words],
        input=b"".join(os.fsencode(path) + b"\0" for path in paths),
        capture_output=True, timeout=_TIMEOUT_S, check=False, cwd=_ROOT,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"{module}: {done.stderr.decode(errors='replace').strip()[-1000:]}")
    count, seconds, cpu_s = (float(word) for word in done.stdout.split())
    return Outcome(count, seconds, cpu_s)
