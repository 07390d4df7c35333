"""Servers that never end a listing, or whose answers are made to take memory."""

from __future__ import annotations

import errno
import itertools
import logging
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from oss.bucket import Bucket

from alluxio_jnifuse._core import Cancelled
from alluxio_jnifuse.sources.limits import Listings
from alluxio_jnifuse.sources.oss.http.connection import Head
from alluxio_jnifuse.sources.oss.objects.pages import Found, Page, parse
from alluxio_jnifuse.sources.oss.requests import documents
from alluxio_jnifuse.sources.oss.requests.errors import Refused

pytestmark = pytest.mark.timeout(120)
MIB = 1 << 20


@contextmanager
def taking_at_most(size: int) -> Iterator[None]:
    """What Python takes meanwhile. What is measured has taken many times as much."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


def always() -> None:
    """Somebody waits."""


def page_of(number: int) -> Page:
    """One of a listing without an end."""
    first = number * 1000
    found = [Found(b"dir/d/%012d" % each, 1, "e" * 32, 0, False) for each in range(first, first + 1000)]
    return Page(found, [], ("marker", "x"), "", None)


def endless(asked: list[int]) -> Callable[..., Iterator[Page]]:
    def all_pages(_prefix: str, _patience: object) -> Iterator[Page]:
        for number in itertools.count():
            asked.append(number)
            yield page_of(number)

    return all_pages


def test_a_bucket_that_never_ends_a_listing(bucket: Bucket, caplog: pytest.LogCaptureFixture) -> None:
    """EFBIG for the reader; the log says which directory, what the limit is, and how to raise it."""
    source = bucket.source(listing_bytes=4 * MIB)
    asked: list[int] = []
    source._lookup._pages.all = endless(asked)  # type: ignore[method-assign]
    with taking_at_most(24 * MIB), pytest.raises(OSError) as caught, caplog.at_level(logging.ERROR):
        source.list(b"/d")
    source.close()
    assert caught.value.errno == errno.EFBIG
    assert caplog.messages == ["the listing of '/d' is larger than 4.00MB; it can be raised with -o listing_limit=SIZE"]
    assert len(asked) == 4 * MIB // 92_000 + 1  # 80 bytes and a name of 12 for each
    assert source.remembered() == 0


def test_a_listing_that_nobody_waits_for(bucket: Bucket) -> None:
    """Ends with the page that is being received."""
    source = bucket.source()
    asked: list[int] = []
    source._lookup._pages.all = endless(asked)  # type: ignore[method-assign]

    def check() -> None:
        if len(asked) == 3:
            raise Cancelled

    source.check_wanted = check
    with pytest.raises(Cancelled):
        source.list(b"/d")
    source.close()
    assert len(asked) == 3


# ----------------------------------------------------------------------------------------------------- together


def test_listings_share_the_limit() -> None:
    """The largest goes on; another one waits for it, and small ones do not."""
    listings = Listings(10 * MIB, always)
    grown: list[str] = []

    def second() -> None:
        with listings.one(b"/second") as grow:
            grow(4 * MIB)
            grown.append("second")

    with listings.one(b"/first") as grow:
        grow(5 * MIB)
        grow(8 * MIB)
        thread = threading.Thread(target=second)
        thread.start()
        with listings.one(b"/small") as grow_small:
            grow_small(MIB)
            grow_small(2)
        grow(10 * MIB)  # with the second there, which is smaller
        assert not grown
    thread.join()
    assert grown == ["second"]


def test_who_waits_for_another_listing_may_give_up() -> None:
    """As whoever waits for its next page."""
    gone = threading.Event()

    def check() -> None:
        if gone.is_set():
            raise Cancelled

    listings = Listings(10 * MIB, check)
    raised: list[BaseException] = []

    def second() -> None:
        try:
            with listings.one(b"/second") as grow:
                grow(4 * MIB)
        except Cancelled as error:
            raised.append(error)

    with listings.one(b"/first") as grow:
        grow(8 * MIB)
        thread = threading.Thread(target=second)
        thread.start()
        gone.set()
        thread.join()
    assert len(raised) == 1


# ---------------------------------------------------------------------------------------------------------- XML

LISTING = b"<ListBucketResult>", b"</ListBucketResult>"
EVIL = {
    "elements": LISTING[0] + b"<a/>" * (4 * MIB) + LISTING[1],
    "entries": LISTING[0] + b"<Contents><Key>k</Key></Contents>" * 20_000 + LISTING[1],
    "prefixes": LISTING[0] + b"<CommonPrefixes/>" * 20_000 + LISTING[1],
    "depth": b"<a>" * (4 * MIB),
    "attributes": b"<a " + b" ".join(b'a%d=""' % number for number in range(MIB)) + b"/>",
    "one attribute": b'<a b="' + b"x" * (15 * MIB) + b'"/>',
    "text": LISTING[0] + b"<Name>" + b"x" * (15 * MIB) + b"</Name>" + LISTING[1],
    "text in pieces": LISTING[0] + b"<Name>" + b"x<![CDATA[y]]>" * MIB + b"</Name>" + LISTING[1],
    "a comment": LISTING[0] + b"<!--" + b"x" * (15 * MIB) + b"-->" + LISTING[1],
    "a document type": b"<!DOCTYPE a><ListBucketResult/>",
    "an entity": b'<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><ListBucketResult><a>&d;</a></ListBucketResult>',
    "an external one": b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><ListBucketResult/>',
    "another encoding": '<!DOCTYPE a [<!ENTITY b "c">]><ListBucketResult/>'.encode("utf-16"),
    "a huge size": LISTING[0]
    + b"<Contents><Key>k</Key><LastModified>2026-01-31T12:34:56.000Z</LastModified><Size>99999999999999999999</Size>"
    + b"</Contents><IsTruncated>false</IsTruncated>"
    + LISTING[1],
}


@pytest.mark.parametrize("name", EVIL)
def test_xml_that_is_made_to_take_memory(name: str) -> None:
    """It is no listing, which is noticed before it has taken any."""
    with taking_at_most(8 * MIB), pytest.raises((ValueError, KeyError)):
        parse(EVIL[name])


@pytest.mark.parametrize("name", EVIL)
def test_refusals_that_are_made_to_take_memory(name: str) -> None:
    """The body of an error is read in the same way, and is none of OSS then."""
    head = Head("HTTP/1.1 503 Busy")
    with taking_at_most(8 * MIB):
        refused = Refused("list", "", head, EVIL[name])
    assert (refused.status, refused.code, refused.message) == (503, "Busy", "")


def test_a_time_that_cannot_be_shown() -> None:
    """Is as far off as can be; the object is there."""
    entry = b"<Contents><Key>k</Key><LastModified>9999-12-31T00:00:00.000Z</LastModified><Size>1</Size></Contents>"
    page = parse(LISTING[0] + entry + b"<IsTruncated>false</IsTruncated>" + LISTING[1])
    assert page.objects[0].mtime_s * 10**9 < 1 << 63


def test_what_is_read_of_a_document() -> None:
    """Children of the root, and the texts of theirs; namespaces, comments and what is deeper do not count."""
    document = (
        b'<?xml version="1.0"?><o:R xmlns:o="u"><o:A>1<!-- -->2<b>3</b></o:A><C><D>x<E>y</E>z</D><D>&lt;</D></C></o:R>'
    )
    found: list[tuple[str, str, dict[str, str]]] = []
    assert documents.read(document, lambda *each: found.append(each)) == "R"
    assert found == [("A", "", {"b": "3"}), ("C", "", {"D": "<"})]
    for broken in (b"", b"<a>", b"<a></b>", b"text", b"<a/><b/>", b"\xff\xfe", b"<a>\xff</a>", b"<a>&nothing;</a>"):
        with pytest.raises(documents.Unreadable):
            documents.read(broken, lambda *each: None)
