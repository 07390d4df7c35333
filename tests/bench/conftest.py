"""The benchmarks' own parts are tested without measuring anything: what they are given, and what they make of it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the package "benchmarks"
