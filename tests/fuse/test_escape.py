"""Nobody who may write into the tree gets out of it through the mount, with the rights of the daemon.

The daemon is root. Whoever owns a directory of the tree replaces it, after the kernel has looked it up, by a symbolic
link to where he may not look.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.children import Children, as_user
from harness.mounting import CACHE, Mounted, Mounts

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root has what an ordinary user may not read"),
]

SECRET = "root alone reads this"
ATTACKER = 65534
SWAPS = 300  # of a directory and a link, while others look
ENDS = (errno.ELOOP, errno.ENOTDIR, errno.ENOENT, errno.ESTALE, errno.EACCES, errno.EIO, errno.EINVAL)
MODES = [
    pytest.param("allow_other", {}, id="lent"),
    pytest.param("allow_other,passthrough=off", {}, id="spliced"),
    pytest.param("allow_other", CACHE, id="copied"),
]


@pytest.fixture
def source(private: Path) -> Path:
    """A tree in which the attacker owns `users/u`; beside it lies what he wants: the same names, for root alone."""
    made = private / "source"
    hidden = private / "hidden"
    for top in (made / "users/u/d", hidden):
        (top / "etc").mkdir(parents=True)
        (top / "etc" / "shadow").write_text("his own" if top != hidden else SECRET)
        (top / "etc" / "link").symlink_to("his" if top != hidden else SECRET.replace(" ", "-"))
        (top / "etc" / (f"only-{top.name}")).touch()
    hidden.chmod(0o700)
    for directory, _, names in os.walk(made / "users/u"):
        for path in (directory, *(os.path.join(directory, name) for name in names)):
            os.lchown(path, ATTACKER, ATTACKER)
    return made


def attempts(mounted: Mounted, at: str = "users/u/d") -> dict[str, str]:
    """What each way in tells the attacker."""

    def read() -> str:
        with open(mounted.join(f"{at}/etc/shadow")) as file:
            return file.read()

    ways: dict[str, Callable[[], str]] = {
        "read": read,
        "stat": lambda: str(os.lstat(mounted.join(f"{at}/etc/shadow")).st_size),
        "list": lambda: " ".join(sorted(os.listdir(mounted.join(f"{at}/etc")))),
        "readlink": lambda: os.readlink(mounted.join(f"{at}/etc/link")),
    }
    told = {}
    for name, way in ways.items():
        try:
            told[name] = way()
        except OSError as error:
            if error.errno not in ENDS:
                raise
    return told


def attacker(function: Callable[..., Any], *arguments: Any) -> Any:
    """Runs a function as the attacker; in a child process."""
    with as_user(ATTACKER):
        return function(*arguments)


HIS = {"read": "his own", "stat": "7", "list": "link only-d shadow", "readlink": "his"}


def test_the_ways_in_work_where_nothing_is_hidden(source: Path, mounts: Mounts, children: Children) -> None:
    """What the tests below expect to fail finds what is there."""
    mounted = mounts.mount(source, "allow_other")
    assert children.run(attacker, attempts, mounted) == HIS


@pytest.mark.parametrize(("options", "properties"), MODES)
@pytest.mark.parametrize("timeouts", ["", "attr_timeout=0,entry_timeout=0", "entry_timeout=3600,attr_timeout=0"])
@pytest.mark.parametrize("part", ["d", "d/etc"])
def test_a_directory_that_became_a_link_leads_nowhere(
    source: Path,
    private: Path,
    mounts: Mounts,
    children: Children,
    options: str,
    properties: dict[str, str],
    timeouts: str,
    part: str,
) -> None:
    """Reading, stat, listing and readlink fail, or show what was there before, through names that the kernel knows."""
    mounted = mounts.mount(source, ",".join(filter(None, (options, timeouts))), properties)

    def know() -> None:  # the directories, and nothing that is in them
        os.stat(mounted.join("users/u/d/etc"))

    def swap() -> None:
        own = source / "users/u" / part
        own.rename(own.with_name("old"))
        own.symlink_to(private / "hidden" if part == "d" else private / "hidden/etc")

    children.run(attacker, know)
    children.run(attacker, swap)
    for _ in range(2):
        for name, told in children.run(attacker, attempts, mounted).items():
            assert told == HIS[name]


@pytest.mark.parametrize(("options", "properties"), MODES)
def test_a_race_is_not_won(
    source: Path, private: Path, mounts: Mounts, children: Children, options: str, properties: dict[str, str]
) -> None:
    """A directory and a link take turns while the attacker looks: he never sees what is behind the link."""
    mounted = mounts.mount(source, f"{options},attr_timeout=0,entry_timeout=0,negative_timeout=0", properties)
    own = source / "users/u/d"

    def swap() -> None:
        os.symlink(private / "hidden", own.with_name("link"))
        for _ in range(SWAPS):
            own.rename(own.with_name("old"))
            own.with_name("link").rename(own)
            own.rename(own.with_name("link"))
            own.with_name("old").rename(own)

    def look() -> list[str]:
        """Everything that was told, until the other has done his swaps."""
        seen = set()
        while not (source / "users/u/done").exists():
            seen |= set(attempts(mounted).values())
        return sorted(seen)

    def swap_and_say() -> None:
        swap()
        (source / "users/u/done").touch()

    looking = children.start(attacker, look)
    children.run(attacker, swap_and_say, timeout=120)
    assert set(looking.result(120)) <= set(HIS.values()) | {""}


def test_names_that_climb_are_refused(source: Path) -> None:
    """The kernel never sends them; whoever builds on the source might."""
    from alluxio_jnifuse.sources.local import LocalSource

    opened = LocalSource(os.fsencode(source / "users/u"), lend=True)
    for path in (b"/..", b"/d/../../..", b"/../u/d"):
        for call in (opened.stat, opened.list, opened.readlink, lambda p: opened.open(p, 0)):
            with pytest.raises(OSError) as caught:
                call(path)
            assert caught.value.errno in (errno.EXDEV, errno.EINVAL)
    assert stat.S_ISDIR(opened.stat(b"/d/etc").mode)
    opened.close()
