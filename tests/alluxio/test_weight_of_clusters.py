"""An idle mount of a cluster has loaded gRPC and protobuf, and of each no more than its import brings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_cluster import FakeCluster
from infos import directory_info
from weight import HEAVY, foreign, loaded

PUT_OFF = {"asyncio", "calendar", "inspect"}  # there is a stand-in of each


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    made = FakeCluster(workers=1)
    made.master.files["/"] = directory_info("/", 1 << 20)
    made.put("/file", b"x", 1 << 20, holders=[0])
    yield made
    made.close()


def test_a_mount_of_a_cluster(cluster: FakeCluster) -> None:
    """Loads nothing for asyncio, and neither TLS nor a second library of cryptography: gRPC has its own."""
    modules = loaded(["-u", f"alluxio://{cluster.master.target}/"])
    assert foreign(modules) - {"grpc_tools"} == {"google", "grpc"}  # gRPC looks for its tools
    assert modules & (HEAVY - PUT_OFF) <= {"datetime"}  # protobuf imports it
    assert not {name for name in modules if name.startswith(("asyncio.", "grpc.aio.", "alluxio_jnifuse.sources.oss"))}
    assert not modules & {"ast", "google.protobuf.text_format", "hashlib", "numpy", "typing_extensions"}
