"""Faults of buckets, planted for real: each is found, with a line to type, and nothing else is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.mounting import Mounts
from oss.bucket import KEY_ID, SECRET, Bucket
from oss.faults import Foreign, Redirect, Status, WrongDate
from oss.server import Rule
from patient import Doctor, Fault

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(600)]


def words(bucket: Bucket, private: Path, uri: str = "", **more: str) -> list[str]:
    """The options of a mount of the bucket."""
    properties = [word for name, value in bucket.properties(**more).items() for word in ("-D", f"{name}={value}")]
    return [*properties, "-u", uri or bucket.uri, str(private / "mnt")]


def test_a_good_bucket(doctor: Doctor, bucket: Bucket, private: Path) -> None:
    bucket.put("file", b"text")
    report = doctor.examine(*words(bucket, private))
    assert (report.code, report.problems()) == (0, [])
    well = {each["what"] for each in report.told["findings"] if each["check"] == "bucket"}
    assert well == {
        "can be listed", "its objects can be read", "the clock of this machine agrees with the server's"
    }  # fmt: skip
    assert SECRET not in str(report.told)


def test_a_running_mount(doctor: Doctor, mounts: Mounts, bucket: Bucket, private: Path) -> None:
    """Its key is taken from where the mount has it: the file of properties."""
    bucket.put("file", b"text")
    lines = "".join(f"{name}={value}\n" for name, value in bucket.properties().items())
    path = private / "alluxio-site.properties"
    path.write_text(lines)
    path.chmod(0o600)
    mounted = mounts.mount(bucket.uri)
    path.write_text(lines.replace(SECRET, "another"))
    Fault("bucket", "error", "secret is not the one", "-D fs.oss.accessKeySecret=VALUE").is_found(
        doctor.examine(mounted.path)
    )
    path.write_text(lines)
    assert not doctor.examine(mounted.path).problems()


def test_a_key_of_the_command_line(doctor: Doctor, mounts: Mounts, bucket: Bucket) -> None:
    """It cannot be known, and nothing else is said of the bucket."""
    mounted = mounts.mount(bucket.uri, "", bucket.properties())
    report = doctor.examine(mounted.path)
    line = f"alluxio-jnifuse doctor -u {bucket.uri} -D fs.oss.accessKeyId=VALUE -D fs.oss.accessKeySecret=VALUE"
    Fault("bucket", "note", "its key was given on the command line", line).is_found(report)


def test_a_key_of_the_environment(doctor: Doctor, mounts: Mounts, bucket: Bucket) -> None:
    """It is that of the mount, not that of the command; so is the proxy."""
    bucket.put("file", b"text")
    given = {"OSS_ACCESS_KEY_ID": KEY_ID, "OSS_ACCESS_KEY_SECRET": SECRET, "no_proxy": "*"}
    endpoint = {"fs.oss.endpoint": bucket.server.endpoint}
    mounted = mounts.mount(bucket.uri, "", endpoint, environ=given)
    doctor.environ["http_proxy"] = "http://127.0.0.1:1"
    assert not doctor.examine(mounted.path).problems()


FAULTS: dict[str, tuple[Callable[[Bucket], object], dict[str, str], str, str]] = {
    "endpoint": (
        lambda bucket: None,
        {"endpoint": "http://oss.invalid", "path_style_access": "true"},
        "oss.invalid: this name has no address",
        "-D fs.oss.endpoint=HOST",
    ),
    "nobody-there": (
        lambda bucket: None,
        {"endpoint": "http://127.0.0.1:1"},
        "connection refused",
        "-D fs.oss.endpoint=VALUE",
    ),
    "something-else": (
        lambda bucket: bucket.server.add_rule(Rule(Foreign(200))),
        {},
        "what is there is not OSS",
        "-D fs.oss.endpoint=VALUE",
    ),
    "another-region": (
        lambda bucket: bucket.server.add_rule(
            Rule(Redirect("http://oss-cn-shanghai.aliyuncs.com/", 301, "oss-cn-shanghai.aliyuncs.com"))
        ),
        {},
        "the bucket is at another endpoint",
        "-D fs.oss.endpoint=oss-cn-shanghai.aliyuncs.com",
    ),
    "https": (
        lambda bucket: None,
        {"endpoint": "https://"},
        "it does not answer",
        "-D fs.oss.endpoint=VALUE",
    ),
    "key": (
        lambda bucket: None,
        {"accessKeyId": "LTAIofnobody"},
        "the access key ID is not known",
        "-D fs.oss.accessKeyId=VALUE",
    ),
    "secret": (
        lambda bucket: None,
        {"accessKeySecret": "wrong"},
        "the access key secret is not the one of this access key ID",
        "-D fs.oss.accessKeySecret=VALUE",
    ),
    "no-secret": (
        lambda bucket: None,
        {"accessKeySecret": ""},
        "is set, and fs.oss.accessKeySecret is not",
        "-D fs.oss.accessKeySecret=VALUE",
    ),
    "clock": (
        lambda bucket: bucket.server.set_clock(3600.0),
        {},
        "the clock of this machine is",
        "timedatectl set-ntp true",
    ),
    "listing-denied": (
        lambda bucket: bucket.server.add_rule(Rule(Status("AccessDenied"), operation="LIST")),
        {},
        "access denied",
        '"Action": ["oss:ListObjects", "oss:GetObject"]',
    ),
    "reading-denied": (
        lambda bucket: bucket.server.add_rule(Rule(Status("AccessDenied"), operation="GET")),
        {},
        "an object cannot be read: access denied",
        '"Action": ["oss:ListObjects", "oss:GetObject"]',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault(doctor: Doctor, bucket: Bucket, private: Path, name: str) -> None:
    plant, properties, what, line = FAULTS[name]
    bucket.put("file", b"text")
    plant(bucket)
    if properties.get("endpoint") == "https://":
        properties = {"endpoint": bucket.server.endpoint.replace("http:", "https:")}
    report = doctor.examine(*words(bucket, private, **properties))
    Fault("bucket", "error", what, line).is_found(report)
    assert SECRET not in str(report.told)


@pytest.mark.parametrize(
    ("uri", "what", "line"),
    [
        ("oss://bucket-of-nobody/", "no such bucket", "-D fs.oss.endpoint=VALUE"),
        ("oss://{name}/nothing/", "no key of the bucket begins with 'nothing/'", "-u oss://BUCKET/DIRECTORY/"),
    ],
)
def test_no_such_directory(doctor: Doctor, bucket: Bucket, private: Path, uri: str, what: str, line: str) -> None:
    report = doctor.examine(*words(bucket, private, uri.format(name=bucket.name)))
    Fault("bucket", "error", what, line).is_found(report)


def test_a_clock_that_is_nearly_too_wrong(doctor: Doctor, bucket: Bucket, private: Path) -> None:
    """A warning before OSS refuses every request."""
    bucket.put("file", b"text")
    bucket.server.add_rule(Rule(WrongDate(-600.0)))
    report = doctor.examine(*words(bucket, private))
    Fault("bucket", "warning", "min ahead of the server's", "timedatectl set-ntp true").is_found(report)


def test_other_proxies(doctor: Doctor, mounts: Mounts, bucket: Bucket) -> None:
    """Of several mounts each may have its own, and one process has one."""
    key = {"OSS_ACCESS_KEY_ID": KEY_ID, "OSS_ACCESS_KEY_SECRET": SECRET, "no_proxy": "*"}
    mounted = mounts.mount(bucket.uri, "", {"fs.oss.endpoint": bucket.server.endpoint}, environ=key)
    doctor.environ.pop("no_proxy", None)
    report = doctor.examine()
    (found,) = [each for each in report.of("bucket") if each["mount"] == mounted.path]
    assert found["line"] == f"alluxio-jnifuse doctor {mounted.path}"
    assert os.path.ismount(mounted.path)
