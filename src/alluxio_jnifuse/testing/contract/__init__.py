"""The contract of a source as tests of pytest, for sources of other packages and for our own.

A class of yours inherits `SourceContract` and makes the source that shows a tree; docs/SOURCES.md has an example.
Every test asks for one promise of sources/base.py, and its docstring says who relies on it. pytest is imported here
and nowhere else in the package.

    tree.py       the trees, and how they are written         world.py   a source, and how a test uses it
    metadata.py   stat, list, readlink, statfs                data.py    open, reads, threads
    versions.py   files that change while they are known      ending.py  descriptors, close
"""

from __future__ import annotations

import pytest

# A test that fails shows the values. It works for modules that are not imported yet.
pytest.register_assert_rewrite(*(f"{__name__}.{name}" for name in ("data", "ending", "metadata", "versions", "world")))

from alluxio_jnifuse.testing.contract.data import DataContract  # noqa: E402
from alluxio_jnifuse.testing.contract.ending import EndingContract  # noqa: E402
from alluxio_jnifuse.testing.contract.metadata import MetadataContract  # noqa: E402
from alluxio_jnifuse.testing.contract.tree import LARGE, PLAIN_TREE, TREE, Tree, files_of, write_tree  # noqa: E402
from alluxio_jnifuse.testing.contract.versions import VersionContract  # noqa: E402
from alluxio_jnifuse.testing.contract.world import World  # noqa: E402

__all__ = ["LARGE", "PLAIN_TREE", "TREE", "SourceContract", "Tree", "World", "files_of", "write_tree"]


class SourceContract(MetadataContract, DataContract, VersionContract, EndingContract):
    """All of it. A subclass has `make`, and sets `tree` when its storage cannot hold every name of TREE."""
