"""One data set on every side: our mounts, and other programs beside them."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack

import pytest

from benchmarks import engines, peers
from benchmarks.bench import ENGINES, Bench, Scope

OURS = f"{sys.executable} -m alluxio_jnifuse mount --foreground"
BESIDE_DIRECTORY = peers.parse(f"again={OURS} --ufs {{source}} {{mountpoint}}")
BESIDE_BUCKET = peers.parse(
    f"other={OURS} -D fs.oss.endpoint={{endpoint}} -D fs.oss.accessKeyId={{key_id}} "
    "-D fs.oss.accessKeySecret={key_secret} --ufs oss://{bucket}/{prefix} {mountpoint}"
)


@pytest.mark.fuse
def test_every_side_shows_the_data_set() -> None:
    """Also for a second time, and not once it is withdrawn from the bucket."""
    scope = Scope(runs=1, engines=("directory", "bucket"), peers=(BESIDE_DIRECTORY, BESIDE_BUCKET))
    with Bench(scope) as bench, ExitStack() as stack:
        directory = bench.made("set", lambda path, size: (path / "file").write_bytes(b"x" * size), 1000)
        found = engines.sides(bench, stack, ENGINES)
        assert [(side.name, side.base, side.ours) for side in found] == [
            ("directory", "directory", True),
            ("bucket", "bucket", True),
            ("directory, again", "directory", False),
            ("bucket, other", "bucket", False),
        ]
        for side in found:
            side.offer(directory)
        for side in [*found, found[-1]]:
            with side.mounted(directory) as mounted:
                assert (mounted.root / "file").read_bytes() == b"x" * 1000
                assert mounted.pid > 0
        bucket = found[1]
        assert isinstance(bucket, engines.BucketSide)
        bucket.withdraw(directory)
        assert bucket.server.keys("bench") == []


def test_a_peer_without_its_engine_is_left_out_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Bench(Scope(runs=1, engines=("directory",), peers=(BESIDE_BUCKET,))) as bench, ExitStack() as stack:
        assert [side.name for side in engines.sides(bench, stack, ENGINES)] == ["directory"]
    assert "skipped: other: this run has no bucket" in capsys.readouterr().out


def test_the_environment_is_restored() -> None:
    """Mounts of a benchmark are configured by it alone, and those after it as before."""
    before = dict(os.environ)
    with Bench(Scope(runs=1)) as bench:
        assert os.environ["ALLUXIO_CONF_DIR"] == str(bench.root)
    assert dict(os.environ) == before
