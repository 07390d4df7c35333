"""Who may ask the server: signatures, tokens, clocks, host names."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from urllib.error import HTTPError

import oss2
import pytest
from oss2.exceptions import ServerError

from oss.conftest import KEYS, SUFFIX
from oss.server import OssServer, Token

VERSIONS = ["v1", "v4"]


def refusal(server: OssServer, session: oss2.Session, auth: object, **more: str) -> str:
    """The code with which a read is refused."""
    bucket = oss2.Bucket(auth, server.endpoint, "bucket", session=session, **{"region": server.region, **more})
    with pytest.raises(ServerError) as raised:
        bucket.get_object("key")
    return raised.value.code


# -------------------------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize("version", VERSIONS)
def test_keys(server: OssServer, session: oss2.Session, version: str) -> None:
    """An unknown one, a wrong secret, and one that is changed while the server runs."""
    server.put("bucket", "key", b"content")
    assert refusal(server, session, oss2.make_auth("who", "secret", version)) == "InvalidAccessKeyId"
    assert refusal(server, session, oss2.make_auth("key", "wrong", version)) == "SignatureDoesNotMatch"
    server.set_keys({"new": "secret"})
    try:
        assert refusal(server, session, oss2.make_auth("key", "secret", version)) == "InvalidAccessKeyId"
        auth = oss2.make_auth("new", "secret", version)
        bucket = oss2.Bucket(auth, server.endpoint, "bucket", session=session, region=server.region)
        assert bucket.get_object("key").read() == b"content"
    finally:
        server.set_keys(KEYS)
    assert [entry.signature for entry in server.requests()] == [version.upper()] * 4


def test_a_signature_is_of_one_request(
    server: OssServer, bucket: oss2.Bucket, raw: Callable[[], HTTPConnection]
) -> None:
    """Of the key and of headers of OSS."""
    server.put("bucket", "other", b"content")
    for change in ({"x-oss-meta-a": "other"}, {"content-type": "other"}):
        signed = oss2.http.Request("GET", f"{server.endpoint}/bucket/key", region=server.region, product="oss")
        bucket.auth._sign_request(signed, "bucket", "key")
        connection = raw()
        connection.request("GET", "/bucket/other", headers={n: v for n, v in signed.headers.items() if v})
        assert b"SignatureDoesNotMatch" in connection.getresponse().read()
        connection.request("GET", "/bucket/key", headers={n: v for n, v in signed.headers.items() if v} | change)
        assert b"SignatureDoesNotMatch" in connection.getresponse().read()


@pytest.mark.parametrize("version", VERSIONS)
def test_clocks_must_agree(server: OssServer, session: oss2.Session, version: str) -> None:
    """To 15 minutes."""
    server.put("bucket", "key", b"content")
    auth = oss2.make_auth("key", "secret", version)
    bucket = oss2.Bucket(auth, server.endpoint, "bucket", session=session, region=server.region)
    try:
        for offset in (890, -890):
            server.set_clock(offset)
            assert bucket.get_object("key").read() == b"content"
        for offset in (910, -910):
            server.set_clock(offset)
            assert refusal(server, session, auth) == "RequestTimeTooSkewed"
    finally:
        server.set_clock(0)


def test_a_region_belongs_to_the_signature(server: OssServer, session: oss2.Session) -> None:
    """In version 4."""
    assert refusal(server, session, oss2.AuthV4("key", "secret"), region="elsewhere") == "InvalidArgument"


@pytest.mark.parametrize("version", VERSIONS)
def test_tokens(server: OssServer, session: oss2.Session, version: str) -> None:
    """Their keys are good with them, and until they expire."""
    server.put("bucket", "key", b"content")
    auth = oss2.StsAuth("STS.key", "other", "token", version)
    bucket = oss2.Bucket(auth, server.endpoint, "bucket", session=session, region=server.region)
    assert refusal(server, session, auth) == "InvalidSecurityToken"
    server.set_token("token", Token("STS.key", "other"))
    assert bucket.get_object("key").read() == b"content"
    assert urllib.request.urlopen(bucket.sign_url("GET", "key", 60)).read() == b"content"
    assert refusal(server, session, oss2.make_auth("STS.key", "other", version)) == "InvalidAccessKeyId"
    assert refusal(server, session, oss2.StsAuth("key", "secret", "token", version)) == "InvalidSecurityToken"
    server.set_token("token", Token("STS.key", "other", expires_at=time.time()))
    assert refusal(server, session, auth) == "SecurityTokenExpired"
    server.set_token("token", None)
    assert refusal(server, session, auth) == "InvalidSecurityToken"


@pytest.mark.parametrize("key", ["key", "a b/é+&="])
def test_urls_that_are_signed(server: OssServer, bucket: oss2.Bucket, key: str) -> None:
    """They are good for what they say, until they expire."""
    server.put("bucket", key, b"content")
    url = bucket.sign_url("GET", key, 60, params={"response-content-type": "text/x"}, slash_safe=True)
    with urllib.request.urlopen(url) as answer:
        assert (answer.read(), answer.headers["Content-Type"]) == (b"content", "text/x")
    assert server.requests()[0].signature.endswith(" URL")
    wrong = [bucket.sign_url("GET", key, -1), bucket.sign_url("HEAD", key, 60), url.replace("text", "other")]
    for bad, code in zip(wrong, (b"AccessDenied", b"SignatureDoesNotMatch", b"SignatureDoesNotMatch")):
        with pytest.raises(HTTPError) as raised:
            urllib.request.urlopen(bad)
        with raised.value as refused:
            assert refused.code == 403
            assert code in refused.read()


def test_without_a_signature(server: OssServer, session: oss2.Session) -> None:
    """What is public is read, and nothing else done."""
    server.put("public", "key", b"content")
    server.put("bucket", "key", b"content")
    assert refusal(server, session, oss2.AnonymousAuth()) == "AccessDenied"
    bucket = oss2.Bucket(oss2.AnonymousAuth(), server.endpoint, "public", session=session)
    assert bucket.get_object("key").read() == b"content"
    assert [found.key for found in bucket.list_objects().object_list] == ["key"]
    for forbidden in (lambda: bucket.put_object("key", b""), lambda: bucket.delete_object("key")):
        with pytest.raises(oss2.exceptions.AccessDenied):
            forbidden()


# ------------------------------------------------------------------------------------------------------------- hosts


@pytest.mark.usefixtures("names")
def test_a_bucket_may_be_a_host_name(server: OssServer, session: oss2.Session, auth: object) -> None:
    """As at Aliyun; a name without one lists buckets and does nothing else."""
    endpoint = f"http://{SUFFIX}:{server.port}"
    bucket = oss2.Bucket(auth, endpoint, "bucket", session=session, region=server.region)
    bucket.put_object("dir//key", b"content")
    assert bucket.get_object("dir//key").read() == b"content"
    assert [found.key for found in bucket.list_objects().object_list] == ["dir//key"]
    service = oss2.Service(auth, endpoint, session=session, region=server.region)
    assert [found.name for found in service.list_buckets().buckets] == ["bucket", "public"]
    plain = oss2.Bucket(auth, endpoint, "bucket", session=session, region=server.region, is_path_style=True)
    with pytest.raises(ServerError) as raised:
        plain.get_object("key")
    assert raised.value.code == "SecondLevelDomainForbidden"
    assert {entry.host for entry in server.requests()} == {f"bucket.{SUFFIX}:{server.port}", f"{SUFFIX}:{server.port}"}


@pytest.mark.usefixtures("names")
def test_over_tls(tmp_path: Path, auth: object, session: oss2.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """By address and by name, for who knows the authority."""
    with OssServer(tmp_path, KEYS, https=True) as server:
        server.create_bucket("bucket")
        server.put("bucket", "key", bytes(9 << 20))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.ca_file))
        for endpoint in (server.endpoint, f"https://{SUFFIX}:{server.port}"):
            bucket = oss2.Bucket(auth, endpoint, "bucket", session=session, region=server.region)
            assert bucket.get_object("key").read() == bytes(9 << 20)
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        session.session.close()  # the connections that were verified
        with pytest.raises(oss2.exceptions.RequestError):
            bucket.get_object("key")
