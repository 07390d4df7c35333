"""The operations of the server, asked by Aliyun's own client with both signatures."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import oss2
import pytest
from oss2.exceptions import NoSuchBucket, NoSuchKey, NoSuchUpload, NotModified, PreconditionFailed, ServerError
from oss2.models import PartInfo

from oss import crc64
from oss.server import OssServer

CONTENT = os.urandom(300_000)  # longer than what is kept in memory
CRC64 = crc64.of_pieces([CONTENT])
KEYS = ["key", "dir/", "dir/key", "dir//key", "a b+c%2B&d=é?#", "图片/🙂", "tab\tand\x01control", "x" * 1023]


def md5(data: bytes) -> str:
    """As an ETag has it."""
    return hashlib.md5(data).hexdigest().upper()


def unread(result: oss2.models.PutObjectResult) -> str:
    """The ETag of an answer whose document the client leaves unread, and with it the connection unused."""
    assert result.etag.encode() in result.resp.read()
    return str(result.etag)


# --------------------------------------------------------------------------------------------------------- objects


@pytest.mark.parametrize("content", [b"", b"short", CONTENT], ids=["empty", "short", "long"])
def test_what_is_put_is_got(server: OssServer, bucket: oss2.Bucket, content: bytes) -> None:
    """The client checks the CRC64 of both; every request and every byte of the object is counted."""
    put = bucket.put_object("key", content)
    assert put.etag == md5(content)
    got = bucket.get_object("key")
    assert (got.read(), got.etag, got.server_crc) == (content, md5(content), crc64.of_pieces([content]))
    assert server.get("bucket", "key") == content
    assert {"connections": 1, "PUT": 1, "GET": 1}.items() <= server.counts().items()
    assert server.counts()["bytes_sent"] == len(content)


@pytest.mark.parametrize("key", KEYS, ids=range(len(KEYS)))
def test_keys_are_any_text(server: OssServer, bucket: oss2.Bucket, key: str) -> None:
    """They are found as they are written; each of its neighbours is another one."""
    server.put_many("bucket", {other: b"other" for other in KEYS if other != key})
    bucket.put_object(key, CONTENT)
    assert bucket.get_object(key).read() == CONTENT
    assert server.keys("bucket") == sorted(KEYS)
    assert [found.key for found in oss2.ObjectIterator(bucket)] == sorted(KEYS)


@pytest.mark.parametrize("key", ["/key", "x" * 1024])
def test_keys_that_cannot_be(bucket: oss2.Bucket, key: str) -> None:
    """One that begins with a slash, and one that is too long."""
    with pytest.raises(ServerError) as raised:
        bucket.put_object(key, b"")
    assert raised.value.code == "InvalidObjectName"


def test_what_is_told_of_an_object(server: OssServer, bucket: oss2.Bucket) -> None:
    """Length, times, types, checksums, and what was put with it, by HEAD as by GET."""
    server.put("bucket", "key", CONTENT, headers={"Content-Type": "text/x", "x-oss-meta-a": "b"}, modified=1e9)
    got = bucket.get_object("key", byte_range=(1, 2))
    assert got.read() == CONTENT[1:3]
    for headers in (bucket.head_object("key").headers, got.headers):
        assert headers["ETag"] == f'"{md5(CONTENT)}"'
        assert headers["x-oss-hash-crc64ecma"] == str(CRC64)
        assert headers["Last-Modified"] == "Sun, 09 Sep 2001 01:46:40 GMT"
        assert headers["Content-Type"] == "text/x"
        assert headers["x-oss-meta-a"] == "b"
        assert headers["x-oss-object-type"] == "Normal"
        assert len(headers["x-oss-request-id"]) == 24
    assert bucket.get_object_meta("key").content_length == len(CONTENT)


def test_what_is_told_can_be_chosen(server: OssServer, bucket: oss2.Bucket) -> None:
    """Checksums that need not be computed, or that are wrong."""
    server.put("bucket", "key", b"content", etag="ETAG-3", crc64=5, kind="Multipart")
    head = bucket.head_object("key")
    assert (head.etag, head.server_crc, head.object_type) == ("ETAG-3", 5, "Multipart")


def test_conditions(server: OssServer, bucket: oss2.Bucket) -> None:
    """By ETag and by time, of GET and of HEAD."""
    server.put("bucket", "key", b"content", modified=1e9)
    etag, before, after = md5(b"content"), oss2.http_date(10**9 - 1), oss2.http_date(10**9)
    for good in ({"If-Match": f'"{etag}"'}, {"If-None-Match": "X"}, {"If-Unmodified-Since": after}):
        assert bucket.head_object("key", headers=good).etag == etag
        assert bucket.get_object("key", headers=good).read() == b"content"
    for read in (bucket.get_object, bucket.head_object):
        for bad in ({"If-Match": "X"}, {"If-Unmodified-Since": before}):
            with pytest.raises(PreconditionFailed):
                read("key", headers=bad)
        for same in ({"If-None-Match": etag}, {"If-Modified-Since": after}):
            with pytest.raises(NotModified):
                read("key", headers=same)


def test_bodies_of_unknown_length_and_digests(server: OssServer, bucket: oss2.Bucket) -> None:
    """A chunked body, and a body that is not what its MD5 says."""
    bucket.put_object("key", iter([b"one", b"two", CONTENT]))
    assert server.get("bucket", "key") == b"onetwo" + CONTENT
    digest = base64.b64encode(hashlib.md5(b"content").digest()).decode()
    bucket.put_object("key", b"content", headers={"Content-MD5": digest})
    with pytest.raises(ServerError) as raised:
        bucket.put_object("key", b"other", headers={"Content-MD5": digest})
    assert raised.value.code == "InvalidDigest"
    assert server.get("bucket", "key") == b"content"


def test_overwriting_can_be_forbidden(server: OssServer, bucket: oss2.Bucket) -> None:
    """Else it happens, and who reads the old one goes on with it."""
    server.put("bucket", "key", CONTENT)
    old = bucket.get_object("key")
    bucket.put_object("key", b"new")
    assert bucket.get_object("key").read() == b"new"
    assert old.read() == CONTENT
    with pytest.raises(ServerError) as raised:
        bucket.put_object("key", b"", headers={"x-oss-forbid-overwrite": "true"})
    assert raised.value.code == "FileAlreadyExists"


def test_copying(server: OssServer, bucket: oss2.Bucket) -> None:
    """Within the server, with what belongs to the object."""
    server.put("bucket", "a b", CONTENT, headers={"x-oss-meta-a": "b"})
    assert unread(bucket.copy_object("bucket", "a b", "copy/é")) == md5(CONTENT)
    server.delete("bucket", "a b")
    assert bucket.get_object("copy/é").read() == CONTENT
    assert bucket.head_object("copy/é").headers["x-oss-meta-a"] == "b"
    with pytest.raises(NoSuchKey):
        bucket.copy_object("bucket", "a b", "copy")


def test_deleting(server: OssServer, bucket: oss2.Bucket) -> None:
    """One or many, whether they are there or not."""
    server.put_many("bucket", dict.fromkeys(KEYS, b""))
    assert bucket.delete_object("key").status == bucket.delete_object("key").status == 204
    deleted = bucket.batch_delete_objects(["dir/", "nowhere", "图片/🙂", "a b+c%2B&d=é?#"]).deleted_keys
    assert deleted == ["dir/", "nowhere", "图片/🙂", "a b+c%2B&d=é?#"]
    assert server.keys("bucket") == sorted({*KEYS} - {"key", *deleted})


def test_appending(server: OssServer, bucket: oss2.Bucket) -> None:
    """At the end only."""
    assert bucket.append_object("key", 0, b"one").next_position == 3
    assert bucket.append_object("key", 3, CONTENT).next_position == 3 + len(CONTENT)
    assert server.get("bucket", "key") == b"one" + CONTENT
    assert bucket.head_object("key").object_type == "Appendable"
    with pytest.raises(oss2.exceptions.PositionNotEqualToLength):
        bucket.append_object("key", 3, b"")


def test_multipart_uploads(server: OssServer, bucket: oss2.Bucket) -> None:
    """Parts in any order, a part that is a copy, lists of both, the end and the giving up."""
    server.put("bucket", "source", CONTENT)
    upload = bucket.init_multipart_upload("dir/key").upload_id
    given_up = bucket.init_multipart_upload("other").upload_id
    etags = {2: bucket.upload_part("dir/key", upload, 2, CONTENT).etag}
    etags[1] = unread(bucket.upload_part_copy("bucket", "source", (10, 200_009), "dir/key", upload, 1))
    parts = [(part.part_number, part.etag, part.size) for part in oss2.PartIterator(bucket, "dir/key", upload)]
    assert parts == [(1, md5(CONTENT[10:200_010]), 200_000), (2, md5(CONTENT), len(CONTENT))]
    assert [u.key for u in oss2.MultipartUploadIterator(bucket)] == ["dir/key", "other"]
    bucket.abort_multipart_upload("other", given_up)
    with pytest.raises(ServerError):
        bucket.complete_multipart_upload("dir/key", upload, [PartInfo(1, "X")])
    done = bucket.complete_multipart_upload("dir/key", upload, [PartInfo(n, etags[n], part_crc=0) for n in (1, 2)])
    whole = CONTENT[10:200_010] + CONTENT
    assert (unread(done)[-2:], done.crc) == ("-2", crc64.of_pieces([whole]))
    assert bucket.get_object("dir/key").read() == whole
    assert bucket.head_object("dir/key").object_type == "Multipart"
    for ended, key in ((upload, "dir/key"), (given_up, "other")):
        with pytest.raises(NoSuchUpload):
            bucket.list_parts(key, ended)


def test_what_is_missing(server: OssServer, auth: object, session: oss2.Session, bucket: oss2.Bucket) -> None:
    """A key, by GET and by HEAD, and a bucket; the answer says which, and by which request."""
    for read in (bucket.get_object, bucket.head_object):
        with pytest.raises(NoSuchKey) as raised:
            read("nowhere")
        assert raised.value.details["Key"] == "nowhere"
        assert raised.value.details["RequestId"] == raised.value.request_id
        assert raised.value.details["HostId"] == f"127.0.0.1:{server.port}"
    elsewhere = oss2.Bucket(auth, server.endpoint, "nowhere", session=session, region=server.region)
    for ask in (lambda: elsewhere.get_object("key"), elsewhere.list_objects, lambda: elsewhere.put_object("key", b"")):
        with pytest.raises(NoSuchBucket):
            ask()
    with pytest.raises(ServerError) as raised:
        bucket.get_bucket_website()
    assert raised.value.code == "NotImplemented"


# --------------------------------------------------------------------------------------------------------- buckets


def test_buckets(server: OssServer, auth: object, session: oss2.Session, bucket: oss2.Bucket) -> None:
    """What is told of one; the list of all; made and removed by the client."""
    info = bucket.get_bucket_info()
    assert (info.name, info.location, info.acl.grant) == ("bucket", f"oss-{server.region}", "private")
    assert (bucket.get_bucket_acl().acl, bucket.get_bucket_location().location) == ("private", info.location)
    service = oss2.Service(auth, server.endpoint, session=session, region=server.region)
    assert [found.name for found in service.list_buckets().buckets] == ["bucket", "public"]
    other = oss2.Bucket(auth, server.endpoint, "other", session=session, region=server.region)
    other.create_bucket("public-read")
    other.put_object("key", b"")
    with pytest.raises(oss2.exceptions.BucketNotEmpty):
        other.delete_bucket()
    other.delete_object("key")
    other.delete_bucket()
    assert [found.name for found in service.list_buckets(prefix="bu").buckets] == ["bucket"]


# ------------------------------------------------------------------------------------------------------ the server


def test_files_are_shown_in_place(server: OssServer, bucket: oss2.Bucket, tmp_path: Path) -> None:
    """One, or all of a directory; they stay when the objects go."""
    (tmp_path / "dir").mkdir()
    path = tmp_path / "dir" / "file"
    path.write_bytes(CONTENT)
    server.put("bucket", "key", path)
    server.put_tree("bucket", tmp_path, "tree/")
    assert bucket.head_object("key").etag == md5(CONTENT)
    assert bucket.get_object("tree/dir/file").read() == bucket.get_object("key").read() == CONTENT
    server.delete("bucket", *server.keys("bucket"))
    assert path.read_bytes() == CONTENT


def test_bytes_lie_in_files_that_go_with_the_objects(tmp_path: Path) -> None:
    """And with the server, which two may have in the same place."""
    with OssServer(tmp_path, {}) as one, OssServer(tmp_path, {}):
        one.create_bucket("bucket")
        one.put("bucket", "key", CONTENT)
        (path,) = tmp_path.glob("*/*")
        one.put("bucket", "key", b"short")
        assert not path.exists()
        one.put("bucket", "key", CONTENT)
    assert not list(tmp_path.iterdir())


def test_a_server_ends_with_its_process(tmp_path: Path) -> None:
    """However that ends."""
    code = (
        "import sys, time; from pathlib import Path; from oss.server import OssServer;"
        "s = OssServer(Path(sys.argv[1]), {}).__enter__(); print(s.pid, flush=True); time.sleep(1000)"
    )
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    child = subprocess.Popen([sys.executable, "-c", code, tmp_path], env=environ, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout:
        pid = child.stdout.readline().strip()
    child.kill()
    child.wait()
    deadline = time.monotonic() + 100
    while Path("/proc", pid).exists():
        assert time.monotonic() < deadline, "it has not ended"
        time.sleep(0.01)


def test_in_the_foreground(tmp_path: Path) -> None:
    """It says how to mount it, and is gone after Ctrl-C."""
    (tmp_path / "file").write_bytes(CONTENT)
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    words = [sys.executable, "-m", "oss", str(tmp_path)]
    child = subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout:
        first, second, *_ = (child.stdout.readline() for _ in range(3))
        assert "oss://bucket/ has 1 objects" in first
        (endpoint,) = (word.partition("=")[2] for word in second.split() if word.startswith("fs.oss.endpoint"))
        session = oss2.Session()
        bucket = oss2.Bucket(oss2.Auth("key", "secret"), endpoint, "bucket", session=session)
        assert bucket.get_object("file").read() == CONTENT
        session.session.close()
        child.send_signal(2)
        assert "'GET': 1" in child.stdout.read()
        assert child.wait(120) == 0
