"""Lines of a mount's log, as AlluxioFuse writes them and people grep for them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.children import Children, until
from harness.mounting import Mounts
from harness.remote import RemoteSource

from alluxio_jnifuse.testing import Pattern

pytestmark = pytest.mark.fuse

SIZE = 100_000


@pytest.fixture
def source(remote: Callable[..., RemoteSource]) -> RemoteSource:
    return remote({b"d": {b"file": Pattern(SIZE)}}, {"open": 0.02})


def test_enter_and_exit(source: RemoteSource, mounts: Mounts, children: Children) -> None:
    """With alluxio.fuse.debug.enabled, every request, with its result."""
    mounted = mounts.mount(source, "", {"alluxio.fuse.debug.enabled": "true"})
    assert len(children.run(Path(mounted.join("d/file")).read_bytes)) == SIZE
    mounted.closed()
    until(lambda: mounted.lines("Exit (0): Fuse.Release("), "the last line")
    text = mounted.log.read_text()
    for operation, arguments in (("Lookup", r"path=/d,fd=\d+,file"), ("Open", r"path=/d/file,fd=\d+,")):
        assert re.search(rf"DEBUG Enter: Fuse\.{operation}\({arguments}", text)
    assert re.search(r"DEBUG Exit \(0\): Fuse\.Open\(path=/d/file,fd=\d+,size=0,offset=0\) in \d+ ms", text)
    reads = re.findall(r"Exit \((\d+)\): Fuse\.Read\(path=/d/file,fd=\d+,size=(\d+),offset=(\d+)\) in \d+ ms", text)
    assert reads
    assert all(int(got) == min(int(size), SIZE - int(offset)) for got, size, offset in reads)


@pytest.mark.parametrize(
    ("properties", "environ"), [({"alluxio.fuse.logging.threshold": "10ms"}, {}), ({}, {"SPENT_TIME": "10"})]
)
def test_a_slow_request(
    source: RemoteSource, mounts: Mounts, children: Children, properties: dict[str, str], environ: dict[str, str]
) -> None:
    """Slower than alluxio.fuse.logging.threshold, or SPENT_TIME, which is the same."""
    mounted = mounts.mount(source, "", properties, environ=environ)
    children.run(Path(mounted.join("d/file")).read_bytes)
    mounted.closed()
    until(lambda: mounted.lines("Fuse.Open("), "the line")
    line = r" WARN  Fuse\.Open\(path=/d/file,fd=\d+,size=0,offset=0\) returned 0 in \d{2,} ms \(>=10 ms\)"
    assert re.search(line, mounted.log.read_text())


def test_json(source: RemoteSource, mounts: Mounts) -> None:
    """One object for each line, from the first to the last."""
    mounted = mounts.mount(source, "log_format=JSON", {"alluxio.fuse.logging.threshold": "1ms"})
    assert mounted.unmount().returncode == 0
    until(mounted.gone, "the end")
    lines = [json.loads(line) for line in mounted.log.read_text().splitlines()]
    assert {"time", "level", "message"} == set().union(*lines)
    assert any(line["message"].startswith("counters: ") for line in lines)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"]) for line in lines)
