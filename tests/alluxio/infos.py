"""FileInfo messages as a master sends them, and as one never does."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from alluxio_jnifuse.sources.alluxio.proto.common_pb2 import WorkerNetAddress
from alluxio_jnifuse.sources.alluxio.proto.file_pb2 import FileInfo

BLOCK_SIZE = 64 << 20
MTIME_MS = 1_700_000_000_000


def worker_address(number: int) -> WorkerNetAddress:
    """The address of a worker."""
    made = WorkerNetAddress(host=f"w{number}.example", rpcPort=29999, dataPort=29998, webPort=30000)
    made.domainSocketPath = "/opt/domain"
    made.tieredIdentity.tiers.add(tierName="node", value=f"w{number}.example")
    made.tieredIdentity.tiers.add(tierName="rack", value=f"r{number % 2}")
    return made


def file_info(path: str, number: int = 1, length: int = 1000, holders: tuple[int, ...] = (), **fields: Any) -> FileInfo:
    """A complete file of the under store, as it is in a cluster; `holders` have all its blocks."""
    block_size = fields.pop("blockSizeBytes", BLOCK_SIZE)
    made = FileInfo(
        fileId=number << 24 | 0xFFFFFF,
        name=path.rpartition("/")[2],
        path=path,
        ufsPath=f"oss://bucket/data{path}",
        length=length,
        blockSizeBytes=block_size,
        completed=True,
        persisted=True,
        lastModificationTimeMs=MTIME_MS + number,
        lastAccessTimeMs=MTIME_MS,
        ttl=-1,
        owner="alice",
        group="staff",
        mode=0o644,
        persistenceState="PERSISTED",
        mountId=1,
        replicationMax=-1,
    )
    for index in range(-(-length // block_size) if block_size else 0):
        block = made.fileBlockInfos.add(offset=index * block_size).blockInfo
        block.blockId = number << 24 | index
        block.length = min(block_size, length - index * block_size)
        made.blockIds.append(block.blockId)
        for holder in holders:
            block.locations.add(workerId=holder + 1, workerAddress=worker_address(holder))
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def directory_info(path: str, number: int = 1, **fields: Any) -> FileInfo:
    """A directory."""
    made = file_info(path, number, 0, folder=True, blockSizeBytes=0, mode=0o755)
    made.length = 3  # entries
    for name, value in fields.items():
        setattr(made, name, value)
    return made


_INT64 = st.integers(-(2**63), 2**63 - 1)
_TIME = st.one_of(st.integers(0, 2**42), _INT64)
_NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=4)


@st.composite
def files(draw: st.DrawFn, directory: str = "/d") -> FileInfo:
    """Files as they are, with now and then something that is unlike all others."""
    path = f"{directory}/{draw(_NAMES)}"
    if draw(st.integers(0, 5)) == 0:
        made = directory_info(path, draw(st.integers(1, 9)))
    else:
        made = file_info(
            path,
            draw(st.integers(1, 2**39 - 1)),
            draw(st.sampled_from((0, 1, 999, 1000, 1001, 2500))),
            tuple(draw(st.lists(st.integers(0, 5), max_size=3, unique=True))),
            blockSizeBytes=draw(st.sampled_from((1000, 1001))),
        )
    made.owner = draw(st.sampled_from(("alice", "bob", "")))
    made.mode = draw(st.sampled_from((0o644, 0o600, 0o100644)))
    made.completed = draw(st.integers(0, 5)) > 0
    oddities = draw(st.lists(st.sampled_from(sorted(_ODDITIES)), max_size=2, unique=True))
    for oddity in oddities if draw(st.booleans()) else ():
        _ODDITIES[oddity](draw, made)
    return made


def _another_location(draw: st.DrawFn, made: FileInfo) -> None:
    if made.fileBlockInfos:
        made.fileBlockInfos[-1].blockInfo.locations.add(workerId=7, workerAddress=worker_address(6))


def _another_block(draw: st.DrawFn, made: FileInfo) -> None:
    made.blockIds.append(draw(_INT64))


def _another_length(draw: st.DrawFn, made: FileInfo) -> None:
    if made.fileBlockInfos:
        made.fileBlockInfos[0].blockInfo.length -= 1


def _no_blocks(draw: st.DrawFn, made: FileInfo) -> None:
    del made.blockIds[:]


_ODDITIES = {
    "file id": lambda draw, made: setattr(made, "fileId", draw(_INT64.filter(lambda n: n != 0))),
    "length": lambda draw, made: setattr(made, "length", draw(_INT64)),
    "block size": lambda draw, made: setattr(made, "blockSizeBytes", draw(_INT64)),
    "mtime": lambda draw, made: setattr(made, "lastModificationTimeMs", draw(_TIME)),
    "atime": lambda draw, made: setattr(made, "lastAccessTimeMs", draw(_TIME)),
    "ufs path": lambda draw, made: setattr(made, "ufsPath", draw(st.text(max_size=5))),
    "mount": lambda draw, made: setattr(made, "mountId", draw(_INT64)),
    "replication": lambda draw, made: setattr(made, "replicationMax", draw(st.integers(-1, 3))),
    "persistence": lambda draw, made: setattr(made, "persistenceState", draw(st.sampled_from(("LOST", "NEW")))),
    "location": _another_location,
    "block": _another_block,
    "block length": _another_length,
    "no blocks": _no_blocks,
    "silence": lambda draw, made: made.ClearField("fileBlockInfos"),
}
