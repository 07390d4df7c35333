"""The cases of Alluxio's own tests of its FUSE client, and what becomes of each here.

They are those of `integration/fuse` and `tests/src/test/java/alluxio/client/fuse` of Alluxio 2.9.
tests/alluxio/test_their_cases.py runs them on a mount of a real cluster; `python -m their_cases` writes docs/CASES.md.
"""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

# What the cluster holds when a case begins; no case changes it.
NAME, SIZE = "file", 40_960
DIRECTORY, INSIDE = "directory", "inside"
LONGEST = "n" * 255


def content(name: str, size: int = SIZE) -> bytes:
    """The bytes of a file of that name."""
    return hashlib.shake_128(name.encode()).digest(size)


class Case(NamedTuple):
    """`what` comes of it here; `check(top)` makes sure of it, in a mount on `top`."""

    what: str
    check: Callable[[str], None]


def _refused(
    *, name: str = NAME, also: tuple[int, ...] = ()
) -> Callable[[Callable[[str], object]], Callable[[str], None]]:
    def wrap(action: Callable[[str], object]) -> Callable[[str], None]:
        def check(top: str) -> None:
            try:
                action(os.path.join(top, name))
            except OSError as error:
                if error.errno not in (errno.EROFS, *also):
                    raise
            else:
                raise AssertionError("it was done")
            assert Path(top, NAME).read_bytes() == content(NAME)

        return check

    return wrap


def _write(flags: int, name: str = NAME, data: bytes = b"x") -> Callable[[str], None]:
    """Opens with flags, and writes, at the start or, of a longer file, further on."""

    def action(path: str) -> None:
        fd = os.open(path, flags, 0o644)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)

    return _refused(name=name)(action)


def _sound(top: str) -> None:
    assert Path(top, NAME).read_bytes() == content(NAME)


def _attributes(top: str) -> None:
    status = os.stat(os.path.join(top, NAME))
    assert (status.st_size, status.st_mode & 0o170000, status.st_nlink) == (SIZE, 0o100000, 1)
    status = os.stat(os.path.join(top, DIRECTORY))
    assert status.st_mode & 0o170000 == 0o040000


def _missing(top: str) -> None:
    try:
        os.open(os.path.join(top, "missing"), os.O_RDONLY)
    except FileNotFoundError:
        return
    raise AssertionError("it was opened")


def _ranges(top: str) -> None:
    data = content(NAME)
    fd = os.open(os.path.join(top, NAME), os.O_RDONLY)
    try:
        for offset in (SIZE - 1, 0, SIZE // 2, 4096, 1, SIZE):
            assert os.pread(fd, 5000, offset) == data[offset : offset + 5000]
    finally:
        os.close(fd)


def _statfs(top: str) -> None:
    figures = os.statvfs(top)
    assert figures.f_blocks > 0
    assert figures.f_bavail <= figures.f_blocks
    assert figures.f_namemax == 255


def _flush(top: str) -> None:
    fd = os.open(os.path.join(top, NAME), os.O_RDONLY)
    os.close(os.dup(fd))  # a close of one descriptor of several is a FLUSH
    os.fsync(fd)
    os.close(fd)


def _output(*words: str) -> Callable[[str], bytes]:
    return lambda top: subprocess.run(words, cwd=top, capture_output=True, check=True, timeout=120).stdout


def _says(expected: bytes, *words: str) -> Callable[[str], None]:
    def check(top: str) -> None:
        said = _output(*words)(top)
        assert said == expected, said

    return check


def _path(top: str) -> None:
    assert os.listdir(os.path.join(top, DIRECTORY)) == [INSIDE]
    assert Path(top, DIRECTORY, INSIDE).read_bytes() == content(INSIDE)
    assert sorted(os.listdir(top)) == sorted([NAME, DIRECTORY])


_READ_BACK = Case("what was written with Alluxio's shell is read here", _sound)
_RANDOM = Case("any range, in any order", _ranges)
_ENOENT = Case("ENOENT", _missing)


def _erofs(check: Callable[[str], None]) -> Case:
    return Case("EROFS, and nothing is changed", check)


_NEW = _erofs(_write(os.O_CREAT | os.O_WRONLY, "new"))
_OVER = _erofs(_write(os.O_WRONLY))
_TRUNCATED = _erofs(_write(os.O_WRONLY | os.O_TRUNC))
_BOTH = _erofs(_write(os.O_RDWR))
_BOTH_NEW = _erofs(_write(os.O_RDWR | os.O_CREAT, "new"))
_BOTH_TRUNCATED = _erofs(_write(os.O_RDWR | os.O_TRUNC))
_CUT = _erofs(_refused()(lambda path: os.truncate(path, SIZE // 2)))
_EMPTIED = _erofs(_refused()(lambda path: os.truncate(path, 0)))
_LONGER = _erofs(_refused()(lambda path: os.truncate(path, 2 * SIZE)))
_CHMOD = _erofs(_refused()(lambda path: os.chmod(path, 0o600)))
_CHOWN = _erofs(_refused()(lambda path: os.chown(path, 1, 1)))
_CHGRP = _erofs(_refused()(lambda path: os.chown(path, -1, 1)))
_RENAME = _erofs(_refused()(lambda path: os.rename(path, f"{path}.new")))
_MKDIR = _erofs(_refused(name="new")(os.mkdir))

CASES: dict[str, dict[str, Case]] = {
    "AlluxioJniFuseFileSystemTest": {
        "chmod": _CHMOD,
        "chown": _CHOWN,
        "chownWithoutValidGid": _erofs(_refused()(lambda path: os.chown(path, 1, -1))),
        "chownWithoutValidUid": _CHGRP,
        "chownWithoutValidUidAndGid": _CHOWN,
        "create": _NEW,
        "createWithLengthLimit": _erofs(_write(os.O_CREAT | os.O_WRONLY, LONGEST)),
        "flush": Case("nothing is to be done, and no error comes", _flush),
        "getattr": Case("size, type and links", _attributes),
        "getattrWithDelay": Case("size, type and links", _attributes),
        "getattrWhenWriting": _NEW,
        "mkDir": _MKDIR,
        "mkDirWithLengthLimit": _erofs(_refused(name=LONGEST)(os.mkdir)),
        "openWithoutDelay": _READ_BACK,
        "read": _READ_BACK,
        "rename": _RENAME,
        "renameOldNotExist": Case(
            "ENOENT", _refused(name="missing", also=(errno.ENOENT,))(lambda path: os.rename(path, f"{path}.new"))
        ),
        "renameNewExist": _erofs(
            _refused()(lambda path: os.rename(path, f"{os.path.dirname(path)}/{DIRECTORY}/{INSIDE}"))
        ),
        "renameWithLengthLimit": _erofs(_refused()(lambda path: os.rename(path, f"{os.path.dirname(path)}/{LONGEST}"))),
        "rmdir": _erofs(_refused(name=DIRECTORY)(os.rmdir)),
        "write": _OVER,
        "unlink": _erofs(_refused()(os.unlink)),
        "pathTranslation": Case("paths below the mount are those of the cluster", _path),
        "statfs": Case("the capacity of the cluster", _statfs),
    },
    "AbstractFuseIntegrationTest": {
        "cat": Case("the bytes", _says(content(NAME), "cat", NAME)),
        "chgrp": _CHGRP,
        "chmod": _CHMOD,
        "chown": _CHOWN,
        "cp": Case("the bytes, out of the mount", _says(content(NAME), "cp", NAME, "/dev/stdout")),
        "ddDuAndRm": Case(
            "`du` shows the blocks of the size", _says(f"{SIZE // 1024}\t{NAME}\n".encode(), "du", "-k", NAME)
        ),
        "head": Case("the first bytes", _says(content(NAME)[:17], "head", "-c", "17", NAME)),
        "ls": Case("names and sizes", _says(f"40K {NAME}\n".encode(), "ls", "-sh", NAME)),
        "mkdirAndMv": _MKDIR,
        "tail": Case("the last bytes", _says(content(NAME)[-17:], "tail", "-c", "17", NAME)),
        "touchAndLs": _erofs(_refused(name="new")(lambda path: Path(path).touch())),
    },
    "JNIFuseIntegrationTest": {
        "createWriteOpenRead": _READ_BACK,
        "openWriteNonExisting": _NEW,
        "openWriteWithoutTruncFlag": _OVER,
        "openWriteWithTruncFlag": _TRUNCATED,
        "openWriteWithTruncate": _EMPTIED,
        "openReadWriteNonExisting": _BOTH_NEW,
        "openReadWriteExisting": _BOTH,
        "openReadWriteEmptyFile": _BOTH,
        "openReadWriteTruncExisting": _BOTH_TRUNCATED,
    },
    "FuseFileInStreamIntegrationTest": {
        "createRead": _READ_BACK,
        "createNonexisting": _ENOENT,
        "randomRead": _RANDOM,
        "write": _OVER,
        "truncate": _CUT,
    },
    "FuseFileOutStreamIntegrationTest": {
        "createEmpty": _NEW,
        "createExisting": _OVER,
        "createTruncateFlag": _TRUNCATED,
        "createTruncateZeroWrite": _EMPTIED,
        "read": _READ_BACK,
        "randomWrite": _OVER,
        "sequentialWriteAndgetFileLength": _NEW,
        "truncateZeroOrDefaultFileLen": _EMPTIED,
        "truncateMiddle": _CUT,
        "openExistingTruncateFuture": _LONGER,
        "truncateBiggerThanBytesWritten": _LONGER,
        "truncateFileLen": _erofs(_refused()(lambda path: os.truncate(path, SIZE))),
        "truncateBiggerThanFileLen": _LONGER,
        "truncateMultiple": _CUT,
    },
    "FuseFileInOrOutStreamIntegrationTest": {
        "createNonexistingClose": _BOTH_NEW,
        "createExistingClose": _BOTH,
        "openTruncate": _BOTH_TRUNCATED,
        "createTruncateFlagClose": _BOTH_TRUNCATED,
        "createTruncateFlagRead": _BOTH_TRUNCATED,
        "createTruncateFlagWrite": _BOTH_TRUNCATED,
        "createTruncateZeroWrite": _EMPTIED,
        "sequentialRead": _READ_BACK,
        "randomRead": _RANDOM,
        "sequentialWrite": _BOTH_NEW,
        "truncateZeroOrDefaultFileLen": _EMPTIED,
        "randomWrite": _BOTH,
        "readThenWrite": _BOTH,
        "writeThenRead": _BOTH,
        "readTruncateZero": _EMPTIED,
        "truncateMiddle": _CUT,
    },
    "MixedFuseStreamIntegrationTest": {
        "writeThenOpenRead": _READ_BACK,
        "writeThenOpenReadWrite": _BOTH,
        "writeThenOverwrite": _TRUNCATED,
        "writeThenOverwriteReadWrite": _BOTH_TRUNCATED,
    },
}

# Shown by tests of their own: "path::function".
ELSEWHERE = {
    "AlluxioJniFuseFileSystemTest.incompleteFileCannotOpen": (
        "a file that is being written is shown, and its open waits or fails",
        "tests/alluxio/test_mount_metadata.py::test_an_unfinished_file",
    ),
    "FuseShellTest": (
        "the commands drop, dropAll and size of `.alluxiocli.metadatacache`",
        "tests/alluxio/test_mount_metadata.py::test_drop",
    ),
    "AlluxioFuseUtilsTest, auth/*PolicyTest": (
        "names of the cluster as users of this machine",
        "tests/unit/test_cluster_config.py::test_owners",
    ),
}

_HEAD = """\
# Cases of Alluxio's own tests

Alluxio tests its FUSE client with the cases in this table. `tests/alluxio/test_their_cases.py` runs each of them on a
mount of a real cluster; what writes expects EROFS, since this release does not write. This page is made by `make docs`.

| suite of Alluxio 2.9 | case | here |
|---|---|---|"""


def page() -> str:
    """docs/CASES.md."""
    lines = [_HEAD]
    for suite, cases in CASES.items():
        lines += [f"| `{suite}` | `{name}` | {case.what} |" for name, case in cases.items()]
    lines += [
        f"| `{name}` | | {what}: [{test.rpartition('::')[2]}](../{test.rpartition('::')[0]}) |"
        for name, (what, test) in ELSEWHERE.items()
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    print(page(), end="")
