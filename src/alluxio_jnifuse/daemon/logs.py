"""The log of a mount: the core's messages and Python's go to one rotated file, or to the terminal.

A storage that fails does so thousands of times a second. So within REPEAT_S identical lines are written once, and of
warnings and errors that differ only in paths, numbers and what is quoted no more than ALIKE; a line tells of those left
out. Lines for debugging are all written.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import re
import stat
import sys
import time
from typing import TYPE_CHECKING, Protocol

from alluxio_jnifuse.config.secrets import masked_text
from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts.registry import is_trusted
from alluxio_jnifuse.system import trusted

if TYPE_CHECKING:
    from alluxio_jnifuse.config.values import Config

LOGGER = logging.getLogger("alluxio_jnifuse")

ROTATE_BYTES = 10 << 20
ROTATE_FILES = 5  # kept beside the current one
REPEAT_S = 60.0
ALIKE = 20
_REPEAT_LINES = 1000  # different lines remembered
_TICK_S = 10.0  # between two looks for repetitions whose time is over
_VARIES = re.compile(r"/\S*|'[^']*'|\"[^\"]*\"|\d+")  # in lines that are alike

_NO_FILE = "it is not a file"
_FORMAT = "%(asctime)s %(levelname)-5s %(message)s"
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")  # what ends a line somewhere, or moves a terminal
_LINE_ENDS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}  # those that JSON does not escape
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


class _JsonFormatter(logging.Formatter):
    """An object in one line for each message: time (UTC), level and message, without passwords of URIs."""

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        message = record.getMessage()
        if record.exc_info:
            message = f"{message}\n{self.formatException(record.exc_info)}"
        told = {
            "time": f"{seconds}.{int(record.msecs):03}Z",
            "level": record.levelname,
            "message": masked_text(message),
        }
        return json.dumps(told, ensure_ascii=False).translate(_LINE_ENDS)


class _Repeated:
    """Lines of which `left` may still be written until `end` (monotonic, s). `last`: of those left out."""

    __slots__ = ("end", "last", "left", "left_out")

    def __init__(self, end: float, left: int) -> None:
        self.end = end
        self.left = left
        self.left_out = 0
        self.last = ""

    def leaves_out(self, message: str) -> bool:
        """Whether a line is not written, but counted."""
        if self.left:
            self.left -= 1
            return False
        self.left_out += 1
        self.last = message
        return True


class LogHandler(logging.Handler):
    """Writes lines to a descriptor, leaving out repetitions; with a `path`, to a file that it rotates."""

    def __init__(self, fd: int, path: str = "", rotate_bytes: int = ROTATE_BYTES, *, as_json: bool = False) -> None:
        super().__init__()
        self.setFormatter(_JsonFormatter() if as_json else _Formatter(_FORMAT))
        self._fd = fd
        self._path = path
        self._rotate_bytes = self._rotate_at = rotate_bytes
        self._same: dict[tuple[int, str], _Repeated] = {}  # by level and line; handler's lock
        self._alike: dict[tuple[int, str], _Repeated] = {}  # by level and what does not vary; handler's lock

    def emit(self, record: logging.LogRecord) -> None:
        """Called with the handler's lock held."""
        now = time.monotonic()
        self._expire(now)
        if record.levelno <= logging.DEBUG or not self._leaves_out(record.levelno, record.getMessage(), now):
            self._write(self.format(record))

    def _leaves_out(self, level: int, message: str, now: float) -> bool:
        same = _noted(self._same, (level, message), now, 1)
        if same is not None and same.leaves_out(message):
            return True
        if level < logging.WARNING:
            return False
        alike = _noted(self._alike, (level, _VARIES.sub("", message)), now, ALIKE)
        return alike is not None and alike.leaves_out(message)

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
        for lines in (self._same, self._alike):
            for key in [key for key, each in lines.items() if each.end <= now]:
                each = lines.pop(key)
                if each.left_out:
                    text = f"{each.last} ({each.left_out} more like this within {REPEAT_S:g} s)"
                    self._write(self.format(logging.LogRecord("", key[0], "", 0, text, None, None)))

    def _write(self, line: str) -> None:
        try:
            os.write(self._fd, line.encode("utf-8", "backslashreplace") + b"\n")
            if self._path and os.fstat(self._fd).st_size >= self._rotate_at:
                self._rotate()
        except OSError:
            pass  # a full disk or a closed terminal must not stop the mount

    def _rotate(self) -> None:
        """Begins a new file, before an old one goes. Without one it goes on in this one for as long again."""
        path, name = os.path.split(self._path)
        fresh = f"{name}.new"
        self._rotate_at = os.fstat(self._fd).st_size + self._rotate_bytes
        directory = trusted.open_lent_directory(path)
        try:
            fd = _open(directory, fresh)
            if fd is None:
                return
            try:
                self._replace(directory, name, fresh, fd)
            except BaseException:
                os.close(fd)
                raise
        finally:
            os.close(directory)
        os.dup2(fd, self._fd, inheritable=False)
        for standard in (1, 2):  # what C libraries print belongs here too
            os.dup2(fd, standard)
        os.close(fd)
        self._rotate_at = self._rotate_bytes

    def _replace(self, directory: int, name: str, fresh: str, fd: int) -> None:
        """Gives `fresh`, which is `fd`, the name of the log, and each old file the next name."""
        os.ftruncate(fd, 0)
        os.fchmod(fd, stat.S_IMODE(os.fstat(self._fd).st_mode))  # whatever the umask has become
        for number in range(ROTATE_FILES, 0, -1):
            newer = f"{name}.{number - 1}" if number > 1 else name
            try:
                os.replace(newer, f"{name}.{number}", src_dir_fd=directory, dst_dir_fd=directory)
            except FileNotFoundError:
                pass
        os.replace(fresh, name, src_dir_fd=directory, dst_dir_fd=directory)


def _noted(lines: dict[tuple[int, str], _Repeated], key: tuple[int, str], now: float, left: int) -> _Repeated | None:
    """Returns what is known of such lines, from now on if need be; None when there are too many to be remembered."""
    known = lines.get(key)
    if known is None and len(lines) < _REPEAT_LINES:
        known = lines[key] = _Repeated(now + REPEAT_S, left)
    return known


def to_terminal(*, debug: bool, as_json: bool = False) -> LogHandler:
    """Sends the log to stderr, as it is now."""
    return _install(LogHandler(os.dup(2), as_json=as_json), debug)


def to_file(fd: int, path: str, *, debug: bool, as_json: bool = False) -> LogHandler:
    """Sends the log to what `open_file` opened, stdout and stderr as well."""
    for standard in (1, 2):
        os.dup2(fd, standard)
    return _install(LogHandler(fd, path, as_json=as_json), debug)


def settings_of(config: Config) -> dict[str, bool]:
    """Returns how a mount wants its log: arguments of the functions above."""
    return {"debug": config.flag("alluxio.fuse.debug.enabled"), "as_json": config.text("log_format") == "JSON"}


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
            entry = core.next_log(_TICK_S)
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
