"""The memory limit of a container is found, and defaults become small enough for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from alluxio_jnifuse.config import limits
from alluxio_jnifuse.config.values import Config

CACHE = "alluxio.user.client.cache."
UNLIMITED = "9223372036854771712\n"
MIB = 1 << 20


def hierarchy(root: Path, membership: str, **written: str) -> dict[str, str]:
    """A hierarchy with limits by path (`__` for a slash), and who is where in it; the arguments of `memory`."""
    (root / "cgroup").mkdir()
    for name, text in written.items():
        version, _, path = name.partition("__")
        file = "memory.max" if version == "v2" else "memory/memory.limit_in_bytes"
        place = root / "cgroup" / Path(file).parent / path.replace("__", "/") / Path(file).name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (root / "membership").write_text(membership)
    return {"root": str(root / "cgroup"), "membership": str(root / "membership")}


@pytest.mark.parametrize(
    ("membership", "written", "expected"),
    [
        ("0::/\n", {"v2": "268435456\n"}, 256 * MIB),
        ("0::/\n", {"v2": "max\n"}, None),
        ("0::/kube/pod\n", {"v2": "max\n", "v2__kube": "1048576\n", "v2__kube__pod": "2097152\n"}, MIB),
        ("5:cpu:/\n4:memory:/docker/ab\n0::/\n", {"v1": "268435456\n"}, 256 * MIB),
        ("4:memory:/docker/ab\n", {"v1": UNLIMITED, "v1__docker__ab": "4194304\n"}, 4 * MIB),
        ("4:memory:/docker/ab\n", {"v1": UNLIMITED, "v1__docker__ab": UNLIMITED}, None),
        ("4:cpu,memory:/\n", {"v1": "1048576"}, MIB),
        ("nonsense\n", {}, None),
    ],
    ids=["v2", "v2 without", "v2 from above", "v1 in a container", "v1", "v1 without", "v1 with others", "nonsense"],
)
def test_finding_it(tmp_path: Path, membership: str, written: dict[str, str], expected: int | None) -> None:
    """The smallest limit on the way up counts, in both versions, seen from inside of a container and from outside."""
    assert limits.memory(**hierarchy(tmp_path, membership, **written)) == expected


def test_no_cgroups(tmp_path: Path) -> None:
    """Without control groups there is no limit."""
    assert limits.memory(str(tmp_path), str(tmp_path / "none")) is None


@pytest.mark.parametrize("limit", [64 * MIB, 128 * MIB, 256 * MIB, 1 << 30, 1 << 40])
def test_what_fits(limit: int) -> None:
    """Window and cache together leave room for the daemon, or are as small as they can be."""
    found = limits.budget(limit)
    assert found.window + found.cache <= limit * 3 // 4 or found.window == found.cache == 4 * MIB
    assert 4 * found.listing <= limit // 4 or found.listing == 4 * MIB
    caching = limits.budget(limit, caching=True)
    assert found.listing <= caching.listings <= found.listings
    assert 2 * caching.listings <= limit // 8 or caching.listings == 4 * MIB
    assert 2 * found.listings <= limit // 3 or found.listings == 4 * MIB
    assert min(found) >= 4 * MIB


def load(*properties: str, options: str = "") -> Config:
    """Settings of nothing but the arguments."""
    environ = {"ALLUXIO_CONF_DIR": "/nonexistent", "HOME": "/nonexistent"}
    return Config.load(options=[options], properties=properties, environ=environ)


def test_defaults_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Defaults become as small as the limit needs, which is told; with room enough they stay."""
    monkeypatch.setattr(limits, "memory", lambda: 256 * MIB)
    config = load(f"{CACHE}enabled=true")
    numbers = config.core_options()
    assert (numbers["transient_bytes"], numbers["cache_bytes"]) == (40 * MIB, 80 * MIB)
    assert config.cache_bytes == 80 * MIB
    assert config.origin("transient_window") == "memory limit"
    assert f"{CACHE}size: 80.0MB, for the memory limit of 256MB" in config.notes
    assert numbers["listings_bytes"] == 10 * MIB
    monkeypatch.setattr(limits, "memory", lambda: 512 * MIB)
    assert load().core_options()["listings_bytes"] == 64 * MIB
    monkeypatch.setattr(limits, "memory", lambda: 4 << 30)
    assert load(f"{CACHE}enabled=true").core_options()["cache_bytes"] == 512 * MIB


def test_a_page_always_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest cache is one page, however large that is."""
    monkeypatch.setattr(limits, "memory", lambda: 96 * MIB)
    assert load(f"{CACHE}enabled=true", f"{CACHE}page.size=8MB").cache_bytes == 8 * MIB


def test_what_was_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A size that somebody chose is kept, and the log says that it does not fit."""
    monkeypatch.setattr(limits, "memory", lambda: 256 * MIB)
    config = load(f"{CACHE}enabled=true", f"{CACHE}size=1GB", options="transient_window=8MB")
    assert config.cache_bytes == 1 << 30
    assert config.core_options()["transient_bytes"] == 8 * MIB
    assert [note for note in config.notes if "may be killed" in note and f"{CACHE}size=1GB (-D)" in note]


def test_a_cache_on_disk_is_not_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of a cache on a disk has nothing to do with memory."""
    monkeypatch.setattr(limits, "memory", lambda: 256 * MIB)
    config = load(f"{CACHE}enabled=true", f"{CACHE}store.type=LOCAL")
    assert config.cache_bytes == 512 * MIB
