"""The command load on real mounts: what is cached afterwards, what is read again, and how it ends."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.children import Children, until
from harness.mounting import CACHE, COMMAND, Mounted, Mounts, run
from harness.readers import MIB, check
from harness.remote import RemoteSource

from alluxio_jnifuse.load.journal import journal_path
from alluxio_jnifuse.load.progress import MOST_FAILURES
from alluxio_jnifuse.mounts.registry import Registry
from alluxio_jnifuse.testing import Link, Pattern

pytestmark = pytest.mark.fuse

Remote = Callable[..., RemoteSource]
TREE = {
    b"large": Pattern(20 * MIB),
    b"d": {b"%d" % number: Pattern(50_000) for number in range(20)},
    b"link": Link(b"large"),
}
FILES = 21  # the link is another name of one
BYTES = 20 * MIB + 20 * 50_000
FRESH = "attr_timeout=0,entry_timeout=0"


def load(mounted: Mounted, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs the command on all of a mount."""
    return run([*COMMAND, "load", *words, mounted.path], mounted.environ)


def told(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    """What a load with --json said, apart from the time."""
    said = json.loads(done.stdout)
    assert said.pop("seconds") >= 0
    return said


def journal(mounted: Mounted) -> Path:
    """Where the journal of loads of all of a mount lies, if there is one."""
    record = Registry().find(mounted.path)
    assert record is not None
    return Path(journal_path(Registry().writable_directory(), record, [mounted.path]))


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A factory of loads that run on their own; those that are left are killed."""
    made = []

    def begin(mounted: Mounted, *words: str) -> subprocess.Popen[str]:
        command = [*COMMAND, "load", *words, mounted.path]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        made.append(subprocess.Popen(command, env=mounted.environ, text=True, **pipes))
        return made[-1]

    yield begin
    for process in made:
        process.kill()
        process.communicate()


# --------------------------------------------------------------------------------------------------------- caches


@pytest.mark.parametrize("store", ["MEM", "LOCAL"])
def test_what_was_loaded_is_in_the_client_cache(
    mounts: Mounts, children: Children, remote: Remote, private: Path, store: str
) -> None:
    """Every byte is fetched once; who reads the files afterwards, or loads them again, fetches nothing."""
    source = remote(TREE)
    where = {"alluxio.user.client.cache.store.type": store, "alluxio.user.client.cache.dirs": str(private / "cache")}
    mounted = mounts.mount(source, "", {**CACHE, **where})
    done = load(mounted)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"Loaded {FILES} files, 21\.0MB in \d+\.\d s \(.*B/s\)\.\n", done.stdout)
    assert source.bytes_read() == BYTES
    assert not journal(mounted).exists()
    before = mounted.settled()
    children.run(check, mounted.join("large"), 20 * MIB)
    for number in range(20):
        children.run(check, mounted.join(f"d/{number}"), 50_000, MIB, 1, b"/d/%d" % number)
    assert load(mounted).stdout.startswith(f"Loaded {FILES} files, ")
    after = mounted.since(before)
    assert source.bytes_read() == BYTES
    if mounted.has("passthrough"):
        assert after["open_passthrough"] >= 2


def test_pages_of_the_kernel_do_not_hide_the_client_cache(mounts: Mounts, children: Children, remote: Remote) -> None:
    """A file that the kernel still has in memory, and the client cache had to evict, is fetched into the latter."""
    source = remote({b"file": Pattern(20 * MIB), b"other": Pattern(60 * MIB)})
    mounted = mounts.mount(source, "", {**CACHE, "alluxio.user.client.cache.size": "64MB"})
    children.run(check, mounted.join("file"), 20 * MIB)
    children.run(check, mounted.join("other"), 60 * MIB)
    before = mounted.settled()
    assert run([*COMMAND, "load", mounted.join("file")], mounted.environ).returncode == 0
    assert mounted.settled()["fetch_bytes"] - before["fetch_bytes"] > 10 * MIB


def test_without_a_client_cache(mounts: Mounts, private: Path) -> None:
    """One line says what is warmed then; files are read through the kernel alone where it can."""
    (private / "source").mkdir()
    (private / "source" / "file").write_bytes(bytes(5 * MIB))
    mounted = mounts.mount(private / "source")
    done = load(mounted)
    assert done.stdout.startswith("Loaded 1 files, 5.00MB in ")
    (line,) = done.stderr.splitlines()
    assert f"{mounted.path} has no client cache" in line
    if mounted.has("passthrough"):
        assert mounted.stats()["open_passthrough"] == 1


def test_more_than_the_cache_keeps(mounts: Mounts, remote: Remote) -> None:
    """Who loads more than fits is told so at the beginning, once, and by a dry run."""
    tree = {b"%d" % number: Pattern(16 * MIB) for number in range(6)}
    mounted = mounts.mount(remote(tree, {"read": 0.01}), "", {**CACHE, "alluxio.user.client.cache.size": "64MB"})
    for words in (("--dry-run",), ()):
        done = load(mounted, *words)
        assert done.returncode == 0
        (line,) = done.stderr.splitlines()
        assert f"more to load than the 64.0MB that the client cache of {mounted.path} keeps" in line


# ------------------------------------------------------------------------------------------------------ selection


def test_dry_run(mounts: Mounts, remote: Remote) -> None:
    """It counts, and neither reads nor leaves anything."""
    source = remote(TREE)
    mounted = mounts.mount(source, "", CACHE)
    done = load(mounted, "--dry-run")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"Would load {FILES} files, 21.0MB.\n", "")
    assert source.bytes_read() == 0
    assert not journal(mounted).exists()


def test_some_of_several_mounts(mounts: Mounts, remote: Remote) -> None:
    """Files and directories of several mounts, less what the patterns leave out."""
    sources = [remote(TREE), remote(TREE)]
    first, second = (mounts.mount(source, "", CACHE) for source in sources)
    paths = [first.join("large"), second.join("d"), first.join("d")]
    words = ["--json", "--include", "large", "--include", "1*", "--exclude", "12", "-j1"]
    done = run([*COMMAND, "load", *words, *paths], first.environ)
    assert (done.returncode, done.stderr) == (0, "")
    found = told(done)
    assert found["files"] == 21  # 1 and 2 * 10, of each d: 1, 10, 11, 13 ... 19
    assert found["bytes"] == 20 * MIB + 20 * 50_000
    assert [source.bytes_read() for source in sources] == [20 * MIB + 10 * 50_000, 10 * 50_000]


def test_each_file_is_read_once(mounts: Mounts, private: Path) -> None:
    """By whichever name, and however often it is given; links that lead nowhere are no failures."""
    source = private / "source"
    (source / "blobs").mkdir(parents=True)
    (source / "blobs" / "b").write_bytes(bytes(MIB))
    os.link(source / "blobs" / "b", source / "hard")
    os.makedirs(source / "snapshots")
    for number in range(40):
        (source / "snapshots" / str(number)).symlink_to("../blobs/b")
    (source / "snapshots" / "long").symlink_to("x" * 4000)
    (source / "snapshots" / "nowhere").symlink_to("../missing")
    (source / "snapshots" / "through").symlink_to("../blobs/b/c")
    mounted = mounts.mount(source)
    for paths in ([""], ["snapshots"], ["snapshots", "", "", "snapshots/7", "blobs/b", "snapshots/../hard"]):
        words = [*COMMAND, "load", "--json", *(f"{mounted.path}/{path}" for path in paths)]
        found = told(run(words, mounted.environ))
        assert (found["files"], found["bytes"], found["failed"], found["complete"]) == (1, MIB, 0, True), found


def test_links_out_of_the_mount(mounts: Mounts, private: Path) -> None:
    """What lies outside is not read."""
    (private / "source").mkdir()
    (private / "outside").write_bytes(b"x")
    (private / "source" / "file").write_bytes(b"x")
    (private / "source" / "out").symlink_to(private / "outside")
    (private / "source" / "up").symlink_to("../outside")
    found = told(load(mounts.mount(private / "source"), "--json"))
    assert (found["files"], found["complete"]) == (1, True)


def test_not_a_mount(mounts: Mounts, remote: Remote, private: Path) -> None:
    """A path elsewhere is an error that names the mounts there are; nothing is read then."""
    source = remote(TREE)
    mounted = mounts.mount(source, "", CACHE)
    done = run([*COMMAND, "load", mounted.path, str(private)], mounted.environ)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{private}: is not on a mount of ours; name files and directories beneath " in done.stderr
    assert mounted.path in done.stderr
    assert source.bytes_read() == 0


# --------------------------------------------------------------------------------------------------- interruption


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_and_resumed(
    mounts: Mounts, remote: Remote, start: Callable[..., subprocess.Popen[str]], number: int, code: int
) -> None:
    """A read that hangs does not hold up Ctrl-C; the next load reads the rest, and what has changed meanwhile."""
    source = remote(TREE, rules=[("slow", "read", b"/d/7")])
    mounted = mounts.mount(source, FRESH, CACHE)
    source.hold("slow")
    process = start(mounted, "-j1")
    until(lambda: source.waiting("slow"), "the load to get to the file")
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code
    assert re.match(r"Interrupted\. Loaded \d+ files, .* The same command goes on from there\.", out)
    assert err == ""
    source.release("slow")
    mounted.settled()
    read = int(out.split()[2])
    assert 0 < read < FILES

    planned = told(load(mounted, "--dry-run", "--json"))
    assert (planned["files"], planned["loaded_before"]["files"]) == (FILES - read, read)
    source.replace(b"/d/0", Pattern(60_000))
    changed = told(load(mounted, "--json"))
    assert changed["files"] == FILES - read + 1  # /d/0 came before /d/7
    assert changed["loaded_before"]["files"] == read - 1
    assert changed["complete"]
    assert not journal(mounted).exists()
    assert told(load(mounted, "--json"))["files"] == FILES


def test_a_listing_that_hangs(mounts: Mounts, remote: Remote, start: Callable[..., subprocess.Popen[str]]) -> None:
    """Nor does a directory that hangs hold up Ctrl-C."""
    source = remote(TREE, rules=[("slow", "list", b"/d")])
    mounted = mounts.mount(source, "", CACHE)
    source.hold("slow")
    process = start(mounted)
    until(lambda: source.waiting("slow"), "the load to get to the directory")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    source.release("slow")


def test_restart_and_a_new_mount(mounts: Mounts, remote: Remote) -> None:
    """--restart reads everything, and so does a load of a mount that was made anew."""
    source = remote(TREE, rules=[("failing", "read", b"/d/7")])
    mounted = mounts.mount(source, "", CACHE)
    source.act("failing", "raising", OSError(errno.EIO, "planted"))
    assert load(mounted).returncode == 1
    assert told(load(mounted, "--json"))["files"] == 0
    assert told(load(mounted, "--json", "--restart", "--dry-run"))["files"] == FILES
    assert told(load(mounted, "--json"))["loaded_before"]["files"] == FILES - 1
    assert told(load(mounted, "--json", "--restart"))["files"] == FILES - 1
    left = journal(mounted)
    assert left.exists()
    assert mounted.end() == []
    assert not left.exists()
    again = mounts.mount(remote(TREE), "", CACHE, at=Path(mounted.path))
    assert told(load(again, "--json"))["files"] == FILES


def test_two_at_once(mounts: Mounts, remote: Remote, start: Callable[..., subprocess.Popen[str]]) -> None:
    """Two loads of the same directory read everything, and the source sends it once."""
    source = remote(TREE, {"read": 0.01})
    mounted = mounts.mount(source, "", CACHE)
    running = [start(mounted, "--json"), start(mounted, "--json")]
    for process in running:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, "")
        said = json.loads(out)
        assert said["files"] + said["loaded_before"]["files"] == FILES
    assert source.bytes_read() == BYTES
    assert not journal(mounted).exists()


# ------------------------------------------------------------------------------------------------------- failures


def test_a_file_that_fails(mounts: Mounts, remote: Remote) -> None:
    """It is named with its errno, the others are loaded, and the next load tries it alone."""
    source = remote(TREE, rules=[("failing", "read", b"/d/3"), ("refused", "list", b"/d")])
    mounted = mounts.mount(source, FRESH, CACHE)
    source.act("failing", "raising", OSError(errno.EACCES, "planted"))
    done = load(mounted)
    assert done.returncode == 1
    assert done.stderr == f"load: {mounted.path}/d/3: Permission denied\n"
    assert done.stdout.startswith(f"Loaded {FILES - 1} files, ")
    assert done.stdout.endswith("; 1 failed.\n")
    source.release("failing")
    again = told(load(mounted, "--json"))
    assert (again["files"], again["failures"], again["complete"]) == (1, [], True)


def test_a_directory_that_fails(mounts: Mounts, remote: Remote) -> None:
    """So is a directory that cannot be listed, and a PATH that does not exist."""
    source = remote(TREE, rules=[("refused", "list", b"/d")])
    mounted = mounts.mount(source, "", CACHE)
    source.act("refused", "raising", OSError(errno.EIO, "planted"))
    done = run([*COMMAND, "load", "--json", mounted.path, mounted.join("missing")], mounted.environ)
    assert done.returncode == 1
    assert told(done)["failures"] == [
        {"path": mounted.join("d"), "reason": os.strerror(errno.EIO)},
        {"path": mounted.join("missing"), "reason": os.strerror(errno.ENOENT)},
    ]


def test_many_failures(mounts: Mounts, remote: Remote) -> None:
    """The first ones are named, and the rest is counted."""
    source = remote({b"%d" % number: Pattern(100) for number in range(50)}, rules=[("failing", "read", None)])
    mounted = mounts.mount(source)
    source.act("failing", "raising", OSError(errno.EIO, "planted"))
    done = load(mounted, "--quiet")
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert len([line for line in lines if line.endswith(os.strerror(errno.EIO))]) == MOST_FAILURES
    assert lines[-1] == f"load: {50 - MOST_FAILURES} more could not be read"


@pytest.mark.parametrize("end", ["kill", "unmount"])
def test_a_mount_that_ends(
    mounts: Mounts, remote: Remote, start: Callable[..., subprocess.Popen[str]], end: str
) -> None:
    """The load ends at once and says why, not once for every file."""
    source = remote(TREE, rules=[("slow", "read", b"/d/7")])
    mounted = mounts.mount(source, "", CACHE)
    source.hold("slow")
    process = start(mounted, "-j1")
    until(lambda: source.waiting("slow"), "the load to get to the file")
    if end == "kill":
        mounted.kill()
    else:
        mounted.unbalanced = ("fetches", "files", "backings", "pages")  # the thread that hangs keeps them
        assert mounted.unmount("-l").returncode == 0
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    why = "has no process any more" if end == "kill" else "has been unmounted"
    assert err.splitlines()[-1] == f"alluxio-jnifuse: {mounted.path}: {why}; mount it again, then load again"
    assert "failed" not in out
    if end == "kill":
        done = run([*COMMAND, "load", mounted.path], mounted.environ)
        assert done.returncode == 1
        assert "its mount has no process any more" in done.stderr


# ------------------------------------------------------------------------------------------------------- terminal


def test_a_terminal_shows_a_bar(mounts: Mounts, remote: Remote) -> None:
    """What is being read, how far it is, and, after Ctrl-C typed there, what has been done."""
    source = remote(TREE, rules=[("slow", "read", b"/d/7")])
    mounted = mounts.mount(source, "", CACHE)
    source.hold("slow")
    ours, theirs = pty.openpty()
    command = [*COMMAND, "load", "-j1", mounted.path]
    environ = {**mounted.environ, "COLUMNS": "200"}
    with subprocess.Popen(
        command, env=environ, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        text = ""
        while f"/{FILES} files" not in text or "/d/7\r" not in text:
            text += os.read(ours, 4096).decode()
        process.send_signal(signal.SIGINT)
        process.wait(120)
        text = os.read(ours, 65536).decode()
    os.close(ours)
    assert process.returncode == 130
    assert text.splitlines()[-1].endswith("The same command goes on from there.")
    source.release("slow")
