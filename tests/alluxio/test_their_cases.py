"""The cases of Alluxio's own tests of its FUSE client, on a mount of a real cluster (tests/their_cases.py)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster.cluster import Cluster
from harness.children import Children
from harness.mounting import Mounted, Mounts
from on_cluster import mount
from their_cases import CASES, DIRECTORY, INSIDE, NAME, content

pytestmark = [pytest.mark.cluster, pytest.mark.fuse]

EACH = [(suite, name) for suite, cases in CASES.items() for name in cases]


@pytest.fixture(scope="module")
def filled(session_cluster: Cluster) -> Iterator[str]:
    """A directory of the cluster with the files of all cases."""
    top = "/their cases"
    session_cluster.shell.write(f"{top}/{NAME}", content(NAME), write_type="CACHE_THROUGH")
    session_cluster.shell.write(f"{top}/{DIRECTORY}/{INSIDE}", content(INSIDE), write_type="MUST_CACHE")
    yield top
    session_cluster.shell.fs("rm", "-R", top)


@pytest.fixture
def mounted(cluster: Cluster, filled: str, mounts: Mounts) -> Mounted:
    return mount(mounts, cluster, filled)


def test_all(mounted: Mounted, children: Children) -> None:
    """In one mount: a case leaves it as it was."""
    wrong = []
    for suite, name in EACH:
        try:
            children.run(CASES[suite][name].check, mounted.path)
        except AssertionError as error:
            wrong.append(f"{suite}.{name}: {error}")
    assert not wrong
