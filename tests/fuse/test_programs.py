"""Programs that people use on data sets see in a mount what they see in its directory."""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from harness.children import Children
from harness.mounting import CACHE, Mounted, Mounts
from harness.readers import MIB, write

pytestmark = [pytest.mark.fuse, pytest.mark.both_bindings]

ROWS = 200_000


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of shards, small files, links and binary formats."""
    root = tmp_path_factory.mktemp("programs")
    for i in range(3):
        write(root / f"shard-{i}", 8 * MIB + i * 1001)
    for i in range(300):
        directory = root / "small" / str(i % 10)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{i}.txt").write_text(f"line one of {i}\nneedle {i}\n" * (i % 50 + 1))
    (root / "link").symlink_to("small/3")
    os.link(root / "shard-0", root / "hard link")
    (root / "name with \xe4 space").write_text("x")
    np.save(root / "array.npy", np.arange(ROWS, dtype=np.int64).reshape(-1, 100))
    return root


@pytest.fixture(params=["passthrough", "daemon", "copied"])
def mounted(request: pytest.FixtureRequest, source: Path, mounts: Mounts) -> Mounted:
    """The directory, mounted in each way."""
    options = "passthrough=off" if request.param == "daemon" else ""
    return mounts.mount(source, options, CACHE if request.param == "copied" else {})


def needs(program: str) -> None:
    """Skips a test whose program is not there."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


def same(children: Children, mounted: Mounted, source: Path, *words: str) -> str:
    """Runs a command in the mount and in the directory: equal output, no complaint; returns the output."""
    seen, native = (children.command(*words, cwd=where, timeout=120) for where in (mounted.path, source))
    assert (seen.returncode, seen.stderr) == (0, "")
    assert seen.stdout == native.stdout
    assert seen.stdout
    return seen.stdout


@pytest.mark.parametrize(
    "script",
    [
        "find . | sort",
        "find . -type f -size +1M -newermt 2000-01-01 | sort",
        "find . -printf '%y %m %s %n %l %p %T@\\n' | sort",
        "du -s --apparent-size --block-size=1 .",
        "du -a . | sort",
        "grep -r needle . | sort",
        "grep -rl 'needle 299' .",
        "find . -type f -print0 | sort -z | xargs -0 md5sum",
        "find . -type f -print0 | sort -z | xargs -0 -P 4 -n 20 sha256sum | sort",
        "cat shard-0 shard-1 shard-2 | sha256sum",
        "dd if=shard-1 bs=4k 2>/dev/null | md5sum; dd if=shard-1 bs=1M iflag=direct 2>/dev/null | md5sum",
        "tail -c 1000 shard-2 | od -x | tail; head -c 100 shard-2 | od -x",
        "wc -c shard-* small/1/*; ls -lR --time-style=full-iso | grep -v '^total'",
        "tar -c --sort=name . | md5sum",
        "cd link && ls && cat 3.txt",
        "stat -c '%n %s %Y %a %h %F' * small/*",
    ],
)
def test_commands(mounted: Mounted, source: Path, children: Children, script: str) -> None:
    """Shell commands print in the mount what they print in the directory."""
    same(children, mounted, source, "sh", "-c", script)


def test_tar(mounted: Mounted, source: Path, children: Children, private: Path) -> None:
    """An archive of the mount holds the files of the directory."""
    archive = private / "archive.tar"
    done = children.command("tar", "-cf", archive, "-C", mounted.path, ".", timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    with tarfile.open(archive) as tar:
        for member in tar:
            path = source / member.name
            assert member.mtime == int(path.lstat().st_mtime)
            if member.isfile():
                extracted = tar.extractfile(member)
                assert extracted is not None
                assert extracted.read() == path.read_bytes()


def test_cp(mounted: Mounted, source: Path, children: Children, private: Path) -> None:
    """cp -a makes a copy that rsync and diff find no difference in."""
    done = children.command("cp", "-a", mounted.path, private / "copy", timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    done = children.command("diff", "-r", "--no-dereference", private / "copy", source)
    assert (done.returncode, done.stdout) == (0, "")
    assert (private / "copy" / "link").is_symlink()
    assert (private / "copy" / "hard link").stat().st_nlink == 2


def test_rsync(mounted: Mounted, source: Path, children: Children) -> None:
    """rsync -n -c between mount and directory finds nothing to transfer, in either direction."""
    needs("rsync")
    for there, here in ((mounted.path, str(source)), (str(source), mounted.path)):
        done = children.command("rsync", "-rlptgoHn", "-c", "--delete", "-i", f"{there}/", f"{here}/", timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        assert [line for line in done.stdout.splitlines() if not line.startswith(".d..t")] == []


JOB = ("--name=job", "--filename=file", "--size=8M", "--bs=64k", "--verify=crc32c", "--verify_fatal=1")


@pytest.fixture
def written(private: Path, children: Children) -> Path:
    """A directory with a file that fio has written, with a checksum in each block."""
    needs("fio")
    (private / "source").mkdir()
    done = children.command("fio", *JOB, "--rw=write", "--do_verify=0", cwd=private / "source", timeout=120)
    assert done.returncode == 0, done.stderr
    return private / "source"


@pytest.mark.parametrize("engine", ["psync", "mmap", "libaio", "io_uring"])
def test_fio(written: Path, mounts: Mounts, children: Children, engine: str) -> None:
    """What fio has written into the directory it verifies in the mount, in order and at random."""
    listed = children.command("fio", "--enghelp").stdout.split()
    if engine not in listed:
        pytest.skip(f"this fio has no {engine}")
    for options, properties in (("", {}), ("passthrough=off", {}), ("", CACHE)):
        mounted = mounts.mount(written, options, properties)
        for order in ("read", "randread"):
            words = [*JOB, f"--rw={order}", f"--ioengine={engine}", "--iodepth=8", "--readonly"]
            done = children.command("fio", *words, cwd=mounted.path, timeout=120)
            assert done.returncode == 0, done.stdout + done.stderr


def test_fio_would_find_a_mistake(written: Path, mounts: Mounts, children: Children) -> None:
    """One wrong bit makes the verification fail: the alarm rings."""
    with open(written / "file", "r+b") as file:
        file.seek(5 * MIB + 1234)
        byte = file.read(1)
        file.seek(5 * MIB + 1234)
        file.write(bytes([byte[0] ^ 1]))
    mounted = mounts.mount(written)
    done = children.command("fio", *JOB, "--rw=read", "--readonly", cwd=mounted.path, timeout=120)
    assert done.returncode != 0
    assert "verify" in done.stderr


def test_mmap(mounted: Mounted, source: Path, children: Children) -> None:
    """Python's mmap finds and slices what is in the file."""

    def find(root: str) -> tuple[int, bytes, int]:
        with open(os.path.join(root, "small/9/299.txt"), "rb") as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                return mapped.find(b"needle 299"), mapped[-20:], len(mapped)

    assert children.run(find, mounted.path) == find(str(source))


def test_numpy(mounted: Mounted, children: Children) -> None:
    """NumPy maps an array, and reads one."""

    def load() -> tuple[int, int, int]:
        mapped = np.load(mounted.join("array.npy"), mmap_mode="r")
        raw = np.memmap(mounted.join("array.npy"), np.uint8, "r")
        return int(mapped[::7].sum()), int(np.load(mounted.join("array.npy")).sum()), int(raw[:6].sum())

    whole = np.arange(ROWS, dtype=np.int64).reshape(-1, 100)
    assert children.run(load) == (int(whole[::7].sum()), int(whole.sum()), sum(b"\x93NUMPY"))


def test_safetensors(mounts: Mounts, children: Children, private: Path) -> None:
    """safetensors maps a file and takes tensors and slices of it."""
    safetensors = pytest.importorskip("safetensors")
    from safetensors.numpy import load_file, save_file

    (private / "source").mkdir()
    tensors = {f"t{i}": np.random.default_rng(i).random((300, 300 + i), np.float32) for i in range(8)}
    save_file(tensors, str(private / "source" / "model.safetensors"))
    for options, properties in (("", {}), ("passthrough=off", {}), ("", CACHE)):
        mounted = mounts.mount(private / "source", options, properties)
        path = mounted.join("model.safetensors")

        def load(path: str = path) -> bool:
            loaded = load_file(path)
            equal = all(np.array_equal(loaded[name], tensor) for name, tensor in tensors.items())
            with safetensors.safe_open(path, framework="np") as file:
                part = file.get_slice("t3")[10:20, ::1]
            return equal and np.array_equal(part, tensors["t3"][10:20])

        assert children.run(load)


def test_arrow(mounts: Mounts, children: Children, private: Path) -> None:
    """Arrow maps an IPC file, and reads Parquet with several threads."""
    pytest.importorskip("pyarrow")
    # Arrow has threads of its own: it is used in processes that were not forked from a user of it.
    (private / "source").mkdir()
    make = (
        "import pyarrow as pa, pyarrow.parquet as pq, sys\n"
        "t = pa.table({'a': list(range(200000)), 'b': [str(i) for i in range(200000)]})\n"
        "with pa.OSFile(sys.argv[1] + '/t.arrow', 'wb') as f:\n"
        "    with pa.ipc.new_file(f, t.schema) as w: w.write_table(t, 5000)\n"
        "pq.write_table(t, sys.argv[1] + '/t.parquet', row_group_size=20000)\n"
    )
    subprocess.run([sys.executable, "-c", make, str(private / "source")], check=True, timeout=120)
    use = (
        "import pyarrow as pa, pyarrow.parquet as pq, sys\n"
        "with pa.memory_map(sys.argv[1] + '/t.arrow') as f: t = pa.ipc.open_file(f).read_all()\n"
        "p = pq.read_table(sys.argv[1] + '/t.parquet', memory_map=True)\n"
        "q = pq.read_table(sys.argv[1] + '/t.parquet', columns=['a'], use_threads=True)\n"
        "assert t.equals(p) and q['a'].to_pylist() == t['a'].to_pylist()\n"
        "print(t.num_rows, sum(t['a'].to_pylist()), t['b'][199999])\n"
    )
    for options, properties in (("", {}), ("passthrough=off", {}), ("", CACHE)):
        mounted = mounts.mount(private / "source", options, properties)
        done = children.command(sys.executable, "-c", use, mounted.path, timeout=120)
        assert done.stdout == f"200000 {sum(range(200000))} 199999\n", done.stderr


def test_executables(mounts: Mounts, children: Children, private: Path) -> None:
    """A program and its library run from the mount."""
    (private / "source").mkdir()
    shutil.copy(shutil.which("sort") or "/bin/sort", private / "source" / "sort")
    for options, properties in (("", {}), ("passthrough=off", {}), ("", CACHE)):
        mounted = mounts.mount(private / "source", options, properties)
        done = children.command("sh", "-c", f"printf 'b\\na\\n' | {mounted.join('sort')}")
        assert done.stdout == "a\nb\n", done.stderr
