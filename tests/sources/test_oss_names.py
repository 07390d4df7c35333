"""Directories made of keys: what is shown, what is hidden, and how many requests it takes."""

from __future__ import annotations

import errno
import logging
import stat
from collections.abc import Iterator

import pytest
from oss.bucket import Bucket
from oss.faults import Status
from oss.server import Rule
from oss_reading import entries, read_small

from alluxio_jnifuse.errors import SourceError, StaleVersion
from alluxio_jnifuse.sources.oss.objects.listing import Builder, Owner
from alluxio_jnifuse.sources.oss.objects.pages import Found, Page, parse
from alluxio_jnifuse.sources.oss.objects.remembered import Remembered
from alluxio_jnifuse.sources.oss.source import OssSource

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def source(bucket: Bucket) -> Iterator[OssSource]:
    made = bucket.source()
    bucket.server.reset()
    yield made
    made.close()


def names(source: OssSource, path: bytes = b"/") -> dict[bytes, str]:
    """What is in a directory: d, a directory, or f, a file."""
    return {name: "d" if stat.S_ISDIR(attr.mode) else "f" for name, attr in entries(source.list(path)).items()}


def test_directories_of_prefixes_and_of_markers(bucket: Bucket, source: OssSource) -> None:
    """With and without a marker, with and without anything in it."""
    bucket.put_many({"a/b/c": b"1", "marked/": b"", "marked/x": b"2", "empty/": b"", "file": b"3", "odd/": b"bytes"})
    assert names(source) == {b"a": "d", b"marked": "d", b"empty": "d", b"file": "f", b"odd": "d"}
    assert names(source, b"/marked") == {b"x": "f"}
    assert names(source, b"/empty") == names(source, b"/odd") == {}
    assert names(source, b"/a") == {b"b": "d"}
    for path in (b"/a", b"/a/b", b"/marked", b"/empty"):
        assert stat.S_ISDIR(source.stat(path).mode)


def test_a_listing_tells_size_time_and_owner(bucket: Bucket, source: OssSource) -> None:
    """As `stat` tells them."""
    bucket.put("file", b"12345", modified=1_600_000_000.0)
    attr = entries(source.list(b"/"))[b"file"]
    assert (attr.size, attr.mtime_ns, attr.nlink) == (5, 1_600_000_000 * 10**9, 1)
    assert stat.S_IMODE(attr.mode) == 0o644
    assert source.stat(b"/file") == attr


def test_names_that_cannot_be_shown(bucket: Bucket, source: OssSource, caplog: pytest.LogCaptureFixture) -> None:
    """Are left out, and the log says so once for a directory."""
    long = "n" * 256
    hidden = {"d//x": b"", "d/./x": b"", "d/..": b"", f"d/{long}": b"", f"d/{long}/x": b"", "d/nul\0": b""}
    bucket.put_many({**hidden, "d/shown": b"1", f"d/{long[1:]}": b"2"})
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert names(source, b"/d") == {b"shown": "f", long[1:].encode(): "f"}
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("'/d': 6 keys cannot be shown as names, for example 'dir/d/")


def test_a_directory_wins_over_an_object_of_its_name(bucket: Bucket, source: OssSource) -> None:
    """In listings and look-ups alike; the object is hidden."""
    bucket.put_many({"x": b"object", "x/y": b"below", "x.txt": b"1", "x-1": b"2"})
    assert names(source) == {b"x": "d", b"x.txt": "f", b"x-1": "f"}
    other = bucket.source()  # that has not listed anything
    assert stat.S_ISDIR(other.stat(b"/x").mode)
    assert read_small(other, b"/x/y") == b"below"
    with pytest.raises(StaleVersion):
        other.open(b"/x", 1)
    other.close()


def test_a_directory_is_found_behind_many_names_like_it(bucket: Bucket, source: OssSource) -> None:
    """`x-1`, `x.1` ... come before `x/` in the order of keys."""
    bucket.put_many({f"x-{number}": b"" for number in range(100)})
    with pytest.raises(FileNotFoundError):
        source.stat(b"/x")
    bucket.put("x/y", b"")
    assert stat.S_ISDIR(source.stat(b"/x").mode)
    assert bucket.counts()["LIST"] == 4


def test_names_of_all_kinds(bucket: Bucket, source: OssSource) -> None:
    """What a key may hold and a file system may show is shown as it is, and can be read."""
    odd = ["a b", "+", "%41", "&<>\"'", "日本語", "e\u0301", "line\nbreak", "\x01\x7f", "#?=", "\\", "~", "\U0001f600"]
    bucket.put_many({name: name.encode() for name in odd})
    assert names(source) == {name.encode(): "f" for name in odd}
    other = bucket.source()
    for each in (source, other):
        for name in odd:
            assert read_small(each, b"/" + name.encode()) == name.encode()
    other.close()


def test_the_longest_keys(bucket: Bucket, source: OssSource) -> None:
    """1,023 bytes, `dir/` included; more than that there is not."""
    path = "/".join(["d" * 200] * 5) + "/" + "e" * (1023 - 4 - 1005)
    bucket.put(path, b"deep")
    assert read_small(source, b"/" + path.encode()) == b"deep"
    bucket.server.reset()
    with pytest.raises(FileNotFoundError):
        source.stat(b"/" + path.encode() + b"f")
    assert not bucket.counts()


def test_a_name_that_is_no_utf8_does_not_exist(bucket: Bucket, source: OssSource) -> None:
    """Nobody is asked: keys are UTF-8."""
    for call in (source.stat, source.list):
        with pytest.raises(FileNotFoundError):
            call(b"/caf\xe9")
    assert not bucket.counts()


@pytest.mark.parametrize("region", ["", "cn-hangzhou"], ids=["V1", "V4"])
def test_many_pages(bucket: Bucket, region: str) -> None:
    """A thousand keys and prefixes each; in the order of names."""
    source = bucket.source(bucket.config(bucket.properties(region=region)))
    bucket.server.reset()
    wanted = {f"{number:05}": "f" for number in range(2500)} | {f"{number:05}d": "d" for number in range(0, 2500, 7)}
    bucket.put_many({name if kind == "f" else f"{name}/x": b"" for name, kind in wanted.items()})
    listing = source.list(b"/")
    assert bucket.counts()["LIST"] == 3
    assert list(entries(listing)) == sorted(name.encode() for name in wanted)
    assert names(source) == {name.encode(): kind for name, kind in wanted.items()}
    source.close()


# ------------------------------------------------------------------------------------------------------- requests


@pytest.mark.parametrize("path", [b"/file", b"/a", b"/a/b", b"/missing", b"/a/missing"])
def test_a_look_up_is_one_request(bucket: Bucket, source: OssSource, path: bytes) -> None:
    """Whatever is there, or is not; where nothing is, its directory must be known."""
    bucket.put_many({"file": b"1", "a/b": b"2"})
    source.stat(b"/a")
    bucket.server.reset()
    try:
        source.stat(path)
    except FileNotFoundError:
        assert path.endswith(b"missing")
    assert bucket.counts() == {"LIST": 1}


def test_an_open_relies_on_what_was_told_just_now(bucket: Bucket) -> None:
    """What is older is confirmed by HeadObject; and always, where nothing that was told is to be believed."""
    bucket.put("file", b"1")
    for options, age, requests in ((("attr_timeout=60",), 3600, 0), (("attr_timeout=60",), 0, 1), ((), 0, 1)):
        source = bucket.source(bucket.config(options=options or ("attr_timeout=0",)))
        attr = entries(source.list(b"/"))[b"file"]
        bucket.server.reset()
        source._just_now_s = age
        source.open(b"/file", attr.version)
        assert bucket.counts() == ({"HEAD": 1} if requests else {})
        bucket.put("file", b"2")
        source._just_now_s = 0
        with pytest.raises(StaleVersion):
            source.open(b"/file", attr.version)
        assert source.stat(b"/file").version != attr.version
        bucket.put("file", b"1")
        source.close()


def test_look_ups_in_one_directory_have_it_listed(bucket: Bucket) -> None:
    """Beside them, once; and the core is offered the listing."""
    bucket.put_many({f"d/{number}": b"x" for number in range(10)})
    source = bucket.source(bucket.config(options=()))
    offered = []
    source.offer_list = lambda path, *listing: offered.append(path)
    for number in range(6):
        source.stat(b"/d/%d" % number)
    while not offered:
        pass
    assert offered == [b"/d"]
    bucket.server.reset()
    for number in range(10):
        source.stat(b"/d/%d" % number)
    assert not bucket.counts()
    source.close()


# --------------------------------------------------------------------------------------------------- what is not


def test_below_a_file_and_below_nothing(bucket: Bucket, source: OssSource) -> None:
    """ENOTDIR and ENOENT, as in any file system, however deep."""
    bucket.put("file", b"1")
    for path, number in ((b"/file/x", errno.ENOTDIR), (b"/file/x/y", errno.ENOTDIR), (b"/no/x/y", errno.ENOENT)):
        for call in (source.stat, source.list):
            with pytest.raises(OSError) as caught:
                call(path)
            assert caught.value.errno == number


def test_a_directory_that_has_gone(bucket: Bucket, source: OssSource) -> None:
    """Is not an empty one, which whoever mirrors the mount would make true elsewhere."""
    bucket.put("d/x", b"1")
    assert names(source, b"/d") == {b"x": "f"}
    bucket.delete("d/x")
    with pytest.raises(FileNotFoundError):
        source.list(b"/d")
    bucket.delete("")
    with pytest.raises(FileNotFoundError):
        source.list(b"/")


def test_the_root_of_a_bucket(bucket: Bucket) -> None:
    """All of it; an empty bucket is an empty directory."""
    bucket.delete("")
    source = bucket.source(bucket.config(uri=f"oss://{bucket.name}"))
    assert names(source) == {}
    bucket.put("x", b"1")
    assert names(source) == {b"dir": "d"}
    assert names(source, b"/dir") == {b"x": "f"}
    source.close()


@pytest.mark.parametrize("uri", ["oss://{}/dir/a%20b", "oss://{}/dir/a%20b/", "OSS://{}/dir/a%20b"])
def test_a_directory_of_a_bucket(bucket: Bucket, uri: str) -> None:
    """With a slash at its end or without, percent-encoded; its marker need not be there."""
    bucket.put("a b/c", b"1")
    source = bucket.source(bucket.config(uri=uri.format(bucket.name)))
    assert names(source) == {b"c": "f"}
    source.close()


# ------------------------------------------------------------------------------------------------ other protocols


@pytest.mark.parametrize("code", ["NotImplemented", "InvalidArgument"])
def test_a_server_that_refuses_the_second_version_of_listings(bucket: Bucket, source: OssSource, code: str) -> None:
    """Is asked in the old way from then on."""
    bucket.put_many({f"{number:04}": b"" for number in range(2500)})
    source._lookup._pages._version = None  # nothing was listed yet
    bucket.server.add_rule(Rule(Status(code), "LIST", count=1))
    assert len(entries(source.list(b"/"))) == 2500
    assert len(entries(source.list(b"/"))) == 2500
    versions = [entry.query.get("list-type") for entry in bucket.server.requests()]
    assert versions == ["2"] + [None] * 6


def page(*elements: str, space: str = "") -> bytes:
    return f'<?xml version="1.0"?><ListBucketResult{space}>{"".join(elements)}</ListBucketResult>'.encode()


LAST = "<IsTruncated>false</IsTruncated>"
CONTENTS = (
    "<Contents><Key>k{}</Key><LastModified>2024-02-29T12:30:01.000Z</LastModified><ETag>&quot;E&quot;</ETag>"
    "<Type>{}</Type><Size>7</Size></Contents>"
)


def test_a_page_of_a_server_that_knows_only_the_first_version() -> None:
    """It ignores list-type, and says by NextMarker how to go on; some of them say nothing."""
    more = "<IsTruncated>true</IsTruncated>"
    found = parse(page(more, "<NextMarker>k2</NextMarker>", CONTENTS.format(1, "Normal")))
    assert found.next == ("marker", "k2")
    found = parse(page(more, CONTENTS.format(1, "Normal"), "<CommonPrefixes><Prefix>l/</Prefix></CommonPrefixes>"))
    assert found.next == ("marker", "l/")


def test_a_page_in_a_namespace_and_not_encoded() -> None:
    """Both are found in the documentation of OSS."""
    space = ' xmlns="http://doc.oss-cn-hangzhou.aliyuncs.com"'
    found = parse(page(CONTENTS.format("%41&amp;", "Symlink"), LAST, space=space))
    (only,) = found.objects
    assert only == (b"k%41&", 7, "E", 1709209801, True)
    assert found.next is None


@pytest.mark.parametrize("body", [b"", b"<html/>", page(), page("<Contents/>", LAST)])
def test_nonsense_instead_of_a_page(body: bytes) -> None:
    """Is an exception that the caller knows."""
    with pytest.raises((ValueError, KeyError, SyntaxError)):
        parse(body)


def test_a_symbolic_link_of_oss(bucket: Bucket, source: OssSource) -> None:
    """Is shown as the file that it stands for, of which only HEAD knows."""
    bucket.put("link", b"bytes", kind="Symlink")
    attr = entries(source.list(b"/"))[b"link"]
    assert stat.S_ISREG(attr.mode)
    assert attr.nlink == 0  # only the type is known
    bucket.server.reset()
    assert read_small(source, b"/link") == b"bytes"
    assert bucket.counts()["HEAD"] == 1


def test_a_listing_that_goes_in_a_circle(source: OssSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the circle is: keys that are not behind those of the page before are found out."""
    asked: list[object] = []

    def ask(*_: object) -> Page:
        asked.append(None)
        even = len(asked) % 2
        return Page([Found(b"dir/%d" % even, 1, "E", 0, False)], [], ("continuation-token", f"t{even}"))

    monkeypatch.setattr(source._lookup._pages, "_ask", ask)
    with pytest.raises(SourceError, match="again and again"):
        source.list(b"/")
    assert len(asked) <= 3


def test_a_listing_of_another_directory(source: OssSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a proxy that does not look at the whole URL: no names are made of it."""
    key = CONTENTS.format("", "Normal").replace("k", "elsewhere/name")
    below = "<CommonPrefixes><Prefix>elsewhere/below/</Prefix></CommonPrefixes>"
    for body in (page(LAST, key), page(LAST, below), page(LAST, "<Prefix>elsewhere/</Prefix>")):
        monkeypatch.setattr(source._client, "ask", lambda *_, body=body: ({}, body))
        with pytest.raises(SourceError, match="of something else"):
            source.list(b"/")


def test_listings_are_forgotten_however_little_is_in_them() -> None:
    """Directories with nothing in them take memory, too."""
    remembered = Remembered(100)
    owner = Owner(0, 0, 0)
    for number in range(1000):
        remembered.put_listing(b"/%d" % number, Builder(b"dir/", owner).finish(float(number)))
    known = [number for number in range(1000) if remembered.is_directory(b"/%d" % number, 0.0)]
    assert 10 <= len(known) <= 100
    assert known[-1] == 999


def test_a_listing_that_never_ends(bucket: Bucket, source: OssSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that ignores where to go on is found out."""
    bucket.put_many({f"{number:04}": b"" for number in range(1500)})
    pages = source._lookup._pages
    first = pages.first("dir/", 1000, source._client.impatience())
    monkeypatch.setattr(pages, "_ask", lambda *arguments: first)
    with pytest.raises(SourceError, match="again and again"):
        source.list(b"/")
