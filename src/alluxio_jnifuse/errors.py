"""The exceptions of this package, and the one table that turns an exception into an errno."""

from __future__ import annotations

import errno
import os

# The kernel takes errnos 1..511 in a reply; it refuses a reply with another one, and the application would wait
# for ever (fs/fuse/dev.c, fuse_dev_do_write).
_LARGEST_ERRNO = 511


# The characters that a terminal obeys, ends of lines and tabs apart.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))}


def printable(text: str) -> str:
    """Text of which a storage may have sent a part, for a terminal: control characters are written as \\xNN."""
    return text.translate(_CONTROLS)


class AlluxioFuseError(Exception):
    """Something that a person has to be told: what is wrong, where, and what to do about it.

    The message reads ``where: what; remedy``, without the parts that are empty, and moves no terminal.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        message = f"{where}: {what}" if where else what
        super().__init__(printable(f"{message}; {remedy}" if remedy else message))


class ConfigError(AlluxioFuseError):
    """An option, a URI or a file of settings cannot be used as it is."""


class MountError(AlluxioFuseError):
    """The file system could not be mounted, served or unmounted."""


class SourceError(AlluxioFuseError):
    """A source cannot be opened, or broke its contract."""


class Unreachable(SourceError):
    """The storage does not answer, or not yet: another try may succeed."""


class StaleVersion(SourceError):
    """The file is not the version any more that was looked up or opened."""

    def __init__(self, where: str) -> None:
        super().__init__("the file has changed", where=where)


class CorruptContents(SourceError):
    """The bytes that came do not agree with the storage's own checksum; none of them may be kept."""


# First match wins. OSError with an errno of its own never gets as far as this table.
_ERRNO_OF: tuple[tuple[type[BaseException], int], ...] = (
    (StaleVersion, errno.ESTALE),
    (FileNotFoundError, errno.ENOENT),
    (NotADirectoryError, errno.ENOTDIR),
    (IsADirectoryError, errno.EISDIR),
    (FileExistsError, errno.EEXIST),
    (PermissionError, errno.EACCES),
    (TimeoutError, errno.ETIMEDOUT),
    (MemoryError, errno.ENOMEM),
)


def known_errno(exc: BaseException) -> int | None:
    """The errno (1..511) that `exc` stands for, or None when it says nothing that an application could use."""
    number = exc.errno if isinstance(exc, OSError) else None
    if number is None:
        return next((err for kind, err in _ERRNO_OF if isinstance(exc, kind)), None)
    if number == errno.ENOSYS:
        # In a FUSE reply ENOSYS means "never ask again": one failed OPEN would change every later one of the mount.
        return errno.EOPNOTSUPP
    return number if isinstance(number, int) and 0 < number <= _LARGEST_ERRNO else None


_REMEDY_OF = {
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise fs.file-max (sysctl)",
    errno.ENOMEM: "free memory, or raise the limit (ulimit -v, or that of the container)",
    errno.EAGAIN: "raise the limit of processes (ulimit -u)",
}


def in_words(error: OSError) -> str:
    """Returns the words of the system for a person: where, what and, if it is always the same, the remedy."""
    where = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
    return str(AlluxioFuseError(error.strerror or str(error), where=where, remedy=_REMEDY_OF.get(error.errno or 0, "")))


def forget_frames(exc: BaseException) -> None:
    """Parts an exception, and those that led to it, from the frames that they passed.

    For code that catches one: the frames hold the fetch or the buffer that is being read into, and with a frame that
    holds the exception they are a circle, which would keep the buffer until the next garbage collection. The core
    waits for it to be given back.
    """
    found = [exc]
    for each in found:
        each.__traceback__ = None
        found += [more for more in (each.__cause__, each.__context__) if more is not None and more not in found]
