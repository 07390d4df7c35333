"""The log of a mount: the core's messages and Python's go to one rotated file, or to the terminal.

Identical lines are written once every REPEAT_S with the number of those left out, because a storage that fails
does so thousands of times a second.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import stat
import sys
import time
from typing import Protocol

from alluxio_jnifuse.config.secrets import masked_text
from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts.registry import is_trusted
from alluxio_jnifuse.system import trusted

LOGGER = logging.getLogger("alluxio_jnifuse")

ROTATE_BYTES = 10 << 20
ROTATE_FILES = 5  # kept beside the current one
REPEAT_S = 10.0
_REPEAT_LINES = 1000  # different lines remembered; a storm of different ones is not what this is for

_NO_FILE = "it is not a file"
_FORMAT = "%(asctime)s %(levelname)-5s %(message)s"
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")  # what ends a line somewhere, or moves a terminal
# log4j's names, which people grep for.
_LEVEL_NAMES = {logging.WARNING: "WARN", logging.CRITICAL: "FATAL"}
# By enum ajf_log_level.
_CORE_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)


class _Formatter(logging.Formatter):
    """One line for each message, which no file name can make look like two, and without passwords of URIs."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        return masked_text(super().format(record))


class LogHandler(logging.Handler):
    """Writes lines to a descriptor, leaving out repetitions; with a `path`, to a file that it rotates."""

    def __init__(self, fd: int, path: str = "", rotate_bytes: int = ROTATE_BYTES) -> None:
        super().__init__()
        self.setFormatter(_Formatter(_FORMAT))
        self._fd = fd
        self._path = path
        self._rotate_bytes = rotate_bytes
        self._repeats: dict[tuple[int, str], tuple[float, int]] = {}  # (window's end, left out); handler's lock

    def emit(self, record: logging.LogRecord) -> None:
        """Called with the handler's lock held."""
        message = record.getMessage()
        now = time.monotonic()
        self._expire(now)
        key = (record.levelno, message)
        if key in self._repeats:
            end, left_out = self._repeats[key]
            self._repeats[key] = (end, left_out + 1)
            return
        if len(self._repeats) < _REPEAT_LINES:
            self._repeats[key] = (now + REPEAT_S, 0)
        self._write(self.format(record))

    def tick(self) -> None:
        """Tells of repetitions whose time is over; called now and then."""
        self.acquire()
        try:
            self._expire(time.monotonic())
        finally:
            self.release()

    def close(self) -> None:
        self.acquire()
        try:
            self._expire(float("inf"))
        finally:
            self.release()
        super().close()

    def _expire(self, now: float) -> None:
        over = [(key, left_out) for key, (end, left_out) in self._repeats.items() if end <= now]
        for key, left_out in over:
            del self._repeats[key]
            if left_out:
                text = f"{key[1]} ({left_out} more like this within {REPEAT_S:g} s)"
                self._write(self.format(logging.LogRecord("", key[0], "", 0, text, None, None)))

    def _write(self, line: str) -> None:
        try:
            os.write(self._fd, line.encode("utf-8", "backslashreplace") + b"\n")
            if self._path and os.fstat(self._fd).st_size >= self._rotate_bytes:
                self._rotate()
        except OSError:
            pass  # a full disk or a closed terminal must not stop the mount

    def _rotate(self) -> None:
        path, name = os.path.split(self._path)
        directory = trusted.open_lent_directory(path)
        try:
            for number in range(ROTATE_FILES, 0, -1):
                newer = f"{name}.{number - 1}" if number > 1 else name
                try:
                    os.replace(newer, f"{name}.{number}", src_dir_fd=directory, dst_dir_fd=directory)
                except FileNotFoundError:
                    pass
            fd = _open(directory, name)
        finally:
            os.close(directory)
        if fd is not None:
            os.dup2(fd, self._fd, inheritable=False)
            for standard in (1, 2):  # what C libraries print belongs here too
                os.dup2(fd, standard)
            os.close(fd)


def to_terminal(debug: bool) -> LogHandler:
    """Sends the log to stderr, as it is now."""
    return _install(LogHandler(os.dup(2)), debug)


def to_file(fd: int, path: str, debug: bool) -> LogHandler:
    """Sends the log to what `open_file` opened, stdout and stderr as well."""
    for standard in (1, 2):
        os.dup2(fd, standard)
    return _install(LogHandler(fd, path), debug)


def _install(handler: LogHandler, debug: bool) -> LogHandler:
    if sys.version_info >= (3, 12):
        logging.logAsyncioTasks = False  # else asyncio is asked at each line, which would load it (system/later.py)
    for level, name in _LEVEL_NAMES.items():
        logging.addLevelName(level, name)
    LOGGER.handlers[:] = [handler]
    LOGGER.propagate = False
    LOGGER.setLevel(logging.DEBUG if debug else logging.INFO)
    return handler


def open_file(directory: str, stem: str) -> tuple[int, str]:
    """Opens the log file of one mount for appending and locks it; returns descriptor and path.

    In `directory` when given (Alluxio's logs directory): `fuse.log`, as AlluxioFuse calls it, or `fuse-STEM.log`
    when another mount writes that. Otherwise `STEM.log` in the first default directory that can be written to.
    Raises MountError.
    """
    if directory:
        attempts = [os.path.join(directory, name) for name in ("fuse.log", f"fuse-{stem}.log")]
    else:
        attempts = [os.path.join(default, f"{stem}.log") for default in default_directories(os.geteuid())]
    problem = ""
    for path in attempts:
        try:
            parent = trusted.open_lent_directory(os.path.dirname(path), make=True)
            try:
                if not directory and not is_trusted(os.path.dirname(path), os.geteuid()):
                    problem = "lies in a directory that others may write to"
                    continue
                fd = _open(parent, os.path.basename(path))
            finally:
                os.close(parent)
        except OSError as error:
            reason = "its directory is a file" if error.errno == errno.ENOTDIR else error.strerror
            problem = f"cannot be written: {reason}"
            continue
        if fd is not None:
            return fd, path
        problem = "is in use by another process"
    raise MountError(problem, where=f"log file {attempts[-1]}", remedy="choose a directory with ALLUXIO_LOGS_DIR")


def default_directories(uid: int) -> list[str]:
    """Returns where log files of user `uid` lie when nobody says; the second is for users without a home directory."""
    if uid == 0:
        return ["/var/log/alluxio-jnifuse", "/tmp/alluxio-jnifuse-0"]
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return [os.path.join(state, "alluxio-jnifuse"), f"/tmp/alluxio-jnifuse-{uid}"]


def _open(directory: int, name: str) -> int | None:
    """A descriptor of a file, locked; None when somebody else has it. Raises OSError, also when it is no file.

    It names files and directories that not everybody may list, so not everybody may read it. One with another name is
    somebody's who wants it to grow, or to be read by those who read logs.
    """
    # O_NONBLOCK: a FIFO would be waited for.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        fd = os.open(name, flags, 0o640, dir_fd=directory)
    except OSError as error:
        raise OSError(errno.EINVAL, _NO_FILE) if error.errno == errno.ENXIO else error from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise OSError(errno.EINVAL, "it has another name" if stat.S_ISREG(status.st_mode) else _NO_FILE)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd


class Talking(Protocol):
    """A binding that has messages for the log, as `_core.Core`."""

    def next_log(self, timeout: float) -> tuple[int, int, str] | None: ...


def drain(core: Talking, handler: LogHandler) -> None:
    """Moves the core's messages into the log until the core was stopped; the work of a thread of its own."""
    from alluxio_jnifuse._core import Stopped

    try:
        while True:
            entry = core.next_log(REPEAT_S)
            if entry is None:
                handler.tick()
                continue
            level, time_ns, text = entry
            record = logging.LogRecord(LOGGER.name, _CORE_LEVELS[level], "", 0, text, None, None)
            record.created = time_ns / 1e9
            record.msecs = time_ns // 1_000_000 % 1000
            if LOGGER.isEnabledFor(record.levelno):
                LOGGER.handle(record)
    except Stopped:
        pass
