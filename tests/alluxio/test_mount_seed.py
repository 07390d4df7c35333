"""The flow that users of AlluxioFuse were shown: a master and a worker, one file copied by the shell, one mount."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from cluster.cluster import Cluster
from harness.children import Children
from harness.mounting import Mounted, Mounts
from on_cluster import calls
from recipe import ARGUMENTS, CONTAINER, RECIPE

from alluxio_jnifuse.config.options import BY_NAME

pytestmark = [pytest.mark.cluster, pytest.mark.fuse]

ROOT_UFS = "alluxio.master.mount.table.root.ufs"  # it shows as what is mounted, and that is not as the recipe says
LICENSE = Path(__file__).resolve().parents[2] / "LICENSE"


@pytest.fixture(scope="module")
def seeded() -> Iterator[Cluster]:
    """A master and a worker, and LICENSE, which the shell has copied there."""
    with Cluster() as cluster:
        cluster.shell.fs("copyFromLocal", LICENSE, "/")
        yield cluster


def site(mounts: Mounts, *lines: str) -> None:
    """Writes alluxio-site.properties where the command looks for it. The default mount point belongs to the system."""
    own = f"alluxio.fuse.mount.point={mounts.root / 'alluxio-fuse'}"
    (mounts.root / "alluxio-site.properties").write_text("\n".join((*lines, own, "")))


def run(mounts: Mounts, environ: Mapping[str, str], *words: str) -> Mounted:
    """`alluxio-jnifuse mount WORDS`, which name neither a cluster nor a mount point."""
    return mounts.mount_with(words, str(mounts.root / "alluxio-fuse"), environ=environ)


def check(mounted: Mounted, children: Children) -> None:
    """As they were told to look at it, twice."""
    for _ in range(2):
        assert children.command("ls", f"{mounted.path}/").stdout == "LICENSE\n"
        assert children.command("cmp", LICENSE, mounted.join("LICENSE")).returncode == 0


def test_with_a_site_file(seeded: Cluster, mounts: Mounts, children: Children) -> None:
    """Which says where the master is, and what to mount on."""
    site(mounts, "alluxio.master.hostname=localhost", f"alluxio.master.rpc.port={seeded.layout.masters[0].rpc}")
    mounted = run(mounts, {}, "--fuse-opts=kernel_cache")
    check(mounted, children)
    assert mounted.lines("localhost is on this machine", "block files are opened here")
    assert calls(mounted.stats())["OpenLocalBlock"] == 1  # the second time the kernel has it


def test_with_java_options(seeded: Cluster, mounts: Mounts, children: Children) -> None:
    """The variable of the container says where the master is, among words for other parts of Alluxio."""
    site(mounts)
    opts = f"{CONTAINER['ALLUXIO_JAVA_OPTS']} -Dalluxio.master.rpc.port={seeded.layout.masters[0].rpc}"
    mounted = run(mounts, {"ALLUXIO_JAVA_OPTS": opts}, "--fuse-opts=kernel_cache")
    check(mounted, children)
    assert mounted.lines("alluxio.master.hostname=localhost ($ALLUXIO_JAVA_OPTS)")


def test_with_everything(seeded: Cluster, mounts: Mounts, children: Children) -> None:
    """The whole list of advanced properties, the variables of its container, and its mount options.

    The log says what acts, and once for each of the others why it does not.
    """
    site(mounts, RECIPE)
    opts = f"{CONTAINER['ALLUXIO_JAVA_OPTS']} -Dalluxio.master.rpc.port={seeded.layout.masters[0].rpc}"
    environ = {**CONTAINER, "ALLUXIO_JAVA_OPTS": opts, "ALLUXIO_RAM_FOLDER": str(seeded.ramdisks[0])}
    mounted = run(mounts, environ, *ARGUMENTS)
    check(mounted, children)

    made = calls(mounted.stats())
    assert not {"OpenLocalBlock", "ReadBlock"} & set(made)  # alluxio.user.direct.memory.io.enabled
    assert made["ListStatus"] == 1  # alluxio.user.metadata.cache.enabled, and what the kernel remembers

    (settings,) = mounted.lines(" settings: ")
    for key in set(re.findall(r"^ {4}([a-z][\w.]+):", RECIPE, re.MULTILINE)):
        ignored = mounted.lines(f"ignored: {key} ")
        acts = key in BY_NAME and f" {BY_NAME[key].name}=" in settings
        theirs = key == ROOT_UFS or key.startswith("fs.oss.")  # ours where no cluster is mounted
        assert len(ignored) == (0 if acts and not theirs else 1), key
    assert "alluxio.user.unsafe.direct.local.io.enabled=true" in settings
    assert "attr_timeout=7200" in settings
    assert "alluxio.fuse.logging.threshold=1000 ($SPENT_TIME)" in settings
    assert len(mounted.lines("-Xmx16G", "Java machine")) == 1
    assert len(mounted.lines("alluxio.job.worker.threadpool.size is set twice")) == 1
    assert not mounted.lines("OSS_ACCESS_KEY_SECRET")
    assert not mounted.lines("WARN") + mounted.lines("ERROR")
