"""The sources for tests do what tests rely on."""

from __future__ import annotations

import errno
import stat
import threading
import time

import pytest

from alluxio_jnifuse.errors import StaleVersion
from alluxio_jnifuse.sources.base import OpenFile, Source
from alluxio_jnifuse.testing import (
    FaultySource,
    Hang,
    Link,
    MemorySource,
    Pattern,
    Rule,
    SlowSource,
    flip_version,
    pattern,
    raising,
    returning,
    short,
    too_much,
)

GIB = 1 << 30


def open_now(source: Source, path: bytes) -> OpenFile:
    return source.open(path, source.stat(path).version)


def read(source: Source, path: bytes, offset: int, length: int) -> bytes:
    opened = open_now(source, path)
    buffer = bytearray(length)
    filled = source.read_into(opened.handle, offset, memoryview(buffer), lambda _: None)
    source.close_file(opened.handle)
    return bytes(buffer[:filled])


@pytest.mark.parametrize("offset", [0, 1, 7, 8, 4099, 5 * GIB + 3])
@pytest.mark.parametrize("length", [0, 1, 8, 9, 100])
def test_a_pattern_is_the_same_wherever_it_is_cut(offset: int, length: int) -> None:
    """Any range can be verified without the ones around it."""
    start = offset - offset % 4096
    around = pattern(b"/p", 1, start, 4096 + 200)
    assert pattern(b"/p", 1, offset, length) == around[offset - start : offset - start + length]


def test_no_two_words_of_a_pattern_are_alike() -> None:
    """Bytes at a wrong offset, of a wrong file or of a wrong version are found out."""
    words = set()
    for path, generation in [(b"/a", 1), (b"/a", 2), (b"/b", 1)]:
        data = pattern(path, generation, 0, 80_000)
        words |= {data[i : i + 8] for i in range(0, len(data), 8)}
    assert len(words) == 3 * 10_000


def test_a_file_of_a_pattern_holds_no_memory() -> None:
    """Many GiB are made as they are read."""
    source = MemorySource({b"d": {b"big": Pattern(8 * GIB)}})
    assert source.stat(b"/d/big").size == 8 * GIB
    offset = 8 * GIB - 50
    assert read(source, b"/d/big", offset, 100) == pattern(b"/d/big", 1, offset, 50)
    assert source.content(b"/d/big", offset, 100) == pattern(b"/d/big", 1, offset, 50)


def test_replace_is_a_new_version_of_a_new_generation() -> None:
    """In one step, with other contents."""
    source = MemorySource({b"p": Pattern(100)})
    before = source.stat(b"/p")
    opened = open_now(source, b"/p")
    assert source.replace(b"/p", Pattern(200)) == 2
    after = source.stat(b"/p")
    assert after.version != before.version
    assert after.mtime_ns != before.mtime_ns
    assert read(source, b"/p", 0, 300) == pattern(b"/p", 2, 0, 200)
    with pytest.raises(StaleVersion):
        source.read_into(opened.handle, 0, memoryview(bytearray(100)), lambda _: None)


def test_a_tree_can_grow_and_shrink() -> None:
    """Files, links and directories come and go."""
    source = MemorySource({})
    source.replace(b"/d", {})
    source.replace(b"/d/l", Link(b"f"))
    assert stat.S_ISLNK(source.stat(b"/d/l").mode)
    source.remove(b"/d")
    with pytest.raises(FileNotFoundError):
        source.stat(b"/d/l")
    with pytest.raises(FileNotFoundError):
        source.remove(b"/d")


def test_calls_and_bytes_are_counted() -> None:
    """A test can tell what did not reach the source."""
    source = MemorySource({b"f": b"12345", b"l": Link(b"f")})
    assert read(source, b"/f", 1, 100) == b"2345"
    source.list(b"/")
    source.readlink(b"/l")
    source.statfs()
    with pytest.raises(FileNotFoundError):
        source.stat(b"/missing")
    assert source.calls == {"stat": 2, "open": 1, "read": 1, "close": 1, "list": 1, "readlink": 1, "statfs": 1}
    assert source.bytes_read == 4


def test_a_slow_source_waits_before_the_kinds_it_was_told() -> None:
    """And before no other."""
    source = SlowSource(MemorySource({}), {"stat": 0.05})
    begin = time.monotonic()
    source.stat(b"/")
    assert time.monotonic() - begin >= 0.05


def test_rules_choose_by_kind_path_and_turn() -> None:
    """The first that applies acts; faults are counted."""
    inner = MemorySource({b"a": b"", b"b": b""})
    source = FaultySource(
        inner,
        [
            Rule("stat", raising(OSError(errno.EIO, "broken")), path=b"/a", nth=2),
            Rule("list", raising(RuntimeError("always"))),
        ],
    )
    source.stat(b"/b")
    source.stat(b"/a")
    with pytest.raises(OSError, match="broken"):
        source.stat(b"/a")
    source.stat(b"/a")
    for _ in range(2):
        with pytest.raises(RuntimeError):
            source.list(b"/")
    assert source.faults == {"stat": 1, "list": 2}
    assert inner.calls == {"stat": 3}


def test_what_a_faulty_source_returns_breaks_the_contract() -> None:
    """Each in its own way."""
    inner = MemorySource({b"f": b"12345"})

    def told(*rules: Rule) -> object:
        source = FaultySource(inner, rules)
        opened = open_now(source, b"/f")
        final: list[int] = []
        result = source.read_into(opened.handle, 0, memoryview(bytearray(5)), final.append)
        assert not (rules and final)
        return result

    assert told() == 5
    assert told(Rule("read", short(2))) == 3
    assert told(Rule("read", too_much(2))) == 7
    assert told(Rule("read", returning("garbage"))) == "garbage"
    version = inner.stat(b"/f").version
    assert FaultySource(inner, [Rule("open", flip_version())]).open(b"/f", version).version != version
    assert FaultySource(inner, [Rule("stat", flip_version())]).stat(b"/f").version != version


def test_a_hanging_call_goes_on_when_it_is_released() -> None:
    """As one to a server that was away does."""
    hang = Hang()
    source = FaultySource(MemorySource({b"f": b""}), [Rule("stat", hang, nth=1)])
    done = threading.Event()

    def ask() -> None:
        source.stat(b"/f")
        done.set()

    thread = threading.Thread(target=ask)
    thread.start()
    assert hang.reached.wait(120)
    source.stat(b"/f")
    assert not done.is_set()
    hang.released.set()
    thread.join(120)
    assert done.is_set()
    assert source.faults == {"stat": 1}
