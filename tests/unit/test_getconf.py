"""`getConf` answers as Alluxio's command does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from alluxio_jnifuse.cli import main
from alluxio_jnifuse.config.options import OPTIONS, is_property
from alluxio_jnifuse.errors import SourceError
from alluxio_jnifuse.sources.alluxio import from_config

CACHE_SIZE = "alluxio.user.client.cache.size"


@pytest.fixture(autouse=True)
def configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A site file of its own, and one property in the environment."""
    site = tmp_path / "alluxio-site.properties"
    site.write_text(
        f"{CACHE_SIZE}=1GB\nalluxio.worker.x=${{{CACHE_SIZE}}}\nfs.oss.accessKeySecret=hunter2\nmy.pwd=hunter2\n"
    )
    monkeypatch.setenv("ALLUXIO_CONF_DIR", str(tmp_path))
    monkeypatch.setenv("ALLUXIO_JAVA_OPTS", "-Dalluxio.user.hostname=h")
    for name in ("ALLUXIO_MASTER_HOSTNAME", "ALLUXIO_HOME", "ALLUXIO_LOGS_DIR"):
        monkeypatch.delenv(name, raising=False)
    return site


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command."""
    code = main(["getConf", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ([CACHE_SIZE], "1GB"),
        (["alluxio.user.hostname"], "h"),
        (["alluxio.master.rpc.port"], "19998"),
        (["alluxio.master.port"], "19998"),
        (["alluxio.master.hostname"], ""),
        (["alluxio.work.dir"], "/opt/alluxio"),
        (["alluxio.worker.x"], "1GB"),
        (["fs.oss.accessKeySecret"], "******"),
        (["my.pwd"], "******"),
        (["--source", "alluxio.master.rpc.port"], "DEFAULT"),
        (["--source", "alluxio.user.hostname"], "SYSTEM_PROPERTY ($ALLUXIO_JAVA_OPTS)"),
        (["--unit", "KB", CACHE_SIZE], "1048576"),
        (["--unit", "kb", CACHE_SIZE], "1048576"),
        (["--unit", "S", "alluxio.user.logging.threshold"], "10"),
        (["--unit", "MIN", "alluxio.user.logging.threshold"], "0"),
    ],
)
def test_one_property(capsys: pytest.CaptureFixture[str], arguments: list[str], answer: str) -> None:
    """Its value, or its source, and nothing else; an unset one is an empty line."""
    assert said(capsys, *arguments) == (0, f"{answer}\n", "")


def test_the_source_of_a_file(capsys: pytest.CaptureFixture[str], configuration: Path) -> None:
    """Is the file."""
    assert said(capsys, "--source", CACHE_SIZE)[1] == f"SITE_PROPERTY ({configuration})\n"


def test_unknown_property(capsys: pytest.CaptureFixture[str]) -> None:
    """Is exit code 1 and nothing on stdout, so that scripts can tell."""
    for key in ("alluxio.nope", "kernel_cache"):
        code, out, err = said(capsys, key)
        assert (code, out) == (1, "")
        assert err.startswith(f"{key} is not a valid configuration key\nUsage: alluxio-jnifuse getConf ")


def test_all_properties(capsys: pytest.CaptureFixture[str]) -> None:
    """Every one that this client knows, sorted; with their sources."""
    lines = said(capsys)[1].splitlines()
    names = [line.partition("=")[0] for line in lines]
    assert names == sorted(row.name for row in OPTIONS if is_property(row.name))
    assert f"{CACHE_SIZE}=1GB" in lines
    assert "alluxio.user.hostname=h (SYSTEM_PROPERTY ($ALLUXIO_JAVA_OPTS))" in said(capsys, "--source")[1].splitlines()


class FakeClient:
    """A master with a configuration, or without an answer."""

    def __init__(self, fails: bool) -> None:
        self.fails = fails

    def connect(self) -> None:
        if self.fails:
            raise SourceError("no master answers")

    def get_configuration(self) -> list[tuple[str, str, str]]:
        return [(CACHE_SIZE, "7MB", "DEFAULT"), ("alluxio.master.journal.type", "UFS", "SITE_PROPERTY (/a)")]

    def close(self) -> None:
        pass


def test_the_configuration_of_the_cluster(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Is that of its master, not what is set here."""
    monkeypatch.setenv("ALLUXIO_MASTER_HOSTNAME", "m")
    monkeypatch.setattr(from_config, "master_client", lambda config: FakeClient(False))
    assert said(capsys, "--master", CACHE_SIZE) == (0, "7MB\n", "")
    assert said(capsys, "--master", "--source", "alluxio.master.journal.type")[1] == "SITE_PROPERTY (/a)\n"
    assert said(capsys, "--master")[1] == f"alluxio.master.journal.type=UFS\n{CACHE_SIZE}=7MB\n"
    assert said(capsys, "--master", "alluxio.worker.x")[0] == 1
    code, _, err = said(capsys, "--master", "alluxio.user.logging.threshold")
    assert (code, err.splitlines()[0]) == (1, "alluxio.user.logging.threshold is not found")
    monkeypatch.setattr(from_config, "master_client", lambda config: FakeClient(True))
    assert said(capsys, "--master") == (1, "", "alluxio-jnifuse: no master answers\n")


def test_a_cluster_that_is_not_configured(capsys: pytest.CaptureFixture[str]) -> None:
    """Cannot be asked."""
    code, _, err = said(capsys, "--master", CACHE_SIZE)
    assert (code, err) == (1, "alluxio-jnifuse: no cluster is configured; set alluxio.master.hostname\n")


def test_only_the_cluster_needs_the_engine() -> None:
    """What is set here is told without gRPC."""
    program = f"import sys, alluxio_jnifuse.cli as c; c.main(['getConf', '{CACHE_SIZE}']); print('grpc' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "1GB\nFalse\n"
