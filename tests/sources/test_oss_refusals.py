"""What a status means depends on the request that it answers: a file is not missing because a gateway says 404."""

from __future__ import annotations

import base64
import errno
from collections.abc import Iterator

import pytest
from oss.bucket import Bucket
from oss.faults import Fault, Foreign, Silence, Status
from oss.server import Rule
from oss_reading import SMALL, entries, read, read_small

from alluxio_jnifuse.daemon import storage
from alluxio_jnifuse.errors import SourceError, StaleVersion, Unreachable, known_errno
from alluxio_jnifuse.sources.oss.http.connection import Head
from alluxio_jnifuse.sources.oss.requests.errors import Refused, is_transient
from alluxio_jnifuse.sources.oss.source import OssSource

pytestmark = pytest.mark.timeout(600)

NO_BUCKET = Status("NoSuchBucket")
EMPTY = b"<ListBucketResult><Name>%s</Name><Prefix>%s</Prefix><IsTruncated>false</IsTruncated></ListBucketResult>"
NOT_MISSING = {
    "no bucket": NO_BUCKET,
    "a gateway": Foreign(404),
    "no key": Status("NoSuchKey"),  # of a listing, that means nothing
    "precondition": Status("PreconditionFailed"),
    "range": Status("InvalidRange"),
    "gone": Foreign(410),
    "an empty answer": Foreign(200, b""),
    "a page of HTML": Foreign(200),
    "half a listing": Foreign(200, b"<ListBucketResult><Name>x</Name>"),
    "no word of the rest": Foreign(200, b"<ListBucketResult></ListBucketResult>"),
    "another directory": Foreign(200, EMPTY % (b"", b"elsewhere/")),
    "another bucket": Foreign(200, EMPTY % (b"another-bucket", b"")),
    "a redirect": Foreign(302),
}


@pytest.fixture
def source(bucket: Bucket) -> Iterator[OssSource]:
    """What it shows is `small` and `d/file`."""
    yield from opened(bucket, 20.0)


@pytest.fixture
def hasty(bucket: Bucket) -> Iterator[OssSource]:
    """The same, which gives up soon."""
    yield from opened(bucket, 0.3)


def opened(bucket: Bucket, patience_s: float) -> Iterator[OssSource]:
    bucket.put_many({"small": SMALL, "d/file": b"x"})
    made = bucket.source(metadata_patience_s=patience_s, read_patience_s=patience_s)
    bucket.server.reset()
    yield made
    made.close()


def errno_of(error: BaseException) -> int:
    """What an application is told."""
    return known_errno(error) or errno.EIO


@pytest.mark.parametrize("name", NOT_MISSING)
def test_a_listing_never_says_that_something_is_missing(bucket: Bucket, hasty: OssSource, name: str) -> None:
    """Neither to who looks up, nor to who lists, nor to who opens; and one that knows it still does."""
    bucket.server.add_rule(Rule(NOT_MISSING[name], "LIST"))
    asked = (
        lambda: hasty.stat(b"/small"),
        lambda: hasty.stat(b"/d/file"),
        lambda: hasty.list(b"/"),
        lambda: hasty.list(b"/d"),
        lambda: hasty.open(b"/small", 1),
    )
    for ask in asked:
        with pytest.raises((OSError, SourceError)) as caught:
            ask()
        assert errno_of(caught.value) == errno.EIO
    bucket.server.clear_rules()
    assert set(entries(hasty.list(b"/"))) == {b"small", b"d"}


@pytest.mark.parametrize("fault", [NO_BUCKET, Foreign(404), Foreign(200), Foreign(200, EMPTY % (b"other", b""))])
def test_a_listing_that_is_refused_for_a_moment(bucket: Bucket, source: OssSource, fault: Fault) -> None:
    """Is asked for again, as after 503."""
    bucket.server.add_rule(Rule(fault, "LIST", count=2))
    assert source.stat(b"/small").size == len(SMALL)
    bucket.server.clear_rules()
    bucket.server.add_rule(Rule(fault, "LIST", count=2))
    assert set(entries(source.list(b"/"))) == {b"small", b"d"}


@pytest.mark.parametrize("fault", [NO_BUCKET, Foreign(404)])
def test_an_object_that_is_refused_for_a_moment(
    bucket: Bucket, source: OssSource, hasty: OssSource, fault: Fault
) -> None:
    """The file has not changed: only NoSuchKey would say that."""
    bucket.server.add_rule(Rule(fault, "GET", count=2))
    assert read_small(source, b"/small") == SMALL
    bucket.server.clear_rules()
    bucket.server.add_rule(Rule(fault, "GET"))
    for reading in (read, read_small):
        with pytest.raises(SourceError, match="given up") as caught:
            reading(hasty, b"/small")
        assert not isinstance(caught.value, StaleVersion)


def test_an_object_that_is_missing(bucket: Bucket, source: OssSource) -> None:
    """Is another version, or none, to who reads; and nothing to who looks up, in one request each."""
    bucket.server.add_rule(Rule(Status("NoSuchKey"), "GET"))
    with pytest.raises(StaleVersion):
        read_small(source, b"/small")
    bucket.delete("small")
    with pytest.raises(FileNotFoundError):
        source.stat(b"/small")


@pytest.mark.parametrize("fault", [Foreign(404), Status("InternalError")])
def test_a_link_of_which_a_gateway_says_404(bucket: Bucket, source: OssSource, fault: Fault) -> None:
    """HEAD has no body; what has no number of OSS is not from there."""
    bucket.put("link", b"bytes", kind="Symlink")
    bucket.server.add_rule(Rule(fault, "HEAD", count=2))
    assert source.stat(b"/link").size == 5
    bucket.server.clear_rules()
    bucket.server.add_rule(Rule(Status("SymlinkTargetNotExist", 404), "HEAD"))
    with pytest.raises(OSError, match="SymlinkTargetNotExist") as caught:
        source.stat(b"/link")
    assert caught.value.errno == errno.ENOENT


def refused(kind: str, status: int, code: str = "", **headers: str) -> Refused:
    """An answer of OSS, or of a gateway when there is no code."""
    body = f"<Error><Code>{code}</Code></Error>".encode() if code else b""
    lines = [f"HTTP/1.1 {status} Reason", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return Refused(kind, "key", Head("\r\n".join(lines)), b"" if kind == "head" else body)


def told(code: str) -> str:
    return base64.b64encode(f"<Error><Code>{code}</Code></Error>".encode()).decode()


@pytest.mark.parametrize(
    ("error", "number", "transient"),
    [
        (refused("list", 404), errno.EIO, True),
        (refused("list", 404, "NoSuchBucket"), errno.EIO, True),
        (refused("list", 412), errno.EIO, False),
        (refused("list", 403, "AccessDenied"), errno.EACCES, False),
        (refused("list", 503), errno.EIO, True),
        (refused("get", 404), errno.EIO, True),
        (refused("get", 404, "NoSuchBucket"), errno.EIO, True),
        (refused("get", 404, "NoSuchKey"), errno.ENOENT, False),
        (refused("get", 404, "SymlinkTargetNotExist"), errno.ENOENT, False),
        (refused("get", 403, "InvalidObjectState"), errno.EACCES, False),
        (refused("get", 412), errno.ESTALE, False),
        (refused("get", 416, "InvalidRange"), errno.ESTALE, False),
        (refused("get", 301), errno.EIO, False),
        (refused("get", 409), errno.EIO, False),
        (refused("head", 404), errno.EIO, True),
        (refused("head", 404, x_oss_request_id="1"), errno.ENOENT, False),
        (refused("head", 404, x_oss_err=told("NoSuchKey")), errno.ENOENT, False),
        (refused("head", 404, x_oss_request_id="1", x_oss_err=told("NoSuchBucket")), errno.EIO, True),
        (refused("head", 404, x_oss_err="no base64"), errno.EIO, True),
    ],
)
def test_what_an_application_is_told(error: Refused, number: int, transient: bool) -> None:
    assert (error.errno, is_transient(error)) == (number, transient)


def test_a_store_that_is_silent_while_mounting(bucket: Bucket) -> None:
    """It is given up after the time that was set, and waited for with the option `wait`; a wrong name is not."""
    impatient = {"alluxio.underfs.oss.socket.timeout": "1s", "alluxio.user.rpc.retry.max.duration": "2s"}
    properties = {**bucket.properties(), **impatient}
    bucket.server.add_rule(Rule(Silence(), "LIST"))
    with pytest.raises(Unreachable):
        storage.open_storage(bucket.config(properties), lambda _text: None)

    def heard(text: str) -> None:
        told.append(text)
        if len(told) == 3:
            bucket.server.clear_rules()

    told: list[str] = []
    _, source, *_ = storage.open_storage(bucket.config(properties, options=("wait",)), heard)
    source.close()
    assert len(told) >= 3
    bucket.server.add_rule(Rule(NO_BUCKET, "LIST"))
    with pytest.raises(SourceError) as refused:
        storage.open_storage(bucket.config(properties, options=("wait",)), lambda _text: None)
    assert not isinstance(refused.value, Unreachable)
