"""The settings of the engine for an Alluxio cluster, as plain values; seconds, milliseconds and bytes as named.

The defaults are Alluxio's own where nothing else is said; OPTIONS (options.py) has every property's name and reason.
"""

from __future__ import annotations

from typing import NamedTuple


class Settings(NamedTuple):
    """Constant for the life of a mount; any thread may read it."""

    # The address of the cluster, and our identity.
    masters: tuple[str, ...]  # "host:port" in the order to try
    user: str  # login user; never empty
    impersonated: str = ""  # user to act as; "" = nobody
    auth_type: str = "SIMPLE"  # SIMPLE, CUSTOM, NOSASL
    tls: bool = False
    tls_ca_path: str = ""  # file of PEM certificates; "" = the system's
    hostname: str = ""  # alluxio.user.hostname; "" = find out
    tiers: tuple[tuple[str, str], ...] = ()  # alluxio.locality.TIER: ("node", ...), ("rack", ...) as configured
    uid: int = -1  # owner to show; -1 = the local user of the owner's name
    gid: int = -1  # group to show; -1 = the local group of the group's name

    # Patience.
    auth_timeout_s: float = 30.0
    polling_timeout_s: float = 30.0
    rpc_retry_base_s: float = 0.05
    rpc_retry_max_sleep_s: float = 3.0
    rpc_retry_max_duration_s: float = 120.0
    mount_patience_s: float = 10.0  # before a mount fails
    read_retry_base_s: float = 0.25
    read_retry_max_sleep_s: float = 2.0
    read_retry_max_duration_s: float = 120.0
    read_timeout_s: float = 180.0  # without a byte from a worker
    slow_rpc_s: float = 10.0  # warn of RPCs slower than this; 0 = never

    # Metadata.
    sync_interval_ms: int = -1
    load_type: str = "ONCE"  # ONCE, ALWAYS, NEVER
    listing_bytes: int = 512 << 20  # of the listings that are being received
    message_bytes: int = 100 << 20  # the largest message that is taken
    metadata_cache: bool = False
    metadata_expiration_s: float = 600.0
    metadata_max_entries: int = 100_000
    remembered_s: float = 60.0  # how long an open may use what a look-up or listing told, without the cache
    worker_refresh_s: float = 120.0

    # Reading.
    read_type: str = "CACHE"  # CACHE, CACHE_PROMOTE, NO_CACHE
    chunk_bytes: int = 1 << 20
    positioned_bytes: int = 2 << 20  # reads shorter than this that continue nothing are positioned ones
    passive_cache: bool = True
    ufs_read_concurrency: int = 2**31 - 1
    ufs_read_policy: str = "LocalFirstPolicy"
    ufs_read_policy_host: str = ""  # SpecificHostPolicy
    ufs_read_policy_shards: int = 1  # deterministic hash
    reserved_bytes: int = 0  # LocalFirstAvoidEvictionPolicy

    # Short-circuit.
    short_circuit: bool = True
    short_circuit_preferred: bool = False  # where a worker has a domain socket too
    domain_socket_as_uuid: bool = False
    direct_local_io: bool = False  # block files are opened without asking the worker
    tier_directories: tuple[str, ...] = ("/mnt/ramdisk",)  # of workers; where direct_local_io looks
    tiers_configured: bool = False  # block files lie there and nowhere else
    data_folder: str = "alluxioworker"  # in each of them, with the block files
