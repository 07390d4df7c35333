"""Whoever is let in with allow_other gets what modes permit, and no more; the daemon is root."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness.children import Child, Children, as_user
from harness.mounting import CACHE, Mounted, Mounts

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root has what an ordinary user may not read"),
]

SOMEBODY, ANOTHER = 65534, 65533
GROUP = 54321
ACL_NO_ID = 0xFFFFFFFF
Step = Callable[[], None]

SECRET = "root alone reads this"
DISK = {**CACHE, "alluxio.user.client.cache.store.type": "LOCAL"}
MODES = [
    pytest.param("allow_other", {}, id="lent"),
    pytest.param("allow_other,passthrough=off", {}, id="spliced"),
    pytest.param("allow_other,direct_io", {}, id="direct"),
    pytest.param("allow_other", CACHE, id="copied"),
    pytest.param("allow_other", DISK, id="stored"),
]
CHANGES = [
    pytest.param(lambda path: path.chmod(0o600), id="chmod"),
    pytest.param(lambda path: (path.chmod(0o640), os.chown(path, -1, GROUP)), id="chgrp"),
    pytest.param(lambda path: (path.chmod(0o400), os.chown(path, ANOTHER, -1)), id="chown"),
]


@pytest.fixture
def source(private: Path) -> Path:
    """Files and directories for everybody, for a group, and for root alone."""
    root = private / "source"
    for name, mode in (("", 0o755), ("open", 0o755), ("closed", 0o700), ("unlisted", 0o711), ("unsearched", 0o744)):
        directory = root / name
        directory.mkdir()
        (directory / "public").write_text("for all")
        (directory / "secret").write_text(SECRET)
        (directory / "secret").chmod(0o600)
        (directory / "link").symlink_to("secret")
        directory.chmod(mode)
    (root / "group").write_text("for a group")
    os.chown(root / "group", 0, GROUP)
    (root / "group").chmod(0o640)
    return root


def mount(mounts: Mounts, source: Path, options: str, properties: dict[str, str]) -> Mounted:
    """A mount whose cache on disk, if it has one, lies in the test's directory."""
    if properties is DISK:
        properties = {**DISK, "alluxio.user.client.cache.dirs": str(source.parent / "cache")}
    return mounts.mount(source, options, properties)


@contextmanager
def somebody(groups: tuple[int, ...] = (), uid: int = SOMEBODY) -> Iterator[None]:
    """The rest of this (child) process runs as an ordinary user with supplementary groups."""
    with as_user(uid) if not groups else _with_groups(uid, groups):
        yield


@contextmanager
def _with_groups(uid: int, groups: tuple[int, ...]) -> Iterator[None]:
    os.setgroups(groups)
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    yield


def outcome(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a call returns, or the name of its errno."""
    try:
        return function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def read(path: str) -> str:
    """The contents of a file."""
    with open(path) as file:
        return file.read()


def read_as(path: str, uid: int = SOMEBODY, groups: tuple[int, ...] = ()) -> Any:
    """What a user reads in a file, or the name of the errno; in a child."""
    with somebody(groups, uid):
        return outcome(read, path)


def meanwhile(function: Callable[[Step], Any], work: Callable[[], object]) -> Any:
    """Runs a function in a child; where that calls its argument, `work` is done here. What the function returned."""
    here, there = socket.socketpair()
    with here, there:

        def before() -> None:
            there.send(b"!")
            there.recv(1)

        child = Child(function, before)
        try:
            assert here.recv(1) == b"!"
            work()
        finally:
            here.send(b"!")
            result = child.result()
        return result


def look_around(root: str) -> dict[str, Any]:
    """What an ordinary user gets of each way to each thing; in a child."""
    told = {}
    with somebody():
        for directory in ("", "open", "closed", "unlisted", "unsearched"):
            at = os.path.join(root, directory)
            told[f"{directory} list"] = outcome(lambda at=at: sorted(os.listdir(at)))
            for name in ("public", "secret", "link"):
                path = os.path.join(at, name)
                told[f"{directory}/{name} read"] = outcome(read, path)
                told[f"{directory}/{name} stat"] = outcome(lambda path=path: os.stat(path).st_size)
                told[f"{directory}/{name} access"] = outcome(os.access, path, os.R_OK)
            told[f"{directory} readlink"] = outcome(os.readlink, os.path.join(at, "link"))
        told["group"] = outcome(read, os.path.join(root, "group"))
    return told


@pytest.mark.parametrize(("options", "properties"), MODES)
def test_a_stranger_gets_what_he_gets_of_the_directory(
    source: Path, mounts: Mounts, children: Children, options: str, properties: dict[str, str]
) -> None:
    """Files of root, directories that he may not search or list: as on the directory itself."""
    mounted = mount(mounts, source, options, properties)
    expected = children.run(look_around, str(source))
    assert expected["/secret read"] == expected["closed/public read"] == expected["group"] == "EACCES"
    assert children.run(look_around, mounted.path) == expected
    children.command("grep", "-r", ".", mounted.path)  # root reads everything: it is all known, and may be cached
    assert children.run(look_around, mounted.path) == expected


@pytest.mark.parametrize(("options", "properties"), MODES)
def test_groups(source: Path, mounts: Mounts, children: Children, options: str, properties: dict[str, str]) -> None:
    """Supplementary groups count."""
    path = mount(mounts, source, options, properties).join("group")
    assert children.run(read_as, path, SOMEBODY, (7, GROUP)) == "for a group"
    assert children.run(read_as, path, SOMEBODY, (7,)) == "EACCES"
    assert children.run(read_as, path, ANOTHER, (GROUP,)) == "for a group"


def test_the_way_out(source: Path, mounts: Mounts, children: Children) -> None:
    """With no_default_permissions whoever is let in reads what the daemon may read, as it was before."""
    mounted = mounts.mount(source, "allow_other,no_default_permissions")
    told = children.run(look_around, mounted.path)
    assert told["/secret read"] == told["closed/link read"] == SECRET
    property = {"alluxio.fuse.mount.options": "allow_other,no_default_permissions"}
    assert children.run(look_around, mounts.mount(source, "", property).path) == told
    property = {"alluxio.fuse.mount.options": "allow_other"}
    assert children.run(look_around, mounts.mount(source, "", property).path)["/secret read"] == "EACCES"


def test_allow_root(source: Path, mounts: Mounts, children: Children) -> None:
    """The kernel shows to everybody what root has looked up, though libfuse would refuse it; not what modes deny."""

    def size() -> Any:
        with somebody():
            return outcome(lambda: os.stat(mounted.join("closed/public")).st_size)

    for options, told in (("allow_root,no_default_permissions", len("for all")), ("allow_root", "EACCES")):
        mounted = mounts.mount(source, options)
        children.run(os.stat, mounted.join("closed/public"))
        assert children.run(size) == told
        assert children.run(read_as, mounted.join("closed/public")) == "EACCES"


def test_shown_owners_count(source: Path, mounts: Mounts, children: Children) -> None:
    """uid, gid and umask say who owns what and who may read it, also here."""
    shown = mounts.mount(source, f"allow_other,uid={SOMEBODY},umask=077")
    assert children.run(read_as, shown.join("secret")) == SECRET
    assert children.run(read_as, shown.join("public"), ANOTHER) == "EACCES"
    (source / "secret").chmod(0o640)  # is not shown, so nothing has changed
    assert children.run(read_as, shown.join("secret")) == SECRET


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("options", "properties"), MODES)
def test_what_is_closed_behind_the_mount_is_closed_at_the_next_open(
    source: Path,
    mounts: Mounts,
    children: Children,
    options: str,
    properties: dict[str, str],
    change: Callable[[Path], Any],
) -> None:
    """chmod, chgrp and chown of a file count at once, though its attributes are trusted for an hour."""
    file = source / "open/public"
    mounted = mount(mounts, source, f"{options},attr_timeout=3600,entry_timeout=3600", properties)
    path = mounted.join("open/public")

    def know() -> None:
        with somebody():
            os.stat(path)

    children.run(know)
    change(file)
    for _ in range(3):
        assert children.run(read_as, path) == "EACCES"
    assert children.run(read, path) == "for all"
    assert children.run(read_as, path) == "EACCES"
    assert oct(children.run(os.stat, path).st_mode) == oct(file.stat().st_mode)


@pytest.mark.parametrize(("options", "properties"), MODES)
def test_what_somebody_else_has_open_is_no_way_in(
    source: Path, mounts: Mounts, children: Children, options: str, properties: dict[str, str]
) -> None:
    """While root, or somebody else, has a file open, another user's open is checked anew; also of what is cached."""
    mounted = mount(mounts, source, f"{options},attr_timeout=3600,entry_timeout=3600", properties)
    for opener in (0, ANOTHER):
        file = source / f"opened-by-{opener}"
        file.write_text("for all")
        path = mounted.join(file.name)

        def hold(before: Step, opener: int = opener, path: str = path) -> None:
            with somebody(uid=opener), open(path) as opened:
                opened.read()
                before()

        def attack(file: Path = file, path: str = path) -> None:
            assert children.run(read_as, path) == "for all"
            file.chmod(0o600)
            for _ in range(2):
                assert children.run(read_as, path) == "EACCES"

        meanwhile(hold, attack)
    path = mounted.join("open/public")
    children.run(read_as, path, ANOTHER)  # all of it is in the cache, if there is one
    (source / "open/public").chmod(0o600)
    assert children.run(read_as, path) == "EACCES"


@pytest.mark.parametrize(("options", "properties"), MODES)
def test_a_descriptor_that_only_names_the_file_is_no_way_in(
    source: Path, mounts: Mounts, children: Children, options: str, properties: dict[str, str]
) -> None:
    """/proc/self/fd of an O_PATH descriptor is not looked up again, and not opened either."""
    mounted = mount(mounts, source, f"{options},attr_timeout=3600,entry_timeout=3600", properties)
    path = mounted.join("open/public")

    def attack(before: Step) -> list[Any]:
        with somebody():
            fd, other = os.open(path, os.O_PATH), os.open(mounted.join("public"), os.O_PATH)
            before()
            return [outcome(read, f"/proc/self/fd/{number}") for number in (other, fd, fd, fd)]

    first, *rest = meanwhile(attack, lambda: (source / "open/public").chmod(0o600))
    assert first == "for all"
    assert set(rest) <= {"EACCES", "ESTALE"}


def test_the_ordinary_user_asks_nothing_more(source: Path, mounts: Mounts, children: Children) -> None:
    """Who opens a file again and again costs the source no request more than without the check."""
    counts = []
    for options in ("allow_other", "allow_other,no_default_permissions"):
        for properties in ({}, CACHE):
            mounted = mounts.mount(source, options, properties)
            path = mounted.join("open/public")
            children.run(read_as, path)
            before = mounted.settled()

            def epoch(path: str = path) -> None:
                with somebody(), open(path):
                    for _ in range(20):
                        read(path)

            children.run(epoch)
            mounted.settled()
            counts.append({k: v for k, v in mounted.since(before).items() if k.startswith("fetch_")})
    assert counts[:2] == counts[2:]


def set_acl(path: Path, user: int, group: int, mask: int) -> None:
    """Gives a file an ACL (linux/posix_acl_xattr.h): rights of SOMEBODY, the owning group, the mask; or skips."""
    entries = ((1, 6, ACL_NO_ID), (2, user, SOMEBODY), (4, group, ACL_NO_ID), (16, mask, ACL_NO_ID), (32, 0, ACL_NO_ID))
    value = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(path, "system.posix_acl_access", value)
    except OSError as error:
        pytest.skip(f"no ACLs here: {error}")


def test_lists_of_access(source: Path, mounts: Mounts, children: Children) -> None:
    """The kernel sees mode bits and no ACL: whom one lets in stays out, and its mask counts as the group's rights."""
    file = source / "listed"
    file.write_text("by ACL")
    os.chown(file, 0, GROUP)
    set_acl(file, user=4, group=0, mask=4)
    assert oct(file.stat().st_mode) == "0o100640"
    mounted = mounts.mount(source, "allow_other")
    assert children.run(read_as, str(file)) == "by ACL"
    assert children.run(read_as, mounted.join("listed")) == "EACCES"
    assert children.run(read_as, str(file), ANOTHER, (GROUP,)) == "EACCES"
    assert children.run(read_as, mounted.join("listed"), ANOTHER, (GROUP,)) == "by ACL"


@pytest.mark.parametrize(("options", "properties"), MODES)
def test_many_users_while_modes_change(source: Path, mounts: Mounts, options: str, properties: dict[str, str]) -> None:
    """Opens by several users at once, while files are closed and opened to them: each is permitted or refused."""
    mounted = mount(mounts, source, options, properties)
    names = [f"shared-{number}" for number in range(4)]
    for name in names:
        (source / name).write_text("for all")

    def opens(uid: int) -> set[Any]:
        with somebody(uid=uid):
            return {outcome(read, mounted.join(name)) for _ in range(100) for name in names}

    children = [Child(opens, uid) for uid in (0, SOMEBODY, ANOTHER, 65532)]
    for mode in (0o600, 0o644) * 100:
        for name in names:
            (source / name).chmod(mode)
    told = [child.result(120.0) for child in children]
    assert "for all" in told[0]
    assert set().union(*told) <= {"for all", "EACCES", "ESTALE"}  # twice in the time of one look-up
