"""The archive for a bug report: what is in it, who may read it, and that no secret is."""

from __future__ import annotations

import json
import os
import string
import tarfile
from pathlib import Path

import pytest
from harness.mounting import Mounts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oss.bucket import KEY_ID, SECRET, Bucket
from patient import Doctor

from alluxio_jnifuse.config.secrets import MASK
from alluxio_jnifuse.config.values import Config
from alluxio_jnifuse.doctor import bundle
from alluxio_jnifuse.doctor.finding import NOTE, Examined, Finding
from alluxio_jnifuse.doctor.masking import Masker, of_environment
from alluxio_jnifuse.doctor.subject import Subject
from alluxio_jnifuse.mounts.registry import record_of_this_process

LETTERS = string.ascii_letters + string.digits
SECRETS = st.text(alphabet=LETTERS + "+/=-_.~!", min_size=8, max_size=40).filter(lambda text: text.strip("=-.") == text)
PASSWORDS = st.text(alphabet=LETTERS + "-_.~", min_size=8, max_size=40)


def unpacked(path: Path) -> dict[str, str]:
    """The texts of an archive by their paths there, without the directory that all are in."""
    with tarfile.open(path) as archive:
        members = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        return {name.partition("/")[2]: file.read().decode() for name, file in members.items() if file is not None}


@pytest.mark.fuse
def test_a_running_mount(doctor: Doctor, mounts: Mounts, bucket: Bucket, private: Path) -> None:
    """Versions, settings, counters, log and findings; the key, wherever it was given, is not in it."""
    bucket.put("file", b"text")
    (private / "alluxio-site.properties").write_text(f"fs.oss.accessKeySecret={SECRET}\n")
    (private / "alluxio-site.properties").chmod(0o600)
    properties = {"fs.oss.endpoint": bucket.server.endpoint, "fs.oss.accessKeyId": KEY_ID}
    mounted = mounts.mount(bucket.uri, "", properties, environ={"OSS_SESSION_TOKEN": "token-of-the-tests"})
    with open(mounted.log, "a", encoding="utf-8") as file:
        file.write(f"2026-11-30 10:00:00,000 WARN  what a library prints: {SECRET} token-of-the-tests\n")
    path = private / "bundle.tar.gz"
    done = doctor.run("--bundle", str(path), mounted.path)
    assert str(path) in done.stdout
    assert path.stat().st_mode & 0o777 == 0o600
    found = unpacked(path)
    inner = {name.rpartition("/")[2] for name in found if "/" in name}
    assert inner == {
        "settings.txt", "environment.txt", "mount.json", "counters.json", "process.txt", "log.txt"
    }  # fmt: skip
    whole = "\n".join(found.values())
    assert SECRET not in whole
    assert "token-of-the-tests" not in whole
    assert f"what a library prints: {MASK} {MASK}" in whole
    assert json.loads(found["report.json"])["format"] == 1
    (counters,) = [json.loads(text) for name, text in found.items() if name.endswith("/counters.json")]
    assert counters["stats"]["op_getattr"] >= 0


def test_it_takes_nothing_away(doctor: Doctor, private: Path) -> None:
    """A file that is there stays; so does one that is linked to."""
    path = private / "bundle.tar.gz"
    path.write_text("mine")
    (private / "link").symlink_to(private / "elsewhere")
    for name in ("bundle.tar.gz", "link"):
        done = doctor.run("--bundle", str(private / name), "-u", str(private), str(private / "mnt"))
        assert done.returncode == 1
        assert "cannot be made" in done.stderr
        assert done.stdout == ""
    assert path.read_text() == "mine"
    assert not (private / "elsewhere").exists()


def test_nothing_is_left_of_one_that_failed(private: Path) -> None:
    with pytest.raises(ZeroDivisionError), bundle.Bundle(str(private / "bundle.tar.gz")):
        raise ZeroDivisionError
    assert not (private / "bundle.tar.gz").exists()


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(SECRETS, min_size=10, max_size=10, unique=True), st.lists(PASSWORDS, min_size=3, max_size=3, unique=True)
)
def test_no_secret_is_in_it(tmp_path: Path, keys: list[str], passwords: list[str]) -> None:
    """Whatever it is, and wherever it was given: in variables, properties, options, URIs, files, and in the log."""
    environ = {
        "OSS_ACCESS_KEY_SECRET": keys[0],
        "ALLUXIO_JAVA_OPTS": f"-Dfs.s3a.secret.key='{keys[1]}' -Dalluxio.home=/opt",
        "ALLUXIO_JNIFUSE_SECRETS": json.dumps({"fs.oss.securityToken": keys[2]}),
        "ALLUXIO_SITE_PROPERTIES": f"fs.azure.account.key.x={keys[3]}\nfs.oss.accessKeySecret : {keys[4]}\n",
        "HTTPS_PROXY": f"http://user:{passwords[0]}@proxy:3128",
    }
    given_options = {
        "options": [f"fsname=oss://user:{passwords[1]}@host/", f"alluxio.x.password={keys[5]}".replace(",", "\\,")],
        "properties": [f"fs.oss.securityToken={keys[6]}", f"alluxio.y.options=vers=3,password={keys[7]}"],
    }
    config = Config.load(**given_options, ufs=f"webdav://user:{passwords[2]}@host/data", environ=environ)
    log = tmp_path / "log"
    lines = [*(f"WARN it said {secret} once" for secret in (*keys, *passwords)), f"Authorization: OSS id:{keys[8]}"]
    log.write_text("\n".join([*lines, f'{{"SecurityToken": "{keys[9]}", "a": 1}}', f"--password {keys[9]}"]) + "\n")
    record = record_of_this_process(str(tmp_path / "mnt"), "/", config.ufs, str(log))
    subject = Subject(environ, record.mountpoint, record, config)
    finding = Finding(NOTE, f"{keys[0]} and {passwords[1]}", config.ufs, keys[5], f"-D x={keys[6]}")
    masker = Masker([*of_environment(environ), *config.secrets(), keys[8], keys[9]])
    found = bundle.contents([Examined("check", record.mountpoint, (finding,))], [subject], masker)
    whole = "\n".join(found.values())
    assert not [secret for secret in (*keys, *passwords) if secret in whole]
    assert json.loads(found["report.json"])["findings"]


@settings(deadline=None, database=None)
@given(SECRETS)
def test_secrets_that_nobody_knows(secret: str) -> None:
    """The names in front of them tell."""
    masker = Masker([])
    for text in (
        f"fs.oss.accessKeySecret={secret}",
        f"password: {secret}",
        f'"SecurityToken": "{secret}"',
        f"{{'api_key': '{secret}'}}",
        f"Authorization: OSS4-HMAC-SHA256 Credential=x,Signature={secret}",
        f"proxy-authorization: Basic {secret}",
        f"run --password {secret} --now",
        f"live page at http://127.0.0.1:49999/?token={secret}",
        f"GET https://bucket.example/o?x=1&security-token={secret}&y=2",
    ):
        assert secret not in masker.mask(text), text


def test_what_is_no_secret_stays() -> None:
    text = '-D fs.oss.accessKeySecret=VALUE\n{"what": "1 errors", "line": "echo 1024 > /sys/class/bdi/0:5/x"}'
    assert Masker(["x", ""]).mask(text) == text


@pytest.mark.parametrize(
    "what", ['he said "token=abc" ok', 'password="abc def"', "token: 'a\\'", 'a\\"token=abc', '"password": "abc"']
)
def test_json_stays_json(what: str) -> None:
    """Also where a secret stands inside of a string."""
    shown = Masker([]).mask(json.dumps({"what": what, "n": 1}))
    assert json.loads(shown)["n"] == 1
    assert "abc" not in shown


def test_no_text_takes_for_ever() -> None:
    """A file may have such a name, and the log has names of files."""
    for text in ('token=\\"a ', "token='a ", 'token="a ', "token:token:", "a:", "-token "):
        Masker([]).mask(text * 50_000)


@pytest.mark.parametrize("form", ["a%2Fb%2Bc%3D%3D", "YS9iK2M9PQ=="])
def test_other_forms_of_a_secret(form: str) -> None:
    """Secrets written as in a URL, and in base64."""
    assert Masker(["a/b+c=="]).mask(f"it said {form} once") == f"it said {MASK} once"


def test_only_the_owner_may_read_it(private: Path) -> None:
    """Whatever the umask is."""
    before = os.umask(0)
    try:
        with bundle.Bundle(str(private / "bundle.tar.gz")) as made:
            made.write({"a": "b"})
    finally:
        os.umask(before)
    assert (private / "bundle.tar.gz").stat().st_mode & 0o777 == 0o600
    assert unpacked(private / "bundle.tar.gz") == {"a": "b"}
