"""No request leaves an option to a server that has no default for it: an unset ttl deletes users' data."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from alluxio_jnifuse.sources.alluxio.proto import common_pb2, file_pb2, sasl_pb2, version_pb2, worker_pb2
from alluxio_jnifuse.sources.alluxio.rpc import requests

UFS = {
    "persistence": "PERSISTED",
    "ufs_path": "s3://bucket/a",
    "mount_id": 7,
    "block_id": (9 << 24) | 3,
    "block_size": 64 << 20,
    "length": 1000,
    "concurrency": 2**31 - 1,
    "no_cache": False,
}

HELD = requests.held_block_options(length=1000, concurrency=1, no_cache=False)

# Every public function of requests.py, called with the least it takes.
EXAMPLES: dict[str, Callable[[], Message]] = {
    "service_version": lambda: requests.service_version(version_pb2.META_MASTER_CLIENT_SERVICE),
    "authenticate": lambda: requests.authenticate("uuid", "a test", "alice"),
    "get_status": lambda: requests.get_status("/a"),
    "list_status": lambda: requests.list_status("/a"),
    "exists": lambda: requests.exists("/a"),
    "check_access": lambda: requests.check_access("/a", os.R_OK),
    "get_mount_table": lambda: requests.get_mount_table(),
    "get_block_info": lambda: requests.get_block_info(1),
    "get_worker_info_list": lambda: requests.get_worker_info_list(),
    "get_block_master_info": lambda: requests.get_block_master_info(),
    "get_configuration": lambda: requests.get_configuration(),
    "get_config_hash": lambda: requests.get_config_hash(),
    "get_master_info": lambda: requests.get_master_info(),
    "open_ufs_block_options": lambda: requests.open_ufs_block_options(**UFS),
    "held_block_options": lambda: HELD,
    "read_block": lambda: requests.read_block(1, 0, 1, 1, HELD),
    "open_local_block": lambda: requests.open_local_block(1),
    "cache": lambda: requests.cache(1, 1, HELD, "host", 29999),
    "async_cache": lambda: requests.async_cache(1, 1, HELD, "host", 29999),
}

# Fields that may be absent, each for a reason.
MAY_BE_ABSENT = {
    "ReadRequest.offset_received": "makes the message an acknowledgement",
    "GetStatusPOptions.accessMode": "with it the master records an access",
    "OpenUfsBlockOptions.user": "the worker fills it in",
    "OpenUfsBlockOptions.ufs_path": "without it the worker gives what it holds, and nothing else",
    "OpenUfsBlockOptions.mountId": "goes with the path",
}
COMMON = file_pb2.FileSystemMasterCommonPOptions.DESCRIPTOR


def functions() -> list[str]:
    """The public functions of requests.py itself."""
    found = inspect.getmembers(requests, inspect.isfunction)
    return [name for name, made in found if made.__module__ == requests.__name__ and not name.startswith("_")]


def may_hold(descriptor: Descriptor, wanted: Descriptor) -> bool:
    """Whether a message of that type can have `wanted` in it, at any depth."""
    if descriptor.full_name == wanted.full_name:
        return True
    return any(may_hold(field.message_type, wanted) for field in descriptor.fields if field.message_type)


def problems(message: Message, where: str = "") -> Iterator[str]:
    """What a server would fill with a zero in a request."""
    kind = message.DESCRIPTOR.name
    present = {field.name for field, _ in message.ListFields()}
    for field in message.DESCRIPTOR.fields:
        here = f"{where}/{field.name}"
        if field.name not in present:
            if field.message_type is not None and may_hold(field.message_type, COMMON):
                yield f"{here}: absent, and the ttl with it"
            elif f"{kind}.{field.name}" not in MAY_BE_ABSENT:
                yield f"{here}: absent"
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            yield from problems(getattr(message, field.name), here)
    if kind == COMMON.name and message.ttl != -1:
        yield f"{where}/ttl: {message.ttl}"
    if kind == COMMON.name and message.ttlAction != common_pb2.FREE:
        yield f"{where}/ttlAction: deletes"


def test_every_function_has_an_example() -> None:
    """A new request without its proof below is a failure."""
    assert set(EXAMPLES) == set(functions())


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_nothing_is_left_to_the_server(name: str) -> None:
    """Every option is set, the ttl to never, and so it arrives."""
    message = EXAMPLES[name]()
    assert list(problems(type(message).FromString(message.SerializeToString()))) == []


def test_the_proof_would_fail() -> None:
    """Each way to lose data is found, at any depth."""
    options = file_pb2.GetStatusPOptions(loadMetadataType="ONCE", updateTimestamps=False)
    request = file_pb2.GetStatusPRequest(path="/a", options=options)
    assert list(problems(request)) == ["/options/commonOptions: absent, and the ttl with it"]
    assert list(problems(file_pb2.GetStatusPRequest(path="/a"))) == ["/options: absent, and the ttl with it"]
    options.commonOptions.syncIntervalMs = -1
    assert list(problems(options)) == [
        "/commonOptions/ttl: absent",
        "/commonOptions/ttlAction: absent",
        "/commonOptions/ttl: 0",
        "/commonOptions/ttlAction: deletes",
    ]
    options = file_pb2.GetStatusPOptions()
    options.CopyFrom(requests.get_status("/a").options)
    options.ClearField("loadMetadataType")
    assert list(problems(options)) == ["/loadMetadataType: absent"]


@pytest.mark.parametrize("function", [requests.get_status, requests.list_status, requests.exists])
def test_settings_arrive(function: Callable[..., Message]) -> None:
    """The interval of synchronisation and the way to load metadata are those of the mount."""
    options = function("/a", 60_000, "ALWAYS").options
    assert options.commonOptions.syncIntervalMs == 60_000
    assert options.loadMetadataType == file_pb2.ALWAYS
    assert function("/a").options.loadMetadataType == file_pb2.ONCE
    assert function("/a").options.commonOptions.syncIntervalMs == -1
    with pytest.raises(ValueError):
        function("/a", -1, "SOMETIMES")


@pytest.mark.parametrize("function", [requests.get_status, requests.list_status, requests.exists])
def test_a_name_that_is_not_utf8_is_not_there(function: Callable[..., Message]) -> None:
    """Alluxio's names are UTF-8."""
    with pytest.raises(FileNotFoundError):
        function(os.fsdecode(b"/\xff"))
    assert function("/ä \U0001f600").path == "/ä \U0001f600"


def test_access_is_one_more_than_posix() -> None:
    """The enum begins at 1, and unset would ask for nothing."""
    assert requests.check_access("/a", os.R_OK).options.bits == common_pb2.READ
    assert requests.check_access("/a", os.R_OK | os.W_OK | os.X_OK).options.bits == common_pb2.ALL
    for access in (0, 8, -1):
        with pytest.raises(ValueError):
            requests.check_access("/a", access)


def test_the_users_name_is_sasl_plain() -> None:
    """authorisation NUL authentication NUL password, none of them empty but the first."""
    message = requests.authenticate("id", "ref", "alice", "bob")
    assert message.message == b"bob\0alice\0noPassword"
    assert requests.authenticate("id", "ref", "älice").message == "\0älice\0noPassword".encode()
    assert (message.clientId, message.channelRef, message.authenticationScheme) == ("id", "ref", sasl_pb2.SIMPLE)
    for user, impersonated in (("", ""), ("a\0b", ""), ("a", "b\0c")):
        with pytest.raises(ValueError):
            requests.authenticate("id", "ref", user, impersonated)


@pytest.mark.parametrize(
    ("offset", "length", "chunk_bytes"), [(0, 0, 1), (0, -1, 1), (-1, 1, 1), (0, 1, 0), (0, 1, -1)]
)
def test_a_read_of_nothing_is_refused(offset: int, length: int, chunk_bytes: int) -> None:
    """A worker answers some of these, and hangs over others."""
    with pytest.raises(ValueError):
        requests.read_block(1, offset, length, chunk_bytes, worker_pb2.OpenUfsBlockOptions())


@pytest.mark.parametrize("function", [requests.cache, requests.async_cache])
def test_a_cached_block_has_bytes(function: Callable[..., Message]) -> None:
    """An empty block does not exist."""
    with pytest.raises(ValueError):
        function(1, 0, worker_pb2.OpenUfsBlockOptions(), "host", 1)


def test_reads_always_have_options_of_the_under_store() -> None:
    """A paged worker fails without."""
    request = requests.read_block(5, 6, 7, 8, worker_pb2.OpenUfsBlockOptions(), positioned=True, promote=True)
    assert request.HasField("open_ufs_block_options")
    assert (request.block_id, request.offset, request.length, request.chunk_size) == (5, 6, 7, 8)
    assert (request.position_short, request.promote) == (True, True)


def test_where_the_under_store_has_a_block() -> None:
    """At the number of the block times the size of blocks; its own length, and the file's path and mount."""
    options = requests.open_ufs_block_options(**UFS)
    assert (options.ufs_path, options.mountId, options.block_size) == ("s3://bucket/a", 7, 1000)
    assert options.offset_in_file == 3 * (64 << 20)
    assert options.maxUfsReadConcurrency == 2**31 - 1
    assert (options.no_cache, options.block_in_ufs_tier) == (False, False)


def test_a_file_on_its_way_to_the_under_store() -> None:
    """It has no path there yet: a worker takes the mere presence of one for a file to read."""
    options = requests.open_ufs_block_options(**{**UFS, "persistence": "TO_BE_PERSISTED", "no_cache": True})
    assert not options.HasField("ufs_path")
    assert (options.block_in_ufs_tier, options.offset_in_file, options.no_cache) == (True, 0, True)


@pytest.mark.parametrize("persistence", ["NOT_PERSISTED", "LOST", ""])
def test_a_file_that_is_only_in_the_cluster(persistence: str) -> None:
    """No path, but the length: to a paged worker, nothing at all would mean an empty block."""
    options = requests.open_ufs_block_options(**{**UFS, "persistence": persistence})
    assert options == requests.held_block_options(length=1000, concurrency=2**31 - 1, no_cache=False)
    assert not options.HasField("ufs_path")
    assert options.block_size == 1000
