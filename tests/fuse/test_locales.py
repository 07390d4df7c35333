"""Mount points of any bytes in any locale: every command finds them, prints them as they are, and never trips."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.children import until
from harness.mounting import beneath, detach, is_running

from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.mounts.registry import Registry
from alluxio_jnifuse.system.locales import escaped

pytestmark = pytest.mark.fuse

COMMAND = [sys.executable, "-m", "alluxio_jnifuse"]
# Name: source of localedef and its charmap; without them it needs no definition.
LOCALES = {
    "zh_CN.GBK": ("zh_CN", "GBK"),
    "zh_TW.BIG5": ("zh_TW", "BIG5"),
    "de_DE.ISO-8859-1": ("de_DE", "ISO-8859-1"),
    "POSIX": None,
}
OTHERS = ("POSIX without UTF-8", "PYTHONIOENCODING")
# UTF-8; what is none; what Big5 has two codes for; a byte that GBK takes for the first half of a letter and a slash.
NAMES = {
    "utf-8": "挂载点".encode(),
    "no-utf-8": b"\xb9\xd2\xd4\xd8\xb5\xe3",
    "ambiguous": b"\xa2\xcc\xa2\xce",
    "half": b"\x81",
    "control": b"a\nb\tc\x1b[1m\\d e",
}


@pytest.fixture(scope="session")
def locales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the locales."""
    directory = tmp_path_factory.mktemp("locales")
    for name, made_of in LOCALES.items():
        if made_of is None:
            continue
        source, charmap = made_of
        words = ["localedef", "--no-archive", "-i", source, "-f", charmap, str(directory / name)]
        try:
            done = subprocess.run(words, capture_output=True, timeout=120, check=False)
        except FileNotFoundError:
            pytest.skip("there is no localedef")
        if not (directory / name).is_dir():  # warnings of its own are exit code 1
            pytest.skip(f"localedef: {done.stderr.decode(errors='replace')}")
    return directory


class Place:
    """A storage, a mount point and commands in a locale."""

    def __init__(self, root: Path, name: bytes, environ: dict[str, str]) -> None:
        self.data = root / "data"
        self.data.mkdir()
        (self.data / "file").write_text("contents\n")
        self.mountpoint = os.fsencode(root) + b"/" + name
        self.environ = environ
        self.environ["ALLUXIO_LOGS_DIR"] = str(root / "logs")
        self.environ["ALLUXIO_CONF_DIR"] = str(root)
        self.log = root / "logs" / "fuse.log"

    def run(self, *words: str | bytes) -> tuple[int, bytes, bytes]:
        """Exit code, stdout and stderr of a command."""
        done = subprocess.run([*COMMAND, *words], env=self.environ, capture_output=True, timeout=120, check=False)
        return done.returncode, done.stdout, done.stderr


PAIRS = [
    *(("zh_CN.GBK", name) for name in NAMES),
    *((locale, "utf-8") for locale in (*LOCALES, *OTHERS) if locale != "zh_CN.GBK"),
    ("zh_TW.BIG5", "ambiguous"),
    ("PYTHONIOENCODING", "no-utf-8"),
]


def environ_of(locale: str, locales: Path) -> dict[str, str]:
    """The environment of a command in some locale."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ALLUXIO_", "LC_", "LANG", "PYTHONUTF8", "PYTHONIOENCODING"))
    }
    if locale == "POSIX without UTF-8":
        return {**clean, "LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    if locale == "PYTHONIOENCODING":
        return {**clean, "LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "ascii:strict"}
    return {**clean, "LC_ALL": locale, "LOCPATH": str(locales)}


@pytest.fixture
def place(private: Path, locales: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A place whose mount is gone afterwards."""
    locale, name = request.param
    yield Place(private, NAMES[name], environ_of(locale, locales))
    for path in beneath(str(private)):
        detach(path)


@pytest.mark.parametrize("place", PAIRS, ids=map("-".join, PAIRS), indirect=True)
def test_every_command(place: Place) -> None:
    """All commands work on the mount point, print its bytes, and see each other's mounts from other locales."""
    point = place.mountpoint
    assert place.run("mount", "-u", str(place.data), point) == (
        0,
        b'Successfully mounted Alluxio path "/" to ' + point + b".\n",
        b"",
    )
    record = Registry().find(os.fsdecode(point))  # of this process, which is in another locale
    assert record is not None
    code, out, err = place.run("stat")
    assert (code, err) == (0, b"")
    line = f"{record.pid}\t{escaped(os.fsdecode(point))}\t/\t{place.log}"
    assert os.fsencode(line) in out.split(b"\n")
    code, out, err = place.run("stat", "--stats", point)
    assert (code, err) == (0, b"")
    assert json.loads(out)["stats"]
    assert place.run("health", point) == (0, b"", b"")
    assert place.run("health")[0] == 0
    code, out, err = place.run("load", "--quiet", "--json", point)
    assert (code, json.loads(out)["files"]) == (0, 1), err
    code, out, err = place.run("mount", "-u", str(place.data), point)
    assert code == 1
    assert b"is already mounted by process %d" % record.pid in err
    assert b"Traceback" not in err
    assert place.log.read_bytes().decode("utf-8")
    if point.endswith("挂载点".encode()):
        assert f"on {os.fsdecode(point)}\n" in place.log.read_text(encoding="utf-8")
    os.kill(record.pid, signal.SIGKILL)
    until(lambda: not is_running(record.pid), "the daemon to be dead")
    code, out, err = place.run("health", point)
    assert code == 1
    assert err.startswith(point + b": Transport endpoint is not connected: ")
    assert place.run("mount", "-u", str(place.data), point)[0] == 0  # the dead one is replaced
    assert len([entry for entry in table.read() if entry.mountpoint == os.fsdecode(point)]) == 1
    record = Registry().find(os.fsdecode(point))
    assert record is not None
    assert place.run("umount", point) == (0, b"Unmount fuse at " + point + b" (PID: %d)\n" % record.pid, b"")
    assert place.run("umount", point) == (1, b"", point + b" not mounted\n")


@pytest.mark.parametrize("place", [("zh_CN.GBK", "utf-8"), ("POSIX without UTF-8", "utf-8")], indirect=True)
def test_the_foreground_and_failures(place: Place) -> None:
    """What is said in the foreground, and why a mount fails, is printed whatever the names in it."""
    command = [*COMMAND, "mount", "-n", "-u", str(place.data), place.mountpoint]
    with subprocess.Popen(command, env=place.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b'Successfully mounted Alluxio path "/" to ' + place.mountpoint + b".\n"
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0
        assert place.mountpoint in err
    for word in ([], ["-n"]):
        code, out, err = place.run("mount", *word, "-u", place.mountpoint + b"/missing", place.mountpoint)
        assert (code, out) == (1, b"")
        assert place.mountpoint + b"/missing': no such directory" in err
    code, _, err = place.run(place.mountpoint[1:])
    assert code == 1
    assert b"there is no command" in err
    code, _, err = place.run("mount", "-o", b"fsname=x,\xffoption", "-u", str(place.data), place.mountpoint)
    assert code == 1
    assert b"unknown mount option: \xffoption;" in err
    code, out, err = place.run("umount", "--help")
    assert code == 0


@pytest.mark.parametrize("place", [("zh_CN.GBK", "utf-8"), ("POSIX without UTF-8", "utf-8")], indirect=True)
def test_a_program(place: Place) -> None:
    """The Python API takes and gives the paths of the program's own locale, and finds its mounts."""
    program = """
import os, sys, alluxio_jnifuse
with alluxio_jnifuse.mount(sys.argv[1], sys.argv[2]) as mount:
    assert os.fsencode(mount.mountpoint) == os.fsencode(sys.argv[2]), mount.mountpoint
    assert mount.stats()
    assert open(os.path.join(mount.mountpoint, "file")).read() == "contents\\n"
assert not os.path.ismount(sys.argv[2])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(place.data), place.mountpoint],
        env=place.environ,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
