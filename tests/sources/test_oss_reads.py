"""Reading objects: the right bytes or an error, whatever the server does; and no request more than that takes."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from oss.bucket import KEY_ID, SECRET, Bucket
from oss.faults import (
    CloseIdle,
    Delay,
    Fault,
    IgnoreRange,
    Reset,
    Silence,
    Slow,
    Stall,
    Status,
    Truncate,
    WrongBytes,
    WrongRange,
)
from oss.server import OssServer, Rule
from oss_reading import LARGE, MIB, SMALL, ignore, read, read_small, read_version

from alluxio_jnifuse import _core, _wire
from alluxio_jnifuse.errors import CorruptContents, SourceError, StaleVersion
from alluxio_jnifuse.sources.oss.objects.listing import file_record
from alluxio_jnifuse.sources.oss.objects.reader import OpenObject
from alluxio_jnifuse.sources.oss.requests.client import Answer, Client
from alluxio_jnifuse.sources.oss.source import OssSource

pytestmark = pytest.mark.timeout(600)
STALL_S = 0.2
PATIENCE_S = 2.0


@pytest.fixture
def source(bucket: Bucket) -> Iterator[OssSource]:
    """A source that soon finds that nothing comes; what it shows is `small`, `large` and an empty file."""
    bucket.put_many({"small": SMALL, "large": LARGE, "empty": b""})
    made = bucket.source(stall_s=STALL_S, read_patience_s=PATIENCE_S)
    bucket.server.reset()
    yield made
    made.close()


# ------------------------------------------------------------------------------------------------------- requests


def test_a_small_file_is_one_request(bucket: Bucket, source: OssSource) -> None:
    """After a listing, or after a look-up, which is one more."""
    assert read_small(source, b"/small") == SMALL
    assert bucket.counts() == {"LIST": 1, "GET": 1, "bytes_sent": len(SMALL)}
    source.list(b"/")
    bucket.server.reset()
    attr = source.stat(b"/small")
    assert read_version(source, b"/small", attr) == SMALL
    assert bucket.counts()["GET"] == 1


def test_a_small_file_of_which_nothing_is_remembered_is_one_request(bucket: Bucket, source: OssSource) -> None:
    """The version is in the answer; nobody has to ask for it before."""
    attr = source.stat(b"/small")
    other = bucket.source()
    bucket.server.reset()
    assert read_version(other, b"/small", attr) == SMALL
    assert bucket.counts() == {"GET": 1, "bytes_sent": len(SMALL)}
    with pytest.raises(StaleVersion):
        read_version(other, b"/small", attr._replace(version=attr.version ^ 1))
    other.close()


def test_an_empty_file_is_no_request(bucket: Bucket, source: OssSource) -> None:
    """There is nothing to ask for."""
    attr = source.stat(b"/empty")
    bucket.server.reset()
    assert read_version(source, b"/empty", attr) == b""
    assert read(source, b"/empty") == b""
    assert "GET" not in bucket.counts()


def test_every_request_for_bytes_is_pinned(bucket: Bucket, source: OssSource) -> None:
    """By its ETag; and asks for the range that is wanted, no more."""
    attr = source.stat(b"/large")
    opened = source.open(b"/large", attr.version)
    buffer = bytearray(3 * MIB)
    assert source.read_into(opened.handle, 1, memoryview(buffer), ignore) == len(buffer)
    assert buffer == LARGE[1 : 1 + len(buffer)]
    asked = bucket.server.requests()[-1]
    assert asked.range == f"bytes=1-{len(buffer)}"
    assert asked.sent == len(buffer)
    bucket.put("large", LARGE[::-1])
    with pytest.raises(StaleVersion):
        source.read_into(opened.handle, 0, memoryview(buffer), ignore)
    assert bucket.server.requests()[-1].status == 412


def test_an_etag_that_cannot_be_sent_back_is_compared(
    bucket: Bucket, source: OssSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that a proxy has made weak, quotes in its middle, pins no request; what comes must still have it."""

    def weak(client: Client, kind: str, *rest: Any) -> Answer:
        answer = send(client, kind, *rest)
        if kind == "get":
            answer.headers["etag"] = f"W/{answer.headers['etag']}"
        return answer

    send = Client.send
    monkeypatch.setattr(Client, "send", weak)
    attr = source.stat(b"/large")
    etag = source._lookup.remembered.get(b"/large").etag  # type: ignore[union-attr]
    record = file_record(f'W/"{etag}', attr.size, attr.mtime_ns // 10**9)
    handle = OpenObject(b"/large", "dir/large", record.version, attr.size, record.etag)
    buffer = bytearray(MIB)
    for at in (0, MIB):
        assert source.read_into(handle, at, memoryview(buffer), ignore) == MIB
        assert buffer == LARGE[at : at + MIB]
    other = OpenObject(b"/large", "dir/large", record.version ^ 1, attr.size, record.etag)
    with pytest.raises(StaleVersion):
        source.read_into(other, 0, memoryview(buffer), ignore)


def test_connections_are_used_again(bucket: Bucket, source: OssSource) -> None:
    """As long as the server leaves them open."""
    for _ in range(20):
        assert read_small(source, b"/small") == SMALL
    assert source.counters()["oss_connections"] <= 2  # look-ups one after the other bring a listing beside them


def test_a_connection_that_the_server_closed_is_no_failure(bucket: Bucket, source: OssSource) -> None:
    """It may be noticed only by the request that is on its way."""
    bucket.server.add_rule(Rule(CloseIdle()))
    for _ in range(5):
        assert read_small(source, b"/small") == SMALL
    assert source.counters()["oss_retries"] == 0


def test_what_is_remembered_is_forgotten_with_the_version(bucket: Bucket, source: OssSource) -> None:
    """The next look-up asks, and the next read is of the new version."""
    attr = source.stat(b"/small")
    bucket.put("small", SMALL[::-1])
    with pytest.raises(StaleVersion):
        read_version(source, b"/small", attr)
    assert read_small(source, b"/small") == SMALL[::-1]


def test_a_deleted_object(bucket: Bucket, source: OssSource) -> None:
    """Whoever has it open is told that it is another version; whoever has not, too: the kernel looks it up again."""
    small, large = source.stat(b"/small"), source.stat(b"/large")
    opened = source.open(b"/large", large.version)
    bucket.delete("small", "large")
    with pytest.raises(StaleVersion):
        read_version(source, b"/small", small)
    with pytest.raises(StaleVersion):
        source.read_into(opened.handle, 0, memoryview(bytearray(10)), ignore)
    with pytest.raises(FileNotFoundError):
        source.stat(b"/small")


def test_core_and_kernel_are_told_of_an_open_file_that_changed(bucket: Bucket, source: OssSource) -> None:
    """Else the next open would be of the old version, for as long as the kernel's timeouts are."""
    told: list[bytes] = []
    source.invalidate = told.append
    opened = source.open(b"/large", source.stat(b"/large").version)
    bucket.put("large", b"short")
    with pytest.raises(StaleVersion):
        source.read_into(opened.handle, 0, memoryview(bytearray(10)), ignore)
    assert told == [b"/large"]


def test_an_object_that_changes_between_two_ranges_is_not_mixed(bucket: Bucket, source: OssSource) -> None:
    """Same size, other bytes; with a wrong answer to If-Match the ETag would still tell."""
    opened = source.open(b"/large", source.stat(b"/large").version)
    buffer = bytearray(MIB)
    source.read_into(opened.handle, 0, memoryview(buffer), ignore)
    bucket.put("large", bytes(byte ^ 255 for byte in LARGE))
    with pytest.raises(StaleVersion):
        source.read_into(opened.handle, MIB, memoryview(buffer), ignore)
    assert buffer == LARGE[:MIB]


# --------------------------------------------------------------------------------------------------------- faults


FAULTS: dict[str, Fault] = {
    "error": Status("InternalError"),
    "bad gateway": Status("Unknown", 502),
    "busy": Status("ServerBusy"),
    "throttled": Status("DownloadTrafficRateLimitExceeded"),
    "too many requests": Status("Unknown", 429),
    "reset before the body": Reset(0),
    "reset": Reset(100_001),
    "truncated before the body": Truncate(0),
    "truncated": Truncate(100_001),
    "stalled before the body": Stall(0),
    "stalled": Stall(100_001),
    "silent": Silence(),
    "range ignored": IgnoreRange(),
    "wrong range": WrongRange(),
    "wrong bytes": WrongBytes(77),
    "late": Delay(0.1),
    "slow": Slow(3e6),
}


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "wrong bytes"])  # twice would be for good
def test_a_small_file_despite(bucket: Bucket, source: OssSource, name: str) -> None:
    """Twice in a row something goes wrong; the bytes are right, and none of them counts before all have come."""
    bucket.server.add_rule(Rule(FAULTS[name], "GET", count=2))
    final: list[int] = []
    assert read_small(source, b"/small", final.append) == SMALL
    assert not any(final)


@pytest.mark.parametrize("name", FAULTS)
def test_a_large_file_despite(bucket: Bucket, source: OssSource, name: str) -> None:
    """What is called final is right each time, and does not change any more."""
    bucket.server.add_rule(Rule(FAULTS[name], "GET", count=1 if name == "wrong bytes" else 2))
    opened = source.open(b"/large", source.stat(b"/large").version)
    begin = 1 if name == "range ignored" else 0
    buffer = bytearray(len(LARGE) - begin)
    final = 0

    def progress(filled: int) -> None:
        nonlocal final
        assert final <= filled
        assert name == "wrong bytes" or buffer[final:filled] == LARGE[begin + final : begin + filled]
        final = filled

    if name == "wrong bytes":  # in what was final before the end: it can only be noticed there
        with pytest.raises(CorruptContents, match="CRC"):
            source.read_into(opened.handle, 0, memoryview(buffer), progress)
        assert final < len(LARGE)
        return
    assert source.read_into(opened.handle, begin, memoryview(buffer), progress) == len(buffer)
    assert buffer == LARGE[begin:]
    assert final == len(buffer)


@pytest.mark.parametrize("name", ["reset", "truncated", "stalled"])
def test_nothing_that_came_is_asked_for_again(bucket: Bucket, source: OssSource, name: str) -> None:
    """A request that broke off is gone on with where it was."""
    bucket.server.add_rule(Rule(FAULTS[name], "GET", count=3))
    assert read(source, b"/large") == LARGE
    first, *rest = [entry for entry in bucket.server.requests() if entry.operation == "GET"]
    assert first.range == ""
    assert [entry.range for entry in rest] == [f"bytes={100_001 * n}-{len(LARGE) - 1}" for n in (1, 2, 3)]
    assert bucket.counts()["bytes_sent"] == len(LARGE)
    assert source.counters()["oss_stalls"] == (3 if name == "stalled" else 0)


def test_a_range_that_is_answered_with_another_one(bucket: Bucket, source: OssSource) -> None:
    """Content-Range tells, and where it lies the checksum does, once the object is complete."""
    bucket.server.add_rule(Rule(WrongRange(), "GET", count=1))
    assert read(source, b"/large", MIB, 5000) == LARGE[MIB : MIB + 5000]
    assert source.counters()["oss_retries"] == 1


def test_a_server_that_ignores_ranges_is_given_up(bucket: Bucket, source: OssSource) -> None:
    """Not a byte of its answers is taken, and it is not asked for minutes."""
    bucket.server.add_rule(Rule(IgnoreRange(), "GET"))
    with pytest.raises(SourceError, match="got 200"):
        read(source, b"/large", 5, 10)
    assert bucket.counts()["GET"] == 5
    assert read_small(source, b"/small") == SMALL  # nobody asked for a range


def test_retry_after_is_waited(bucket: Bucket, source: OssSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """At least; and never longer than the patience there is."""
    waited: list[float] = []
    monkeypatch.setattr(threading.Event, "wait", lambda self, timeout=None: waited.append(timeout))
    patience = source._client.patience(100.0, "x")
    error = refusal(source, bucket, Status("ServerBusy"))
    error.retry_after_s = 7.0
    patience.failed(error)
    assert waited == [7.0]
    with pytest.raises(SourceError, match="given up after 1 s"):
        source._client.patience(1.0, "x").failed(error)


def refusal(source: OssSource, bucket: Bucket, fault: Status) -> OSError:
    """What a refused request raises."""
    bucket.server.add_rule(Rule(fault, count=1))
    with pytest.raises(OSError) as caught:
        source._client.send("list", "", {}, {})
    return caught.value


def test_a_read_ends_when_patience_does(bucket: Bucket, source: OssSource) -> None:
    """With what went wrong last."""
    bucket.server.add_rule(Rule(Status("ServerBusy"), "GET"))
    with pytest.raises(SourceError, match=r"given up after 2 s: .*503 ServerBusy"):
        read(source, b"/large")
    counters = source.counters()
    assert counters["oss_throttled"] == counters["oss_retries"] > 3


@pytest.mark.parametrize(
    ("fault", "number"),
    [
        (Status("AccessDenied"), errno.EACCES),
        (Status("InvalidObjectState", 403), errno.EACCES),
        (Status("InvalidArgument"), errno.EIO),
    ],
)
def test_what_is_refused_for_good_is_an_error_at_once(
    bucket: Bucket, source: OssSource, fault: Status, number: int
) -> None:
    """With the errno for an application."""
    bucket.server.add_rule(Rule(fault, "GET"))
    with pytest.raises(OSError) as caught:
        read(source, b"/large")
    assert caught.value.errno == number
    assert bucket.counts()["GET"] == 1


@pytest.mark.parametrize("name", ["reset", "truncated", "stalled", "wrong range", "slow"])
def test_a_large_file_despite_and_encrypted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """TLS has its own ways to end, and to wait."""
    with OssServer(tmp_path, keys={KEY_ID: SECRET}, https=True) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.ca_file))
        bucket = Bucket(server, "bucket")
        bucket.put("large", LARGE)
        server.add_rule(Rule(FAULTS[name], "GET", count=2))
        source = bucket.source(stall_s=STALL_S, read_patience_s=PATIENCE_S)
        assert read(source, b"/large", 1) == LARGE[1:]
        source.close()


# ------------------------------------------------------------------------------------------------------ checksums


def test_a_damaged_small_file_is_read_again_and_then_an_error(
    bucket: Bucket, source: OssSource, caplog: pytest.LogCaptureFixture
) -> None:
    """Both values are in the log."""
    bucket.server.add_rule(Rule(WrongBytes(5), "GET", count=1))
    assert read_small(source, b"/small") == SMALL
    bucket.server.clear_rules()
    bucket.server.add_rule(Rule(WrongBytes(5), "GET"))
    bucket.server.reset()
    with caplog.at_level(logging.WARNING), pytest.raises(CorruptContents, match="CRC"):
        read_small(source, b"/small")
    assert bucket.counts()["GET"] == 2
    damaged = bytearray(SMALL)
    damaged[5] ^= 255
    assert f"CRC-64 {_wire.crc64(damaged)}, and OSS says {_wire.crc64(SMALL)}" in caplog.text
    assert source.counters()["oss_damaged"] == 3


def test_the_end_of_a_damaged_file_is_never_final(bucket: Bucket, source: OssSource) -> None:
    """However often it is read; and the core is told that what it has of it is wrong."""
    opened = source.open(b"/large", source.stat(b"/large").version)
    buffer = memoryview(bytearray(MIB))
    bucket.server.add_rule(Rule(WrongBytes(5), "GET", count=1))
    for offset in range(0, 5 * MIB, MIB):
        assert source.read_into(opened.handle, offset, buffer, ignore) == MIB
    for problem in ("CRC", "a moment ago"):
        final = [0]
        with pytest.raises(CorruptContents, match=problem):
            source.read_into(opened.handle, 5 * MIB, buffer, final.append)
        assert max(final) == 0


def test_a_damaged_end_of_a_file_is_read_again(bucket: Bucket, source: OssSource) -> None:
    """When it was the damaged part, all is well."""
    opened = source.open(b"/large", source.stat(b"/large").version)
    buffer = memoryview(bytearray(MIB))
    for offset in range(0, 5 * MIB, MIB):
        assert source.read_into(opened.handle, offset, buffer, ignore) == MIB
    bucket.server.add_rule(Rule(WrongBytes(5), "GET", count=1))
    assert source.read_into(opened.handle, 5 * MIB, buffer, ignore) == len(LARGE) - 5 * MIB
    assert buffer[: len(LARGE) - 5 * MIB] == LARGE[5 * MIB :]
    assert source.counters()["oss_checked"] == 1


def test_ranges_from_many_threads_are_checked_together(source: OssSource) -> None:
    """In any order, some of them twice."""
    opened = source.open(b"/large", source.stat(b"/large").version)
    step = 300_001

    def take(offset: int) -> bool:
        buffer = bytearray(step)
        filled = source.read_into(opened.handle, offset, memoryview(buffer), ignore)
        return buffer[:filled] == LARGE[offset : offset + step]

    offsets = list(range(0, len(LARGE), step))
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(take, offsets[::2] + offsets[::-1]))
    assert opened.handle.checksum.checked
    assert source.counters()["oss_damaged"] == 0


# --------------------------------------------------------------------------------------------------------- ending


def test_the_end_of_the_mount_ends_what_is_under_way(bucket: Bucket, source: OssSource) -> None:
    """A thread that waits for the server does not wait any more."""
    bucket.server.add_rule(Rule(Silence(), "GET"))
    slow = bucket.source(stall_s=60.0)
    attr = slow.stat(b"/small")
    bucket.server.reset()
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(read_version, slow, b"/small", attr)
        while not bucket.counts().get("GET"):
            pass
        slow.close()
        with pytest.raises(OSError, match="the mount ends"):
            pending.result(120)


def test_nobody_wants_it_any_more_while_it_is_tried_again(bucket: Bucket, source: OssSource) -> None:
    """A read that was given up does not go on asking a server that is busy."""
    bucket.server.add_rule(Rule(Status("ServerBusy"), "GET"))
    opened = source.open(b"/large", source.stat(b"/large").version)

    def given_up(filled: int) -> None:
        raise _core.Cancelled

    progress: Callable[[int], None] = given_up
    with pytest.raises(_core.Cancelled):
        source.read_into(opened.handle, 0, memoryview(bytearray(10)), progress)
    assert bucket.counts()["GET"] == 1
