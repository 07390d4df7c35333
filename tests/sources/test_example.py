"""The example of docs/SOURCES.md keeps the contract, by the test that it comes with."""

from __future__ import annotations

import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "zip"
sys.path.insert(0, str(EXAMPLE))

from test_alluxio_jnifuse_zip import TestZip  # noqa: E402

__all__ = ["TestZip"]
