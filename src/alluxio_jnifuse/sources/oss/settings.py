"""The settings of the engine for a bucket, as plain values; seconds where nothing else is said.

OPTIONS (config/options/oss.py) has every property's name and the reason for its default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from alluxio_jnifuse.sources.oss.endpoint import Endpoint


class Settings(NamedTuple):
    """Constant for the life of a mount; any thread may read it. Holds no secret: those are with credentials.py."""

    endpoint: Endpoint
    prefix: str = ""  # of the keys that are shown: "", or it ends with a slash
    signature: str = "V4"  # V1 or V4; V4 needs endpoint.region
    uid: int = 0  # owner to show
    gid: int = 0
    connect_timeout_s: float = 5.0  # for one attempt
    stall_s: float = 10.0  # without a byte, before a request is sent anew
    read_patience_s: float = 180.0  # without a byte whatever is tried, before a read fails
    metadata_patience_s: float = 120.0  # before a look-up or a listing fails
    mount_patience_s: float = 10.0  # before a mount fails
    listing_bytes: int = 512 << 20  # of the listings that are being received
    remembered_s: float = 60.0  # how long an open may use what a look-up or a listing told
