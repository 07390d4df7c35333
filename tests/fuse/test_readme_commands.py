"""The quick starts of README.md work as they stand there, but for the paths, the bucket and its key."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from harness.mounting import COMMAND, Mounts, run
from oss.bucket import KEY_ID, SECRET, Bucket

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README.read_text(), re.DOTALL)
FILES = {"train/1": b"one" * 1000, "train/2": b"two", "validation/3": b""}

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(300)]


@pytest.fixture
def here(private: Path, mounts: Mounts) -> Mapping[str, str]:
    """The paths of the README, as paths of this test."""
    (private / "alluxio-jnifuse").write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    (private / "alluxio-jnifuse").chmod(0o755)
    for name, contents in FILES.items():
        (private / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (private / "data" / name).write_bytes(contents)
    (private / "cache").mkdir(mode=0o700)
    names = {"/data/imagenet": "data", "/mnt/imagenet": "mnt", "/nvme/cache": "cache"}
    return {theirs: str(private / ours) for theirs, ours in names.items()}


def block(word: str, language: str = "") -> str:
    """The one block of commands that holds a word."""
    (found,) = [text for kind, text in BLOCKS if kind == language and word in text]
    return found


def replaced(text: str, by: Mapping[str, str]) -> str:
    for old, new in by.items():
        text = text.replace(old, new)
    return text


def said_by(words: list[str], private: Path) -> str:
    """The output of a program for which `alluxio-jnifuse` is the command of this tree, with nothing configured."""
    environ = {"PATH": f"{private}:/usr/bin:/bin:/usr/sbin:/sbin"}
    environ |= dict.fromkeys(("HOME", "ALLUXIO_CONF_DIR", "ALLUXIO_LOGS_DIR"), str(private))
    done = run(words, environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_local_directory(here: Mapping[str, str], private: Path) -> None:
    script = replaced(block("mount --ufs /data/imagenet"), here)
    assert "train\nvalidation\n" in said_by(["bash", "-euc", script], private)


def test_a_bucket_and_its_cache(here: Mapping[str, str], private: Path, bucket: Bucket) -> None:
    """The second mount has the client cache, which `load` fills."""
    bucket.put_many({f"imagenet/{name}": contents for name, contents in FILES.items()})
    ours = {
        **here,
        "OSS_ACCESS_KEY_ID=... OSS_ACCESS_KEY_SECRET=...": f"OSS_ACCESS_KEY_ID={KEY_ID} OSS_ACCESS_KEY_SECRET={SECRET}",
        "oss-cn-hangzhou-internal.aliyuncs.com": bucket.properties()["fs.oss.endpoint"],
        "oss://bucket/": bucket.uri,
        "500GB": "10MB",
    }
    end = f"alluxio-jnifuse umount {here['/mnt/imagenet']}\n"
    script = block("export OSS_ACCESS_KEY_ID") + end + block("alluxio-jnifuse load") + end
    said = said_by(["bash", "-euc", replaced(script, ours)], private)
    assert "train\nvalidation\n" in said
    assert "Loaded 2 files" in said
    assert list(Path(here["/nvme/cache"]).rglob("*.sums"))


def test_from_python(here: Mapping[str, str], private: Path) -> None:
    program = replaced(block("import alluxio_jnifuse", "python"), here)
    assert said_by([sys.executable, "-c", program], private).startswith(here["/mnt/imagenet"])
