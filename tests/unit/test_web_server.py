"""The endpoint without a mount: what it takes, what it refuses, and the texts that it shows."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from alluxio_jnifuse._core import counter_rows, time_ranges, time_rows
from alluxio_jnifuse.daemon.web import alluxio, dropwizard, prometheus, server
from alluxio_jnifuse.daemon.web.health import Health
from alluxio_jnifuse.daemon.web.requests import MOST_BYTES, Asked, Refused, is_good_host, parse
from alluxio_jnifuse.daemon.web.server import Page, Server
from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.mounts.times import Times

PROJECT = Path(__file__).parents[2]
HELPS = dict(counter_rows())
GAUGES = frozenset(name for name, meaning in HELPS.items() if meaning.endswith("(gauge)"))
GUARD_S = 60.0


# ---------------------------------------------------------------------------------------------------- requests


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:49999", "127.0.0.1", "127.0.0.1:49999", "[::1]:49999", "[::1]", "10.1.2.3:80", "this.one"],
)
def test_hosts_of_this_machine(host: str) -> None:
    """Addresses, its own names, and those that are set."""
    assert is_good_host(host, {"this.one"})


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:49999", "localhost.evil.example", "127.0.0.1.evil.example", "[::1]x", "[::1",
     "1.2.3", "localhost:1:2", "this.one.evil", "::1"],
)  # fmt: skip
def test_hosts_of_strangers(host: str) -> None:
    """A name that nobody set may have been bound to this machine by a stranger."""
    assert not is_good_host(host, {"this.one"})


def test_requests() -> None:
    """The path apart from its query; nothing before the lines are complete."""
    text = b"GET /metrics/json?x=1 HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"
    for end in range(len(text)):
        assert parse(text[:end], ()) is None
    assert parse(text, ()) == Asked("/metrics/json", False, "x=1")
    assert parse(text.replace(b"GET", b"HEAD"), ()) == Asked("/metrics/json", True, "x=1")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nhost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"GET /\r\n\r\n", 400),
        (b"GET / a HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"A" * MOST_BYTES, 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"A" * MOST_BYTES + b"\r\n\r\n", 431),
    ],
)
def test_refused_requests(text: bytes, status: int) -> None:
    """Each with the reason."""
    with pytest.raises(Refused) as caught:
        parse(text, ())
    assert caught.value.status == status


# ------------------------------------------------------------------------------------------------------ server


@pytest.fixture
def made() -> list[str]:
    """The pages that were made."""
    return []


@pytest.fixture
def web(made: list[str]) -> Iterator[Server]:
    """One page, and one that fails."""

    def page() -> Page:
        made.append("page")
        return Page(b"x" * 300_000, "text/plain")

    def fails() -> Page:
        raise RuntimeError("planted")

    web = Server("127.0.0.1", 0, {"/page": page, "/fails": fails}, (), lambda: None)
    web.start()
    yield web
    web.stop()
    with pytest.raises(OSError):
        socket.create_connection(web.address, timeout=GUARD_S)


def get(web: Server, path: str, method: str = "GET", host: str = "") -> tuple[int, bytes, Mapping[str, str]]:
    """Status, body and headers."""
    connection = HTTPConnection(*web.address, timeout=GUARD_S)
    try:
        connection.request(method, path, headers={"Host": host} if host else {})
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


def test_pages(web: Server) -> None:
    """Whole, also where they do not fit into a socket at once; a page that fails takes nothing else with it."""
    status, body, headers = get(web, "/page")
    assert (status, body) == (200, b"x" * 300_000)
    assert headers["Connection"] == "close"
    assert headers["Cache-Control"] == "no-store"
    status, body, headers = get(web, "/page", "HEAD")
    assert (status, body, headers["Content-Length"]) == (200, b"", "300000")
    assert [get(web, path)[0] for path in ("/", "/nope", "/page/../page", "/fails")] == [404, 404, 404, 500]
    status, _, headers = get(web, "/page", "POST")
    assert (status, headers["Allow"]) == (405, "GET, HEAD")
    assert get(web, "/page", host="evil.example")[0] == 421
    assert get(web, "/page")[0] == 200


def test_a_page_is_made_once_for_many(web: Server, made: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of requests does not make a page each time."""
    monkeypatch.setattr(server, "FRESH_S", 3600.0)
    for _ in range(20):
        assert get(web, "/page")[0] == 200
    assert len(made) == 1


def test_a_look_that_fails_takes_no_page_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_TICK_S", 0.0)
    looks: list[str] = []

    def look() -> None:
        looks.append("look")
        raise MemoryError("planted")

    web = Server("127.0.0.1", 0, {"/page": lambda: Page(b"x", "text/plain")}, (), look)
    web.start()
    try:
        assert [get(web, "/page")[0] for _ in range(3)] == [200, 200, 200]
        assert len(looks) > 1
    finally:
        web.stop()


def test_pages_for_those_who_know_the_token() -> None:
    """Not even made for others; a page in HTML loads nothing from elsewhere, and is shown in no other page."""
    made: list[str] = []

    def page() -> Page:
        made.append("page")
        return Page(b"<p>", "text/html; charset=utf-8")

    web = Server("127.0.0.1", 0, {"/": page}, (), lambda: None, private=("/",))
    other = Server("127.0.0.1", 0, {"/": page}, (), lambda: None, private=("/",))
    web.start()
    other.start()
    try:
        for wrong in ("", "?token=", f"?token={other.token}", f"?token={web.token}&", "?token=%E9"):
            assert get(web, "/" + wrong)[0] == 403
        assert made == []
        status, body, headers = get(web, f"/?token={web.token}")
        assert (status, body) == (200, b"<p>")
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "no-referrer"
    finally:
        web.stop()
        other.stop()


def test_silent_clients_make_room(web: Server) -> None:
    """However many say nothing, or take nothing: the oldest gives its place to one that asks."""
    silent = [socket.create_connection(web.address, timeout=GUARD_S) for _ in range(3 * server.MOST_CLIENTS)]
    for each in silent[::2]:
        each.send(b"GET /page HT")
    for each in silent[1::2]:
        each.send(b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n")  # and does not read
    assert get(web, "/page")[0] == 200
    assert len(web._clients) <= server.MOST_CLIENTS
    for each in silent:
        each.close()


def test_a_silent_client_is_dropped(made: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time, and sooner than anybody who waits for ever."""
    monkeypatch.setattr(server, "_PATIENCE_S", 0.05)
    web = Server("127.0.0.1", 0, {}, (), lambda: None)
    web.start()
    try:
        with socket.create_connection(web.address, timeout=GUARD_S) as client:
            assert client.recv(1) == b""
    finally:
        web.stop()


# ------------------------------------------------------------------------------------------------------- texts


def times_of(noted: Mapping[str, Mapping[int, int]], errors: Mapping[str, Mapping[str, int]]) -> dict[str, Times]:
    """All histograms; `noted`: by name how many durations of so many us."""
    bounds = time_ranges()
    found = {}
    for name, _ in time_rows():
        ranges = [0] * len(bounds)
        for us, number in noted.get(name, {}).items():
            ranges[max(index for index, start in enumerate(bounds) if start <= us)] += number
        total = sum(us * number for us, number in noted.get(name, {}).items()) * 1000
        found[name] = Times(total, tuple(ranges), errors.get(name, {}), bounds)
    return found


STATS = {name: number for number, name in enumerate(HELPS, 1)}
TIMES = times_of(
    {
        "op_read": {0: 1, 1: 2, 1000: 3, 1_000_000: 4},
        "op_lookup": {50: 7},
        "source_read": {900: 1},
        "queue_read": {9: 1},
    },
    {"op_lookup": {"ENOENT": 3, "other": 1}, "source_read": {"EIO": 2}},
)
SERVERS = {'a"b\\c\nd': {"rpc_GetStatus": 5, "cluster_bytes": 9, "cluster_retries": 1}, "w:1": {"oss_stalls": 2}}


def text() -> str:
    figures = alluxio.figures(STATS, TIMES, 1 << 30)
    info = {"version": "1", "mount_point": "/mnt/\udcff\u00e9"}
    return prometheus.render(info, STATS, HELPS, TIMES, SERVERS, figures).decode()


def samples() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Each sample of the text, as Prometheus's own client reads it."""
    found = {}
    for family in text_string_to_metric_families(text()):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def test_the_text_is_one_that_prometheus_reads() -> None:
    """Every counter, with its type; no family twice; a label is what it was."""
    found = samples()
    for name, value in STATS.items():
        assert found[f"alluxio_jnifuse_{name}{'' if name in GAUGES else '_total'}", frozenset()] == value
    families = list(text_string_to_metric_families(text()))
    assert len({family.name for family in families}) == len(families)
    assert all(family.documentation for family in families)
    kinds = {family.name: family.type for family in families}
    assert kinds["alluxio_jnifuse_op_read"] == "counter"
    assert kinds["alluxio_jnifuse_threads"] == "gauge"
    assert kinds["alluxio_jnifuse_request_seconds"] == "histogram"
    assert kinds["Fuse_Read"] == "summary"
    server = ("server", 'a"b\\c\nd')
    assert found["alluxio_jnifuse_server_requests_total", frozenset([server, ("request", "rpc_GetStatus")])] == 5
    assert found["alluxio_jnifuse_server_bytes_total", frozenset([server])] == 9
    events = frozenset([("server", "w:1"), ("event", "oss_stalls")])
    assert found["alluxio_jnifuse_server_events_total", events] == 2


def test_histograms_are_what_was_noted() -> None:
    """Buckets rise to the count; a bound counts what is below it; errors have their own rows."""
    found = samples()
    op = ("op", "read")
    name = "alluxio_jnifuse_request_seconds"

    def bucket(le: str) -> float:
        return found[f"{name}_bucket", frozenset([op, ("le", le)])]

    assert [bucket(le) for le in ("1e-06", "2e-06", "0.001024", "1.048576", "+Inf")] == [1, 3, 6, 10, 10]
    assert found[f"{name}_count", frozenset([op])] == 10
    assert found[f"{name}_sum", frozenset([op])] == pytest.approx(4.003002)
    failed = frozenset([("op", "lookup"), ("errno", "ENOENT")])
    assert found["alluxio_jnifuse_request_errors_total", failed] == 3
    assert found["alluxio_jnifuse_fetch_errors_total", frozenset([("kind", "read"), ("errno", "EIO")])] == 2
    assert not [key for key in found if ("op", "statfs") in key[1]]  # nothing was noted


def test_figures_under_the_names_of_alluxio() -> None:
    """In both texts, of the same value."""
    found = samples()
    told = json.loads(dropwizard.render(alluxio.figures(STATS, TIMES, 1 << 30), STATS, GAUGES, 10.0))
    assert found["Fuse_TotalCalls_count", frozenset()] == told["timers"]["Fuse.TotalCalls"]["count"] == 17
    assert found["Fuse_GetattrFailures", frozenset()] == told["counters"]["Fuse.GetattrFailures"]["count"] == 4
    cached = STATS["read_hit_bytes"]
    assert told["meters"]["Client.CacheBytesReadCache"]["count"] == cached
    assert found["Client_CacheBytesReadCache_total", frozenset()] == cached
    wanted = cached / (cached + STATS["read_miss_bytes"])
    assert found["Client_CacheHitRate", frozenset()] == told["gauges"]["Client.CacheHitRate"]["value"] == wanted
    assert told["counters"]["op_read"]["count"] == STATS["op_read"]
    assert told["gauges"]["threads"]["value"] == STATS["threads"]
    without = alluxio.figures(STATS, TIMES, 0)
    assert not [name for kind in without for name in kind if name.startswith("Client.")]


def test_the_dashboard_asks_for_what_there_is() -> None:
    """Each name in a query of docs/examples/grafana is that of a sample, with the labels that it is grouped by."""
    page = (PROJECT / "docs/examples/grafana/alluxio-jnifuse.json").read_text()
    board = json.loads(page)
    labels: dict[str, set[str]] = {}
    for name, of in samples():
        labels.setdefault(name, {"instance"}).update(key for key, _ in of)
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(queries) > 10
    for query in queries:
        (name,) = re.findall(r"alluxio_jnifuse_\w+", query)
        assert name in labels, name
        grouped = re.findall(r"by \(([^)]*)\)", query)
        assert set(", ".join(grouped).split(", ")) - {""} <= labels[name], query
    assert "alluxio_jnifuse_info" in page


# ------------------------------------------------------------------------------------------------------ health


class Core:
    """What Health asks."""

    def __init__(self) -> None:
        self.ended = False
        self.counts = {"threads_idle": 0, "op_read": 1}

    def wait_end(self, timeout: float) -> bool:
        assert timeout == 0
        return self.ended

    def stats(self) -> Mapping[str, int]:
        return self.counts


@pytest.fixture
def core() -> Core:
    return Core()


def entry(device: tuple[int, int]) -> Callable[[str], object]:
    """Stands in for the table of mounts."""
    return lambda path: type("Entry", (), {"major": device[0], "minor": device[1]})


def test_a_mount_whose_threads_all_hang(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is free, and none takes a request, for a while."""
    now = 100.0
    monkeypatch.setattr(table, "top_at", entry((0, 7)))
    health = Health(core, "/mnt", (0, 7), lambda: now)
    for _ in range(20):
        now += 1.0
        core.counts["op_read"] += 1  # all are busy, and requests come
        assert health.problem() == ""
    now += 4.0
    assert health.problem() == ""
    now += 1.0
    assert health.problem() == "no thread has been free for 5 s"
    core.counts["threads_idle"] = 1
    assert health.problem() == ""
    now += 60.0  # idle
    assert health.problem() == ""


def test_a_mount_that_is_no_more(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is said."""
    health = Health(core, "/mnt", (0, 7), time.monotonic)
    monkeypatch.setattr(table, "top_at", lambda path: None)
    assert health.problem() == "it is mounted no more"
    monkeypatch.setattr(table, "top_at", entry((0, 8)))
    assert health.problem() == "another mount lies over it"
    core.ended = True
    assert health.problem() == "the session with the kernel has ended"


def test_nothing_of_it_is_loaded_where_it_is_off() -> None:
    """A mount without an endpoint pays for none."""
    look = "import sys, alluxio_jnifuse.daemon.serve; print([m for m in sys.modules if '.daemon.web' in m])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
