"""Every message that is sent to a cluster is built here, one function for each, and nowhere else.

Alluxio's servers merge no defaults into what a client leaves out: an unset field is 0, false or the first value of
its enum. An unset `ttl` is thus 0 with the action DELETE: a GetStatus that loads metadata from the under store makes
the master delete the file there, and the directories above it. An unset `loadMetadataType` is NEVER, and an unset
chunk size makes a read hang. So every function sets every option that has no harmless zero, and
tests/alluxio/test_requests.py holds each of them to that; a new function without a row there fails.
"""

from __future__ import annotations

import errno
import os

from alluxio_jnifuse.sources.alluxio.proto import (
    block_pb2,
    common_pb2,
    file_pb2,
    meta_pb2,
    sasl_pb2,
    version_pb2,
    worker_pb2,
)

_NO_TTL = -1
_SEQUENCE_MASK = (1 << 24) - 1  # of a block id: the block's number in its file

# Must not be empty, and is what Alluxio's own clients send whatever the scheme.
_PASSWORD = "noPassword"


def _common_options(sync_interval_ms: int) -> file_pb2.FileSystemMasterCommonPOptions:
    """FREE: should a server ever heed the action, it drops a cached copy, not the file."""
    return file_pb2.FileSystemMasterCommonPOptions(
        syncIntervalMs=sync_interval_ms, ttl=_NO_TTL, ttlAction=common_pb2.FREE
    )


def _utf8(path: str) -> str:
    """`path`, if a message can hold it; Alluxio has no file whose name is not UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
    return path


# ------------------------------------------------------------------------------------------------------ connection


def service_version(service: version_pb2.ServiceType) -> version_pb2.GetServiceVersionPRequest:
    return version_pb2.GetServiceVersionPRequest(serviceType=service)


def authenticate(channel_id: str, reference: str, user: str, impersonated: str = "") -> sasl_pb2.SaslMessage:
    """The first message of SASL PLAIN. `channel_id` is a UUID never used before; `reference` is for people.

    Servers take SIMPLE for every scheme. Raises ValueError for a user who cannot be named.
    """
    if not user:
        raise ValueError("the user's name is empty")
    if "\0" in user + impersonated:
        raise ValueError(f"a user's name with a NUL: {user + impersonated!r}")
    return sasl_pb2.SaslMessage(
        messageType=sasl_pb2.CHALLENGE,
        authenticationScheme=sasl_pb2.SIMPLE,
        clientId=channel_id,
        channelRef=reference,
        message="\0".join((impersonated, user, _PASSWORD)).encode(),
    )


# ----------------------------------------------------------------------------------------------------- file system


def get_status(path: str, sync_interval_ms: int = -1, load_type: str = "ONCE") -> file_pb2.GetStatusPRequest:
    """Reading attributes is no access: the time of the last one stays."""
    options = file_pb2.GetStatusPOptions(
        loadMetadataType=load_type,
        commonOptions=_common_options(sync_interval_ms),
        updateTimestamps=False,
    )
    return file_pb2.GetStatusPRequest(path=_utf8(path), options=options)


def list_status(path: str, sync_interval_ms: int = -1, load_type: str = "ONCE") -> file_pb2.ListStatusPRequest:
    options = file_pb2.ListStatusPOptions(
        loadMetadataType=load_type,
        commonOptions=_common_options(sync_interval_ms),
        recursive=False,
    )
    return file_pb2.ListStatusPRequest(path=_utf8(path), options=options)


def exists(path: str, sync_interval_ms: int = -1, load_type: str = "ONCE") -> file_pb2.ExistsPRequest:
    options = file_pb2.ExistsPOptions(loadMetadataType=load_type, commonOptions=_common_options(sync_interval_ms))
    return file_pb2.ExistsPRequest(path=_utf8(path), options=options)


def check_access(path: str, access: int, sync_interval_ms: int = -1) -> file_pb2.CheckAccessPRequest:
    """`access` is made of os.R_OK, os.W_OK and os.X_OK; at least one, because unset asks for nothing."""
    if not 0 < access < 8:
        raise ValueError(f"no access to check: {access}")
    options = file_pb2.CheckAccessPOptions(
        bits=common_pb2.Bits.Name(access + 1), commonOptions=_common_options(sync_interval_ms)
    )
    return file_pb2.CheckAccessPRequest(path=_utf8(path), options=options)


def get_mount_table() -> file_pb2.GetMountTablePRequest:
    """Without sizes: asking the under stores for them takes as long as they like."""
    return file_pb2.GetMountTablePRequest(checkUfs=False)


# ---------------------------------------------------------------------------------------------- blocks and workers


def get_block_info(block_id: int) -> block_pb2.GetBlockInfoPRequest:
    return block_pb2.GetBlockInfoPRequest(blockId=block_id, options=block_pb2.GetBlockInfoPOptions())


def get_worker_info_list() -> block_pb2.GetWorkerInfoListPOptions:
    return block_pb2.GetWorkerInfoListPOptions()


def get_block_master_info() -> block_pb2.GetBlockMasterInfoPOptions:
    """Asks for the capacity and use of the cluster; no filter would ask for everything."""
    return block_pb2.GetBlockMasterInfoPOptions(filters=[block_pb2.CAPACITY_BYTES, block_pb2.USED_BYTES])


# ----------------------------------------------------------------------------------------- configuration, versions


def get_configuration() -> meta_pb2.GetConfigurationPOptions:
    """Substituted values of the whole cluster; those of single paths are for writers."""
    return meta_pb2.GetConfigurationPOptions(rawValue=False, ignoreClusterConf=False, ignorePathConf=True)


def get_config_hash() -> meta_pb2.GetConfigHashPOptions:
    return meta_pb2.GetConfigHashPOptions()


def get_master_info() -> meta_pb2.GetMasterInfoPOptions:
    return meta_pb2.GetMasterInfoPOptions(filter=[meta_pb2.VERSION])


# --------------------------------------------------------------------------------------------------------- workers


def open_ufs_block_options(
    *,
    persistence: str,
    ufs_path: str,
    mount_id: int,
    block_id: int,
    block_size: int,
    length: int,
    concurrency: int,
    no_cache: bool,
) -> worker_pb2.OpenUfsBlockOptions:
    """How a worker finds a block in the under store; as `held_block_options` for a file that is not there.

    `persistence`, `ufs_path`, `mount_id` and `block_size` are the file's, `length` is this block's.
    """
    if persistence not in ("PERSISTED", "TO_BE_PERSISTED"):
        return held_block_options(length=length, concurrency=concurrency, no_cache=no_cache)
    options = worker_pb2.OpenUfsBlockOptions(
        offset_in_file=0,
        block_size=length,
        maxUfsReadConcurrency=concurrency,
        mountId=mount_id,
        no_cache=no_cache,
        block_in_ufs_tier=persistence == "TO_BE_PERSISTED",
    )
    if persistence == "PERSISTED":  # a worker takes the presence of a path, even an empty one, for a file to read
        options.ufs_path = ufs_path
        options.offset_in_file = (block_id & _SEQUENCE_MASK) * block_size
    return options


def held_block_options(*, length: int, concurrency: int, no_cache: bool) -> worker_pb2.OpenUfsBlockOptions:
    """For a block of `length` bytes as a worker holds it, or else not at all.

    Never empty: a worker with a paged store takes the length from here even then, and would remember the block as an
    empty one. The presence of a path makes it go to the under store.
    """
    return worker_pb2.OpenUfsBlockOptions(
        offset_in_file=0,
        block_size=length,
        maxUfsReadConcurrency=concurrency,
        no_cache=no_cache,
        block_in_ufs_tier=False,
    )


def read_block(
    block_id: int,
    offset: int,
    length: int,
    chunk_bytes: int,
    ufs: worker_pb2.OpenUfsBlockOptions,
    *,
    positioned: bool = False,
    promote: bool = False,
) -> worker_pb2.ReadRequest:
    """`length` bytes from `offset` of a block, in messages of `chunk_bytes`; `ufs` may be empty, not absent."""
    if offset < 0 or length <= 0 or chunk_bytes <= 0:
        raise ValueError(f"no range to read: {length} bytes at {offset} in chunks of {chunk_bytes}")
    return worker_pb2.ReadRequest(
        block_id=block_id,
        offset=offset,
        length=length,
        promote=promote,
        chunk_size=chunk_bytes,
        open_ufs_block_options=ufs,
        position_short=positioned,
    )


def open_local_block(block_id: int, *, promote: bool = False) -> worker_pb2.OpenLocalBlockRequest:
    return worker_pb2.OpenLocalBlockRequest(block_id=block_id, promote=promote)


def cache(
    block_id: int, length: int, ufs: worker_pb2.OpenUfsBlockOptions, source_host: str, source_port: int
) -> worker_pb2.CacheRequest:
    """Asks for a copy of a block of `length` bytes, to be made in the background from the worker at source_*."""
    _check_cached(block_id, length)
    return worker_pb2.CacheRequest(
        block_id=block_id,
        source_host=source_host,
        source_port=source_port,
        open_ufs_block_options=ufs,
        length=length,
        asynchronous=True,
    )


def async_cache(
    block_id: int, length: int, ufs: worker_pb2.OpenUfsBlockOptions, source_host: str, source_port: int
) -> worker_pb2.AsyncCacheRequest:
    """Like `cache`, for workers that do not know that."""
    _check_cached(block_id, length)
    return worker_pb2.AsyncCacheRequest(
        block_id=block_id, source_host=source_host, source_port=source_port, open_ufs_block_options=ufs, length=length
    )


def _check_cached(block_id: int, length: int) -> None:
    if length <= 0:
        raise ValueError(f"no block to cache: {length} bytes of block {block_id}")
