"""The mount options of Alluxio's FUSE SDK, and where the storage stands on its command line."""

from __future__ import annotations

import pytest

from alluxio_jnifuse.cli import mount
from alluxio_jnifuse.cli.words import UsageError
from alluxio_jnifuse.config.sdk import SDK_OPTIONS
from alluxio_jnifuse.config.values import MOUNT_POINT, Config
from alluxio_jnifuse.errors import ConfigError

NOWHERE = {"ALLUXIO_CONF_DIR": "/nonexistent", "HOME": "/nonexistent"}


def parsed(*words: str) -> tuple[bool, Config]:
    """The settings of a command line, with no other source of settings."""
    return mount.parse(words, dict(NOWHERE))


@pytest.mark.parametrize("prefix", ["local_", ""])
def test_they_are_properties(prefix: str) -> None:
    """2.10 has them without `local_`; case and order do not matter."""
    data = f"kernel_cache,{prefix}data_cache_size=2GB,{prefix}data_cache=/var/cache/x"
    metadata = f"{prefix}metadata_cache_size=5000,{prefix}metadata_cache_expire=2min"
    _, config = parsed("-o", data, "-o", metadata, "/mnt")
    assert config.flag("alluxio.user.client.cache.enabled")
    assert config.text("alluxio.user.client.cache.store.type") == "LOCAL"
    assert config.text("alluxio.user.client.cache.dirs") == "/var/cache/x"
    assert config.number("alluxio.user.client.cache.size") == 2 << 30
    assert config.flag("alluxio.user.metadata.cache.enabled")
    assert config.number("alluxio.user.metadata.cache.max.size") == 5000
    assert config.number("alluxio.user.metadata.cache.expiration.time") == 120_000
    assert config.settings["alluxio.user.client.cache.dirs"].origin == f"-o {prefix}data_cache"


def test_metadata_of_no_path() -> None:
    _, config = parsed("-o", "local_metadata_cache_size=0", "/mnt")
    assert not config.flag("alluxio.user.metadata.cache.enabled")


@pytest.mark.parametrize("name", sorted(SDK_OPTIONS))
def test_they_need_a_value(name: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown mount option: {name};"):
        parsed("-o", name, "/mnt")


def test_a_bad_value_names_the_option() -> None:
    with pytest.raises(ConfigError, match=r"-o local_data_cache_size"):
        parsed("-o", "local_data_cache_size=much", "/mnt")


def test_fuse_is_taken() -> None:
    _, config = parsed("-o", "fuse=3", "/mnt")
    assert any("fuse (" in note for note in config.notes)


def test_the_storage_stands_first() -> None:
    """`mount URI MOUNT_POINT`; without a scheme it is `mount MOUNT_POINT ALLUXIO_PATH`, as it always was."""
    foreground, config = parsed("-f", "oss://bucket/dir/", "/mnt/x", "-Xms4g")
    assert foreground
    assert (config.ufs, config.text(MOUNT_POINT), config.alluxio_path) == ("oss://bucket/dir/", "/mnt/x", "/")
    _, config = parsed("file:///data", "/mnt/x", "/part")
    assert (config.ufs, config.text(MOUNT_POINT), config.alluxio_path) == ("file:///data/part", "/mnt/x", "/part")
    _, config = parsed("/mnt/x", "/part")
    assert (config.ufs, config.text(MOUNT_POINT), config.alluxio_path) == ("", "/mnt/x", "/part")
    with pytest.raises(UsageError, match="too many arguments"):
        parsed("-u", "/data", "oss://bucket/", "/mnt/x", "/part")
    with pytest.raises(UsageError, match="too many arguments"):
        parsed("oss://bucket/", "/mnt/x", "/part", "/more")
