"""The two directories of a cluster: one for files, one in memory. They are locked as long as they are in use."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from zlib import crc32

_FILES = Path(os.path.realpath(tempfile.gettempdir())) / f"ajf-cluster-{os.getuid()}"
# Of its own for each directory of temporary files: sweep looks there for the lock of what lies here.
_MEMORY = Path("/dev/shm") / f"{_FILES.name}-{crc32(os.fsencode(_FILES)):08x}"


class Directories:
    """New ones, `base` and `memory`, until they are closed; the paths are short enough for sockets."""

    def __init__(self) -> None:
        for root in (_FILES, _MEMORY):
            root.mkdir(mode=0o755, exist_ok=True)
        lock = None
        while lock is None:  # somebody sweeps it before it is locked
            self.base = Path(tempfile.mkdtemp(prefix="", dir=_FILES))
            self.base.chmod(0o755)
            lock = _lock(self.base)
        self._lock = lock
        self.memory = _MEMORY / self.base.name
        self.memory.mkdir(mode=0o755)

    def close(self) -> None:
        """Removes them."""
        _remove(self.base)
        os.close(self._lock)


def sweep() -> None:
    """Removes what clusters left whose process is no more."""
    names = {path.name for root in (_FILES, _MEMORY) if root.is_dir() for path in root.iterdir()}
    for name in names:
        base = _FILES / name
        lock = _lock(base)
        if lock is not None or not base.exists():
            _remove(base)
        if lock is not None:
            os.close(lock)


def _lock(base: Path) -> int | None:
    """A lock of a directory, or None when it is in use or gone. The lock ends with the process."""
    try:
        lock = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), os.stat(base)):
            return lock
    except OSError:
        pass  # in use, or removed meanwhile
    os.close(lock)
    return None


def _remove(base: Path) -> None:
    shutil.rmtree(_MEMORY / base.name, ignore_errors=True)
    shutil.rmtree(base, ignore_errors=True)
