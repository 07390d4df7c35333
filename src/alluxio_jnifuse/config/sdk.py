"""Mount options of Alluxio's FUSE SDK (2.10 and 3.x), which mounts a storage without a cluster, as properties of ours.

    local_data_cache=DIRECTORY          the client cache, in files of this directory
    local_data_cache_size=SIZE          its budget
    local_metadata_cache_size=NUMBER    of how many paths metadata is kept; 0: of none
    local_metadata_cache_expire=TIME    for how long

2.10 has the names without `local_`.
"""

from __future__ import annotations

_CACHE = "alluxio.user.client.cache."
_METADATA = "alluxio.user.metadata.cache."
_WORDS = ("data_cache", "data_cache_size", "metadata_cache_size", "metadata_cache_expire")
SDK_OPTIONS = frozenset((*_WORDS, *(f"local_{word}" for word in _WORDS)))


def properties_of(name: str, value: str) -> list[tuple[str, str]]:
    """Returns the properties, as they are written, that `name=value` stands for. `name`: one of SDK_OPTIONS."""
    word = name.removeprefix("local_")
    if word == "data_cache":
        return [(f"{_CACHE}enabled", "true"), (f"{_CACHE}store.type", "LOCAL"), (f"{_CACHE}dirs", value)]
    if word == "data_cache_size":
        return [(f"{_CACHE}size", value)]
    if word == "metadata_cache_size":
        enabled = "false" if value.strip() == "0" else "true"
        return [(f"{_METADATA}enabled", enabled), (f"{_METADATA}max.size", value)]
    return [(f"{_METADATA}expiration.time", value)]
