"""A cluster over a bucket, with cold blocks: how many bytes leave the bucket for those that programs need.

A worker keeps every block that was read, whole. So whoever reads some of a block needs all of it, once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import dataset
from cluster.cluster import Cluster
from cluster.dataset import BLOCK, MIB
from harness import patterns
from harness.children import Children, results, until
from harness.mounting import Mounts
from on_cluster import mount
from oss.server import OssServer

pytestmark = [pytest.mark.cluster, pytest.mark.fuse, pytest.mark.timeout(600)]

SIZE = 130 * MIB + 7  # three blocks, the last one short
NAMES = [f"{number}.tfrecord" for number in range(4)]
KEPT_S = 120.0
READ_S = 300.0
MOST = 1.05
MOST_OF_SEVERAL = 1.3  # with several readers at once a block now and then leaves the bucket twice
CASES = itertools.count(1)
# The mount line of the guide of ACK, and nothing.
LINES = ["kernel_cache,ro,max_read=131072,attr_timeout=7200,entry_timeout=7200", ""]
PROGRAMS = [
    patterns.cat,
    patterns.cmp,
    patterns.md5sum,
    patterns.dd,
    patterns.python_read,
    patterns.records,
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the bucket holds."""
    directory = tmp_path_factory.mktemp("files")
    dataset.make(directory, dict.fromkeys(NAMES, SIZE))
    return directory


@pytest.fixture(scope="module")
def bucket(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OssServer]:
    """An object store with the bucket `data`."""
    with OssServer(tmp_path_factory.mktemp("oss"), {"key": "secret"}) as server:
        server.create_bucket("data")
        server.put_tree("data", files, "set/0/")
        yield server


@pytest.fixture(scope="module")
def cluster(bucket: OssServer) -> Iterator[Cluster]:
    """A cluster whose root is a directory of the bucket."""
    with Cluster(root="oss://data/set/", site=bucket.properties("key")) as made:
        yield made


@pytest.fixture
def cold(bucket: OssServer, files: Path) -> str:
    """A directory that nobody has read of; nothing was sent yet."""
    name = str(next(CASES))
    bucket.put_tree("data", files, f"set/{name}/")
    bucket.reset()
    return name


def held(cluster: Cluster, directory: str, files: int) -> list[list[set[str]]]:
    """Who holds each block of each of the first files."""
    return [cluster.shell.locations(f"/{directory}/{name}") for name in NAMES[:files]]


def sent(bucket: OssServer) -> tuple[int, str]:
    """Bytes of objects, and for messages what was asked for."""
    asked = [(entry.key, entry.range, entry.sent) for entry in bucket.requests() if entry.operation == "GET"]
    return bucket.counts()["bytes_sent"], "\n".join(map(str, asked))


@pytest.mark.parametrize("readers", [1, 4])
@pytest.mark.parametrize("line", LINES, ids=["guide", "defaults"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program(
    cluster: Cluster,
    bucket: OssServer,
    files: Path,
    mounts: Mounts,
    children: Children,
    cold: str,
    program: Callable[[str, str], None],
    line: str,
    readers: int,
) -> None:
    """From the start of a file to its end, and the file is closed: every byte left the bucket once, but for that."""
    mounted = mount(mounts, cluster, options=line)
    started = [children.start(program, mounted.join(f"{cold}/{name}"), str(files / name)) for name in NAMES[:readers]]
    results(started, READ_S)
    mounted.closed()
    until(lambda: all(map(all, held(cluster, cold, readers))), "blocks to be kept", KEPT_S)
    count, asked = sent(bucket)
    assert count <= (MOST if readers == 1 else MOST_OF_SEVERAL) * readers * SIZE, asked


@pytest.mark.parametrize("line", LINES, ids=["guide", "defaults"])
def test_the_first_mib(
    cluster: Cluster, bucket: OssServer, files: Path, mounts: Mounts, children: Children, cold: str, line: str
) -> None:
    """The first block is kept while the mount lives: read for the reader and for the copy. No other is touched."""
    mounted = mount(mounts, cluster, options=line)
    children.run(patterns.head, mounted.join(f"{cold}/{NAMES[0]}"), str(files / NAMES[0]), timeout=READ_S)
    mounted.closed()
    until(lambda: held(cluster, cold, 1)[0][0], "the first block to be kept", KEPT_S)
    assert not any(held(cluster, cold, 1)[0][1:])
    asked = [(entry.range, entry.sent) for entry in bucket.requests() if entry.operation == "GET"]
    assert {each for each, _ in asked} == {f"bytes=0-{BLOCK - 1}"}, asked
    assert len(asked) <= 2, asked
