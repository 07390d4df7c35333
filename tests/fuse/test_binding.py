"""The compiled core in the hands of programs that use it as nobody should (harness/abuse.py): they are refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness import abuse
from harness.mounting import beneath, detach

PERTURBED = {"MALLOC_PERTURB_": "165"}  # memory that was freed does not look as it did

pytestmark = pytest.mark.fuse


@pytest.mark.timeout(4 * abuse.GUARD_S)
@pytest.mark.parametrize("name", abuse.PROGRAMS)
def test_the_core_outlives(name: str, private: Path) -> None:
    """Each in a process of its own, which a fault would end."""
    mountpoint = private / "mount"
    mountpoint.mkdir()
    command = [sys.executable, abuse.__file__, name, str(mountpoint)]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **PERTURBED},
            capture_output=True,
            text=True,
            timeout=3 * abuse.GUARD_S,
            check=False,
        )
    finally:
        for path in beneath(str(private)):
            detach(path)
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr}"
