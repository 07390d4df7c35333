"""The suites in the order in which they run: each module has TITLE, HOW and `run(bench)`, which yields rows."""

from __future__ import annotations

NAMES = (
    "passthrough",
    "nopassthrough",
    "memory",
    "small",
    "training",
    "scale",
    "metadata",
    "latency",
    "start",
    "bindings",
    "watched",
    "cycles",
    "shortcircuit",
    "cluster",
    "remote",
    "oss",
    "osscluster",
    "fetched",
)
