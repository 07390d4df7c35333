"""The recipes that users have: every property and variable in them acts, or says why it does not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from recipe import CONTAINER, RECIPE

from alluxio_jnifuse.config.merge import DEFAULT
from alluxio_jnifuse.config.options import BY_NAME
from alluxio_jnifuse.config.values import Config
from alluxio_jnifuse.sources.alluxio import from_config


def load(*properties: str, environ: Mapping[str, str] | None = None, **others: object) -> Config:
    """Loads with nothing but what is given: no variable and no site file of this machine."""
    environ = {"ALLUXIO_CONF_DIR": "/nonexistent", "HOME": "/nonexistent", **(environ or {})}
    return Config.load(properties=properties, environ=environ, **others)  # type: ignore[arg-type]


def ignored(config: Config, key: str) -> list[str]:
    """The lines of the log that say why `key` has no effect."""
    return [note for note in config.notes if note.startswith(f"ignored: {key} ")]


def recipe_keys() -> set[str]:
    keys = set(re.findall(r"^ {4}((?:alluxio|fs)\.[^:]+):", RECIPE, re.MULTILINE))
    return keys | set(re.findall(r"-D(alluxio[^=]+)=", CONTAINER["ALLUXIO_JAVA_OPTS"]))


@pytest.fixture
def recipe(tmp_path: Path) -> Config:
    (tmp_path / "alluxio-site.properties").write_text(RECIPE)
    return load(environ={**CONTAINER, "ALLUXIO_CONF_DIR": str(tmp_path)})


def test_every_key_of_the_recipe_acts_or_says_why_not(recipe: Config) -> None:
    """Each of them, as it is written there, is effective or named in exactly one line of the log."""
    assert len({key.rpartition(".")[0] if key.startswith("fs.oss.") else key for key in recipe_keys()}) == 48
    for key in recipe_keys():
        row = BY_NAME.get(key)
        if row is None or ignored(recipe, key):
            assert len(ignored(recipe, key)) == 1, key
        else:
            assert recipe.settings[row.name].rank > DEFAULT, key


def test_what_of_the_recipe_is_honoured(recipe: Config) -> None:
    """Neither more nor less than these keys, and those of the container."""
    assert {key for key in recipe_keys() if not ignored(recipe, key)} == {
        "alluxio.fuse.debug.enabled",
        "alluxio.fuse.jnifuse.enabled",
        "alluxio.fuse.logging.threshold",
        "alluxio.master.hostname",
        "alluxio.user.block.avoid.eviction.policy.reserved.size.bytes",
        "alluxio.user.client.cache.dir",
        "alluxio.user.client.cache.enabled",
        "alluxio.user.client.cache.page.size",
        "alluxio.user.client.cache.size",
        "alluxio.user.client.cache.store.type",
        "alluxio.user.direct.memory.io.enabled",
        "alluxio.user.file.passive.cache.enabled",
        "alluxio.user.file.readtype.default",
        "alluxio.user.logging.threshold",
        "alluxio.user.metadata.cache.enabled",
        "alluxio.user.metadata.cache.expiration.time",
        "alluxio.user.metadata.cache.max.size",
        "alluxio.user.streaming.reader.chunk.size.bytes",
        "alluxio.user.ufs.block.read.location.policy",
        "alluxio.user.worker.list.refresh.interval",
    }


def test_the_engine_is_told_the_recipe(recipe: Config) -> None:
    """With units, aliases and class names understood."""
    assert recipe.ufs == "alluxio://localhost:19998/"
    told = from_config.settings(recipe, ["localhost:19998"])
    assert told.masters == ("localhost:19998",)
    assert told.hostname == "10.0.0.7"
    assert told.ufs_read_policy == "LocalFirstAvoidEvictionPolicy"
    assert told.reserved_bytes == 2 << 30
    assert told.chunk_bytes == 32 << 20
    assert not told.passive_cache
    assert told.read_type == "CACHE"
    assert (told.metadata_cache, told.metadata_expiration_s, told.metadata_max_entries) == (True, 172_800, 1_000_000)
    assert told.direct_local_io
    assert told.tier_directories == ("/opt/ramdisk",)
    assert told.worker_refresh_s == 120
    assert told.slow_rpc_s == 1
    numbers = recipe.core_options()
    assert (numbers["max_idle_threads"], numbers["slow_ms"], numbers["debug"]) == (64, 1000, 0)
    assert (numbers["cache_enabled"], numbers["page_bytes"], numbers["cache_bytes"]) == (0, 8 << 20, 1800 << 20)


def test_other_notes_of_the_recipe(recipe: Config, tmp_path: Path) -> None:
    """Java's flags are named once, of two different values of a key the last one counts, secrets are not repeated."""
    assert len([note for note in recipe.notes if "Java machine" in note and "-Xmx16G" in note]) == 1
    assert [note for note in recipe.notes if "twice" in note] == [
        f"alluxio.job.worker.threadpool.size is set twice in {tmp_path}/alluxio-site.properties; the last value counts"
    ]
    assert "OSS_ACCESS_KEY_SECRET" not in "".join(recipe.notes)


def test_the_recipe_without_a_cluster(tmp_path: Path) -> None:
    """The keys that only a cluster has a use for say so, too."""
    (tmp_path / "alluxio-site.properties").write_text(RECIPE)
    config = load(environ={"ALLUXIO_CONF_DIR": str(tmp_path)}, ufs="/data")
    assert config.ufs == "/data"
    (note,) = ignored(config, "alluxio.user.direct.memory.io.enabled")
    assert note.endswith("it is for an Alluxio cluster, and /data is mounted")
    assert not ignored(config, "alluxio.user.client.cache.size")
