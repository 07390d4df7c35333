"""Shell: Alluxio's own client, resident, because each start of its command takes seconds."""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_plus

from cluster.errors import ClusterError
from cluster.process import ending_with_us

TIMEOUT_S = 400.0
_CLASS = "ClusterShell"


class Shell:
    """One process of Java that obeys one command after the other; it answers in milliseconds.

    command   the beginning of a Java command, `environ` its environment
    log       where its messages go
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self._lock = threading.Lock()
        self._log = log
        with open(log, "ab") as errors:
            self._child = subprocess.Popen(
                [*ending_with_us(), *command, _CLASS],
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=log.parent,
                start_new_session=True,
            )

    def close(self, timeout: float = 0.0) -> None:
        """Ends it, after `timeout` seconds at once."""
        if self._child.stdin is not None:
            self._child.stdin.close()
        try:
            self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()

    def fs(self, *words: object) -> str:
        """Runs `alluxio fs WORDS`; its output. Raises ClusterError when its exit code is not 0."""
        return self._must("fs", *words)

    def fsadmin(self, *words: object) -> str:
        """Runs `alluxio fsadmin WORDS`; as `fs`."""
        return self._must("fsadmin", *words)

    def run(self, *words: object) -> tuple[int, str]:
        """Runs `alluxio fs WORDS`; its exit code and output."""
        return self._ask("fs", *words)

    def write(
        self,
        path: str,
        data: bytes | Path,
        *,
        block_size: int | None = None,
        write_type: str = "",
        worker: str = "",
        overwrite: bool = False,
    ) -> None:
        """Makes a file of bytes, or of those of a local file.

        `write_type`: MUST_CACHE, CACHE_THROUGH, THROUGH, ASYNC_THROUGH. `worker`: the address of the one that gets
        its blocks. `overwrite`: what was there is deleted first.
        """
        with _local(data) as local:
            self._must("write", path, local, block_size or "", write_type, worker, overwrite)

    def begin(self, path: str, *, block_size: int | None = None, write_type: str = "", worker: str = "") -> Unfinished:
        """Begins a file, which stays incomplete until it is finished."""
        self._must("begin", path, block_size or "", write_type, worker)
        return Unfinished(self._must, path)

    def locations(self, path: str) -> list[set[str]]:
        """The addresses of the workers that have each block of a file."""
        return [set(line.split()) for line in self._must("locations", path).splitlines()]

    def cache(self, path: str, worker: str) -> None:
        """Has one more worker keep all blocks of a file. Not on 2.3.0."""
        self._must("cache", path, worker)

    def reset(self) -> None:
        """New connections, as after a restart of the master, when old ones fail once more."""
        self._must("reset")

    def _must(self, *words: object) -> str:
        code, output = self._ask(*words)
        if code != 0:
            raise ClusterError(f"{' '.join(map(str, words))}: exit code {code}\n{output}")
        return output

    def _ask(self, *words: object) -> tuple[int, str]:
        line = " ".join(quote(str(word), safe="") for word in words)
        with self._lock:
            assert self._child.stdin is not None
            try:
                self._child.stdin.write(line.encode() + b"\n")
                self._child.stdin.flush()
            except BrokenPipeError:
                pass  # the answer says so
            code, _, output = self._answer(str(words)).partition(" ")
        return int(code), unquote_plus(output)

    def _answer(self, what: str) -> str:
        assert self._child.stdout is not None
        received = b""
        deadline = time.monotonic() + TIMEOUT_S
        while not received.endswith(b"\n"):
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._child.stdout], [], [], left)[0]:
                raise ClusterError(f"the shell does not answer {what}; see {self._log}")
            part = os.read(self._child.stdout.fileno(), 1 << 20)
            if not part:
                raise ClusterError(f"the shell ended at {what}\n{self._log.read_text(errors='replace')[-4000:]}")
            received += part
        return received.decode().rstrip("\n")


class Unfinished:
    """A file that is being written."""

    def __init__(self, must: Callable[..., str], path: str) -> None:
        self._must = must
        self.path = path

    def append(self, data: bytes | Path) -> None:
        """Writes more, and flushes it."""
        with _local(data) as local:
            self._must("append", self.path, local)

    def finish(self) -> None:
        """Completes it."""
        self._must("finish", self.path)

    def abandon(self) -> None:
        """Gives it up, as a writer does that fails: it stays incomplete."""
        self._must("abandon", self.path)


class _local:
    """A local file with some bytes."""

    def __init__(self, data: bytes | Path) -> None:
        self._data = data
        self._made: Path | None = None

    def __enter__(self) -> Path:
        if isinstance(self._data, Path):
            return self._data
        fd, path = tempfile.mkstemp(prefix="ajf-shell-")
        self._made = Path(path)
        with open(fd, "wb") as file:
            file.write(self._data)
        return self._made

    def __exit__(self, *_: Any) -> None:
        if self._made is not None:
            self._made.unlink()
