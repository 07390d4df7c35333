"""The source of a cluster keeps the contract of a source."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from fake_cluster import FakeCluster
from infos import directory_info

from alluxio_jnifuse.sources.alluxio.proto import file_pb2
from alluxio_jnifuse.testing.contract import PLAIN_TREE, SourceContract, Tree, World

BLOCK = 1 << 20
FIRST_DIRECTORY = 1 << 20  # number of the first one: files are counted from 1
TREE: Tree = {**PLAIN_TREE, b"void": {}}


class ClusterWorld(World):
    """A cluster in this process that shows a tree; one of two workers has the blocks."""

    def __init__(self, cluster: FakeCluster, tree: Tree) -> None:
        self.cluster = cluster
        self._directories = 0
        self._add("", tree)
        cluster.master.on("ListStatus", self._list)
        super().__init__(cluster.source())

    def replace(self, path: bytes, content: bytes) -> None:
        self.cluster.put(path.decode(), content, BLOCK, holders=[0])

    def remove(self, path: bytes) -> None:
        self.cluster.delete(path.decode())

    def _add(self, path: str, node: Tree | bytes) -> None:
        if isinstance(node, bytes):
            self.cluster.put(path, node, BLOCK, holders=[0])
            return
        self._directories += 1
        self.cluster.master.files[path or "/"] = directory_info(path or "/", FIRST_DIRECTORY + self._directories)
        for name, child in node.items():
            self._add(f"{path}/{name.decode()}", child)

    def _list(self, request: bytes, context: grpc.ServicerContext) -> Iterator[Any]:
        """The answer of a master: the entries of a directory, or a file itself."""
        path = file_pb2.ListStatusPRequest.FromString(request).path
        files = self.cluster.master.files
        if path not in files:
            context.abort(grpc.StatusCode.NOT_FOUND, f'Path "{path}" does not exist.')
        if not files[path].folder:
            yield file_pb2.ListStatusPResponse(fileInfos=[files[path]])
            return
        below = path.rstrip("/") + "/"
        for each, info in list(files.items()):
            if each != "/" and each.startswith(below) and "/" not in each[len(below) :]:
                yield file_pb2.ListStatusPResponse(fileInfos=[info])


class TestCluster(SourceContract):
    tree = TREE

    @pytest.fixture(autouse=True)
    def _clusters(self) -> Iterator[None]:
        self.clusters: list[FakeCluster] = []
        yield
        for cluster in self.clusters:
            cluster.close()

    def make(self, tree: Tree, directory: Path) -> World:
        self.clusters.append(FakeCluster(workers=2))
        return ClusterWorld(self.clusters[-1], tree)
