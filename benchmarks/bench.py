"""The tools of a suite: its data on tmpfs, its mounts with their logs, and how thorough it shall be."""

from __future__ import annotations

import compileall
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import alluxio_jnifuse
from alluxio_jnifuse.testing import ENABLED_BY
from benchmarks import data

if TYPE_CHECKING:
    from benchmarks.peers import Peer

_TMPFS = "/dev/shm"  # memory on both sides: what is measured is the way to it
QUICK = 0.1  # the scale of a quick run
ENGINES = ("directory", "bucket", "cluster")
_FOREIGN = ("ALLUXIO_", "MAX_IDLE_THREADS", "SPENT_TIME")  # settings that would reach our mounts


class Skip(Exception):
    """A suite cannot run here; the message says why."""


class Wrong(Exception):
    """A measurement did not measure what its name says; the message says what it did."""


class Scope(NamedTuple):
    """The extent of a run.

    runs     quiet pairs for each figure
    scale    of the data: 1 for figures, less for trying things out
    engines  of ENGINES, for suites that have the choice
    peers    other mount programs, for suites that take them
    torch    an interpreter that has PyTorch, for PyTorch's own DataLoader
    """

    runs: int
    scale: float = 1.0
    engines: Sequence[str] = ENGINES
    peers: Sequence[Peer] = ()
    torch: str = sys.executable


class Bench:
    """One run of the benchmarks; leaving it as a context manager removes what it made, and restores the environment."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.runs = scope.runs
        self.root = Path(tempfile.mkdtemp(prefix="alluxio-jnifuse-bench-", dir=_TMPFS))
        self.mountpoint = self.root / "mnt"
        self._made: dict[str, Path] = {}

    def __enter__(self) -> Bench:
        self._environ = dict(os.environ)
        # Modules are compiled, as in an installation; some environments prevent that (PYTHONDONTWRITEBYTECODE).
        compileall.compile_dir(Path(alluxio_jnifuse.__file__).parent, quiet=1)
        for name in [name for name in os.environ if name.startswith(_FOREIGN)]:
            del os.environ[name]
        (self.root / "alluxio-site.properties").touch()
        os.environ.update(
            ALLUXIO_CONF_DIR=str(self.root), ALLUXIO_LOGS_DIR=str(self.root / "logs"), **{ENABLED_BY: "1"}
        )
        return self

    def __exit__(self, *_: object) -> None:
        os.environ.clear()
        os.environ.update(self._environ)
        shutil.rmtree(self.root)

    def scaled(self, full: int) -> int:
        """`full`, or that part of it that the run is to have."""
        return max(1, int(full * self.scope.scale))

    # ---------------------------------------------------------------------------------------------------- data

    def large(self) -> Path:
        """Four files of 256 MiB, large-0 to large-3."""
        return self.made("large", data.make_large, self.scaled(256) << 20)

    def small(self) -> Path:
        """20,000 files of 10 to 110 KB in directories of 100."""
        return self.made("small", data.make_small, self.scaled(20_000))

    def entries(self) -> Path:
        """One directory "d" with 100,000 empty files."""
        return self.made("entries", data.make_entries, self.scaled(100_000))

    def huge(self) -> Path:
        """One file "huge" of 8 GiB without a single byte on it."""
        return self.made("huge", data.make_huge, 8 << 30)

    def made(self, name: str, make: Callable[[Path, int], None], size: int) -> Path:
        """The directory of a data set, which `make` fills once; `drop` removes it."""
        if name not in self._made:
            print(f"  (making the data set {name!r})", file=sys.stderr, flush=True)
            path = self.root / name
            path.mkdir()
            make(path, size)
            self._made[name] = path
        return self._made[name]

    def has(self, name: str) -> bool:
        """Whether the data set is there now."""
        return name in self._made

    def drop(self, name: str) -> None:
        """Gives the memory of a data set back."""
        path = self._made.pop(name, None)
        if path is not None:
            shutil.rmtree(path)

    # -------------------------------------------------------------------------------------------------- mounts

    @contextmanager
    def mount(
        self, ufs: Path | str, options: str = "", properties: Mapping[str, object] | None = None
    ) -> Iterator[alluxio_jnifuse.Mount]:
        """A mount of `ufs` on `self.mountpoint`."""
        with alluxio_jnifuse.mount(ufs, self.mountpoint, options=options, properties=properties) as mount:
            yield mount

    def need_root(self) -> None:
        if os.geteuid() != 0:
            raise Skip("passthrough needs root")


def evict(directory: Path | str) -> None:
    """Makes the kernel forget the cached pages of the files of one directory."""
    for entry in os.scandir(directory):
        if entry.is_file():
            fd = os.open(entry.path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def delta(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Returns by how much the counters of a mount have grown."""
    return {name: value - before[name] for name, value in after.items()}
