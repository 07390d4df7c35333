"""The live page of a real mount in a real browser: what it shows under a known load, to whom, and how it looks."""

from __future__ import annotations

import json
import operator
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.browser import Browser, serve_copy, text_of
from harness.children import Children, until
from harness.mounting import Mounted, Mounts
from harness.remote import RemoteSource
from oss.bucket import KEY_ID, SECRET, Bucket
from oss.faults import Delay
from oss.server import Rule
from test_web import WEB, get, port_of

from alluxio_jnifuse.testing import Pattern

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(900)]

MIB = 1 << 20
SIZE = 6 * MIB
MARKUP = "<img src=x onerror=document.title='run'>"
SCREENSHOTS = "AJF_SCREENSHOTS"  # environment: the directory to put the pictures of the docs into


def query_of(mounted: Mounted) -> str:
    """The part of the address that the log alone tells."""
    (line,) = mounted.lines("live page at http://127.0.0.1:")
    return line.partition("/?")[2].strip()


def address(mounted: Mounted) -> str:
    """The page's."""
    return f"http://127.0.0.1:{port_of(mounted)}/?{query_of(mounted)}"


def told(mounted: Mounted) -> dict[str, Any]:
    """The figures that the page shows."""
    status, body = get(port_of(mounted), f"/live.json?{query_of(mounted)}")
    assert status == 200
    found: dict[str, Any] = json.loads(body)
    return found


def until_told(mounted: Mounted, condition: Callable[[dict[str, Any]], Any], what: str) -> dict[str, Any]:
    """The figures of the page once they fulfil a condition."""

    def look() -> dict[str, Any] | None:
        found = told(mounted)
        return found if condition(found) else None

    found: dict[str, Any] = until(look, what)
    return found


def total(shown: dict[str, Any], name: str) -> float:
    """Of all the points of a chart, which are rates."""
    charts = shown["charts"]
    return sum(map(operator.mul, charts[name], charts["seconds"]), 0.0)


def read_twice(path: str) -> None:
    """Whole; the second time with nothing of it in the kernel's cache."""
    for _ in range(2):
        fd = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            while os.read(fd, MIB):
                pass
        finally:
            os.close(fd)


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    return Browser(tmp_path)


@pytest.fixture
def source(remote: Callable[..., RemoteSource]) -> RemoteSource:
    """Two files, one of them with a name that a careless page would run."""
    tree = {b"file": Pattern(SIZE), MARKUP.replace("/", "-").encode(): Pattern(SIZE)}
    return remote(tree, rules=[("reads", "read", None)])


def test_the_figures_of_a_known_load(source: RemoteSource, mounts: Mounts, children: Children) -> None:
    """The charts add up to what was asked for and fetched, and to the requests that were counted."""
    mounted = mounts.mount(source, "", WEB)
    children.run(read_twice, mounted.join("file"))
    stats = mounted.settled()
    shown = until_told(
        mounted, lambda told: round(total(told, "read_bytes")) >= stats["op_read_bytes"], "the charts to have it all"
    )
    assert total(shown, "read_bytes") == pytest.approx(stats["op_read_bytes"])
    assert total(shown, "fetched_bytes") == pytest.approx(source.bytes_read())
    assert SIZE <= stats["op_read_bytes"] <= 2 * SIZE
    assert shown["flow"]["memory_bytes"] == mounted.stats()["cache_used_bytes"]
    assert any(shown["charts"]["read_p99"])
    assert shown["mount_point"] == mounted.path
    assert {"name": "alluxio.fuse.web.enabled", "value": "true", "origin": "-D"} in shown["settings"]
    assert mounted.path in [each["mount_point"] for each in shown["mounts"]]


def test_bytes_of_a_cache_on_disk(source: RemoteSource, mounts: Mounts, children: Children, private: Path) -> None:
    """They come from here, and not from the storage, although the core fetches them."""
    cache = "alluxio.user.client.cache."
    where = {f"{cache}enabled": "true", f"{cache}store.type": "LOCAL", f"{cache}dirs": str(private / "cache")}
    mounted = mounts.mount(source, "passthrough=off", {**where, **WEB})
    children.run(read_twice, mounted.join("file"))
    mounted.until(lambda stats: stats["cache_disk_used_bytes"] >= SIZE, "the disk to have the file")
    assert mounted.unmount().returncode == 0
    source.restart()
    mounted = mounts.mount(source, "passthrough=off", {**where, **WEB})
    children.run(read_twice, mounted.join("file"))
    stats = mounted.settled()
    assert source.bytes_read() == 0
    assert stats["cache_hit_bytes"] >= SIZE
    shown = until_told(
        mounted, lambda told: round(total(told, "read_bytes")) >= stats["op_read_bytes"], "the charts to have it all"
    )
    assert total(shown, "fetched_bytes") == 0
    assert shown["flow"]["disk_bytes"] >= SIZE
    assert [hits for hits in shown["charts"]["hits"] if hits not in (None, 1)] == []


def test_a_bucket_by_server_and_without_its_key(mounts: Mounts, bucket: Bucket, children: Children) -> None:
    """Bytes are told by host. Neither the page nor its figures have a secret."""
    bucket.put("file", os.urandom(SIZE))
    mounted = mounts.mount(bucket.uri, "", {**bucket.properties(), **WEB})
    children.run(read_twice, mounted.join("file"))
    server = bucket.server.endpoint.rpartition("/")[2]
    until_told(mounted, lambda told: server in told["flow"]["servers"], "the server to be told")
    text = get(port_of(mounted), f"/?{query_of(mounted)}")[1] + json.dumps(told(mounted))
    assert bucket.uri in text
    assert not [secret for secret in (KEY_ID, SECRET) if secret in text]


def test_a_request_that_waits(source: RemoteSource, mounts: Mounts, children: Children, browser: Browser) -> None:
    """It is shown with its cause while it waits, and among the slowest afterwards; no name is taken for markup."""
    mounted = mounts.mount(source, "max_readahead=0", WEB)
    name = MARKUP.replace("/", "-")
    source.hold("reads")
    child = children.start(read_twice, mounted.join(name))
    until_told(mounted, lambda told: told["slowest"], "the request to be seen")
    dom = browser.dom(address(mounted))
    assert f"<title>{mounted.path} · alluxio-jnifuse</title>" in dom
    waiting = text_of(dom, "waiting")
    assert f"({child.pid}) Read /{name} at 0+" in waiting
    assert "the storage, for" in waiting
    assert f"({child.pid})" in text_of(dom, "readers")
    assert "the mount waits for" not in text_of(dom, "findings")
    source.release("reads")
    child.result()
    until_told(mounted, lambda told: not told["waiting"] and told["charts"]["read_p99"], "the requests to end")
    dom = browser.dom(address(mounted))
    assert text_of(dom, "waiting") == "none"
    assert f"({child.pid}) Read /{name} at 0+" in text_of(dom, "slowest")
    assert "fetched for each byte asked:" in text_of(dom, "flow")
    assert dom.count("<svg") == 4


def test_only_those_who_know_the_token(source: RemoteSource, mounts: Mounts) -> None:
    """Paths and processes are in the page: whoever may read the log may read it. Counters are for all, as before."""
    mounted = mounts.mount(source, "", WEB)
    port, query = port_of(mounted), query_of(mounted)
    assert len(query) > len("token=") + 20
    for wrong in ("", "?", "?token=", f"?{query}x", f"?{query[:-1]}", f"?x=1&{query}", f"?{query.upper()}"):
        for path in ("/", "/live.json"):
            status, body = get(port, path + wrong)
            assert status == 403
            assert "is in the log of the mount" in body
            assert mounted.path not in body
            assert query not in body
    assert get(port, f"/?{query}")[0] == 200
    assert get(port, f"/?{query}", f"evil.example:{port}")[0] == 421
    text = "".join(get(port, path)[1] for path in ("/metrics/prometheus", "/metrics/json", "/healthz"))
    assert query.partition("=")[2] not in text


def copy(mounted: Mounted, children: Children, root: Path, answers: int, **renamed: Any) -> str:
    """Serves a copy of the page, with other names for what `renamed` has in its figures. Returns where."""
    port_file = root / f"port{answers}"
    page = get(port_of(mounted), f"/?{query_of(mounted)}")[1].encode()
    figures = json.dumps({**told(mounted), **renamed}).encode()
    children.start(serve_copy, page, figures, answers, str(port_file))
    until(port_file.exists, "the copy to be served")
    return f"http://127.0.0.1:{port_file.read_text(encoding='ascii')}"


def test_a_daemon_that_is_gone(
    source: RemoteSource, mounts: Mounts, children: Children, browser: Browser, tmp_path: Path
) -> None:
    """The page says so, and keeps what it knew."""
    mounted = mounts.mount(source, "", WEB)
    dom = browser.dom(f"{copy(mounted, children, tmp_path, answers=1)}/?token=any")
    assert re.search(r'id="state" class="bad">the daemon does not answer, for \d+ s<', dom)
    assert mounted.path in dom
    assert '<span id="state" class="">answers<' in browser.dom(address(mounted))


@pytest.mark.parametrize("width", [320, 360, 768, 1600])
def test_no_width_is_too_small(
    width: int, source: RemoteSource, mounts: Mounts, children: Children, browser: Browser, tmp_path: Path
) -> None:
    """Nothing has to be scrolled sideways, on a telephone or beside another window; light as well as dark."""
    mounted = mounts.mount(source, "", {**WEB, "alluxio.user.app.id": "long" * 100})
    url = f"{copy(mounted, children, tmp_path, answers=1000)}/frame?{width}"
    backs = []
    for dark in (False, True):
        found = re.search(r"width (\d+) of (\d+), back ([^<]*)", browser.dom(url, dark=dark).rpartition("</script>")[2])
        assert found is not None
        assert int(found[1]) <= int(found[2])
        assert width - 20 < int(found[2]) <= width  # a scroll bar for the height may take some
        backs.append(found[3])
    assert backs == ["rgb(246, 247, 249)", "rgb(18, 22, 29)"]


def read_for_ever(path: str) -> None:
    while True:
        read_twice(path)


def test_pictures(bucket: Bucket, mounts: Mounts, children: Children, browser: Browser, tmp_path: Path) -> None:
    """Those of the docs are made like this, with the names of the mount point and the storage alone changed."""
    bucket.put("train/0001.tar", os.urandom(SIZE))
    mounted = mounts.mount(bucket.uri, "max_readahead=131072", {**bucket.properties(), **WEB})
    bucket.server.add_rule(Rule(Delay(0.3), "GET"))
    child = children.start(read_for_ever, mounted.join("train/0001.tar"))
    until_told(mounted, lambda told: len(told["charts"]["seconds"]) >= 4 and told["waiting"], "points of the charts")
    names: dict[str, Any] = {"mount_point": "/mnt/imagenet", "storage": "oss://imagenet", "mounts": [], "settings": []}
    url = f"{copy(mounted, children, tmp_path, 1000, **names)}/?token=any"
    child.kill()
    bucket.server.clear_rules()
    root = Path(os.environ.get(SCREENSHOTS, tmp_path))
    for name, width, height, dark in (("live-light", 1200, 1150, False), ("live-phone-dark", 500, 1500, True)):
        picture = root / f"{name}.png"
        browser.screenshot(url, picture, width, height, dark=dark)
        head = picture.read_bytes()[:24]
        assert head[:8] == b"\x89PNG\r\n\x1a\n"
        assert (int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")) == (width, height)
