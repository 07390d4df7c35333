"""Mounts for tests: made by the command in a daemon of their own, and always taken away, with their books balanced."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from alluxio_jnifuse import _core
from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts import stats as mount_stats
from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.mounts.registry import Registry
from alluxio_jnifuse.testing import ENABLED_BY
from harness.children import until
from harness.command import FINAL_STATS

COMMAND = [sys.executable, str(Path(__file__).with_name("command.py"))]
COMMAND_TIMEOUT_S = 120.0
CACHE = {"alluxio.user.client.cache.enabled": "true"}
# The counters of things that are born and die, of csrc/base/stats.def.
BOOKS = ("requests", "fetches", "pages", "backings", "backing_ids", "files", "inodes", "listings", "threads")


class Mounted:
    """One mount; `path`: where, `pid`: its daemon, `log`: its log file."""

    def __init__(self, path: str, pid: int, log: Path, final: Path, environ: dict[str, str]) -> None:
        self.path = path
        self.pid = pid
        self.log = log
        self.environ = environ
        self.unbalanced: tuple[str, ...] = ()  # books that cannot balance, as a test may say: a thread hangs
        self.killed = False  # the daemon left no books, as a test may say
        self.patience_s = 120.0  # for the end of the daemon
        self._final = final

    def join(self, name: str) -> str:
        """The path of something in it."""
        return os.path.join(self.path, name)

    def stats(self) -> dict[str, int]:
        """The counters now."""
        return mount_stats.request(self.path).stats

    def since(self, before: Mapping[str, int]) -> dict[str, int]:
        """What has been counted since `before`, without what has not changed."""
        return {name: value - before[name] for name, value in self.stats().items() if value != before[name]}

    def until(self, condition: Callable[[dict[str, int]], Any], what: str, timeout: float = 120.0) -> dict[str, int]:
        """Waits until the counters fulfil a condition; returns them."""
        seen: dict[str, int] = {}

        def fulfilled() -> bool:
            seen.clear()
            seen.update(self.stats())
            return bool(condition(seen))

        until(fulfilled, what, timeout)
        return seen

    def settled(self) -> dict[str, int]:
        """The counters once nothing is parked and nothing is fetched any more."""
        return self.until(
            lambda s: s["requests_born"] == s["requests_died"] and s["fetches_born"] == s["fetches_died"], "to settle"
        )

    def closed(self) -> dict[str, int]:
        """The counters once no file is open any more."""
        granted = ("open_passthrough", "open_cached", "open_direct")
        return self.until(lambda s: sum(s[name] for name in granted) == s["op_release"], "all files to be closed")

    def has(self, feature: str) -> bool:
        """Whether the kernel granted a feature."""
        return feature in mount_stats.request(self.path).features

    def lines(self, *words: str) -> list[str]:
        """The lines of the log that hold all of the words."""
        return [line for line in self.log.read_text().splitlines() if all(word in line for word in words)]

    def files(self, *, pipes: bool = True) -> list[str]:
        """What the daemon has open; without `pipes`, all but those: a worker keeps them to splice through."""
        directory = f"/proc/{self.pid}/fd"
        found = [os.readlink(f"{directory}/{name}") for name in os.listdir(directory)]
        return [name for name in found if pipes or not name.startswith("pipe:")]

    def unmount(self, *arguments: str, timeout: float = COMMAND_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
        """Runs the command umount."""
        return run([*COMMAND, "umount", *arguments, self.path], self.environ, timeout)

    def end(self) -> list[str]:
        """Unmounts, by force if need be; returns what went wrong."""
        problems = []
        if not self.gone():
            done = self.unmount("-l", "-w", f"{self.patience_s:g}")  # somebody may hang in it
            if done.returncode or not self.gone():
                problems.append(f"umount: {done.stdout}{done.stderr}")
                self._force()
        return problems + self.audit()

    def gone(self) -> bool:
        """Whether neither mount nor daemon is left."""
        return table.top_at(self.path) is None and Registry().find(self.path) is None and not is_running(self.pid)

    def audit(self) -> list[str]:
        """What does not balance, after the end."""
        if self.killed:
            return []
        try:
            told = json.loads(self._final.read_text())
        except (OSError, ValueError) as error:
            return [f"the daemon left no books: {error}; its log ends with {self.log.read_text()[-2000:]}"]
        stats = told["stats"]
        pairs = {name: (stats[f"{name}_born"], stats[f"{name}_died"]) for name in BOOKS if name not in self.unbalanced}
        wrong = [f"{name}: {born} born, {died} died" for name, (born, died) in pairs.items() if born != died]
        if not self.unbalanced:
            levels = {"hanging": told["hanging"], "open_handles": told["open_handles"]}
            levels.update((name, stats[name]) for name in ("threads", "cache_used_bytes"))
            wrong += [f"{name}: {level} at the end" for name, level in levels.items() if level]
        return wrong

    def kill(self) -> None:
        """Kills the daemon, whose mount stays."""
        self.killed = True
        os.kill(self.pid, signal.SIGKILL)
        until(lambda: not is_running(self.pid), "the daemon to be dead")

    def _force(self) -> None:
        if is_running(self.pid):
            self.kill()
        detach(self.path)


class Mounts:
    """Makes the mounts of one test, beneath its directory `root`."""

    def __init__(self, root: Path, properties: Mapping[str, str] | None = None) -> None:
        """`properties`: those of every mount, before its own."""
        self.root = root
        self._properties = dict(properties or {})
        self._made: list[Mounted] = []

    def environ(self, number: int = 0, **more: str) -> dict[str, str]:
        """The environment of a command: nothing of Alluxio's but what a test needs, and Python's own ways."""
        others = ("ALLUXIO_", "MAX_IDLE", "PYTHONUNBUFFERED")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        clean["ALLUXIO_LOGS_DIR"] = str(self.root / f"logs{number}")
        clean["ALLUXIO_CONF_DIR"] = str(self.root)
        clean[ENABLED_BY] = "1"
        clean[FINAL_STATS] = str(self.root / f"final{number}")
        return {**clean, **more}

    def mount(
        self,
        ufs: object,
        options: str = "",
        properties: Mapping[str, str] | None = None,
        *,
        at: Path | None = None,
        environ: Mapping[str, str] | None = None,
        wrapper: Iterable[str] = (),
    ) -> Mounted:
        """Mounts in the background. `wrapper`: words before the command, as "prlimit"."""
        path = str(at or self.root / f"mnt{len(self._made)}")
        words = ["-o", options] if options else []
        for key, value in {**self._properties, **(properties or {})}.items():
            words += ["-D", f"{key}={value}"]
        words += ["-u", os.fspath(getattr(ufs, "uri", ufs)), path]
        return self.mount_with(words, path, environ=environ, wrapper=wrapper)

    def mount_with(
        self,
        words: Iterable[str],
        path: str,
        *,
        environ: Mapping[str, str] | None = None,
        wrapper: Iterable[str] = (),
    ) -> Mounted:
        """Mounts in the background with just these words behind `mount`, which make it mount on `path`."""
        chosen = self.environ(len(self._made), **(environ or {}))
        done = run([*wrapper, *COMMAND, "mount", *words], chosen)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
        record = Registry().find(path)
        assert record is not None, f"{path} is not among the running mounts"
        made = Mounted(path, record.pid, Path(record.log), Path(chosen[FINAL_STATS]), chosen)
        self._made.append(made)
        return made

    def close(self) -> list[str]:
        """Ends what is left; returns what went wrong."""
        problems = [f"{mounted.path}: {problem}" for mounted in reversed(self._made) for problem in mounted.end()]
        for path in beneath(str(self.root)):
            problems.append(f"{path}: still mounted")
            detach(path)
        return problems


def run(
    argv: list[str], environ: Mapping[str, str], timeout: float = COMMAND_TIMEOUT_S, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command of ours to its end. It may wait for a mount, but only in a thread that does not hold it up."""
    done = subprocess.run(
        argv,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=cwd,
    )
    return as_if_quick(done)


def as_if_quick(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """Without the lines that say what is waited for, as `mount` does when that takes more than some seconds."""
    done.stderr = re.sub(r"^Waiting for [^\n]* \(\d+ s\) \.\.\.\n", "", done.stderr, flags=re.MULTILINE)
    return done


def is_running(pid: int) -> bool:
    """Whether there is such a process, a zombie apart."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        return not select.select([fd], [], [], 0)[0]
    finally:
        os.close(fd)


def beneath(root: str) -> list[str]:
    """The mount points beneath a directory, inner ones first."""
    found = [entry.mountpoint for entry in table.read() if entry.mountpoint.startswith(root + "/")]
    return sorted(found, key=len, reverse=True)


def detach(path: str) -> None:
    """Takes a mount away and ends the waits of whoever still asks it, whatever its daemon does."""
    entry = table.top_at(path)
    if entry is None:
        return
    try:
        with open(f"/sys/fs/fuse/connections/{entry.minor}/abort", "w", encoding="ascii") as file:
            file.write("1")
    except OSError:
        pass  # not mounted there, or not ours
    try:
        _core.unmount(os.fsencode(path), True)
    except OSError:
        pass


def unusable() -> str:
    """Why nothing can be mounted here; "" when it can."""
    from alluxio_jnifuse.mounts import privileges

    try:
        privileges.check(privileges.look(), others=False)
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except (MountError, OSError) as error:
        return str(error)
    return ""
