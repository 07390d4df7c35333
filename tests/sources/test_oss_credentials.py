"""Whose requests they are: every way to a key, its renewal, and that no secret is shown anywhere."""

from __future__ import annotations

import http.server
import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from oss.bucket import KEY_ID, SECRET, Bucket
from oss.faults import Status
from oss.server import OssServer, Rule, Token
from oss_reading import read_small

from alluxio_jnifuse.config.values import Config
from alluxio_jnifuse.errors import ConfigError
from alluxio_jnifuse.sources.oss import from_config
from alluxio_jnifuse.sources.oss.auth import providers
from alluxio_jnifuse.sources.oss.auth.credentials import Credentials, CredentialsError, Provider

pytestmark = pytest.mark.timeout(600)

STS = "alluxio.underfs.oss.sts."
VARIABLES = (
    *(f"OSS_{name}" for name in ("ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "SESSION_TOKEN")),
    *(f"ALIBABA_CLOUD_{name}" for name in ("ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "SECURITY_TOKEN")),
    *(f"ALIBABA_CLOUD_{name}" for name in ("ROLE_ARN", "OIDC_PROVIDER_ARN", "OIDC_TOKEN_FILE", "STS_ENDPOINT")),
)
SOON = "%Y-%m-%dT%H:%M:%SZ"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Without anybody's keys."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def answer(number: int = 1, lasts_s: float | None = None, **more: object) -> dict[str, object]:
    """Credentials as every service writes them."""
    found: dict[str, object] = {
        "AccessKeyId": f"STS.{number}",
        "AccessKeySecret": f"secret-{number}",
        "SecurityToken": f"token-{number}",
        **more,
    }
    if lasts_s is not None:
        found["Expiration"] = time.strftime(SOON, time.gmtime(time.time() + lasts_s))
    return found


class Service:
    """An HTTP server that answers with `answers[path]`, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, str, str]] = []  # method, path, body
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                service.asked.append((self.command, self.path, body))
                found = service.answers.get(self.path.partition("?")[0])
                data = (found if isinstance(found, str) else json.dumps(found)).encode()
                self.send_response(200 if found is not None else 404)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                """Not to stderr."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.close()


# ------------------------------------------------------------------------------------------------------ every way


def test_a_command(tmp_path: Path) -> None:
    """Its words are quoted as in a shell; the names of the CLI of Aliyun are understood, too."""
    path = tmp_path / "an answer"
    provider = providers.command(f"/bin/cat '{path}'")
    path.write_text(json.dumps(answer(1, 3600)))
    found = provider.get()
    assert (found.key_id, found.secret, found.token) == ("STS.1", "secret-1", "token-1")
    assert 3500 < found.expires_at - time.time() <= 3600
    path.write_text(json.dumps({"mode": "StsToken", "access_key_id": "a", "access_key_secret": "b", "sts_token": "c"}))
    found = providers.command(f"/bin/cat '{path}'").get()
    assert (found.key_id, found.secret, found.token) == ("a", "b", "c")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("/bin/false", "exit code 1"),
        ("/no/such/program", "cannot be run: No such file"),
        ("/bin/echo 'unclosed", "cannot be run: No closing quotation"),
        ("/bin/echo nonsense", "no JSON"),
        ("/bin/echo '[]'", "no JSON"),
        ("""/bin/echo '{"AccessKeyId": "hidden"}'""", "no JSON"),
        ("""/bin/echo '{"AccessKeyId": "a", "AccessKeySecret": "hidden\\n"}'""", "holds what none can hold"),
        ("""/bin/echo '{"AccessKeyId": "a", "AccessKeySecret": "hidden", "Expiration": "soon"}'""", "no JSON"),
        ("/bin/sh -c 'echo hidden >&2; exit 3'", "exit code 3"),
    ],
)
def test_a_command_that_does_not_do_it(line: str, problem: str, caplog: pytest.LogCaptureFixture) -> None:
    """What it prints is not repeated."""
    with pytest.raises(CredentialsError, match=problem) as caught:
        providers.command(line).get()
    assert "fs.oss.credential.process" in str(caught.value)
    assert "hidden" not in f"{caught.value} {caplog.text}"


def test_the_role_of_the_machine(service: Service) -> None:
    """By its name, or the only one there is."""
    service.answers = {"/roles/": "reader\n", "/roles/reader": answer(1, 3600, Code="Success")}
    assert providers.ram_role(f"{service.url}/roles", "reader").get().key_id == "STS.1"
    assert providers.ram_role(f"{service.url}/roles/", "").get().secret == "secret-1"
    assert [path for _, path, _ in service.asked] == ["/roles/reader", "/roles/", "/roles/reader"]
    with pytest.raises(CredentialsError, match=r"127\.0\.0\.1:\d+ answers 404"):
        providers.ram_role(f"{service.url}/roles/", "other").get()


def test_a_metadata_service_that_is_not_there() -> None:
    """As on a machine that is none of Aliyun's."""
    with pytest.raises(CredentialsError, match="cannot be asked: Connection refused"):
        providers.ram_role("http://127.0.0.1:1/", "role").get()
    with pytest.raises(CredentialsError, match="cannot be asked") as raised:
        providers.ram_role("http://user:opensesame@127.0.0.1:1/", "role").get()
    assert "opensesame" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "role"), [("http://host:port/", "r"), ("http://127.0.0.1:1/", "r\u00f6le"), ("http://[", "")]
)
def test_a_metadata_service_that_cannot_be_one(url: str, role: str) -> None:
    """Is an error as any other one."""
    with pytest.raises(CredentialsError, match="metadata service of this machine"):
        providers.ram_role(url, role).get()


def test_the_role_of_a_service_account(service: Service, tmp_path: Path) -> None:
    """STS is asked with the token that lies in a file; nothing needs a signature."""
    token = tmp_path / "token"
    token.write_text("oidc-token\n")
    environ = {
        "ALIBABA_CLOUD_ROLE_ARN": "acs:ram::1:role/r",
        "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "acs:ram::1:oidc-provider/p",
        "ALIBABA_CLOUD_OIDC_TOKEN_FILE": str(token),
        "ALIBABA_CLOUD_STS_ENDPOINT": service.url,
    }
    service.answers = {"/": {"RequestId": "1", "Credentials": answer(1, 3600)}}
    provider = providers.service_account(environ)
    assert provider is not None
    assert provider.get().token == "token-1"
    ((method, path, body),) = service.asked
    assert method == "POST"
    assert "Action=AssumeRoleWithOIDC" in path
    assert "OIDCToken=oidc-token" in body
    assert "oidc-token" not in path
    token.unlink()
    with pytest.raises(CredentialsError, match="cannot be read"):
        providers.service_account(environ).get()  # type: ignore[union-attr]
    assert providers.service_account({**environ, "ALIBABA_CLOUD_ROLE_ARN": ""}) is None


# ----------------------------------------------------------------------------------------------------- which counts


def key_of(bucket: Bucket, environ: Mapping[str, str] | None = None, **properties: str) -> str:
    """The key that a mount with these settings signs with; "" when it does not sign."""
    none = {"fs.oss.accessKeyId": "", "fs.oss.accessKeySecret": ""}
    given = {**bucket.properties(), **none, **properties}
    config = bucket.config({name: value for name, value in given.items() if value}, environ=environ)
    provider = from_config.credentials(config)
    return "" if provider is None else provider.get().key_id


def test_the_first_way_that_is_set_counts(
    bucket: Bucket, tmp_path: Path, environment: pytest.MonkeyPatch, service: Service
) -> None:
    """In the order that docs/CONFIGURATION.md has."""
    (tmp_path / "alluxio-site.properties").write_text("fs.oss.accessKeyId=site\nfs.oss.accessKeySecret=x\n")
    site = {"ALLUXIO_CONF_DIR": str(tmp_path)}
    service.answers = {"/role": answer(1)}
    ram = {
        f"{STS}enabled": "true",
        "alluxio.underfs.oss.ecs.ram.role": "role",
        f"{STS}ecs.metadata.service.endpoint": service.url,
    }
    process = {"fs.oss.credential.process": """/bin/echo '{"AccessKeyId": "p", "AccessKeySecret": "x"}'"""}
    anonymous = {"fs.oss.anonymous": "true"}
    key = {"fs.oss.accessKeyId": "own", "fs.oss.accessKeySecret": "x"}
    assert key_of(bucket, site) == "site"
    environment.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "cloud")
    assert key_of(bucket, site) == "site"  # that one has no secret
    environment.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "x")
    assert key_of(bucket, site) == "cloud"
    environment.setenv("OSS_ACCESS_KEY_ID", "env")
    environment.setenv("OSS_ACCESS_KEY_SECRET", "x")
    assert key_of(bucket, site) == "env"
    assert key_of(bucket, site, **anonymous) == ""
    assert key_of(bucket, site, **anonymous, **process) == "p"
    assert key_of(bucket, site, **anonymous, **process, **ram) == "STS.1"
    assert key_of(bucket, site, **anonymous, **process, **ram, **key) == "own"
    opts = {**site, "ALLUXIO_JAVA_OPTS": "-Dfs.oss.accessKeyId=opts"}
    assert key_of(bucket, opts, **{"fs.oss.accessKeySecret": "x"}) == "opts"


@pytest.mark.parametrize("line", ["echo {}", "./echo {}", "bin/echo {}", "'"])
def test_a_command_without_an_absolute_path(bucket: Bucket, line: str) -> None:
    """Is not looked for: somebody's directory may come first in PATH, or be where we stand."""
    with pytest.raises(ConfigError, match=r"absolute path|understood"):
        key_of(bucket, **{"fs.oss.credential.process": line})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
@pytest.mark.parametrize("whose", ["file", "directory", "program"])
def test_a_command_of_somebody_else_is_not_run(bucket: Bucket, private: Path, whose: str) -> None:
    """It would run as root: who can write the settings, or the program, would be root."""
    program = private / "key"
    program.write_text(f"#!/bin/sh\ntouch {private}/ran\n")
    program.chmod(0o755)
    site = private / "conf"
    site.mkdir()
    (site / "alluxio-site.properties").write_text(f"fs.oss.credential.process={program}\n")
    where = {"file": site / "alluxio-site.properties", "directory": site, "program": program}[whose]
    for mode, owner in ((0o777, 0), (0o775, 0), (0o755, 65534)):
        where.chmod(mode)
        os.chown(where, owner, owner)
        with pytest.raises(ConfigError, match=f"is not run: {where}"):
            key_of(bucket, {"ALLUXIO_CONF_DIR": str(site)})
    assert not (private / "ran").exists()


def test_a_readable_file_with_secrets_is_told(tmp_path: Path) -> None:
    """And one without, or that others cannot read, is not."""
    site = tmp_path / "alluxio-site.properties"
    for text, mode, told in (("a.secret=x", 0o644, 1), ("a.secret=x", 0o640, 0), ("a.secret=", 0o644, 0)):
        site.write_text(f"{text}\n")
        site.chmod(mode)
        notes = Config.load(environ={"ALLUXIO_CONF_DIR": str(tmp_path)}, ufs="/").notes
        assert sum("holds secrets" in note for note in notes) == told


def test_no_key_and_half_a_key(bucket: Bucket) -> None:
    """Are errors that say what is missing."""
    with pytest.raises(ConfigError, match=r"there are no credentials.*fs\.oss\.anonymous"):
        key_of(bucket)
    with pytest.raises(ConfigError, match=r"accessKeyId.*: is set, and fs\.oss\.accessKeySecret is not"):
        key_of(bucket, **{"fs.oss.accessKeyId": "x"})
    with pytest.raises(ConfigError, match=r"accessKeySecret.*: is set, and fs\.oss\.accessKeyId is not"):
        key_of(bucket, **{"fs.oss.accessKeySecret": "hidden"})
    with pytest.raises(ConfigError, match="holds what none can hold") as caught:
        key_of(bucket, **{"fs.oss.accessKeyId": "x", "fs.oss.accessKeySecret": "hidden\nhidden"})
    assert "hidden" not in str(caught.value)


def test_a_public_bucket(session_oss: OssServer) -> None:
    """Anybody may read it, who says that he has no key."""
    session_oss.create_bucket("public-bucket", "public-read")
    session_oss.put("public-bucket", "file", b"contents")
    bucket = Bucket.__new__(Bucket)
    bucket.server, bucket.name = session_oss, "public-bucket"
    config = bucket.config(
        {"fs.oss.endpoint": session_oss.endpoint, "fs.oss.anonymous": "true"}, uri="oss://public-bucket/"
    )
    source = bucket.source(config)
    session_oss.reset()
    assert read_small(source, b"/file") == b"contents"
    assert {entry.signature for entry in session_oss.requests()} == {""}
    source.close()


# --------------------------------------------------------------------------------------------------------- renewal


class Fetching:
    """A way to credentials that counts how often it is used, and can fail."""

    def __init__(self, lasts_s: float = 3600.0) -> None:
        self.lasts_s = lasts_s
        self.times = 0
        self.fails = False
        self.same = False
        self.provider = Provider(self._fetch, "the test")

    def _fetch(self) -> Credentials:
        self.times += 1
        if self.fails:
            raise CredentialsError("not now")
        number = 1 if self.same else self.times
        return Credentials(f"key-{number}", "secret", "token", round(time.time() + self.lasts_s))


def test_credentials_are_fetched_once_for_all_threads() -> None:
    """However many want them at the beginning."""
    fetching = Fetching()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: fetching.provider.get(), range(100)))
    assert len(set(map(id, found))) == fetching.times == 1


def test_credentials_are_fetched_anew_before_they_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five minutes before, or when little of their life is left; while that fails, the old ones do."""
    fetching = Fetching()
    first = fetching.provider.get()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600 - 310)
    assert fetching.provider.get() is first
    monkeypatch.setattr(time, "time", lambda: now + 3600 - 290)
    fetching.fails = True
    assert fetching.provider.get() is first
    assert fetching.provider.get() is first
    assert fetching.times == 2  # it is not asked again at once
    monkeypatch.setattr(time, "time", lambda: now + 3601)
    with pytest.raises(CredentialsError, match="the test: not now"):
        fetching.provider.get()
    fetching.fails = False
    fetching.provider._not_before = 0.0
    assert fetching.provider.get().key_id == "key-3"


def test_credentials_that_have_expired_by_this_clock_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are the same again: OSS shall say whether they are good."""
    fetching = Fetching()
    fetching.same = True
    first = fetching.provider.get()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3601)
    fetching.lasts_s = 0
    monkeypatch.setattr(Credentials, "same_as", lambda self, other: True)
    assert fetching.provider.get() is first
    assert fetching.provider.get() is first
    assert fetching.times == 2


def test_a_mount_waits_for_those_who_give_credentials(sts: OssServer, tmp_path: Path) -> None:
    """At boot the network, or the service, may be there a moment later; the bucket itself is waited for, too."""
    bucket = Bucket(sts, "bucket")
    bucket.put("file", b"contents")
    path = tmp_path / "answer"
    properties = {"fs.oss.endpoint": sts.endpoint, "fs.oss.credential.process": f"/bin/cat {path}"}
    timer = threading.Timer(0.3, lambda: path.write_text(json.dumps(answer(1))))
    timer.start()
    source = bucket.source(bucket.config(properties))
    assert read_small(source, b"/file") == b"contents"
    source.close()
    timer.join()


def test_nobody_waits_for_a_renewal_who_has_good_ones() -> None:
    """One thread fetches; the others go on with what they have."""
    arrived, go_on = threading.Event(), threading.Event()
    given = [Credentials("old", "s", "t", time.time() + 1000)]

    def fetch() -> Credentials:
        if len(given) == 1:
            given.append(given[0])
            return given[0]
        arrived.set()
        go_on.wait()
        return Credentials("new", "s", "t", time.time() + 1000)

    provider = Provider(fetch, "the test")
    old = provider.get()
    old.renew_at = 0.0
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(provider.get)
        arrived.wait()
        assert provider.get() is old
        go_on.set()
        assert pending.result().key_id == "new"
    assert provider.get().key_id == "new"


def test_refused_credentials_are_renewed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For all whose requests were refused; what is the same again is not fetched all the time."""
    fetching = Fetching()
    refused = fetching.provider.get()
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: fetching.provider.renew(refused), range(20)))
    assert fetching.times == 2
    fetching = Fetching()
    fetching.same = True
    monkeypatch.setattr(time, "time", lambda: 1e9)
    refused = fetching.provider.get()
    assert not any(fetching.provider.renew(refused) for _ in range(20))
    assert fetching.times == 2
    lasting = providers.fixed("id", "secret", "", "here")
    assert not lasting.renew(lasting.get())


@pytest.fixture
def sts(tmp_path: Path) -> Iterator[OssServer]:
    """A server that knows temporary credentials only."""
    with OssServer(tmp_path, keys={}, tokens={"token-1": Token("STS.1", "secret-1")}) as server:
        yield server


@pytest.mark.parametrize("signature", ["V1", "V4"])
def test_an_expired_token_is_replaced_during_a_request(sts: OssServer, tmp_path: Path, signature: str) -> None:
    """And when there is no other, it is EACCES, at once."""
    bucket = Bucket(sts, "bucket")
    bucket.put("file", b"contents")
    path = tmp_path / "answer"
    path.write_text(json.dumps(answer(1)))
    properties = {
        "fs.oss.endpoint": sts.endpoint,
        "fs.oss.region": "cn-hangzhou",
        "fs.oss.signature.version": signature,
        "fs.oss.credential.process": f"/bin/cat {path}",
    }
    source = bucket.source(bucket.config(properties))
    assert read_small(source, b"/file") == b"contents"
    sts.set_token("token-1", Token("STS.1", "secret-1", 0.0))
    path.write_text(json.dumps(answer(2)))
    sts.set_token("token-2", Token("STS.2", "secret-2"))
    assert read_small(source, b"/file") == b"contents"
    assert source.counters()["oss_renewals"] == 1
    sts.set_token("token-2", None)
    sts.reset()
    with pytest.raises(OSError) as caught:
        source.stat(b"/file")
    assert caught.value.errno == 13
    assert sts.counts()["LIST"] == 1
    source.close()


def test_a_refused_token_that_cannot_be_replaced_for_now(
    sts: OssServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is waited for as one that has expired by this machine's clock."""
    monkeypatch.setattr("alluxio_jnifuse.sources.oss.auth.credentials._AGAIN_S", 0.05)
    bucket = Bucket(sts, "bucket")
    bucket.put("file", b"contents")
    path = tmp_path / "answer"
    path.write_text(json.dumps(answer(1)))
    properties = {"fs.oss.endpoint": sts.endpoint, "fs.oss.credential.process": f"/bin/cat {path}"}
    source = bucket.source(bucket.config(properties))
    sts.set_token("token-1", Token("STS.1", "secret-1", 0.0))
    sts.set_token("token-2", Token("STS.2", "secret-2"))
    path.unlink()

    def back() -> None:
        path.with_suffix(".new").write_text(json.dumps(answer(2)))
        path.with_suffix(".new").rename(path)

    timer = threading.Timer(0.3, back)
    timer.start()
    assert read_small(source, b"/file") == b"contents"
    timer.join()
    source.close()


# ---------------------------------------------------------------------------------------------------- nowhere shown


def test_credentials_have_no_readable_form() -> None:
    """Nor can they be written down by accident."""
    made = Credentials("LTAI0123456789", "very-secret", "very-long-token")
    assert repr(made) == str(made) == f"{made}" == "<access key ...6789>"
    assert not hasattr(made, "__dict__")
    with pytest.raises(TypeError):
        json.dumps(made)


def test_no_secret_in_any_log_or_exception(
    bucket: Bucket, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not of oss2 either, which would write down what it signs, nor from what the server sends back."""
    token = "token-that-is-secret"
    bucket.server.set_token(token, Token(KEY_ID, SECRET))
    properties = {**bucket.properties(region="cn-hangzhou"), "fs.oss.securityToken": token}
    said = []
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("oss2").setLevel(logging.NOTSET)
        bucket.put("file", b"x")
        source = bucket.source(bucket.config(properties))
        read_small(source, b"/file")
        said += [repr(source), str(source), repr(source._settings), repr(vars(source._client._signer))]
        for code in ("SignatureDoesNotMatch", "SecurityTokenExpired", "AccessDenied"):
            message = f"{token} {SECRET}" if code == "AccessDenied" else ""
            bucket.server.add_rule(Rule(Status(code, message=message), "GET", count=1))
            try:
                read_small(source, b"/file")
            except OSError as error:
                said += [repr(error), str(error)]
        bucket.server.set_token(token, None)
        bucket.server.set_keys({KEY_ID: "other"})
        with pytest.raises(OSError) as caught:
            source.stat(b"/file")
        said.append(repr(caught.value))
        source.close()
    output = capfd.readouterr()
    everything = " ".join([*said, caplog.text, output.out, output.err])
    assert "****** ******" in everything
    assert SECRET not in everything
    assert token not in everything


def test_oss2_that_is_not_installed(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is an error that says how to install it."""
    monkeypatch.setitem(__import__("sys").modules, "oss2", None)
    with pytest.raises(ConfigError, match=r"pip install 'alluxio-jnifuse\[oss\]'"):
        bucket.source()
    assert os.environ.get("OSS_ACCESS_KEY_ID") is None
