"""What settings mean to the source of a bucket, and what a person is told who has to correct them."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest
from oss.bucket import Bucket
from oss.faults import Redirect, Status
from oss.server import Rule

from alluxio_jnifuse.config.options import OPTIONS
from alluxio_jnifuse.config.values import Config
from alluxio_jnifuse.errors import ConfigError, SourceError
from alluxio_jnifuse.sources.oss import from_config
from alluxio_jnifuse.sources.oss.endpoint import endpoint_of, region_of
from alluxio_jnifuse.sources.oss.http.connection import Head
from alluxio_jnifuse.sources.oss.http.route import ConnectError
from alluxio_jnifuse.sources.oss.requests.errors import Refused, diagnose
from alluxio_jnifuse.sources.oss.settings import Settings

pytestmark = pytest.mark.timeout(600)
HANGZHOU = "oss-cn-hangzhou.aliyuncs.com"


# ------------------------------------------------------------------------------------------------------- endpoints


@pytest.mark.parametrize(
    ("text", "host", "port", "authority", "base", "region"),
    [
        (HANGZHOU, f"b-1.{HANGZHOU}", 80, f"b-1.{HANGZHOU}", "/", "cn-hangzhou"),
        (f"https://{HANGZHOU}/", f"b-1.{HANGZHOU}", 443, f"b-1.{HANGZHOU}", "/", "cn-hangzhou"),
        (f"HTTP://{HANGZHOU}:80", f"b-1.{HANGZHOU}", 80, f"b-1.{HANGZHOU}", "/", "cn-hangzhou"),
        ("http://10.0.0.1:8080", "10.0.0.1", 8080, "10.0.0.1:8080", "/b-1/", ""),
        ("https://[::1]:8080", "::1", 8080, "[::1]:8080", "/b-1/", ""),
        ("localhost:1", "localhost", 1, "localhost:1", "/b-1/", ""),
        ("oss.example.com:8443", "b-1.oss.example.com", 8443, "b-1.oss.example.com:8443", "/", ""),
    ],
)
def test_where_a_bucket_is(text: str, host: str, port: int, authority: str, base: str, region: str) -> None:
    """As for oss2: in the path for addresses and localhost, else in front of the host; http without a scheme."""
    found = endpoint_of("b-1", text)
    assert found == ("b-1", text.startswith("https"), host, port, authority, base, region)


def test_the_style_may_be_told() -> None:
    """For servers that are not OSS, and names that resolve to one."""
    assert endpoint_of("b-1", "http://oss.example.com", path_style=True).base == "/b-1/"
    assert endpoint_of("b-1", "http://localhost", path_style=False).host == "b-1.localhost"
    assert endpoint_of("b-1", "http://localhost").target("a b/é?") == "/b-1/a%20b/%C3%A9%3F"


@pytest.mark.parametrize(
    ("host", "region"),
    [
        (HANGZHOU, "cn-hangzhou"),
        ("oss-cn-hangzhou-internal.aliyuncs.com", "cn-hangzhou"),
        ("oss-us-west-1.aliyuncs.com", "us-west-1"),
        ("OSS-AP-SOUTHEAST-1.aliyuncs.com", "ap-southeast-1"),
        ("oss-accelerate.aliyuncs.com", ""),
        ("oss-accelerate-overseas.aliyuncs.com", ""),
        ("example.com", ""),
    ],
)
def test_the_region_of_an_endpoint(host: str, region: str) -> None:
    """Is in its name; endpoints for acceleration have none."""
    assert region_of(host) == region


@pytest.mark.parametrize(
    ("bucket", "text", "problem"),
    [
        ("Upper", HANGZHOU, "no bucket has such a name"),
        ("ab", HANGZHOU, "no bucket has such a name"),
        ("bucket", f"bucket.{HANGZHOU}", f"holds the bucket; use {HANGZHOU}"),
        ("bucket", f"http://{HANGZHOU}/bucket", "is no endpoint"),
        ("bucket", "ftp://host", "is no endpoint"),
        ("bucket", "http://host:port", "is no endpoint"),
        ("bucket", "http://[::1", "is no endpoint"),
        ("bucket", "two words", "is no endpoint"),
        ("bucket", "http://\u4f8b\u3048.jp", "is no endpoint"),
        ("bucket", "http://", "is no endpoint"),
        ("bucket", "http://me:hidden@host", "no user belongs into it"),
    ],
)
def test_an_endpoint_that_cannot_be_used(bucket: str, text: str, problem: str) -> None:
    """Says what is wrong with it, and no password."""
    with pytest.raises(ConfigError, match=problem) as caught:
        endpoint_of(bucket, text)
    assert "hidden" not in str(caught.value)


# -------------------------------------------------------------------------------------------------------- settings


def settings(*properties: str, options: tuple[str, ...] = (), uri: str = "oss://bucket/a/b") -> Settings:
    config = Config.load(
        options=options,
        properties=["fs.oss.endpoint=http://127.0.0.1", *properties],
        ufs=uri,
        environ={"ALLUXIO_CONF_DIR": "/nonexistent"},
    )
    assert not config.notes
    return from_config.settings(config.ufs, config)


def test_signatures() -> None:
    """V4 where the region is known, else V1; or what is said."""
    assert settings().signature == "V1"
    assert settings("fs.oss.region=cn-beijing").signature == "V4"
    assert settings(f"fs.oss.endpoint={HANGZHOU}").signature == "V4"
    assert settings("fs.oss.region=cn-beijing", "fs.oss.signature.version=v1").signature == "V1"
    with pytest.raises(ConfigError, match=r"V4 needs the region; set fs\.oss\.region"):
        settings("fs.oss.signature.version=V4")


def test_patience() -> None:
    """The source gives up a little before the core does, to say why; 0 is for ever."""
    found = settings(
        "alluxio.user.streaming.data.read.timeout=100s",
        "alluxio.user.rpc.retry.max.duration=0",
        "alluxio.underfs.oss.socket.timeout=2s",
        "alluxio.underfs.oss.connection.timeout=1500ms",
    )
    assert (found.stall_s, found.connect_timeout_s) == (2.0, 1.5)
    assert 90 <= found.read_patience_s < 100
    assert found.metadata_patience_s > 1e8
    assert found.mount_patience_s > 1e8
    assert settings("alluxio.user.rpc.retry.max.duration=1s").mount_patience_s < 1
    assert 50 <= settings("alluxio.user.rpc.retry.max.duration=1min").mount_patience_s < 60
    assert settings().mount_patience_s == 10


def test_what_is_remembered_follows_the_kernel() -> None:
    """Who wants to see changes at once sees them."""
    assert settings().remembered_s == 60
    assert settings(options=("attr_timeout=5",)).remembered_s == 5
    assert settings(options=("attr_timeout=7200",)).remembered_s == 60


@pytest.mark.parametrize(
    ("uri", "path", "bucket", "prefix"),
    [
        ("oss://bucket", "/", "bucket", ""),
        ("oss://bucket/", "/", "bucket", ""),
        ("oss://bucket/a/b/", "/", "bucket", "a/b/"),
        ("oss://bucket/a%2520b", "/c d", "bucket", "a%20b/c d/"),
        ("OSS://bucket/%E6%97%A5", "/", "bucket", "日/"),
    ],
)
def test_uris(uri: str, path: str, bucket: str, prefix: str) -> None:
    """Percent-encoded, as all URIs here; the part of the storage to show comes behind."""
    config = Config.load(ufs=uri, alluxio_path=path, environ={"ALLUXIO_CONF_DIR": "/nonexistent"})
    assert from_config.split_uri(config.ufs) == (bucket, prefix)


def test_settings_of_another_storage_are_told(tmp_path: Path) -> None:
    """A bucket has no use for those of a cluster, and nothing else for those of a bucket."""
    environ = {"ALLUXIO_CONF_DIR": str(tmp_path)}
    (tmp_path / "alluxio-site.properties").write_text("fs.oss.endpoint=x\nalluxio.user.short.circuit.enabled=false\n")
    bucket = Config.load(ufs="oss://bucket/", environ=environ)
    assert [note.split(":")[1].split()[0] for note in bucket.notes] == ["alluxio.user.short.circuit.enabled"]
    directory = Config.load(ufs="/d", environ=environ)
    assert any("fs.oss.endpoint" in note and "it is for a bucket of OSS" in note for note in directory.notes)
    cluster = Config.load(ufs="alluxio://master/", environ=environ)
    assert any("fs.oss.endpoint" in note and "cluster's own way" in note for note in cluster.notes)


def test_no_option_of_a_bucket_comes_from_a_cluster() -> None:
    """Credentials least of all."""
    assert all(row.here for row in OPTIONS if row.oss)


# ------------------------------------------------------------------------------------------------ what one is told


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Status("AccessDenied"), "access denied: .*; allow oss:ListObjects and oss:GetObject"),
        (Status("UserDisable", 403), "the account is disabled"),
        (Status("SecondLevelDomainForbidden"), r"set fs\.oss\.path\.style\.access=false"),
        (Redirect("http://bucket.elsewhere.example/", 307), r"another endpoint: bucket\.elsewhere\.example"),
        (Redirect("/", 301, endpoint=HANGZHOU), f"another endpoint: {HANGZHOU}; set fs.oss.endpoint={HANGZHOU}"),
        (Status("Moved", 404), "404"),
    ],
)
def test_a_mount_that_is_refused(bucket: Bucket, fault: Status, sentence: str) -> None:
    """At once; and the message names bucket, directory and endpoint."""
    bucket.server.add_rule(Rule(fault, "LIST"))
    with pytest.raises(SourceError, match=sentence) as caught:
        bucket.source()
    assert len(bucket.server.requests()) == 1
    assert str(caught.value).startswith(f"{bucket.uri} at {bucket.server.endpoint}/{bucket.name}/: ")


def test_a_clock_that_is_wrong(bucket: Bucket) -> None:
    """By how much is told."""
    bucket.server.set_clock(-(2 * 86400 + 3 * 3600))
    with pytest.raises(SourceError, match=r"the clock of this machine is 2 d 3 h .*ahead of that of the server"):
        bucket.source()
    bucket.server.set_clock(3600)
    with pytest.raises(SourceError, match=r"the clock of this machine is (1 h|59 min).* behind that of the server"):
        bucket.source()


def test_a_bucket_that_is_busy_when_it_is_mounted(bucket: Bucket) -> None:
    """Is asked again for a while."""
    bucket.server.add_rule(Rule(Status("ServerBusy"), "LIST", count=3))
    bucket.source().close()
    bucket.server.clear_rules()
    bucket.server.add_rule(Rule(Status("ServerBusy"), "LIST"))
    with pytest.raises(SourceError, match="503 ServerBusy"):
        bucket.source(mount_patience_s=0.3)


def test_a_server_that_is_no_oss(bucket: Bucket) -> None:
    """Its answer is HTTP, and no listing."""
    bucket.server.add_rule(Rule(Status("Whatever", 418), "LIST"))
    with pytest.raises(SourceError, match="418"):
        bucket.source()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        port = listener.getsockname()[1]
        config = bucket.config(bucket.properties(endpoint=f"https://127.0.0.1:{port}"))

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.sendall(b"SSH-2.0-OpenSSH_9\r\n")
            connection.close()

        peer = threading.Thread(target=hang_up)
        peer.start()
        with pytest.raises(SourceError, match=r"no TLS connection.*use http:// in fs\.oss\.endpoint"):
            bucket.source(config)
        peer.join()


def connecting(cause: OSError) -> ConnectError:
    error = ConnectError("reason", "host:80")
    error.__cause__ = cause
    return error


def test_what_waiting_may_cure() -> None:
    """A name service that does not answer may soon; a name that does not exist, or a certificate, will not."""
    chosen = Settings(endpoint_of("bucket", HANGZHOU))
    assert not diagnose(connecting(socket.gaierror(socket.EAI_AGAIN, "")), chosen).hopeless
    assert diagnose(connecting(socket.gaierror(socket.EAI_NONAME, "")), chosen).hopeless
    assert diagnose(connecting(ssl.SSLCertVerificationError("")), chosen).hopeless
    assert not diagnose(connecting(ConnectionRefusedError()), chosen).hopeless


def test_what_is_wrong_with_a_request_may_be_the_region_or_the_scheme() -> None:
    """Servers say no more than 400."""
    v4 = Settings(endpoint_of("bucket", HANGZHOU), signature="V4")
    region = Refused("list", "dir/", Head("HTTP/1.1 400 Bad Request"), b"<Error><Code>InvalidArgument</Code></Error>")
    assert "set fs.oss.region" in diagnose(region, v4).remedy
    plain = Refused("list", "dir/", Head("HTTP/1.1 400 The plain HTTP request was sent to HTTPS port"), b"")
    assert "use https://" in diagnose(plain, v4).remedy
