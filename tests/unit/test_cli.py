"""The command line says what it does, what is wrong with what was typed, and exits with 0 or 1."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from alluxio_jnifuse import api
from alluxio_jnifuse.cli import main
from alluxio_jnifuse.cli import mount as mount_command
from alluxio_jnifuse.errors import ConfigError


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's configuration counts."""
    for name in [name for name in os.environ if name.startswith("ALLUXIO_")] + ["MAX_IDLE_THREADS", "SPENT_TIME"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALLUXIO_CONF_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))


HELPED = ("mount", "umount", "load", "trace", "refresh", "stat", "getConf", "version")


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Help is asked for with -h and --help, of the program and of each command, and is no error."""
    assert said(capsys, "--help")[:2] == (0, said(capsys, "-h")[1])
    for command in ("mount", "umount", "unmount", "load", "trace", "refresh", "stat", "health", "getConf", "version"):
        code, out, _ = said(capsys, command, "--help")
        assert code == 0
        assert out.startswith("Usage: alluxio-jnifuse ")


def test_help_names_documents(capsys: pytest.CaptureFixture[str]) -> None:
    """Help ends with the pages that tell more: those beside the installation, or those of the sources."""
    sources = Path(__file__).resolve().parents[2]
    for arguments in ((), *((command,) for command in HELPED)):
        out = said(capsys, *arguments, "--help")[1]
        pages = out.partition("Documents:")[2].split()
        assert pages
        assert not [page for page in pages if not (sources / page).exists()]


def test_lines_of_help_fit(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ((), *((command,) for command in HELPED)):
        assert max(map(len, said(capsys, *arguments, "--help")[1].splitlines())) <= 120


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command, and with one that there is not, the usage is on stderr and the exit code 1."""
    assert said(capsys)[0] == 1
    code, out, err = said(capsys, "remount")
    assert (code, out) == (1, "")
    assert err.startswith("alluxio-jnifuse: there is no command 'remount'\nUsage:")


@pytest.mark.parametrize(
    "arguments",
    [
        ("mount", "--nonsense"),
        ("mount", "-o"),
        ("mount", "/a", "/b", "/c"),
        ("umount", "-w", "soon", "/a"),
        ("umount", "/a", "/b"),
        ("load",),
        ("load", "-j", "0", "/a"),
        ("load", "--jobs", "many", "/a"),
        ("trace",),
        ("stat", "/a", "/b"),
        ("stat", "--stats", "/a", "/b"),
        ("health", "/a", "/b"),
        ("version", "please"),
        ("getConf", "a", "b"),
        ("getConf", "--unit", "XB", "alluxio.user.client.cache.size"),
        ("getConf", "--unit", "MB", "alluxio.user.hostname"),
    ],
)
def test_usage_errors(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    """What cannot be understood is named, the usage follows, and the exit code is 1."""
    code, _, err = said(capsys, *arguments)
    assert code == 1
    assert f"Usage: alluxio-jnifuse {arguments[0]}" in err


def test_every_spelling_of_the_options() -> None:
    """Options stand before, between or behind the arguments, apart from their values or joined with them."""
    arguments = [
        *(
            "-o",
            "attr_timeout=1",
            "-oattr_timeout=2,kernel_cache",
            "/mnt/x",
            "--fuse-opts",
            "uid=3",
            "--fuse-opts=gid=4",
        ),
        *("-D", "alluxio.user.client.cache.size=1MB", "-Dalluxio.user.client.cache.page.size=2MB", "-u", "/a"),
        *("/sub", "--ufs=/b", "-n", "-Xmx16G"),
    ]
    foreground, config = mount_command.parse(arguments)
    assert foreground
    numbers = config.core_options()
    assert numbers["attr_timeout_ns"] == 2 * 10**9
    assert (numbers["cache_mode"], numbers["uid"], numbers["gid"]) == (1, 3, 4)
    assert (numbers["cache_bytes"], numbers["page_bytes"]) == (1 << 20, 2 << 20)
    assert config.ufs == "/b/sub"
    assert config.text("alluxio.fuse.mount.point") == "/mnt/x"
    assert "-Xmx16G" in config.notes[-1]
    assert mount_command.success(config, "/mnt/x") == 'Successfully mounted Alluxio path "/sub" to /mnt/x.'


def test_defaults_of_the_arguments() -> None:
    """Without arguments the whole storage is shown on /mnt/alluxio-fuse, in the background."""
    foreground, config = mount_command.parse(["-u", "/a"])
    assert not foreground
    assert config.text("alluxio.fuse.mount.point") == "/mnt/alluxio-fuse"
    assert (config.alluxio_path, config.ufs) == ("/", "/a")


def test_nothing_to_mount(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Without a storage and a cluster the sentence says so."""
    code, out, err = said(capsys, "mount", str(tmp_path))
    assert (code, out) == (1, "")
    assert err == (
        "alluxio-jnifuse: no storage is named and no cluster is configured; "
        "use --ufs DIRECTORY, or set alluxio.master.hostname\n"
    )


def test_unknown_options(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Unknown options are all named, and nothing is touched."""
    code, _, err = said(capsys, "mount", "-o", "foo,bar=1", "-u", str(tmp_path), f"{tmp_path}/mnt")
    assert code == 1
    assert err == "alluxio-jnifuse: unknown mount option: foo, bar; docs/CONFIGURATION.md lists those there are\n"
    assert not (tmp_path / "mnt").exists()


def test_refused_mount_points(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A mount point that cannot be used is told in a sentence that begins as AlluxioFuse's does."""
    (tmp_path / "file").touch()
    code, _, err = said(capsys, "mount", "-u", "/", f"{tmp_path}/file", "/usr")
    assert code == 1
    assert err.startswith(f'Failed to mount Alluxio path "/usr" to {tmp_path}/file: {tmp_path}/file: is a file')


def test_not_mounted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Unmounting what is not mounted is exit code 1 and two words."""
    for command in ("umount", "unmount"):
        assert said(capsys, command, str(tmp_path)) == (1, "", f"{tmp_path} not mounted\n")
    code, _, err = said(capsys, "stat", "--stats", str(tmp_path))
    assert (code, err) == (1, f"alluxio-jnifuse: {tmp_path}: not mounted\n")


def test_other_mounts_are_not_ours(capsys: pytest.CaptureFixture[str]) -> None:
    """What is mounted by somebody else is not unmounted."""
    assert said(capsys, "umount", "/proc") == (1, "", "/proc not mounted by us: proc (proc) is there\n")


def test_module_is_the_command() -> None:
    """python -m alluxio_jnifuse is the same program."""
    done = subprocess.run(
        [sys.executable, "-m", "alluxio_jnifuse", "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage: alluxio-jnifuse COMMAND")


def test_start_imports_little() -> None:
    """What a mount waits for at its start leaves out the large modules that it does not need."""
    program = (
        "import sys, alluxio_jnifuse.cli.mount as m; m.parse(['-u', '/a', '/b']);"
        "import alluxio_jnifuse.daemon.start, alluxio_jnifuse.daemon.logs, alluxio_jnifuse.daemon.serve;"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {"numpy", "asyncio", "importlib.metadata", "logging.handlers", "subprocess", "argparse", "dataclasses"}
    assert not heavy & set(done.stdout.split())


def test_options_of_the_api() -> None:
    """Options are given as a mapping, a list or the text that follows -o."""
    words = api._option_words(
        {"attr_timeout": 1.5, "kernel_cache": True, "passthrough": False, "ro": False, "fsname": "a,b"}
    )
    assert words == ["attr_timeout=1.5", "kernel_cache", "passthrough=off", "fsname=a\\,b"]
    assert api._option_words(["ro", "uid=0"]) == ["ro", "uid=0"]
    assert api._option_words("ro,uid=0") == ["ro,uid=0"]
    assert api._option_words("") == []


def test_the_package_is_lazy() -> None:
    """The package offers mount, Mount and Config, and loads them when they are asked for."""
    program = (
        "import sys, alluxio_jnifuse as a; assert 'alluxio_jnifuse.api' not in sys.modules;"
        "print(callable(a.mount), a.Mount.__name__, a.Config.__name__, a.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("True Mount Config 0.")


def test_errors_are_config_errors() -> None:
    """A program that uses the table gets typed exceptions."""
    with pytest.raises(ConfigError):
        mount_command.parse(["-o", "foo"])
