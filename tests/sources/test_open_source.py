"""How a URI becomes a source."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from alluxio_jnifuse.errors import ConfigError, SourceError
from alluxio_jnifuse.sources import open_source
from alluxio_jnifuse.sources.base import Source
from alluxio_jnifuse.testing import ENABLED_BY

FACTORY = """
from alluxio_jnifuse.testing import MemorySource, Pattern

def tree(size="5", name="f"):
    return MemorySource({name.encode(): Pattern(int(size))})

def nothing():
    return None
"""


def lends(source: Source) -> bool:
    opened = source.open(b"/f", source.stat(b"/f").version)
    for extent in opened.extents:
        os.close(extent.fd)
    if opened.handle is not None:
        source.close_file(opened.handle)
    return bool(opened.extents)


@pytest.mark.parametrize("form", ["{}", "file://{}", "FILE://{}", "file://localhost{}"])
def test_a_path_and_a_file_uri_are_the_same(tmp_path: Path, form: str) -> None:
    """Both name a directory of this machine."""
    (tmp_path / "f").write_bytes(b"x")
    source = open_source(form.format(tmp_path), {})
    assert source.stat(b"/f").size == 1
    source.close()


def test_a_file_uri_is_percent_encoded_and_a_path_is_not(tmp_path: Path) -> None:
    """As RFC 8089 says; a path is taken as it stands."""
    for name in (b"sp ace", b"100%25", b"\xff"):
        os.mkdir(os.fsencode(tmp_path) + b"/" + name)
    for uri in ("file://{}/sp%20ace", "{}/sp ace", "{}/100%25", "file://{}/%FF"):
        open_source(uri.format(tmp_path), {}).close()
    with pytest.raises(SourceError):
        open_source(f"file://{tmp_path}/100%25", {})


@pytest.mark.parametrize("lend", [True, False])
def test_lend_is_taken_from_a_mapping_or_an_object(tmp_path: Path, lend: bool) -> None:
    """Whatever holds the settings."""
    (tmp_path / "f").write_bytes(b"x")
    for config in ({"lend": lend}, SimpleNamespace(lend=lend)):
        source = open_source(str(tmp_path), config)
        assert lends(source) is lend
        source.close()


@pytest.mark.parametrize("uri", ["", "relative/path", ".", "~/data"])
def test_what_is_neither_path_nor_uri_is_refused(uri: str) -> None:
    """The daemon's working directory is "/": a relative path would name something else."""
    with pytest.raises(ConfigError, match="neither"):
        open_source(uri, {})


@pytest.mark.parametrize("uri", ["file://host/path", "file://path", "file://"])
def test_a_file_of_another_machine_is_refused(uri: str) -> None:
    """Two slashes where three were meant, mostly."""
    with pytest.raises(ConfigError, match="this machine"):
        open_source(uri, {})


def test_an_unknown_scheme_names_the_known_ones() -> None:
    """What to do instead."""
    with pytest.raises(ConfigError) as caught:
        open_source("hdfs://host/", {})
    assert "'hdfs'" in caught.value.what
    assert "/absolute/path" in caught.value.remedy
    assert "file://" in caught.value.remedy


# ------------------------------------------------------------------------------------------------------ testing


@pytest.fixture
def factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "fac tory.py"
    path.write_text(FACTORY)
    monkeypatch.setenv(ENABLED_BY, "1")
    return path


def test_a_testing_uri_calls_a_factory(factory: Path) -> None:
    """With the items of its query."""
    assert open_source(f"testing://{factory}#tree", {}).stat(b"/f").size == 5
    assert open_source(f"testing://{factory}?size=1000&name=g#tree", {}).stat(b"/g").size == 1000


@pytest.mark.parametrize("value", ["", "0", None])
def test_a_testing_uri_needs_the_environment(factory: Path, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    """It runs code from a file, so naming it is not enough."""
    if value is None:
        monkeypatch.delenv(ENABLED_BY)
    else:
        monkeypatch.setenv(ENABLED_BY, value)
    with pytest.raises(ConfigError, match=ENABLED_BY):
        open_source(f"testing://{factory}#tree", {})


@pytest.mark.parametrize("uri", ["testing://{}", "testing://{}x#tree", "testing://#tree", "testing://{}#nothing"])
def test_a_testing_uri_must_name_a_factory_of_sources(factory: Path, uri: str) -> None:
    """A mistake in a test is told, too."""
    with pytest.raises(ConfigError):
        open_source(uri.format(factory), {})


# ------------------------------------------------------------------------------------------------------- weight


def test_a_local_source_loads_nothing_heavy(tmp_path: Path) -> None:
    """They would be most of the time between exec and the first byte."""
    program = (
        "import sys; from alluxio_jnifuse.sources import open_source\n"
        "open_source(sys.argv[1], {'lend': True}).list(b'/')\n"
        "print(*sorted({'numpy', 'grpc', 'oss2', 'importlib.metadata', 'dataclasses', 'urllib.parse'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []
