"""Listings of the server, in both versions: pages, delimiters, encodings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from urllib.parse import quote
from xml.etree import ElementTree

import oss2
import pytest
from oss2.exceptions import ServerError

from oss.server import OssServer

MANY = {f"many/{number:05}": b"" for number in range(5000)}
Iterators = (oss2.ObjectIterator, oss2.ObjectIteratorV2)


@pytest.fixture(params=Iterators, ids=["list", "list2"])
def iterator(request: pytest.FixtureRequest) -> Callable[..., Iterator[object]]:
    """Each of the versions."""
    return request.param


@pytest.mark.parametrize("size", [1000, 999, 77])
def test_thousands_of_keys(
    server: OssServer, bucket: oss2.Bucket, iterator: Callable[..., Iterator[object]], size: int
) -> None:
    """In order, page after page, with nothing missing and nothing twice."""
    server.put_many("bucket", MANY)
    found = [each.key for each in iterator(bucket, prefix="many/", max_keys=size)]
    assert found == list(MANY)
    assert server.counts()["LIST"] == -(-len(MANY) // size)


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_delimiters(
    server: OssServer, bucket: oss2.Bucket, iterator: Callable[..., Iterator[object]], size: int
) -> None:
    """What is below one counts once, on one page only, however small the pages are."""
    keys = ["a", "a/", "a/1", "a/2", "a//", "b/1", "b0", "c/d/e", "é/1"]
    server.put_many("bucket", dict.fromkeys(keys, b""))

    def names(prefix: str) -> list[str]:
        return [each.key for each in iterator(bucket, prefix=prefix, delimiter="/", max_keys=size)]

    assert names("") == ["a", "a/", "b/", "b0", "c/", "é/"]
    assert names("a/") == ["a/", "a//", "a/1", "a/2"]
    assert names("c/d") == ["c/d/"]
    assert names("nowhere") == []


def test_the_default_is_a_hundred(server: OssServer, bucket: oss2.Bucket) -> None:
    """And a thousand the most."""
    server.put_many("bucket", MANY)
    assert len(bucket.list_objects(max_keys="").object_list) == 100
    assert len(bucket.list_objects_v2(max_keys="").object_list) == 100
    for bad in (0, 1001):
        with pytest.raises(ServerError) as raised:
            bucket.list_objects(max_keys=bad)
        assert raised.value.code == "InvalidArgument"


def test_where_a_listing_begins(server: OssServer, bucket: oss2.Bucket) -> None:
    """Behind a key, be it there or not."""
    server.put_many("bucket", dict.fromkeys("abcd", b""))
    assert [found.key for found in bucket.list_objects(marker="b").object_list] == ["c", "d"]
    assert [found.key for found in bucket.list_objects_v2(start_after="bb").object_list] == ["c", "d"]


def test_what_is_told_of_an_object(server: OssServer, bucket: oss2.Bucket) -> None:
    """As by HEAD; the owner always in the first version, and when asked for in the second."""
    server.put("bucket", "key", b"content", modified=1e9, kind="Appendable", etag="ETAG")
    (first,) = bucket.list_objects().object_list
    assert (first.key, first.size, first.etag, first.type) == ("key", 7, "ETAG", "Appendable")
    assert (first.last_modified, first.storage_class, bool(first.owner)) == (10**9, "Standard", True)
    assert bucket.list_objects_v2().object_list[0].owner is None
    assert bucket.list_objects_v2(fetch_owner=True).object_list[0].owner.id


def test_keys_are_encoded_when_asked_for(server: OssServer, raw: Callable[[], HTTPConnection]) -> None:
    """Else they stand there as they are, and the document of one with a control character is none."""
    server.put("public", "a b/\x01&é+", b"")

    def listing(query: str) -> bytes:
        connection = raw()
        connection.request("GET", f"/public?{query}")
        return connection.getresponse().read()

    root = ElementTree.fromstring(listing("encoding-type=url&prefix=a%20b&marker=a"))
    assert root.tag == "ListBucketResult"
    assert root.findtext("Contents/Key") == quote("a b/\x01&é+", safe="")
    assert root.findtext("Prefix") == "a%20b"
    root = ElementTree.fromstring(listing("delimiter=/"))
    assert root.findtext("CommonPrefixes/Prefix") == "a b/"
    with pytest.raises(ElementTree.ParseError):
        ElementTree.fromstring(listing(""))


def test_a_token_is_no_key(server: OssServer, bucket: oss2.Bucket) -> None:
    """It is good for the next page, and nothing else is."""
    server.put_many("bucket", dict.fromkeys("abc", b""))
    token = bucket.list_objects_v2(max_keys=2).next_continuation_token
    assert token not in "abc"
    assert [found.key for found in bucket.list_objects_v2(continuation_token=token).object_list] == ["c"]
    with pytest.raises(ServerError) as raised:
        bucket.list_objects_v2(continuation_token="b")
    assert raised.value.code == "InvalidArgument"
