"""The log repeats itself no more than needed, rotates, and goes where a stranger would look."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from alluxio_jnifuse.daemon import logs
from alluxio_jnifuse.daemon.logs import LogHandler
from alluxio_jnifuse.errors import MountError

STRANGER = 65534


@pytest.fixture
def log(tmp_path: Path) -> Iterator[tuple[LogHandler, Path]]:
    """A handler that writes to a file, and that file."""
    fd, name = logs.open_file(str(tmp_path), "x")
    handler = LogHandler(fd, name, rotate_bytes=200)
    yield handler, Path(name)
    handler.close()
    os.close(fd)


def say(handler: LogHandler, text: str, level: int = logging.WARNING) -> None:
    """Logs one line through `handler`."""
    handler.handle(logging.LogRecord("alluxio_jnifuse", level, "", 0, text, None, None))


def test_identical_lines_are_counted(log: tuple[LogHandler, Path]) -> None:
    """A line that comes again within the period is left out, and its number is told in the end."""
    handler, path = log
    for _ in range(5):
        say(handler, "the storage fails")
    say(handler, "another line")
    assert path.read_text().count("the storage fails") == 1
    handler.close()
    assert path.read_text().splitlines()[-1].endswith("the storage fails (4 more like this within 60 s)")


def test_lines_that_are_alike_are_counted(tmp_path: Path) -> None:
    """A storage that is away fails for each file, and each line has another path."""
    fd, name = logs.open_file(str(tmp_path), "x")
    handler = LogHandler(fd, name)
    for number in range(1000):
        say(handler, f"Read of /train set/{number}.jpg at {number * 4096}+4096: no answer from the source; EIO")
        say(handler, f"open 'a {number}': gone")
    say(handler, "something else")
    for number in range(100):
        say(handler, f"read: cached {number} bytes", logging.INFO)
        say(handler, f"Enter: Fuse.Read({number})", logging.DEBUG)
        say(handler, "Enter: Fuse.Read(again)", logging.DEBUG)
    handler.close()
    os.close(fd)
    lines = Path(name).read_text().splitlines()
    reads = [line for line in lines if "Read of" in line]
    assert len(reads) == logs.ALIKE + 1
    assert reads[-1].endswith(
        f"/train set/999.jpg at {999 * 4096}+4096: no answer from the source; EIO "
        f"({1000 - logs.ALIKE} more like this within 60 s)"
    )
    assert len([line for line in lines if "gone" in line]) == logs.ALIKE + 1
    assert len([line for line in lines if "something else" in line]) == 1
    assert len([line for line in lines if "read: cached" in line]) == 100
    assert len([line for line in lines if "Enter:" in line]) == 200


def test_json_lines(tmp_path: Path) -> None:
    """One object in each line, whatever it says."""
    fd, name = logs.open_file(str(tmp_path), "x")
    handler = LogHandler(fd, name, as_json=True)
    text = '"a"\n\u2028\x85\x1b[2K 文件 http://user:opensesame@proxy:3128/'
    record = logging.LogRecord("alluxio_jnifuse", logging.ERROR, "", 0, text, None, None)
    record.created, record.msecs = 1_700_000_000.25, 250.0
    handler.handle(record)
    try:
        raise ValueError("why")
    except ValueError:
        handler.handle(logging.LogRecord("alluxio_jnifuse", logging.ERROR, "", 0, "failed", None, sys.exc_info()))
    handler.close()
    os.close(fd)
    first, second = Path(name).read_text().splitlines()
    assert json.loads(first) == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "ERROR",
        "message": text.replace("opensesame", "******"),
    }
    assert json.loads(second)["message"].startswith("failed\nTraceback ")
    assert json.loads(second)["message"].endswith("ValueError: why")


@pytest.mark.parametrize("end", ["\n", "\r", "\x85", "\u2028", "\x1b[2K"])
def test_a_name_cannot_forge_a_line(log: tuple[LogHandler, Path], end: str) -> None:
    """A file may be called so that its name looks like a message of its own; a traceback stays legible."""
    handler, path = log
    say(handler, f"cannot read '/a{end}2026-01-01 00:00:00,000 ERROR all is lost'")
    said = path.read_bytes().decode()
    assert said.endswith("\n")
    assert end not in said[:-1]
    assert len(said.splitlines()) == 1
    handler = LogHandler(os.open(path, os.O_WRONLY | os.O_APPEND))
    try:
        raise ValueError("why")
    except ValueError:
        handler.handle(logging.LogRecord("alluxio_jnifuse", logging.ERROR, "", 0, "failed", None, sys.exc_info()))
    handler.close()
    assert path.read_text().splitlines()[-1] == "ValueError: why"


def test_passwords_of_addresses_are_not_logged(log: tuple[LogHandler, Path]) -> None:
    """Wherever they come from: settings, errors of libraries, tracebacks."""
    handler, path = log
    say(handler, "the proxy http://user:opensesame@proxy:3128/ refuses; mail to a@b, 12:30@x, http://h:80/a@b")
    said = path.read_text()
    assert "opensesame" not in said
    assert "http://user:******@proxy:3128/" in said
    assert "a@b, 12:30@x, http://h:80/a@b" in said


def test_a_fifo_is_no_log_file(tmp_path: Path) -> None:
    """Whoever made it would decide when the mount goes on."""
    for name in ("fuse.log", "fuse-x.log"):
        os.mkfifo(tmp_path / name)
    for reading in (False, True):
        fds = [os.open(path, os.O_RDONLY | os.O_NONBLOCK) for path in tmp_path.iterdir() if reading]
        with pytest.raises(MountError, match="not a file"):
            logs.open_file(str(tmp_path), "x")
        for fd in fds:
            os.close(fd)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to somebody else")
@pytest.mark.parametrize("at", ["directory", "above", "their own"])
def test_a_link_of_somebody_else_leads_no_log_elsewhere(private: Path, at: str) -> None:
    """Whoever owns the directory of the log would have root write and replace files in another one."""
    (private / "elsewhere" / "logs").mkdir(parents=True)
    (private / "theirs").mkdir()
    link = private / "link" if at != "their own" else private / "theirs" / "link"
    link.symlink_to(private / "elsewhere")
    os.lchown(private / "theirs" if at == "their own" else link, STRANGER, STRANGER)
    with pytest.raises(MountError, match=f"belongs to user {STRANGER}"):
        logs.open_file(str(link if at == "directory" else link / "logs"), "x")
    assert not list((private / "elsewhere").rglob("*.log"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to somebody else")
def test_a_directory_that_becomes_a_link_while_it_is_logged_to(private: Path) -> None:
    """What is rotated is what was written, and nothing of the same name elsewhere."""
    (private / "elsewhere").mkdir()
    for name in ("fuse.log", "fuse.log.1", "fuse.log.2"):
        (private / "elsewhere" / name).write_text("kept")
    (private / "theirs").mkdir()
    os.chown(private / "theirs", STRANGER, STRANGER)
    fd, path = logs.open_file(str(private / "theirs" / "logs"), "x")
    handler = LogHandler(fd, path, rotate_bytes=200)
    (private / "theirs" / "logs").rename(private / "theirs" / "old")
    (private / "theirs" / "logs").symlink_to(private / "elsewhere")
    for number in range(10):
        say(handler, f"line number {number:4} {'.' * 60}")
    handler.close()
    os.close(fd)
    assert [each.read_text() for each in (private / "elsewhere").iterdir()] == ["kept"] * 3
    assert (private / "theirs" / "old" / "fuse.log").read_text().count("line number") == 10


def test_links_of_our_own(private: Path) -> None:
    """Lead where they lead, also from the directory of a log that is to be made."""
    (private / "there").mkdir()
    (private / "link").symlink_to("there")
    fd, path = logs.open_file(str(private / "link" / "logs"), "x")
    os.close(fd)
    assert (private / "there" / "logs" / "fuse.log").samefile(path)


def test_a_log_is_not_a_file_with_another_name(tmp_path: Path) -> None:
    """One that somebody else linked there would grow by every line."""
    (tmp_path / "passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    for name in ("fuse.log", "fuse-x.log"):
        os.link(tmp_path / "passwd", tmp_path / name)
    with pytest.raises(MountError, match="it has another name"):
        logs.open_file(str(tmp_path), "x")
    assert (tmp_path / "passwd").read_text().count("\n") == 1


def test_not_everybody_reads_it(log: tuple[LogHandler, Path]) -> None:
    """It has names in it that only some may list; so have those that it becomes."""
    handler, path = log
    for number in range(10):
        say(handler, f"line number {number:4} {'.' * 60}")
    assert len(list(path.parent.iterdir())) > 1
    assert not any(each.stat().st_mode & 0o007 for each in path.parent.iterdir())


def test_level_is_part_of_a_line(log: tuple[LogHandler, Path]) -> None:
    """The same words as a warning and as an error are two lines."""
    handler, path = log
    say(handler, "words")
    say(handler, "words", logging.ERROR)
    assert len(path.read_text().splitlines()) == 2


def test_rotation(log: tuple[LogHandler, Path], capfd: pytest.CaptureFixture[str]) -> None:
    """A file that has grown becomes .1, older ones move on, and the oldest goes."""
    handler, path = log
    for number in range(40):
        say(handler, f"line number {number:4} {'.' * 60}", logging.INFO)
    names = sorted(os.listdir(path.parent))
    assert names == ["fuse.log"] + [f"fuse.log.{number}" for number in range(1, logs.ROTATE_FILES + 1)]
    assert all((path.parent / name).stat().st_size < 400 for name in names)
    newest = "".join(path.with_name(name).read_text() for name in ("fuse.log.1", "fuse.log"))
    assert "line number   39" in newest


def test_what_was_logged_stays_when_no_file_can_be_made(
    log: tuple[LogHandler, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file is moved on for nothing, and it is not tried at each line."""
    handler, path = log
    for number in range(40):
        say(handler, f"line number {number:4} {'.' * 60}", logging.INFO)
    before = {name: (path.parent / name).read_text() for name in os.listdir(path.parent)}
    tries = []

    def refused(directory: int, name: str) -> None:
        tries.append(name)
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(logs, "_open", refused)
        for number in range(40, 60):
            say(handler, f"line number {number:4} {'.' * 60}", logging.INFO)
    assert 1 <= len(tries) <= 11  # each 200 bytes
    now = {name: (path.parent / name).read_text() for name in os.listdir(path.parent)}
    assert now.keys() == before.keys()
    assert all(now[name].startswith(text) for name, text in before.items())
    assert "line number   59" in now["fuse.log"]
    for number in range(60, 80):
        say(handler, f"line number {number:4} {'.' * 60}", logging.INFO)
    assert path.stat().st_size < 400
    assert sorted(os.listdir(path.parent)) == sorted(before)


def test_a_new_file_is_as_open_as_the_old_one(log: tuple[LogHandler, Path]) -> None:
    """Whatever the umask has become since: who may read logs reads the next one, too."""
    handler, path = log
    path.chmod(0o640)
    before = os.umask(0o077)
    try:
        for number in range(10):
            say(handler, f"line number {number:4} {'.' * 60}", logging.INFO)
    finally:
        os.umask(before)
    assert {each.stat().st_mode & 0o777 for each in path.parent.iterdir()} == {0o640}


def test_names_of_files(tmp_path: Path) -> None:
    """The first mount in Alluxio's logs directory writes fuse.log, another one at the same time a name of its own."""
    first, name = logs.open_file(str(tmp_path / "logs"), "mnt-a")
    assert name == f"{tmp_path}/logs/fuse.log"
    second, name = logs.open_file(str(tmp_path / "logs"), "mnt-b")
    assert name == f"{tmp_path}/logs/fuse-mnt-b.log"
    with pytest.raises(MountError, match="is in use by another process; choose a directory with ALLUXIO_LOGS_DIR"):
        logs.open_file(str(tmp_path / "logs"), "mnt-b")
    os.close(first)
    os.close(second)


def test_directory_that_cannot_be_used(tmp_path: Path) -> None:
    """A logs directory that cannot be made is an error with its name."""
    (tmp_path / "file").touch()
    with pytest.raises(MountError, match=r"log file .*/file/logs/fuse-x.log: cannot be written"):
        logs.open_file(str(tmp_path / "file" / "logs"), "x")


def test_default_directories(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root logs to /var/log, a user to his state directory."""
    assert logs.default_directories(0)[0] == "/var/log/alluxio-jnifuse"
    monkeypatch.setenv("XDG_STATE_HOME", "/home/u/state")
    assert logs.default_directories(7) == ["/home/u/state/alluxio-jnifuse", "/tmp/alluxio-jnifuse-7"]
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/u")
    assert logs.default_directories(7)[0] == "/home/u/.local/state/alluxio-jnifuse"


def test_names_that_are_no_text(log: tuple[LogHandler, Path]) -> None:
    """A name that is not UTF-8 is escaped, and does not lose its line."""
    handler, path = log
    say(handler, "file " + os.fsdecode(b"\xff"))
    assert "file \\udcff" in path.read_text()
