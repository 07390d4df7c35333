"""The server of OSS's protocol, asked by the client that Aliyun ships, and byte by byte where that says too little."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import oss2
import pytest

from oss.server import OssServer

KEYS = {"key": "secret"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OssServer]:
    """With a bucket of one object."""
    with OssServer(tmp_path, KEYS) as made:
        made.create_bucket("bucket")
        made.put("bucket", "dir/key", b"content")
        yield made


@pytest.mark.parametrize("auth", [oss2.Auth("key", "secret"), oss2.AuthV4("key", "secret")])
def test_an_object_is_read(server: OssServer, auth: object) -> None:
    """With both signatures; every request is counted, and every byte of the object."""
    bucket = oss2.Bucket(auth, server.endpoint, "bucket", region=server.region)
    assert bucket.get_object("dir/key").read() == b"content"
    assert server.counts() == {"connections": 1, "GET": 1, "bytes_sent": 7}
