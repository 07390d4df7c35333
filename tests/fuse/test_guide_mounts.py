"""Settings of the guide that every mount has: each changes what is asked, or what is kept (tests/guide.py)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.children import Children
from harness.mounting import Mounted, Mounts
from harness.readers import check
from harness.remote import RemoteSource

from alluxio_jnifuse.testing import Pattern

pytestmark = pytest.mark.fuse

MIB = 1 << 20
SIZE = 16 * MIB
CACHE = "alluxio.user.client.cache."
TIMES = 10


@pytest.fixture
def source(remote: Callable[..., RemoteSource]) -> RemoteSource:
    return remote({b"file": Pattern(SIZE)})


def look(path: str) -> None:
    """Asks for the attributes of a name again and again."""
    for _ in range(TIMES):
        os.stat(path)


@pytest.mark.parametrize(
    ("options", "operation", "always"),
    [
        ("attr_timeout=0,entry_timeout=7200", "op_getattr", True),
        ("attr_timeout=7200,entry_timeout=7200", "op_getattr", False),
        ("attr_timeout=7200,entry_timeout=0", "op_lookup", True),
        ("attr_timeout=7200,entry_timeout=7200", "op_lookup", False),
    ],
)
def test_what_the_kernel_remembers(
    source: RemoteSource, mounts: Mounts, children: Children, options: str, operation: str, always: bool
) -> None:
    """attr_timeout and entry_timeout: how often the kernel asks for attributes, and who a name is."""
    mounted = mounts.mount(source, options)
    children.run(look, mounted.join("file"))
    assert (mounted.stats()[operation] >= TIMES) is always


def read(mounted: Mounted, children: Children) -> dict[str, int]:
    """Reads the file, and returns the counters when it is closed."""
    children.run(check, mounted.join("file"), SIZE)
    return mounted.closed()


@pytest.mark.parametrize("enabled", [True, False])
def test_the_client_cache(source: RemoteSource, mounts: Mounts, children: Children, enabled: bool) -> None:
    """alluxio.user.client.cache.enabled: whether the storage is asked again for what was read."""
    properties = {f"{CACHE}enabled": str(enabled).lower(), f"{CACHE}size": "1800MB"}
    mounted = mounts.mount(source, "direct_io", properties)
    for _ in range(2):
        read(mounted, children)
    assert source.bytes_read() == SIZE if enabled else source.bytes_read() >= 2 * SIZE


@pytest.mark.parametrize("store", ["MEMORY", "LOCAL"])
def test_where_the_cache_is(
    source: RemoteSource, mounts: Mounts, children: Children, private: Path, store: str
) -> None:
    """alluxio.user.client.cache.store.type and .dir: in memory, or in files of that directory."""
    directory = private / "cache"
    properties = {"enabled": "true", "store.type": store, "dir": str(directory), "size": "64MB"}
    mounted = mounts.mount(source, "", {f"{CACHE}{name}": value for name, value in properties.items()})
    read(mounted, children)
    held = sum(path.stat().st_size for path in directory.rglob("*")) if directory.exists() else 0
    assert (held >= SIZE, mounted.stats()["cache_used_bytes"] >= SIZE) == (store == "LOCAL", store == "MEMORY")


@pytest.mark.parametrize(("page", "pages"), [("8MB", 2), ("1MB", 16)])
def test_size_of_pages(
    source: RemoteSource, mounts: Mounts, children: Children, private: Path, page: str, pages: int
) -> None:
    """alluxio.user.client.cache.page.size: how much is kept and evicted as one."""
    properties = {"enabled": "true", "store.type": "LOCAL", "dir": str(private / "cache"), "size": "64MB"}
    properties["page.size"] = page
    mounted = mounts.mount(source, "", {f"{CACHE}{name}": value for name, value in properties.items()})
    read(mounted, children)
    mounted.until(lambda stats: stats["cache_pages"] == pages, "the pages")


@pytest.mark.parametrize(("size", "most"), [("8MB", 8 * MIB), ("64MB", 64 * MIB)])
def test_size_of_the_cache(
    source: RemoteSource, mounts: Mounts, children: Children, private: Path, size: str, most: int
) -> None:
    """alluxio.user.client.cache.size: how much is kept."""
    properties = {"enabled": "true", "store.type": "LOCAL", "dir": str(private / "cache"), "size": size}
    mounted = mounts.mount(source, "", {f"{CACHE}{name}": value for name, value in properties.items()})
    stats = read(mounted, children)
    assert 0 < stats["cache_disk_used_bytes"] <= most
    assert (stats["cache_evicted_pages"] > 0) is (most < SIZE)


def test_the_storage(mounts: Mounts, children: Children, private: Path) -> None:
    """alluxio.master.mount.table.root.ufs, without a cluster: what is mounted."""
    (private / "data").mkdir()
    (private / "data" / "name").write_text("x")
    path = str(mounts.root / "mnt")
    mounted = mounts.mount_with(["-D", f"alluxio.master.mount.table.root.ufs={private}/data", path], path)
    assert children.run(os.listdir, mounted.path) == ["name"]
