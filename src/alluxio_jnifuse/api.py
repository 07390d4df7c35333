"""The Python API: `mount()` and `Mount`. The file system runs in a process of its own, never in the caller's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts import stats as mount_stats
from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.mounts.registry import Record, Registry
from alluxio_jnifuse.mounts.unmount import WAIT_S, unmount

if TYPE_CHECKING:
    from types import TracebackType

    Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]

# The command, without the working directory among the places of modules: `python -m` would import a getopt.py from it.
_PROGRAM = "import sys; sys.path[:] = filter(None, sys.path); from alluxio_jnifuse.cli import main; sys.exit(main())"


class Mount:
    """A mounted file system; leaving it as a context manager unmounts it, also when its files are in use.

    `mountpoint`: the absolute path; `pid`: the process that serves it; `log`: the path of its log file.
    """

    def __init__(self, record: Record) -> None:
        self.mountpoint = record.mountpoint
        self.pid = record.pid
        self.log = record.log

    def __repr__(self) -> str:
        return f"<Mount {self.mountpoint!r} pid {self.pid}>"

    def __enter__(self) -> Mount:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.unmount(lazy=True)

    def stats(self) -> dict[str, int]:
        """The counters of the mount now, by the names of docs/METRICS.md. Raises MountError when it has ended."""
        return mount_stats.request(self.mountpoint).stats

    def features(self) -> frozenset[str]:
        """Returns the features that the kernel granted this mount. Raises MountError when it has ended."""
        return frozenset(mount_stats.request(self.mountpoint).features)

    def unmount(self, *, force: bool = False, lazy: bool = False, timeout: float = WAIT_S) -> None:
        """Unmounts and waits up to `timeout` s for the process to end; nothing happens when it is unmounted already.

        A mount in use stays, unless it is detached (`lazy`), or its process killed (`force`). Raises MountError.
        """
        unmount(self.mountpoint, force=force, lazy=lazy, wait=timeout)


def mount(
    ufs: Path,
    mountpoint: Path,
    *,
    options: Mapping[str, object] | Iterable[str] | str = (),
    properties: Mapping[str, object] | None = None,
    alluxio_path: str = "/",
) -> Mount:
    """Mounts the storage `ufs` (a directory or a URI) on `mountpoint` and returns when it answers.

    `options`: mount options, as {"attr_timeout": 60, "kernel_cache": True}, ["ro", "max_read=131072"] or "ro,uid=0";
    `properties`: {"alluxio.user.client.cache.enabled": True}; `alluxio_path`: the part of the storage to show.
    The environment and alluxio-site.properties count as on the command line. Raises MountError with the reason.
    """
    import json
    import subprocess
    import sys

    from alluxio_jnifuse.config.secrets import SECRETS_VARIABLE, is_secret

    command = [sys.executable, "-c", _PROGRAM, "mount", "--ufs", _storage_word(ufs)]
    for word in _option_words(options):
        command += ["-o", word]
    secrets = {}  # everybody can see a command line
    for key, value in (properties or {}).items():
        if is_secret(key):
            secrets[key] = _text(value)
        else:
            command += ["-D", f"{key}={_text(value)}"]
    command += ["--", os.fsdecode(mountpoint), alluxio_path]
    environ = {**os.environ, SECRETS_VARIABLE: json.dumps(secrets)} if secrets else None
    done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise MountError(said or f"the mount command ended with exit code {done.returncode}")
    record = Registry().find(table.resolve(os.fsdecode(mountpoint)))
    if record is None:
        raise MountError("was unmounted at once", where=os.fsdecode(mountpoint))
    return Mount(record)


def _storage_word(path: Path) -> str:
    """`path` as an argument: names in a storage are UTF-8, those of local files what this process takes them for."""
    text = os.fsdecode(path)
    return os.fsdecode(text.encode("utf-8", "surrogateescape")) if "://" in text else text


def _option_words(options: Mapping[str, object] | Iterable[str] | str) -> list[str]:
    if isinstance(options, str):
        return [options] if options else []
    if not isinstance(options, Mapping):
        return list(options)
    words = []
    for name, value in options.items():
        if value is True:
            words.append(name)
        elif value is False:
            words += [f"{name}=off"] if _is_switch(name) else []
        else:
            words.append(f"{name}={_text(value)}".replace(",", "\\,"))
    return words


def _is_switch(name: str) -> bool:
    from alluxio_jnifuse.config.options import BY_NAME

    return name in BY_NAME and BY_NAME[name].kind == "switch"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
