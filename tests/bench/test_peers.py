"""Other mount programs beside ours: `--with NAME=COMMAND`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import peers

OURS = (
    f"{sys.executable} -m alluxio_jnifuse mount --foreground -D alluxio.logs.dir={{scratch}} "
    "--ufs {source} {mountpoint}"
)  # fmt: skip


def test_the_placeholders_tell_what_is_mounted() -> None:
    """A command stands beside our mount of the same thing."""
    assert peers.parse("a=x {source} {mountpoint}").engine == "directory"
    assert peers.parse("rclone=rclone mount :s3:{bucket}/{prefix} {mountpoint} --s3-endpoint {endpoint}") == peers.Peer(
        "rclone",
        "bucket",
        ("rclone", "mount", ":s3:{bucket}/{prefix}", "{mountpoint}", "--s3-endpoint", "{endpoint}"),
    )
    assert peers.parse("java=fuse -m {mountpoint} -D alluxio.master={master}").engine == "cluster"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x {source} {mountpoint}", "NAME=COMMAND"),
        ("a b=x {source} {mountpoint}", "NAME of letters"),
        ("a=", "no command"),
        ("a=x {source}", "no {mountpoint}"),
        ("a=x {mountpoint}", "nothing to be mounted"),
        ("a=x {source} {bucket} {mountpoint}", "directory and bucket"),
        ("a=x {home} {mountpoint}", "no such placeholder: home"),
        ("a=x {source.name} {mountpoint}", "no name"),
        ("a=x {} {mountpoint}", "no name"),
        ("a=x {source!r} {mountpoint}", "no name"),
        ("a=x {source {mountpoint}", "expected '}'"),
        ("a='x {source} {mountpoint}", "No closing quotation"),
    ],
)
def test_a_command_that_cannot_work_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why.replace("{", r"\{").replace("}", r"\}")):
        peers.parse(text)


def test_values_stay_in_their_words() -> None:
    """No shell sees them; a brace is written twice."""
    peer = peers.parse("a=x 'dir={source}/sub' {{literal}} {mountpoint}")
    words = peers.fill(peer.words, {"source": "/a b/$HOME", "mountpoint": "/m"})
    assert words == ["x", "dir=/a b/$HOME/sub", "{literal}", "/m"]


def test_every_placeholder_is_in_the_help() -> None:
    names = {name for names in peers.PLACEHOLDERS.values() for name in names} | {"mountpoint", "scratch"}
    assert all(f"{{{name}}}" in peers.known() for name in names)


@pytest.mark.fuse
def test_a_program_mounts_and_is_ended(tmp_path: Path) -> None:
    """Any program that stays in the foreground: here it is ours."""
    source = tmp_path / "a source"
    source.mkdir()
    (source / "file").write_bytes(b"content")
    peer = peers.parse(f"ours={OURS}")
    with peers.mounted(peer, {"source": str(source)}, tmp_path / "place") as running:
        assert (running.root / "file").read_bytes() == b"content"
        assert running.pid > 0
        assert Path(f"/proc/{running.pid}").exists()
    assert not peers.is_mounted(running.root)
    assert not Path(f"/proc/{running.pid}").exists()


@pytest.mark.fuse
def test_a_program_may_go_into_the_background(tmp_path: Path) -> None:
    """Nobody knows its process then, and the mount is taken away all the same."""
    (tmp_path / "file").write_bytes(b"content")
    peer = peers.parse("ours=" + OURS.replace("--foreground ", ""))
    with peers.mounted(peer, {"source": str(tmp_path)}, tmp_path / "place") as running:
        assert (running.root / "file").read_bytes() == b"content"
    assert not peers.is_mounted(running.root)


def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    """Its last words are in the error."""
    peer = peers.parse("broken=sh -c 'echo no such thing as {source} >&2; exit 3' {mountpoint}")
    with pytest.raises(RuntimeError, match="broken: exit code 3: no such thing as /nowhere"):
        with peers.mounted(peer, {"source": "/nowhere"}, tmp_path):
            raise AssertionError("nothing is mounted")
