"""A cache directory that somebody else could replace is refused, and nothing that it leads to is touched.

Before, root made files through it, emptied "its" directories and truncated files wherever the attacker's links led.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from stores import open_store

from alluxio_jnifuse.errors import MountError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to somebody else")

SOMEBODY = 65534


def contents(top: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything below a directory: owner, mode, bytes."""
    return {
        str(path.relative_to(top)): (s.st_uid, s.st_mode, path.read_bytes() if path.is_file() else b"")
        for path in sorted(top.rglob("*"))
        for s in [path.lstat()]
    }


def give(path: Path) -> None:
    """Makes it the attacker's."""
    os.lchown(path, SOMEBODY, SOMEBODY)


@pytest.fixture
def public(directory: Path) -> Path:
    """A directory such as /tmp."""
    made = directory / "tmp"
    made.mkdir()
    made.chmod(0o1777)
    return made


@pytest.fixture
def victim(directory: Path, kind: str) -> Path:
    """Root's own data, of names that a store would remove or truncate."""
    own = directory / "victim" / "alluxio-jnifuse" / kind
    for name in (f"ab/ab{'0' * 30}", f"ab/ab{'0' * 30}.sums", "db/LOCK", "db/CURRENT", "lock"):
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_text("precious")
    return directory / "victim"


def refused(kind: str, parent: Path) -> str:
    with pytest.raises(MountError) as caught:
        open_store(kind, parent)
    return str(caught.value)


def test_made_before_us_by_somebody_else(kind: str, public: Path, victim: Path) -> None:
    """A directory in /tmp, with our name or without."""
    for parts in ((), ("alluxio-jnifuse",), ("alluxio-jnifuse", kind)):
        cache = public.joinpath("cache")
        made = cache.joinpath(*parts)
        made.mkdir(parents=True)
        give(made)
        before = contents(public)
        assert "client.cache.dirs" in refused(kind, cache)
        assert contents(public) == before
        for path in (made, *list(made.parents)[: len(parts)]):
            path.rmdir()


@pytest.mark.parametrize("whose", ["his", "ours"])
def test_a_link_to_something_of_root(kind: str, public: Path, victim: Path, whose: str) -> None:
    """Where a directory should be: his link is not followed; ours is, and what it leads to is no cache."""
    link = public / "cache"
    link.symlink_to(victim)
    if whose == "his":
        give(link)
    before = contents(victim)
    assert (f"belongs to user {SOMEBODY}" if whose == "his" else "not emptied") in refused(kind, link)
    assert contents(victim) == before


def test_in_a_directory_that_anybody_may_write_to(kind: str, public: Path) -> None:
    """Without the sticky bit he could move ours away and put another one there."""
    public.chmod(0o777)
    said = refused(kind, public / "cache")
    assert f"{public} can be written by others" in said
    assert "chmod" in said
    assert not (public / "cache").exists()


def test_in_a_directory_of_somebody_else(kind: str, directory: Path) -> None:
    """Whatever its mode."""
    (directory / "his").mkdir(mode=0o700)
    give(directory / "his")
    assert f"{directory / 'his'} belongs to user {SOMEBODY}" in refused(kind, directory / "his" / "cache")


def test_where_nobody_else_can_do_anything(kind: str, public: Path) -> None:
    """The same places without the attacker."""
    store = open_store(kind, public / "cache")
    assert str(store).startswith(str(public / "cache"))
