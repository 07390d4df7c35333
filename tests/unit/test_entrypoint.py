"""A container's arguments and variables become those of `mount`, as Alluxio's entrypoint takes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alluxio_jnifuse import cli
from alluxio_jnifuse.cli import container, mount
from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.mounts.table import MountEntry

SHARED = MountEntry("/mnt", "ext4", "/dev/vda", 254, 0, True)
PRIVATE = MountEntry("/", "overlay", "overlay", 0, 50, False)


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's configuration counts."""
    for name in [name for name in os.environ if name.startswith("ALLUXIO_")]:
        monkeypatch.delenv(name)
    for name in ("MOUNT_POINT", "FUSE_ALLUXIO_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALLUXIO_CONF_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would have been run; the mount point is shared."""
    commands: list[list[str]] = []
    monkeypatch.setattr(table, "read", lambda: [PRIVATE, SHARED])
    monkeypatch.setattr(cli, "main", lambda words: commands.append(words) or 0)
    return commands


@pytest.mark.parametrize(
    ("arguments", "environ", "expected"),
    [
        ([], {}, ("/mnt/alluxio-fuse", "/", False)),
        (["--fuse-opts=kernel_cache,ro"], {}, ("/mnt/alluxio-fuse", "/", True)),
        (["--fuse-opts="], {}, ("/mnt/alluxio-fuse", "/", False)),
        (["--fuse-opts=kernel_cache", "/mp", "/path"], {}, ("/mp", "/path", True)),
        (["/mp", "/path"], {}, ("/mp", "/path", False)),
        (["/mp"], {"FUSE_ALLUXIO_PATH": "/b"}, ("/mp", "/b", False)),
        ([], {"MOUNT_POINT": "/a", "FUSE_ALLUXIO_PATH": "/b"}, ("/a", "/b", False)),
        (["/mp", "/path"], {"MOUNT_POINT": "/a", "FUSE_ALLUXIO_PATH": "/b"}, ("/mp", "/path", False)),
        ([], {"MOUNT_POINT": ""}, ("/mnt/alluxio-fuse", "/", False)),
    ],
)
def test_forms(arguments: list[str], environ: dict[str, str], expected: tuple[str, str, bool]) -> None:
    """Mount point and path come from the arguments, else from the variables, else they are Alluxio's."""
    foreground, config = mount.parse(container.mount_words(arguments, environ))
    assert foreground
    assert (config.text("alluxio.fuse.mount.point"), config.alluxio_path, config.flag("kernel_cache")) == expected


def test_waiting_is_the_default() -> None:
    """A cluster that is not up yet is waited for, unless somebody does not want to."""
    assert mount.parse(container.mount_words([], {}))[1].flag("wait")
    assert not mount.parse(container.mount_words(["--fuse-opts=nowait"], {}))[1].flag("wait")


def test_the_cluster_of_this_host(
    ran: list[list[str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any setting the master is looked for on this host, which is told; with one it is not."""
    assert container.main(["fuse"]) == 0
    assert mount.parse(ran[0][1:])[1].ufs == "alluxio://localhost:19998/"
    assert "localhost" in capsys.readouterr().out
    monkeypatch.setenv("ALLUXIO_JAVA_OPTS", "-Dalluxio.master.hostname=m1")
    assert container.main(["fuse"]) == 0
    assert mount.parse(ran[1][1:])[1].ufs == "alluxio://m1:19998/"
    assert capsys.readouterr().out == ""


def test_variables_are_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts write ${ALLUXIO_CLIENT_HOSTNAME} into the options, and mean the variable; JVM flags are named once."""
    monkeypatch.setenv("ALLUXIO_CLIENT_HOSTNAME", "node7")
    monkeypatch.setenv("ALLUXIO_FUSE_JAVA_OPTS", "-Xmx16G -Dalluxio.user.hostname=${ALLUXIO_CLIENT_HOSTNAME} -Xmx16G")
    config = mount.parse(container.mount_words([], {}))[1]
    assert config.text("alluxio.user.hostname") == "node7"
    assert [note for note in config.notes if "-Xmx16G" in note] == [
        "ignored: there is no Java machine here to take -Xmx16G"
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fuse", "--fuse-opts=foo,bar=1"], "fuse: unknown mount option: foo, bar"),
        (["fuse", "--options=ro"], "fuse: option --options not recognized\nUsage: fuse"),
        (["fuse", "/a", "/b", "/c"], "fuse: too many arguments: /a /b /c\nUsage: fuse"),
        (["fuse", "/a", "b"], "fuse: ALLUXIO_PATH 'b' must start with a slash\n"),
        (["master"], "master: Alluxio's servers are in another image"),
        ([], "Usage: fuse"),
    ],
)
def test_what_cannot_be_done(
    ran: list[list[str]], capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    """A wrong option or argument is named, nothing is mounted, and the exit code is 1."""
    assert container.main(words) == 1
    assert capsys.readouterr().err.startswith(sentence)
    assert not ran


def test_other_commands(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything else is run in place of this program; one that there is not is named, with a shell's exit code."""
    executed = []
    with monkeypatch.context() as patched:
        patched.setattr(os, "execvp", lambda *words: executed.append(words))
        container.main(["alluxio-jnifuse", "version"])
    assert executed == [("alluxio-jnifuse", ["alluxio-jnifuse", "version"])]
    assert container.main(["no-such-command"]) == 127
    assert capsys.readouterr().err.startswith("no-such-command: No such file or directory\nUsage:")
    assert container.main(["--help"]) == 0


def test_a_mount_that_nobody_would_see(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount point that is not shared with the host is an error that says how it is shared."""
    monkeypatch.setattr(table, "read", lambda: [PRIVATE, SHARED])
    container.check_shared("/mnt/alluxio-fuse")
    with pytest.raises(
        MountError, match=r"/data/x: a mount here would be seen in this container only.*-v /data:/data:r"
    ):
        container.check_shared("/data/x")
    stale = MountEntry("/data/x", table.FSTYPE, "alluxio-fuse", 0, 60, True)
    monkeypatch.setattr(table, "read", lambda: [PRIVATE, SHARED, stale])
    with pytest.raises(MountError):
        container.check_shared("/data/x")
