"""A cluster over a bucket: what its directories and files hold, and that every byte leaves the bucket once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster import dataset
from cluster.cluster import Cluster
from cluster.dataset import MIB
from harness.children import Children, results, until
from harness.datasets import check
from harness.mounting import Mounts
from on_cluster import mount
from oss.server import OssServer

pytestmark = [pytest.mark.cluster, pytest.mark.fuse]

SIZE = 130 * MIB + 7  # three blocks, the last one short
FILES = ("train/0.tfrecord", "train/1.tfrecord", "train/2.tfrecord", "validation/0.tfrecord")
MOST_SENT = 1.1  # bytes that leave the bucket for each that is read
FREE_S = 60.0
READ_S = 100.0  # at most; a worker checks what it gets from a bucket at some 150 MB/s


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OssServer]:
    """An object store with the bucket `data`."""
    with OssServer(tmp_path_factory.mktemp("oss"), {"key": "secret"}) as server:
        server.create_bucket("data")
        for name in FILES:
            server.put("data", f"set/{name}", dataset.content(name, 0, SIZE))
        yield server


@pytest.fixture(scope="module")
def cluster(bucket: OssServer) -> Iterator[Cluster]:
    """A cluster whose root is a directory of the bucket."""
    with Cluster(root="oss://data/set/", site=bucket.properties("key")) as made:
        yield made


@pytest.fixture
def cold(cluster: Cluster, bucket: OssServer) -> None:
    """No worker holds a block, and the master knows; nothing was sent yet."""
    cluster.shell.fs("free", "/")
    until(lambda: not any(any(cluster.shell.locations(f"/{name}")) for name in FILES), "blocks to be freed", FREE_S)
    bucket.reset()


def test_what_is_there(cluster: Cluster, mounts: Mounts, children: Children) -> None:
    """Directories, which in a bucket are but the beginnings of keys; sizes."""
    mounted = mount(mounts, cluster)
    assert children.command("ls", mounted.path).stdout.split() == ["train", "validation"]
    assert children.command("ls", mounted.join("train")).stdout.split() == ["0.tfrecord", "1.tfrecord", "2.tfrecord"]
    assert children.command("stat", "-c", "%s", mounted.join(FILES[-1])).stdout == f"{SIZE}\n"


@pytest.mark.usefixtures("cold")
@pytest.mark.parametrize("names", [FILES[:1], FILES], ids=["one", "four"])
def test_files_are_read_once(
    cluster: Cluster, bucket: OssServer, mounts: Mounts, children: Children, names: tuple[str, ...]
) -> None:
    """Each by a reader of its own: the bytes are right, and hardly one leaves the bucket twice."""
    mounted = mount(mounts, cluster)
    results([children.start(check, mounted.join(name), name, SIZE, MIB) for name in names], READ_S)
    asked = [(entry.key, entry.range, entry.sent) for entry in bucket.requests() if entry.operation == "GET"]
    assert bucket.counts()["bytes_sent"] <= MOST_SENT * len(names) * SIZE, "\n".join(map(str, asked))
