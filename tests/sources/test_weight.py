"""An idle mount has loaded only what it uses: the rest would be most of its memory, and of the time of its start."""

from __future__ import annotations

from pathlib import Path

from oss.bucket import Bucket
from weight import HEAVY, foreign, loaded


def test_a_mount_of_a_directory(tmp_path: Path) -> None:
    """Needs nothing but Python, and none of its large parts; nothing of other storages."""
    (tmp_path / "file").touch()
    modules = loaded(["-u", str(tmp_path)])
    assert not foreign(modules)
    assert not modules & (HEAVY | {"hashlib", "urllib.parse"})
    assert not {name for name in modules if name.startswith(("alluxio_jnifuse.cache", "alluxio_jnifuse.sources.oss"))}


def of_bucket(bucket: Bucket, **more: str) -> set[str]:
    bucket.put("file", b"x")
    words = [f"-D{name}={value}" for name, value in bucket.properties(**more).items()]
    return loaded([*words, "-u", bucket.uri])


def test_a_mount_of_a_bucket(bucket: Bucket) -> None:
    """Loads neither oss2, which signs nothing, nor TLS, of which a plain endpoint has none."""
    modules = of_bucket(bucket)
    assert not foreign(modules)
    assert modules & HEAVY <= {"hmac"}
    assert modules == of_bucket(bucket, region="cn-hangzhou")  # signatures of version 4
