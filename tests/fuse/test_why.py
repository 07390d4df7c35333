"""`why` in mounts that wait for something: it names who waits, for what, and what stands out."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from harness.children import Children, until
from harness.mounting import COMMAND, Mounted, Mounts, run
from harness.remote import RemoteSource
from oss.bucket import Bucket
from oss.faults import Delay, Status
from oss.server import Rule

from alluxio_jnifuse.testing import Pattern

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(600)]

MIB = 1 << 20
SIZE = 10 * MIB
HELD = "held"


def why(mounted: Mounted, *words: str, seconds: float = 0.0) -> dict[str, Any]:
    """What it tells, as JSON."""
    done = run([*COMMAND, "why", "--json", "--seconds", str(seconds), *words, mounted.path], mounted.environ)
    assert (done.returncode, done.stderr) == (0, "")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def seen(mounted: Mounted, condition: Callable[[dict[str, Any]], bool], what: str, *words: str) -> dict[str, Any]:
    """What it tells once that fulfils a condition."""
    told: dict[str, Any] = {}

    def fulfilled() -> bool:
        told.clear()
        told.update(why(mounted, *words))
        return condition(told)

    until(fulfilled, what)
    return told


def finds(*words: str) -> Callable[[Mapping[str, Any]], bool]:
    """Whether one finding has all of the words."""

    def found(told: Mapping[str, Any]) -> bool:
        texts = [f"{each['what']} -> {each['remedy']}" for each in told["findings"]]
        return any(all(word in text for word in words) for text in texts)

    return found


def page(mounted: Mounted) -> str:
    """What it prints for a person."""
    done = run([*COMMAND, "why", "-s", "0", mounted.path], mounted.environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read_from(path: str, offset: int = 0) -> None:
    """Reads a little of a file."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.pread(fd, 4096, offset)
    finally:
        os.close(fd)


def read_all(paths: Sequence[str]) -> None:
    """Reads small files, one after the other."""
    for path in paths:
        Path(path).read_bytes()


@pytest.fixture
def source(remote: Callable[..., RemoteSource]) -> RemoteSource:
    """Files, and a switch for each kind of call."""
    tree = {b"large": Pattern(64 * MIB), b"a": Pattern(SIZE), b"b": Pattern(SIZE), b"d": {b"x": b"1", b"y": b"2"}}
    return remote(tree, rules=[("reads", "read", None), ("stats", "stat", None), ("lists", "list", None)])


def test_nothing_waits(source: RemoteSource, mounts: Mounts) -> None:
    mounted = mounts.mount(source)
    told = why(mounted)
    assert told["requests"] == []
    assert [each["what"] for each in told["findings"]] == ["nothing waits for the mount"]
    assert page(mounted).startswith(f"{mounted.path}: 0 requests wait\n")


def test_a_read_at_the_storage(source: RemoteSource, mounts: Mounts, children: Children) -> None:
    """Process, path, range, and since when."""
    mounted = mounts.mount(source, "max_readahead=0")
    source.hold("reads")
    child = children.start(read_from, mounted.join("a"), MIB)
    told = seen(mounted, lambda told: len(told["requests"]) == 1, "a request to wait")
    (request,) = told["requests"]
    assert (request["pid"], request["operation"], request["path"]) == (child.pid, "Read", "/a")
    assert request["offset"] <= MIB < request["offset"] + request["size"]
    before = request["for_s"]
    assert request["cause"]["kind"] == "server"
    assert request["cause"]["step"]["kind"] == "read"
    assert why(mounted)["requests"][0]["for_s"] > before
    assert f"({child.pid}): Read of /a at " in page(mounted)
    assert why(mounted, "--pid", str(os.getpid()))["requests"] == []
    assert len(why(mounted, "--pid", str(child.pid))["requests"]) == 1
    source.release("reads")
    child.result()
    told = why(mounted)
    assert told["requests"] == []
    shares = told["recent"]
    assert shares["storage"] > shares["daemon"]
    assert shares["daemon"] + shares["queue"] + shares["storage"] + shares["pauses"] == pytest.approx(1)


def test_a_slow_bucket(bucket: Bucket, mounts: Mounts, children: Children) -> None:
    bucket.put_many({f"{number}": b"x" * 1000 for number in range(1000)})
    mounted = mounts.mount(bucket, properties=bucket.properties())
    bucket.server.add_rule(Rule(Delay(2.0), "GET"))
    child = children.start(read_all, [mounted.join(str(number)) for number in range(1000)])
    server = bucket.server.endpoint.partition("//")[2]
    told = seen(mounted, finds(server, "of the waiting", "answers slowly"), "the bucket to be slow")
    assert told["requests"][0]["cause"]["server"] == server
    child.kill()
    bucket.server.clear_rules()


def test_a_throttled_bucket(bucket: Bucket, mounts: Mounts, children: Children) -> None:
    bucket.put("file", b"x" * 1000)
    mounted = mounts.mount(bucket, properties=bucket.properties())
    bucket.server.add_rule(Rule(Status("ServerBusy"), "GET"))
    child = children.start(read_all, [mounted.join("file")])
    told = seen(mounted, finds("more than it permits"), "the bucket to refuse")
    assert not finds("answers slowly")(told)
    told = seen(mounted, lambda told: bool(told["requests"]), "the reader to wait")
    step = told["requests"][0]["cause"]["step"]
    assert step["attempt"] > 1
    assert "ServerBusy" in step["error"]
    bucket.server.clear_rules()
    child.result()
    assert why(mounted)["recent"]["pauses"] > 0


def test_a_queue_behind_one_file(source: RemoteSource, mounts: Mounts, children: Children) -> None:
    """All fetchers but one are at /large; the next but one waits for its turn."""
    mounted = mounts.mount(source, "fetchers=4,max_readahead=0,prefetch_window=0")
    source.hold("reads")
    readers = [children.start(read_from, mounted.join("large"), 20 * number * MIB) for number in range(3)]
    until(lambda: source.waiting("reads") == 3, "three reads")
    readers += [children.start(read_from, mounted.join(name)) for name in "ab"]
    crowded = finds("1 fetch waits for a free fetcher", "3 of 4 are for /large", "fetchers=N")
    seen(mounted, crowded, "the queue")
    until(lambda: len(why(mounted)["requests"]) == 5, "five requests")
    told = why(mounted)
    assert [each["cause"]["kind"] for each in told["requests"]].count("turn") == 1
    assert "waits for a free fetcher, for " in page(mounted)
    source.release("reads")
    for reader in readers:
        reader.result()


def test_cold_metadata(source: RemoteSource, mounts: Mounts, children: Children) -> None:
    """Look-ups and a listing, which the storage does not answer yet."""
    mounted = mounts.mount(source)
    source.hold("stats")
    source.hold("lists")
    waiting = [children.start(os.stat, mounted.join(name)) for name in "ab"]
    waiting.append(children.start(os.listdir, mounted.path))
    told = seen(mounted, lambda told: len(told["requests"]) == 3, "three requests")
    assert finds("100% of the waiting is for names and attributes", "load --dry-run")(told)
    assert {each["operation"] for each in told["requests"]} >= {"Lookup"}
    assert all(each["cause"]["kind"] == "server" for each in told["requests"])
    assert "Lookup in /" in page(mounted)
    source.release("stats")
    source.release("lists")
    for each in waiting:
        each.result()


def test_a_reader_that_is_itself_slow(source: RemoteSource, mounts: Mounts, children: Children) -> None:
    """It has a file open, and computes."""
    mounted = mounts.mount(source)
    child = children.start(compute, mounted.join("a"))
    slow = finds(f"({child.pid}) waits for the mount only", "does not hold it up")
    told = seen(mounted, slow, "the reader", "-s", "0.2")
    assert [each["pid"] for each in told["readers"]] == [child.pid]
    assert told["readers"][0]["runs"] > 0
    told = why(mounted, "-p", str(child.pid), seconds=0.1)
    assert [each["pid"] for each in told["readers"]] == [child.pid]
    child.kill()


def compute(path: str) -> None:
    """Until it is killed."""
    with open(path, "rb") as file:
        file.read(1)
        while True:
            pass


@pytest.fixture
def freezing(tmp_path: Path) -> Iterator[Path]:
    """A disk that hangs in every write when it is frozen. Asked for before `mounts`."""
    image, path = tmp_path / "image", tmp_path / "disk"
    path.mkdir()
    with open(image, "wb") as file:
        file.truncate(128 * MIB)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can freeze a disk")
def test_a_disk_that_is_slow(freezing: Path, source: RemoteSource, mounts: Mounts, children: Children) -> None:
    """Bytes are there before they are stored, but the fetchers are not free before that."""
    properties = {"enabled": "true", "store.type": "LOCAL", "dirs": str(freezing / "cache"), "size": "64MB"}
    properties |= {"timeout.duration": "-1", "async.write.enabled": "false"}
    cache = {f"alluxio.user.client.cache.{name}": value for name, value in properties.items()}
    mounted = mounts.mount(source, "fetchers=2,metadata_fetchers=2", cache)
    subprocess.run(["fsfreeze", "--freeze", freezing], check=True)
    try:
        readers = [children.start(read_from, mounted.join(name), 4 * MIB) for name in ("a", "b", "large")]
        seen(mounted, finds(f"the client cache in {freezing}/cache", "the disk is slow"), "the disk")
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", freezing], check=True)
    for reader in readers:
        reader.result()


def test_words(mounts: Mounts, source: RemoteSource) -> None:
    """What is wrong with the command line, and a mount that is none."""
    mounted = mounts.mount(source)
    for words, said in (
        (["--pid", "me", mounted.path], "not numbers"),
        (["--seconds", "-1", mounted.path], "0 to 3600"),
        ([mounted.path, mounted.path], "too many arguments"),
        (["/"], "not mounted"),
    ):
        done = run([*COMMAND, "why", *words], mounted.environ)
        assert done.returncode == 1
        assert said in done.stderr
