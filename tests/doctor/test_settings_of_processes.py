"""The settings of a running mount are found by the words that its process was started with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from alluxio_jnifuse.cli import running
from alluxio_jnifuse.mounts.registry import Record, record_of_this_process

PYTHON = ["/opt/venv/bin/python3", "/opt/venv/bin/alluxio-jnifuse"]
NOWHERE = {"ALLUXIO_CONF_DIR": "/nonexistent"}


def found(monkeypatch: pytest.MonkeyPatch, words: Sequence[str], environ: dict[str, str], **record: Any) -> Any:
    """The settings of a process of this user with these words and variables."""
    told = {"cmdline": list(words), "environ": [f"{name}={value}" for name, value in {**NOWHERE, **environ}.items()]}
    monkeypatch.setattr(running, "_words", lambda _pid, name: told[name])
    return running.settings_of(made(**record))


def made(ufs: str = "/data", mountpoint: str = "/mnt/m") -> Record:
    return record_of_this_process(mountpoint, "/", ufs, "")


@pytest.mark.parametrize(
    "words",
    [
        [*PYTHON, "mount", "-o", "attr_timeout=7", "-u", "/data", "/mnt/m"],
        ["/usr/bin/python3", "-m", "alluxio_jnifuse", "mount", "-n", "-o", "attr_timeout=7", "-u", "/data", "/mnt/m"],
        ["python3", "-X", "utf8", "-c", "import sys; ...", "mount", "-u", "/data", "-o", "attr_timeout=7", "/mnt/m"],
        ["python3", "/sbin/mount.alluxio-jnifuse", "/data", "/mnt/m", "-o", "rw,attr_timeout=7,x-systemd.automount"],
        ["python3", "/usr/bin/alluxio-fuse", "/data", "/mnt/m", "-o", "rw,suid,setuid=nobody,attr_timeout=7"],
        [*PYTHON, "mount", "-o", "attr_timeout=7", "--ufs", "../data", "m"],
    ],
    ids=["script", "module", "api", "mount.type", "mount.fuse3", "relative"],
)
def test_words(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    """Of every way to mount. A relative path was one of another directory; the record has the absolute one."""
    if words[-1] == "m":
        words = [*words[:-1], "/mnt/m"]
    config = found(monkeypatch, words, {}).config
    assert config is not None
    assert config.text("attr_timeout") or config.number("attr_timeout") == 7_000_000_000
    assert config.ufs == "/data"


def test_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words of our image, and its variables."""
    words = ["python3", "-m", "alluxio_jnifuse.cli.container", "fuse", "--fuse-opts=attr_timeout=7", "/mnt/m", "/part"]
    environ = {"ALLUXIO_JAVA_OPTS": "-Dalluxio.master.hostname=master1"}
    config = found(monkeypatch, words, environ, ufs="alluxio://master1:19998/part").config
    assert config is not None
    assert (config.ufs, config.number("attr_timeout")) == ("alluxio://master1:19998/part", 7_000_000_000)


def test_secrets_of_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """They were handed over by the environment."""
    environ = {"ALLUXIO_JNIFUSE_SECRETS": json.dumps({"fs.oss.accessKeySecret": "planted"})}
    config = found(monkeypatch, [*PYTHON, "mount", "-u", "/data", "/mnt/m"], environ).config
    assert config is not None
    assert config.text("fs.oss.accessKeySecret") == "planted"
    assert config.secrets() == {"planted"}


@pytest.mark.parametrize("words", [["sleep", "1000"], [""], [*PYTHON, "mount", "-u", "/other", "/elsewhere"]])
def test_words_of_something_else(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    """A record may be another program's."""
    known = found(monkeypatch, words, {})
    assert known.config is None
    assert "is not one of `mount`" in known.reason


def test_settings_that_went_wrong_since(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of settings may have been changed."""
    environ = {"ALLUXIO_SITE_PROPERTIES": "alluxio.user.client.cache.size=many\n"}
    known = found(monkeypatch, [*PYTHON, "mount", "-u", "/data", "/mnt/m"], environ)
    assert known.config is None
    assert "cannot be read any more" in known.reason


def test_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken from another user's process."""
    monkeypatch.setattr(running.os, "geteuid", lambda: 12345)
    known = running.settings_of(made())
    assert known.config is None
    assert known.environ == {}
    assert "another user's; ask as that user" in known.reason
