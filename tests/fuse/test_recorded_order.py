"""The order of a run on real mounts: recorded, replayed, and followed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from harness.children import Children, as_user, results, until
from harness.mounting import COMMAND, Mounted, Mounts, run
from oss.bucket import Bucket

from alluxio_jnifuse import _core
from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts.trace import Trace

pytestmark = pytest.mark.fuse

SOMEBODY = 12345
FILES = 24
BODY = bytes(range(256)) * 16
NAMES = random.Random(16).sample([f"{number:02}" for number in range(FILES)], FILES)
ALONE = "prefetch_window=0"  # the mount fetches nothing by itself
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def mounted(mounts: Mounts, bucket: Bucket) -> Mounted:
    """A bucket of small objects, of which none was read."""
    bucket.put_many({f"d/{name}": BODY + name.encode() for name in NAMES})
    return mounts.mount(f"{bucket.uri}d/", ALONE, bucket.properties())


@pytest.fixture
def start() -> Iterator[Start]:
    """A factory of commands that run on their own; those that are left are killed."""
    made = []

    def begin(mounted: Mounted, *words: object, **keywords: Any) -> subprocess.Popen[bytes]:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **keywords}
        made.append(subprocess.Popen([*COMMAND, *map(str, words)], env=mounted.environ, **pipes))
        return made[-1]

    yield begin
    for process in made:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[bytes], number: int = 0) -> tuple[int, str, str]:
    """Exit code and output of a command, once a signal was sent to it."""
    if number:
        process.send_signal(number)
    out, err = process.communicate(timeout=120)
    return process.returncode, out.decode("latin-1"), err.decode()


def begun(record: Path) -> None:
    """Returns when a recording is under way."""
    until(record.exists, "the recording to begin")


def read(mounted: Mounted, names: Sequence[str]) -> None:
    for name in names:
        assert Path(mounted.join(name)).read_bytes() == BODY + name.encode()


def gets(mounted: Mounted) -> int:
    """Objects of which bytes were fetched."""
    return mounted.stats()["oss_get"]


# -------------------------------------------------------------------------------------------- recorded, replayed


def test_recorded_and_replayed(
    mounts: Mounts, mounted: Mounted, bucket: Bucket, children: Children, start: Start, tmp_path: Path
) -> None:
    """A load of the order asks the storage for the same objects in the same order, each once, as the run did."""
    record = tmp_path / "order"
    process = start(mounted, "trace", "--record", record, mounted.path)
    begun(record)
    children.run(read, mounted, NAMES)
    children.run(read, mounted, NAMES[:5])  # again
    code, out, err = ended(process, signal.SIGINT)
    assert (code, out, err) == (0, "", f"Recorded {FILES} files in {record}.\n")
    assert record.read_text().split() == NAMES
    assert gets(mounted) == FILES

    other = mounts.mount(f"{bucket.uri}d/", ALONE, bucket.properties())
    bucket.server.reset()
    done = run([*COMMAND, "load", "--json", "-j1", "--order", str(record), other.path], other.environ)
    said = json.loads(done.stdout)
    assert (done.returncode, said["files"], said["bytes"]) == (0, FILES, FILES * (len(BODY) + 2))
    asked = [entry.key for entry in bucket.server.requests() if entry.operation == "GET"]
    assert [key.rpartition("/")[2] for key in asked] == NAMES
    children.run(read, other, NAMES)
    assert gets(other) == FILES


def test_a_command_is_recorded(mounted: Mounted, start: Start, tmp_path: Path) -> None:
    """From its beginning to its end; its output and its exit code are its own."""
    record = tmp_path / "order"
    script = f"cat {mounted.join(NAMES[1])} {mounted.join(NAMES[0])} {mounted.join(NAMES[1])}; exit 7"
    for words, names in (([], NAMES[1::-1]), (["--every", "-q"], [NAMES[1], NAMES[0], NAMES[1]])):
        process = start(mounted, "trace", *words, "--record", record, mounted.path, "--", "sh", "-c", script)
        code, out, err = ended(process)
        assert (code, len(out)) == (7, 3 * (len(BODY) + 2))
        assert err == ("" if words else f"Recorded 2 files in {record}.\n")
        assert record.read_text().split() == names
    code, _, err = ended(start(mounted, "trace", "--record", record, mounted.path, "--", "sh", "-c", "kill -9 $$"))
    assert code == 128 + signal.SIGKILL
    code, _, err = ended(start(mounted, "trace", "--record", record, mounted.path, "--", tmp_path / "missing"))
    assert (code, "missing: No such file or directory" in err) == (1, True)


def test_several_workers_at_once(mounted: Mounted, children: Children, start: Start, tmp_path: Path) -> None:
    """Every file is there once, and those of each worker in its order."""
    record = tmp_path / "order"
    process = start(mounted, "trace", "--record", record, mounted.path)
    begun(record)
    shares = [NAMES[worker::4] + NAMES[:3] for worker in range(4)]
    results([children.start(read, mounted, share) for share in shares])
    assert ended(process, signal.SIGTERM)[0] == 0
    found = record.read_text().split()
    assert sorted(found) == sorted(NAMES)
    for worker in range(4):
        own = [name for name in NAMES[worker::4] if name not in NAMES[:3]]
        assert [name for name in found if name in own] == own


@pytest.fixture
def local(mounts: Mounts, private: Path) -> Mounted:
    """A directory of this machine, with names of all kinds."""
    source = private / "source"
    source.mkdir()
    for name in (b"plain", b"#c", b";d", b"two\nlines", b"\xff\xfe", b"r\r", b"sp ace"):
        (source / os.fsdecode(name)).write_bytes(name)
    return mounts.mount(source, "attr_timeout=0,entry_timeout=0")


def open_names(mounted: Mounted, names: Sequence[str]) -> None:
    for name in names:
        Path(mounted.join(name)).read_bytes()


def test_names_of_all_kinds(local: Mounted, children: Children, start: Start, tmp_path: Path) -> None:
    """Of files that the kernel reads itself. Names that lines cannot hold are counted; --null replays everything."""
    names = sorted(children.run(os.listdir, local.path))
    for words, left_out in (([], 2), (["-0"], 0)):
        record = tmp_path / f"order{left_out}"
        process = start(local, "trace", *words, "--record", record, local.path)
        begun(record)
        children.run(open_names, local, names)
        code, _, err = ended(process, signal.SIGINT)
        assert code == 0
        assert (f"; {left_out} have a newline in their names" in err) == bool(left_out), err
        done = run([*COMMAND, "load", "--json", *words, "--order", str(record), local.path], local.environ)
        said = json.loads(done.stdout)
        assert (done.returncode, said["files"], said["failed"]) == (0, len(names) - left_out, 0)
    assert record.read_bytes() == b"".join(os.fsencode(name) + b"\0" for name in names)


def test_files_that_are_renamed_and_replaced(
    local: Mounted, private: Path, children: Children, start: Start, tmp_path: Path
) -> None:
    """A file counts by the name that it is opened by; another version of it is no other file."""
    record = tmp_path / "order"
    process = start(local, "trace", "--record", record, local.path)
    begun(record)
    children.run(open_names, local, ["plain"])
    os.rename(private / "source" / "plain", private / "source" / "renamed")
    children.run(open_names, local, ["renamed"])
    (private / "source" / "new").write_bytes(b"another")
    os.rename(private / "source" / "new", private / "source" / "renamed")
    children.run(open_names, local, ["renamed", "sp ace"])
    assert ended(process, signal.SIGINT)[0] == 0
    assert record.read_text().splitlines() == ["plain", "renamed", "sp ace"]


def test_who_may_record(mounts: Mounts, private: Path, children: Children, start: Start, tmp_path: Path) -> None:
    """One at a time, and no other user: names are told that a user might not see. A killed one leaves room."""
    (private / "source").mkdir()
    (private / "source" / "file").write_bytes(b"x")
    private.chmod(0o755)
    mounted = mounts.mount(private / "source", "allow_other")
    record = tmp_path / "order"

    def somebody() -> str:
        with as_user(SOMEBODY), pytest.raises(MountError) as caught:
            Trace(mounted.path)
        return str(caught.value)

    reason = "its files are another user's to know of; record as the user who mounted it, or as root"
    assert children.run(somebody) == f"{mounted.path}: {reason}"

    first = start(mounted, "trace", "--record", record, mounted.path)
    begun(record)
    code, _, err = ended(start(mounted, "trace", "--record", tmp_path / "second", mounted.path))
    assert (code, "another process records already; end that one first" in err) == (1, True)
    assert not (tmp_path / "second").exists()
    children.run(open_names, mounted, ["file"])
    until(lambda: record.read_text() == "file\n", "the file to be recorded")
    first.kill()
    first.wait()
    second = start(mounted, "trace", "--record", tmp_path / "second", mounted.path)
    begun(tmp_path / "second")
    children.run(open_names, mounted, ["file"])
    assert ended(second, signal.SIGINT)[0] == 0
    assert (tmp_path / "second").read_text() == "file\n"


def test_what_cannot_be_recorded(mounted: Mounted, start: Start, tmp_path: Path) -> None:
    """A directory that is no mount, a FILE that cannot be written, and a mount that ends meanwhile."""
    code, _, err = ended(start(mounted, "trace", "--record", tmp_path / "order", tmp_path))
    assert (code, str(tmp_path) in err) == (1, True)
    code, _, err = ended(start(mounted, "trace", "--record", mounted.join("order"), mounted.path))
    assert (code, mounted.join("order") in err) == (1, True)
    record = tmp_path / "order"
    process = start(mounted, "trace", "--record", record, mounted.path)
    begun(record)
    mounted.unmount("-l")
    code, _, err = ended(process)
    assert (code, f"{mounted.path}: the recording ended: " in err) == (1, True), err


# ------------------------------------------------------------------------------------------------- orders to load


def test_an_order_that_is_wrong(mounts: Mounts, private: Path, tmp_path: Path) -> None:
    """Each path that names no file of the mount is told of, and nothing outside is read; the others are loaded."""
    source = private / "source"
    (source / "d").mkdir(parents=True)
    (private / "outside").write_bytes(b"x")
    for name in ("a", "d/b", "d/c"):
        (source / name).write_bytes(b"12345")
    (source / "in").symlink_to("d/b")
    (source / "out").symlink_to(private / "outside")
    (source / "up").symlink_to("../outside")
    os.mkfifo(source / "fifo")
    mounted = mounts.mount(source)
    good = ["a", "./d/b", "d/../a", f"{mounted.path}/d/c", "in", f"../{os.path.basename(mounted.path)}/a"]
    bad = {
        "missing": "No such file or directory",
        "d": "Is a directory",
        ".": "Is a directory",
        "a/b": "Not a directory",
        "../outside": f"leads out of {mounted.path}",
        "out": f"leads out of {mounted.path}",
        "up": f"leads out of {mounted.path}",
        str(private / "outside"): f"is not on {mounted.path}",
        "fifo": "No such file or directory",
        "x" * 300: "File name too long",
        "y/" * 5000: "File name too long",
        "nul\0": "holds a NUL; --null reads names that end with one",
    }
    text = "\n".join([*good, "# comment", "", *bad])
    for name in (str(tmp_path / "order"), "-"):
        (tmp_path / "order").write_text(text)
        with open(tmp_path / "order", "rb") as order:
            pipe = subprocess.Popen(["cat"], stdin=order, stdout=subprocess.PIPE)
            command = [*COMMAND, "load", "--restart", "--json", "-j1", "--order", name, mounted.path]
            done = subprocess.run(command, env=mounted.environ, stdin=pipe.stdout, capture_output=True, check=False)
            pipe.communicate()
        said = json.loads(done.stdout)
        assert (done.returncode, said["files"], said["bytes"], said["failed"]) == (1, len(good), 30, len(bad))
        assert [failure["reason"] for failure in said["failures"]] == list(bad.values())


def test_one_mount_need_not_be_named(mounted: Mounted, tmp_path: Path) -> None:
    """Relative paths begin at PATH, at the only mount if there is no other; a dry run reads nothing."""
    (tmp_path / "order").write_text("\n".join(NAMES))
    environ = {**mounted.environ}
    done = run([*COMMAND, "load", "--dry-run", "--order", str(tmp_path / "order"), mounted.path], environ)
    assert (done.returncode, done.stdout[:22]) == (0, f"Would load {FILES} files, 9"[:22]), done.stderr
    assert not gets(mounted)
    done = run([*COMMAND, "load", "--order", str(tmp_path / "missing"), mounted.path], environ)
    assert (done.returncode, f"{tmp_path}/missing: No such file or directory" in done.stderr) == (1, True)
    done = run([*COMMAND, "load", "--order", str(tmp_path / "order"), str(tmp_path)], environ)
    assert (done.returncode, f"{tmp_path}: is not on a mount of ours" in done.stderr) == (1, True)


def test_an_order_goes_on_after_an_interruption(mounted: Mounted, start: Start, tmp_path: Path) -> None:
    """It ends as another load does; the order may come from a pipe, of which no more is read than is needed."""
    pipe = start(mounted, "load", "--json", "-j1", "--order", "-", mounted.path, stdin=subprocess.PIPE)
    assert pipe.stdin is not None
    pipe.stdin.write("".join(f"{name}\n" for name in NAMES[:10]).encode())
    pipe.stdin.flush()
    until(lambda: gets(mounted) == 10, "the first ones to be loaded")
    pipe.stdin.write(f"{NAMES[10]}\n".encode())
    pipe.stdin.flush()
    until(lambda: gets(mounted) == 11, "the next one")
    pipe.send_signal(signal.SIGINT)
    pipe.wait(timeout=120)
    assert pipe.returncode == 130
    (tmp_path / "order").write_text("\n".join(NAMES))
    with open(tmp_path / "order", "rb") as order:
        code, out, _ = ended(start(mounted, "load", "--json", "--order", "-", mounted.path, stdin=order))
    said = json.loads(out)
    assert code == 0
    assert said["loaded_before"]["files"] in (10, 11)  # it may have been killed before it noted the last one
    assert said["files"] + said["loaded_before"]["files"] == FILES


# -------------------------------------------------------------------------------------------------------- followed


def test_an_order_is_followed(mounted: Mounted, children: Children, start: Start, tmp_path: Path) -> None:
    """So many files are ahead of the program, and no more, and each is fetched once; it ends with the order."""
    (tmp_path / "order").write_text("\n".join(NAMES))
    words = ["--json", "--quiet", "--order", tmp_path / "order", "--follow", "--ahead", "5"]
    process = start(mounted, "load", *words, mounted.path)
    for done, name in enumerate(NAMES):
        until(lambda n=done: gets(mounted) >= min(n + 5, FILES), "files to be read ahead")  # type: ignore[misc]
        children.run(read, mounted, [name])
        assert gets(mounted) <= done + 6
    code, out, err = ended(process)
    assert (code, err) == (0, "")
    assert json.loads(out)["files"] == FILES
    assert gets(mounted) == FILES


def test_files_are_opened_in_about_that_order(mounted: Mounted, children: Children, start: Start) -> None:
    """Each file that is opened makes room for one; the order may go on for ever, and Ctrl-C ends it."""
    process = start(
        mounted, "load", "--order", "-", "-0", "--follow", "--ahead", "4", mounted.path, stdin=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write("".join(f"{name}\0" for name in [*NAMES, *NAMES]).encode())
    process.stdin.flush()
    until(lambda: gets(mounted) == 4, "files to be read ahead")
    children.run(read, mounted, [NAMES[2], NAMES[1]])
    until(lambda: gets(mounted) == 6, "two more")
    children.run(read, mounted, [NAMES[5], NAMES[0], NAMES[3], NAMES[4]])
    until(lambda: gets(mounted) == 10, "four more")
    code, out, _ = ended(process, signal.SIGINT)
    assert code == 130
    assert out.startswith("Interrupted. Loaded ")
    assert "goes on" not in out


def test_a_program_that_began_earlier(mounted: Mounted, children: Children, start: Start, tmp_path: Path) -> None:
    """Is caught up with: files that the kernel has in memory take no place."""
    children.run(read, mounted, NAMES[:10])
    with open(tmp_path / "order", "w+b") as order:
        if _core.cached_pages(order.fileno(), 1) is None:
            pytest.skip("this kernel does not say what it has in memory")
    (tmp_path / "order").write_text("\n".join(NAMES))
    process = start(mounted, "load", "--order", tmp_path / "order", "--follow", "--ahead", "3", mounted.path)
    until(lambda: gets(mounted) == 13, "three files beyond the program to be read ahead")
    children.run(read, mounted, NAMES[10:14])
    until(lambda: gets(mounted) == 17, "more")
    assert ended(process, signal.SIGTERM)[0] == 143


def test_bytes_ahead_are_bounded(mounted: Mounted, children: Children, start: Start, tmp_path: Path) -> None:
    """Of files that the program has not opened yet."""
    (tmp_path / "order").write_text("\n".join(NAMES))
    words = ["--follow", "-j1", "--ahead-size", str(2 * len(BODY))]
    process = start(mounted, "load", "--order", tmp_path / "order", *words, mounted.path)
    until(lambda: gets(mounted) == 2, "two files to be read ahead")
    children.run(read, mounted, NAMES[:2])
    until(lambda: gets(mounted) == 4, "two more")
    assert ended(process, signal.SIGTERM)[0] == 143


@pytest.mark.parametrize("end", ["unmount", "kill"])
def test_following_ends_with_the_mount(mounted: Mounted, start: Start, tmp_path: Path, end: str) -> None:
    (tmp_path / "order").write_text("\n".join(NAMES))
    process = start(mounted, "load", "--order", tmp_path / "order", "--follow", "--ahead", "2", mounted.path)
    until(lambda: gets(mounted) == 2, "files to be read ahead")
    if end == "unmount":
        mounted.unmount()
    else:
        mounted.kill()
    code, _, err = ended(process)
    reason = "has been unmounted" if end == "unmount" else "has no process any more"
    assert (code, f"{mounted.path}: {reason}; mount it again" in err) == (1, True), err
