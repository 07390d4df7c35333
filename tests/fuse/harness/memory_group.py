"""A control group with a limit of memory, for the processes that are started in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from alluxio_jnifuse.config import limits
from harness.children import until

REQUIRE = "AJF_REQUIRE_CONTAINER"  # environment: 1 = a test that cannot have one fails


class MemoryGroup:
    """`wrapper`: words before a command that make it run in the group."""

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._legacy = (path / "memory.limit_in_bytes").exists()
        self._set("memory.limit_in_bytes" if self._legacy else "memory.max", limit)
        for name in ("memory.memsw.limit_in_bytes", "memory.swap.max"):  # nothing is swapped
            if (path / name).exists():
                self._set(name, limit if self._legacy else 0)
        self.wrapper = ("sh", "-c", f'echo $$ >{path}/cgroup.procs && exec "$@"', "sh")

    def peak(self) -> int:
        """Bytes that were charged at most, the kernel's caches among them; 0 where it is not told."""
        path = self._path / ("memory.max_usage_in_bytes" if self._legacy else "memory.peak")
        return int(path.read_text()) if path.exists() else 0

    def killed(self) -> int:
        """How many processes the kernel has killed for memory."""
        path = self._path / ("memory.oom_control" if self._legacy else "memory.events")
        words = path.read_text().split()
        return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else 0

    def _set(self, name: str, value: int) -> None:
        (self._path / name).write_text(str(value))


@contextmanager
def memory_group(limit: int) -> Iterator[MemoryGroup]:
    """One of `limit` bytes, gone afterwards. Skips the test where there can be none, or fails it (REQUIRE)."""
    try:
        path = _make()
        group = MemoryGroup(path, limit)
    except OSError as error:
        reason = f"no control group can be made to limit memory: {error}"
        if os.environ.get(REQUIRE) == "1":
            pytest.fail(f"required by {REQUIRE}=1: {reason}", pytrace=False)
        pytest.skip(reason)
    try:
        yield group
    finally:
        until(lambda: not (path / "cgroup.procs").read_text(), "the group to be empty")
        path.rmdir()


def _make() -> Path:
    """A new group beside this process, or at the root, whose memory can be limited."""
    name = f"ajf-tests-{os.getpid()}"
    for file in limits.files(limits.ROOT, limits.MEMBERSHIP, "memory", "memory.max", "memory.limit_in_bytes"):
        path = Path(file).parent / name
        try:
            path.mkdir()
        except OSError:
            continue
        if (path / Path(file).name).exists():
            return path
        path.rmdir()
    raise OSError("none of its parents can have one")
