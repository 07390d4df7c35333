"""The counters of a source by server: they add up to those of the source, and nothing else is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from oss.bucket import SECRET, Bucket
from oss.faults import Reset
from oss.server import Rule
from oss_reading import SMALL, read

from alluxio_jnifuse.sources.oss.source import OssSource
from alluxio_jnifuse.sources.tally import Tally


def test_servers_add_up() -> None:
    """Each count is in all and with its server; of servers without number, the later ones are together."""
    tally = Tally(["a", "b"])
    for number in range(300):
        tally.add("a", 2, f"server{number}")
    tally.add("b")
    assert tally.counts() == {"a": 600, "b": 1}
    servers = tally.by_server()
    assert servers.pop("others") == {"a": 2 * 44}
    assert servers == {f"server{number}": {"a": 2} for number in range(256)}


def test_threads_lose_nothing() -> None:
    """Many may count for the same server."""
    tally = Tally(["a"])
    threads = [threading.Thread(target=lambda: [tally.add("a", 1, "s") for _ in range(2000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tally.counts(), tally.by_server()) == ({"a": 16_000}, {"s": {"a": 16_000}})


@pytest.fixture
def source(bucket: Bucket) -> Iterator[OssSource]:
    bucket.put_many({"small": SMALL, "d/file": b"x"})
    made = bucket.source()
    yield made
    made.close()


def test_a_bucket_is_one_server(bucket: Bucket, source: OssSource) -> None:
    """All that is not 0, under the host that was asked; the key is not among it."""
    bucket.server.add_rule(Rule(Reset(), count=1))
    assert read(source, b"/small") == SMALL
    counters = source.counters()
    assert counters["oss_get"] >= 1
    assert counters["oss_retries"] >= 1
    host = source._client.settings.endpoint.authority
    assert source.servers() == {host: {name: number for name, number in counters.items() if number}}
    assert SECRET not in repr(source.servers())
