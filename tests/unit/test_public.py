"""The names that programs and sources of other packages import."""

from __future__ import annotations

import subprocess
import sys

import pytest

import alluxio_jnifuse
from alluxio_jnifuse.sources import base


@pytest.mark.parametrize("name", alluxio_jnifuse.__all__)
def test_every_name_is_there(name: str) -> None:
    """Names are found when they are asked for."""
    assert getattr(alluxio_jnifuse, name) is not None


def test_a_source_needs_nothing_else() -> None:
    """The types of sources/base.py are public; how entries are packed is of use to a source that packs them itself."""
    assert set(base.__all__) - {"ATTR_DTYPE", "BLOCKS_FROM_SIZE", "ENTRY_DTYPE"} <= set(alluxio_jnifuse.__all__)


def test_another_name_is_an_error() -> None:
    """A mistyped name is said to be one."""
    with pytest.raises(AttributeError, match="no attribute 'Mont'"):
        _ = alluxio_jnifuse.Mont


def test_names_cost_nothing_before_they_are_used() -> None:
    """A command line would wait for the modules."""
    program = "import sys, alluxio_jnifuse; print(*(name for name in sys.modules if 'alluxio' in name))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["alluxio_jnifuse"]
