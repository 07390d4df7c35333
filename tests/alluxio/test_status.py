"""What is kept of a FileInfo, and what applications see of it."""

from __future__ import annotations

import grp
import os
import pwd
import stat
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from infos import BLOCK_SIZE, MTIME_MS, directory_info, file_info, files, worker_address

from alluxio_jnifuse.sources.alluxio.metadata import owners as owners_module
from alluxio_jnifuse.sources.alluxio.metadata import status as status_module
from alluxio_jnifuse.sources.alluxio.metadata.owners import UNKNOWN_ID, Owners
from alluxio_jnifuse.sources.alluxio.metadata.status import (
    Address,
    Addresses,
    FileStatus,
    Packer,
    alluxio_path,
    attr,
    from_info,
    version,
    version_of,
)
from alluxio_jnifuse.sources.alluxio.proto.file_pb2 import FileInfo
from alluxio_jnifuse.sources.base import BLOCKS_FROM_SIZE, Attr

NOBODY = Owners(1, 2)


def test_everything_is_kept() -> None:
    """All that opening and reading need is in the status."""
    length = BLOCK_SIZE + 10
    info = file_info("/a/f", 5, length, (3,))
    info.fileBlockInfos[1].blockInfo.locations.add(workerAddress=worker_address(4))
    three, four = (
        Address(f"w{n}.example", "", 29999, 29998, "/opt/domain", (("node", f"w{n}.example"), ("rack", f"r{n % 2}")))
        for n in (3, 4)
    )
    found = from_info(info, Addresses())
    assert found == FileStatus(
        file_id=5 << 24 | 0xFFFFFF,
        name="f",
        length=length,
        block_size=BLOCK_SIZE,
        mtime_ms=MTIME_MS + 5,
        atime_ms=MTIME_MS,
        mode=stat.S_IFREG | 0o644,
        owner="alice",
        group="staff",
        folder=False,
        completed=True,
        persistence="PERSISTED",
        ufs_path="oss://bucket/data/a/f",
        mount_id=1,
        block_ids=(5 << 24, 5 << 24 | 1),
        block_lengths=(BLOCK_SIZE, 10),
        locations=((three,), (three, four)),
        replication_max=-1,
    )
    assert found.persisted
    assert found.in_ufs


@pytest.mark.parametrize(("state", "in_ufs"), [("NOT_PERSISTED", False), ("TO_BE_PERSISTED", True), ("LOST", False)])
def test_what_is_not_persisted(state: str, in_ufs: bool) -> None:
    """Workers can get a file from the under store before it is persisted there, by the tier that they write it to."""
    found = from_info(file_info("/f", persistenceState=state), Addresses())
    assert not found.persisted
    assert found.in_ufs == in_ufs


def test_what_is_seen_of_a_file() -> None:
    """The inode number is the file id, and the change time is the modification time."""
    found = from_info(file_info("/f", 5), Addresses())
    mtime_ns, atime_ns = (MTIME_MS + 5) * 10**6, MTIME_MS * 10**6
    seen = attr(found, NOBODY)
    assert seen == Attr(
        5 << 24 | 0xFFFFFF, 1000, BLOCKS_FROM_SIZE, version_of(found), mtime_ns, mtime_ns, atime_ns, 0o100644, 1, 1, 2
    )


def test_what_is_seen_of_a_directory() -> None:
    """Its length is the number of its entries, which is shown to nobody."""
    found = from_info(directory_info("/d", completed=False), Addresses())
    seen = attr(found, NOBODY)
    assert (found.length, found.completed) == (0, True)
    assert (seen.size, seen.nlink, seen.mode) == (4096, 1, 0o040755)


@pytest.mark.parametrize("file_id", [0, -1])
def test_the_core_makes_up_the_inode_number_of_what_has_no_file_id(file_id: int) -> None:
    """The root of a cluster has none, and the first directory of a new one has 1."""
    assert attr(from_info(directory_info("/", fileId=file_id), Addresses()), NOBODY).ino == 0
    assert attr(from_info(directory_info("/a", fileId=1), Addresses()), NOBODY).ino == 1


def test_what_is_seen_of_an_incomplete_file_is_not_kept() -> None:
    """Not by the core (no links), and it is another file when it is complete."""
    written = from_info(file_info("/f", length=0, completed=False), Addresses())
    empty = from_info(file_info("/f", length=0), Addresses())
    assert attr(written, NOBODY).nlink == 0
    assert version_of(written) != version_of(empty)


_INT64 = st.integers(-(2**63), 2**63 - 1)
_PARTS = st.tuples(_INT64, st.integers(0, 2**63 - 1), _INT64, st.booleans())


@settings(derandomize=True)
@given(_PARTS, _PARTS, st.integers(0, 3))
def test_a_version_is_of_its_parts(parts: tuple[int, int, int, bool], others: tuple[int, ...], at: int) -> None:
    """The same for the same, 64 bits, and another when one part is another."""
    changed = [*parts]
    changed[at] = others[at]
    before = version(*parts)
    assert 0 <= before < 2**64
    assert (version(*changed) == before) == (changed[at] == parts[at])


def test_versions_stay() -> None:
    """From one process to the next, and from one Python to another."""
    assert version(5 << 24 | 0xFFFFFF, 1000, MTIME_MS, True) == 0xED0544100489CA43


def test_blocks_in_another_order() -> None:
    """Blocks are told apart by their ids."""
    info = file_info("/f", 5, 2 * BLOCK_SIZE + 10, (3,))
    swapped = FileInfo.FromString(info.SerializeToString())
    del swapped.fileBlockInfos[:]
    for part in reversed(info.fileBlockInfos):
        swapped.fileBlockInfos.add().CopyFrom(part)
    addresses = Addresses()
    assert from_info(swapped, addresses) == from_info(info, addresses)


def test_blocks_that_the_master_does_not_describe() -> None:
    """They are as long as they can be, and nowhere."""
    info = file_info("/f", 5, 2 * BLOCK_SIZE + 10, (3,))
    del info.fileBlockInfos[1:]
    found = from_info(info, Addresses())
    assert found.block_lengths == (BLOCK_SIZE, BLOCK_SIZE, 10)
    assert [len(holders) for holders in found.locations] == [1, 0, 0]


def test_times() -> None:
    """An access time that is not known is the modification time; none is more than nanoseconds can say."""
    info = file_info("/f", lastAccessTimeMs=0)
    assert from_info(info, Addresses()).atime_ms == info.lastModificationTimeMs
    info.lastModificationTimeMs = 2**63 - 1
    info.lastAccessTimeMs = -(2**63)
    seen = attr(from_info(info, Addresses()), NOBODY)
    assert 2**63 - 10**6 < seen.mtime_ns < 2**63
    assert -(2**63) <= seen.atime_ns < -(2**63) + 10**6


def test_addresses_are_shared() -> None:
    """However many blocks a worker has, it has one Address; those of more workers than can be kept are right too."""
    addresses = Addresses()
    first, second = (addresses.of(worker_address(3)) for _ in range(2))
    assert first is second
    for number in range(status_module._ADDRESSES_MAX + 10):
        assert addresses.of(worker_address(number)).host == f"w{number}.example"
    assert len(addresses._known) <= status_module._ADDRESSES_MAX


def test_an_endpoint_is_in_the_container() -> None:
    """The host is what the worker calls its machine; blocks are read from where it listens."""
    address = worker_address(1)
    assert Addresses().of(address).endpoint == ("w1.example", 29998)
    address.containerHost = "10.1.2.3"
    assert Addresses().of(address).endpoint == ("10.1.2.3", 29998)


# ------------------------------------------------------------------------------------------------------------- owners


def test_owners_are_those_of_this_machine() -> None:
    """A user and a group of the cluster are those of the same names here."""
    user, group = pwd.getpwuid(os.getuid()), grp.getgrgid(os.getgid())
    assert Owners().ids(user.pw_name, group.gr_name) == (os.getuid(), os.getgid())
    assert Owners().ids("no such user", "") == (UNKNOWN_ID, UNKNOWN_ID)
    assert Owners(gid=7).ids(user.pw_name, group.gr_name) == (os.getuid(), 7)
    assert Owners().ids("a\0b", "a\0b") == (UNKNOWN_ID, UNKNOWN_ID)


def test_a_name_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is unknown is looked up again after a minute: a name service may have failed."""
    asked = []
    now = 100.0
    known: dict[str, int] = {"alice": 5}

    def look_up(name: str) -> int:
        asked.append(name)
        return known[name]

    monkeypatch.setattr(owners_module, "_uid_of", look_up)
    owners = Owners(gid=0, clock=lambda: now)
    assert [owners.ids(name, "")[0] for name in ("alice", "bob", "alice", "bob")] == [5, UNKNOWN_ID, 5, UNKNOWN_ID]
    assert asked == ["alice", "bob"]
    known["bob"] = 6
    now += 61
    assert [owners.ids(name, "")[0] for name in ("alice", "bob")] == [5, 6]
    assert asked == ["alice", "bob", "bob"]


# -------------------------------------------------------------------------------------------------------------- paths


def test_paths_of_the_cluster() -> None:
    """The mount's root is a directory of the cluster."""
    assert alluxio_path("/训练/f".encode()) == "/训练/f"
    assert alluxio_path(b"/", "/data") == "/data"
    assert alluxio_path(b"/f", "/data") == "/data/f"


def test_nothing_in_a_cluster_has_a_name_that_is_not_utf8() -> None:
    """So such a file does not exist."""
    with pytest.raises(FileNotFoundError):
        alluxio_path(b"/\xff")


# ------------------------------------------------------------------------------------------------------------ packing


def through(packer: Packer, found: FileStatus, path: str) -> FileStatus:
    rest = packer.pack(found, path)
    return packer.unpack(rest, path, found.file_id, found.length, found.mtime_ms, found.atime_ms, found.mode)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.lists(files(), max_size=8), st.sampled_from((2, 0xFFFF)))
def test_what_is_packed_comes_back(infos: list[FileInfo], rows: int) -> None:
    """Whatever it is, and also when the tables are full."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(status_module, "_ROWS_MAX", rows)
        packer, addresses = Packer(), Addresses()
        for info in infos:
            found = from_info(info, addresses)
            assert through(packer, found, info.path) == found
        assert max(len(packer._rows), len(packer._addresses)) <= rows


@pytest.mark.parametrize(
    ("path", "ufs_path"),
    [
        ("/", "oss://bucket/data/"),
        ("/", "oss://bucket/data"),
        ("/a/b/c", "oss://bucket/data/a/b/c"),
        ("/a/b/c", "oss://elsewhere/c"),
        ("/a/b/c", "oss://elsewhere/xb/c"),
        ("/a/b/c", "oss://elsewhere/x"),
        ("/a/b/c", "/c"),
        ("/a/b/c", "c"),
        ("/a/b/c", ""),
        ("/a", "oss://bucket/data"),
    ],
)
def test_under_store_paths(path: str, ufs_path: str) -> None:
    """Each comes back, whatever was packed before it."""
    packer = Packer()
    deep = from_info(file_info("/x/y/z", ufsPath="oss://bucket/data/z"), Addresses())
    found = from_info(file_info(path, ufsPath=ufs_path), Addresses())
    for status, where in ((found, path), (deep, "/x/y/z"), (found, path)):
        assert through(packer, status, where) == status


def test_most_files_are_packed_into_a_few_bytes() -> None:
    """Two for what they share with others, two and two for each worker that has the file, or its blocks alike."""
    packer, addresses = Packer(), Addresses()
    for number in range(20):
        path = f"/a/f{number}"
        for length, holders, size in ((1000, (), 2), (1000, (1, 2), 8), (100 * BLOCK_SIZE, (1,), 6)):
            found = from_info(file_info(path, number + 1, length, holders), addresses)
            assert len(packer.pack(found, path)) == size


def test_what_files_do_not_share_takes_no_rows() -> None:
    """A table would be full of it."""
    packer, addresses = Packer(), Addresses()
    for number, odd in enumerate(({"ufsPath": "oss://x/1"}, {"length": 2**62}, {"blockSizeBytes": -1})):
        path = f"/a/f{number}"
        info = file_info(path, number + 1)
        for name, value in odd.items():
            setattr(info, name, value)
        found = from_info(info, addresses)
        assert through(packer, found, path) == found
    assert packer._rows == []


def test_a_master_that_says_something_new_with_each_file() -> None:
    """Owners, mounts and workers with long names: what is kept of them has an end, and comes back right."""
    packer, addresses, owners = Packer(), Addresses(), Owners()
    tracemalloc.start()
    try:
        for number in range(5000):
            path, long = f"/a/f{number}", f"{number}" * 10_000
            made = file_info(path, number + 1, 1000, (0,), owner=long, group=long, mountId=number)
            made.ufsPath = f"oss://{long}{path}"
            made.fileBlockInfos[0].blockInfo.locations[0].workerAddress.host = long
            found = from_info(made, addresses)
            assert through(packer, found, path) == found
            if number % 100 == 0:
                attr(found, owners)
        assert tracemalloc.get_traced_memory()[0] < 16 << 20
    finally:
        tracemalloc.stop()


def test_names_of_owners_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A master may send a new one with each file."""
    monkeypatch.setattr(owners_module, "_uid_of", len)
    owners = Owners(gid=0)
    for number in range(3 * owners_module._MOST_NAMES):
        assert owners.ids(f"u{number}", "g")[0] == len(f"u{number}")
    assert len(owners._uids) <= owners_module._MOST_NAMES


def test_a_block_with_very_many_holders() -> None:
    """There are more than a number of two bytes can count."""
    made = file_info("/a/f", 1, 1000)
    for _ in range(70_000):
        made.fileBlockInfos[0].blockInfo.locations.add()
    found = from_info(made, Addresses())
    assert len(found.locations[0]) == 70_000
    assert through(Packer(), found, "/a/f") == found
