"""`make run`: mounts a directory, reads all of it, compares it with the directory, and leaves it mounted.

Without --ufs it makes a data set of its own, once: a few TFRecord-sized shards and thousands of image-sized files.
Run again while it is mounted, it reads and compares again. Exit code 1 and the reason when anything fails.

With --engine alluxio the directory is the under-store of an Alluxio cluster that is started for this and what is
mounted is the cluster. Both last until Ctrl-C; without a terminal they end at once.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shlex
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import alluxio_jnifuse
from alluxio_jnifuse.errors import AlluxioFuseError
from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.mounts.registry import Registry

_PROJECT = Path(__file__).resolve().parent.parent
_SHARDS, _SHARD_BYTES = 4, 130_000_000
_IMAGES, _IMAGE_BYTES = 4000, (10_000, 110_000)
_IMAGES_PER_DIRECTORY = 250

_READ_BYTES = 1 << 20
_LARGE_BYTES = 1 << 20  # from here on a file counts as large
_SAMPLE_BYTES = 1 << 30  # of large files, for the rates side by side
_SAMPLE_FILES = 4000  # small ones, as above
_PASSES = 5
_TTY_S, _PLAIN_S = 0.1, 5.0  # between two progress lines


class DemoError(Exception):
    """The message says what failed, in a sentence."""


class File(NamedTuple):
    """A regular file: its path below the root, and its size in bytes."""

    path: str
    size: int


def main() -> int:
    arguments = _parse()
    try:
        if arguments.engine == "alluxio":
            _run_alluxio(arguments.ufs, arguments.mount)
        else:
            _run(arguments.ufs, arguments.mount)
    except (DemoError, AlluxioFuseError, OSError) as error:
        sys.stdout.flush()
        print(f"make run: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nmake run: interrupted; `alluxio-jnifuse stat` tells what is mounted", file=sys.stderr)
        return 130
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Mounts a directory, reads all of it and compares it.")
    parser.add_argument("--ufs", metavar="DIRECTORY", help="what to mount; default: a data set made for this")
    parser.add_argument("--mount", metavar="DIRECTORY", help="where; default: beside that data set")
    parser.add_argument("--engine", choices=("local", "alluxio"), default="local", help="what serves the directory")
    return parser.parse_args()


def _run(ufs: str | None, mountpoint: str | None) -> None:
    directory = _directory_of(ufs) if ufs is not None else _data_set(_home() / "data")
    files = _files(directory)
    _tell(directory, files)
    mount = _mount(directory, mountpoint if mountpoint is not None else str(_home() / "mnt"))
    _measure(directory, files, mount)
    print(f"It stays mounted on {mount.mountpoint}. This unmounts it:\n  {_unmount_line(mount.mountpoint)}")


def _run_alluxio(ufs: str | None, mountpoint: str | None) -> None:
    directory = _directory_of(ufs) if ufs is not None else _data_set(_home() / "data")
    files = _files(directory)
    _tell(directory, files)
    with _cluster(directory) as (uri, properties):
        with alluxio_jnifuse.mount(uri, mountpoint or str(_home() / "mnt-alluxio"), properties=properties) as mount:
            print(f"mounted on {mount.mountpoint} (process {mount.pid}, log {mount.log})")
            _measure(directory, files, mount)
            if sys.stdin.isatty():
                print(f"It stays mounted on {mount.mountpoint} until Ctrl-C.", flush=True)
                try:
                    signal.pause()
                except KeyboardInterrupt:
                    print()


@contextmanager
def _cluster(directory: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """An Alluxio cluster that shows a directory and does not write to it: its URI, and what a client needs to know."""
    sys.path.insert(0, str(_PROJECT / "tests"))
    from cluster.cluster import Cluster
    from cluster.errors import ClusterError

    began = time.monotonic()
    try:
        cluster = Cluster(ufs=directory, optimized=True, site={"alluxio.master.mount.table.root.readonly": "true"})
        with cluster:
            print(f"cluster up after {time.monotonic() - began:.1f} s: {cluster.uri()}")
            yield cluster.uri(), cluster.client_properties()
    except ClusterError as error:
        raise DemoError(str(error)) from error


def _tell(directory: Path, files: list[File]) -> None:
    print(f"{directory}: {_count(len(files), 'file')}, {_bytes(sum(file.size for file in files))}")


def _measure(directory: Path, files: list[File], mount: alluxio_jnifuse.Mount) -> None:
    before = mount.stats()
    seconds = _compare(directory, files, mount)
    rates = _side_by_side(directory, files, mount)
    _sum_up(mount, before, files, seconds, rates)


# --------------------------------------------------------------------------------------------------- the data set


def _home() -> Path:
    """A directory of this user for the data set and the mount point."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    for base in (Path(cache), _PROJECT / ".cache"):
        path = base / "alluxio-jnifuse" / "demo"
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(path, os.W_OK):
            return path
    raise DemoError(f"neither {cache} nor {_PROJECT} can be written: name a directory with UFS= and one with MOUNT=")


def _data_set(path: Path) -> Path:
    """The data set, which is made when it is not there; one that was interrupted is not there."""
    if path.exists():
        return path
    sizes = random.Random(1)
    images = [sizes.randint(*_IMAGE_BYTES) for _ in range(_IMAGES)]
    total = _SHARDS * _SHARD_BYTES + sum(images)
    free = shutil.disk_usage(path.parent).free
    if free < 1.1 * total:
        raise DemoError(f"{path.parent} has {_bytes(free)} left, the data set needs {_bytes(total)}: use UFS=DIRECTORY")
    progress = Progress("making the data set", total)
    made = Path(tempfile.mkdtemp(prefix="data-", dir=path.parent))
    try:
        for name, size in _names(images):
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            with open(made / name, "wb") as file:
                for start in range(0, size, _READ_BYTES):
                    file.write(os.urandom(min(_READ_BYTES, size - start)))
                    progress.add(min(_READ_BYTES, size - start))
        made.chmod(0o755)
        made.rename(path)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        if not path.exists():  # else somebody else was faster
            raise
    progress.end()
    return path


def _names(images: list[int]) -> Iterator[tuple[str, int]]:
    for number in range(_SHARDS):
        yield f"shards/train-{number:05}-of-{_SHARDS:05}.tfrecord", _SHARD_BYTES
    for number, size in enumerate(images):
        yield f"images/{number // _IMAGES_PER_DIRECTORY:03}/image-{number:05}.jpg", size


def _directory_of(ufs: str) -> Path:
    """The directory that a path or a file:// URI names."""
    parts = urlsplit(ufs)
    if parts.scheme not in ("", "file"):
        raise DemoError(f"{ufs}: only a directory can be compared with its mount, and this is none")
    path = Path(unquote(parts.path) if parts.scheme else ufs).absolute()
    if not path.is_dir():
        raise DemoError(f"{path} is not a directory")
    return path


def _files(root: Path) -> list[File]:
    """The regular files below `root`, sorted; mounts inside it are not entered."""
    found = []
    failures: list[OSError] = []
    device = root.stat().st_dev
    for parent, directories, names in os.walk(root, onerror=failures.append):
        directories[:] = [name for name in directories if os.lstat(os.path.join(parent, name)).st_dev == device]
        for name in names:
            path = os.path.join(parent, name)
            if os.path.isfile(path) and not os.path.islink(path):
                found.append(File(os.path.relpath(path, root), os.lstat(path).st_size))
    if failures:
        raise failures[0]
    return sorted(found)


# ------------------------------------------------------------------------------------------------------ the mount


def _mount(directory: Path, mountpoint: str) -> alluxio_jnifuse.Mount:
    """The mount of `directory`: the one that is there already, or a new one."""
    record = Registry().find(table.resolve(mountpoint))
    if record is None:
        mount = alluxio_jnifuse.mount(directory, mountpoint)
        print(f"mounted on {mount.mountpoint} (process {mount.pid}, log {mount.log})")
        return mount
    if os.path.realpath(_directory_of(record.ufs)) != os.path.realpath(directory):
        raise DemoError(
            f"{record.mountpoint} already shows {record.ufs}; unmount it first: {_unmount_line(record.mountpoint)}"
        )
    print(f"already mounted on {record.mountpoint} by process {record.pid}: reading it again")
    return alluxio_jnifuse.Mount(record)


def _unmount_line(mountpoint: str) -> str:
    return shlex.join([str(Path(sys.executable).with_name("alluxio-jnifuse")), "umount", mountpoint])


# ----------------------------------------------------------------------------------------------------- comparing


def _compare(directory: Path, files: list[File], mount: alluxio_jnifuse.Mount) -> float:
    """Checks that the mount shows the same files with the same contents; seconds that reading the mount took."""
    if not files:
        raise DemoError(f"{directory} holds no files")
    seen = _files(Path(mount.mountpoint))
    if seen != files and (seen := _files(Path(mount.mountpoint))) != (files := _files(directory)):
        name, where = min(set(seen) ^ set(files)).path, "mount" if set(seen) - set(files) else "directory"
        raise DemoError(f"{name!r} is not the same on both sides, or only in the {where}")
    expected = _digests("directory", directory, files)
    start = time.monotonic()
    found = _digests("mount", Path(mount.mountpoint), files)
    seconds = time.monotonic() - start
    different = [file for file in files if expected[file.path] != found[file.path]]
    for file in different:  # it may have been written meanwhile: both sides once more, one after the other
        if _digest(directory / file.path) != _digest(Path(mount.mountpoint) / file.path):
            raise DemoError(f"{file.path!r} differs from the directory's")
    print(f"checksums: {_count(len(files), 'file')}, all the same as in the directory")
    return seconds


def _digests(what: str, root: Path, files: list[File]) -> dict[str, bytes]:
    progress = Progress(f"reading the {what}, with checksums", sum(file.size for file in files))
    found = {file.path: _digest(root / file.path, progress) for file in files}
    progress.end()
    return found


def _digest(path: Path, progress: Progress | None = None) -> bytes:
    digest = hashlib.sha256()
    for piece in _pieces(path):
        digest.update(piece)
        if progress:
            progress.add(len(piece))
    return digest.digest()


_BUFFER = memoryview(bytearray(_READ_BYTES))


def _pieces(path: Path, limit: int = sys.maxsize) -> Iterator[memoryview]:
    """The first `limit` bytes of a file; each piece is overwritten by the next."""
    with open(path, "rb", buffering=0) as file:
        while limit > 0 and (got := file.readinto(_BUFFER)):
            yield _BUFFER[:got]
            limit -= got


# --------------------------------------------------------------------------------------------------- side by side


class Rates(NamedTuple):
    """One kind of files: how fast the directory and the mount were read, in `unit`."""

    what: str
    unit: str
    directory: float
    mount: float

    @property
    def ratio(self) -> float:
        return self.mount / self.directory


def _side_by_side(directory: Path, files: list[File], mount: alluxio_jnifuse.Mount) -> list[Rates]:
    """Reads a sample of both, in turn and without checksums, and prints the rates."""
    large, small = _sample_large(files), [file for file in files if 0 < file.size < _LARGE_BYTES][:_SAMPLE_FILES]
    rates = []
    if large:
        size = sum(min(file.size, _SAMPLE_BYTES) for file in large)
        seconds = _alternate(directory, Path(mount.mountpoint), large)
        what = f"{_count(len(large), 'large file')} ({_bytes(size)})"
        rates.append(Rates(what, "GB/s", *(size / 1e9 / second for second in seconds)))
    if small:
        seconds = _alternate(directory, Path(mount.mountpoint), small)
        what = f"{_count(len(small), 'small file')} ({_bytes(sum(file.size for file in small))})"
        rates.append(Rates(what, "files/s", *(len(small) / second for second in seconds)))
    _print_rates(rates)
    return rates


def _sample_large(files: Iterable[File]) -> list[File]:
    found, total = [], 0
    for file in files:
        if file.size >= _LARGE_BYTES and total < _SAMPLE_BYTES:
            found.append(file)
            total += file.size
    return found


def _alternate(directory: Path, mountpoint: Path, files: list[File]) -> tuple[float, float]:
    """Median seconds of reading `files` once in the directory and once through the mount, both read just before."""
    roots = (directory, mountpoint)
    for root in roots:
        _read(root, files)
    passes = [[_read(root, files) for root in roots] for _ in range(_PASSES)]
    return statistics.median(first for first, _ in passes), statistics.median(second for _, second in passes)


def _read(root: Path, files: Iterable[File]) -> float:
    start = time.monotonic()
    for file in files:
        for _ in _pieces(root / file.path, _SAMPLE_BYTES):
            pass
    return time.monotonic() - start


def _print_rates(rates: list[Rates]) -> None:
    width = max((len(rate.what) for rate in rates), default=0)
    print(f"\n{'':{width}}  {'directory':>15}  {'mount':>15}  ratio")
    for rate in rates:
        left, right = (f"{value:,.{2 if value < 100 else 0}f} {rate.unit}" for value in (rate.directory, rate.mount))
        print(f"{rate.what:{width}}  {left:>15}  {right:>15}  {rate.ratio:5.2f}")
    print(f"One reader, {_READ_BYTES >> 20} MiB reads, warm on both sides; medians of {_PASSES} passes in turn.\n")


# -------------------------------------------------------------------------------------------------------- the end


def _sum_up(
    mount: alluxio_jnifuse.Mount, before: dict[str, int], files: list[File], seconds: float, rates: list[Rates]
) -> None:
    after = mount.stats()
    opened = after["open_passthrough"] - before["open_passthrough"]
    if not opened and any(file.size for file in files):
        why = (
            "it needs root" if os.geteuid() != 0 else f"this kernel or this storage does not allow it, see {mount.log}"
        )
        print(f"passthrough is off ({why}): the daemon serves the same bytes, slower")
    figures = [
        f"{_count(len(files), 'file')}, {_bytes(sum(file.size for file in files))} read and equal in {seconds:.1f} s"
    ]
    figures += [f"{rate.what.partition(' (')[0]} at {rate.ratio:.2f} of the directory" for rate in rates]
    figures.append("passthrough on" if opened else "passthrough off")
    print(f"done: {'; '.join(figures)}")


class Progress:
    """How much of `total` bytes is done, how fast, and how long the rest will take: one line, renewed on a terminal."""

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._tty = sys.stdout.isatty()
        self._start = self._shown = time.monotonic()

    def add(self, size: int) -> None:
        self._done += size
        if time.monotonic() - self._shown >= (_TTY_S if self._tty else _PLAIN_S):
            self._show("\r" if self._tty else "\n")

    def end(self) -> None:
        self._total = self._done  # a file may have grown or shrunk
        self._show("\n")

    def _show(self, end: str) -> None:
        self._shown = time.monotonic()
        seconds = max(self._shown - self._start, 1e-6)
        rate = self._done / seconds
        share = 100 * self._done / max(self._total, self._done, 1)
        left = "" if self._done >= self._total else f", {(self._total - self._done) / max(rate, 1):.0f} s left"
        line = f"{self._what}: {share:3.0f} % of {_bytes(self._total)}, {rate / 1e6:,.0f} MB/s{left}"
        print(f"{line:78}" if self._tty else line, end=end, flush=True)


def _bytes(size: float) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size:.0f} bytes"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


if __name__ == "__main__":
    sys.exit(main())
