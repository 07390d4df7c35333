"""The errno table, and what the messages of errors say."""

from __future__ import annotations

import errno

import pytest

from alluxio_jnifuse import errors
from alluxio_jnifuse.errors import (
    AlluxioFuseError,
    ConfigError,
    MountError,
    SourceError,
    StaleVersion,
    known_errno,
)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EMFILE, errno.ENFILE, errno.EACCES, errno.ECONNREFUSED, 1, 511])
def test_an_oserror_keeps_its_errno(number: int) -> None:
    """A source that says what is wrong is believed."""
    assert known_errno(OSError(number, "why")) == number


@pytest.mark.parametrize("number", [0, -2, 512, 100_000])
def test_an_errno_that_the_kernel_refuses_says_nothing(number: int) -> None:
    """A reply with such an errno is refused, and the application would wait for ever."""
    assert known_errno(OSError(number, "why")) is None


def test_an_errno_that_is_no_number_says_nothing() -> None:
    """OSError takes anything."""
    assert known_errno(OSError("two", "why")) is None


def test_enosys_never_reaches_the_kernel() -> None:
    """In FUSE it means "never ask again" for the whole mount."""
    assert known_errno(OSError(errno.ENOSYS, "why")) == errno.EOPNOTSUPP


@pytest.mark.parametrize(
    ("exc", "number"),
    [
        (FileNotFoundError("no errno"), errno.ENOENT),
        (NotADirectoryError("no errno"), errno.ENOTDIR),
        (IsADirectoryError("no errno"), errno.EISDIR),
        (FileExistsError("no errno"), errno.EEXIST),
        (PermissionError("no errno"), errno.EACCES),
        (TimeoutError("no errno"), errno.ETIMEDOUT),
        (MemoryError(), errno.ENOMEM),
        (StaleVersion("/a"), errno.ESTALE),
    ],
)
def test_the_table(exc: BaseException, number: int) -> None:
    """Exceptions that carry no errno of their own."""
    assert known_errno(exc) == number


@pytest.mark.parametrize("exc", [ValueError("x"), OSError("x"), SourceError("x"), KeyboardInterrupt()])
def test_whatever_else_says_nothing(exc: BaseException) -> None:
    """None of these says anything that an application could use."""
    assert known_errno(exc) is None


def test_every_row_of_the_table_is_reachable() -> None:
    """No row hides behind an earlier, more general one."""
    kinds = [kind for kind, _ in errors._ERRNO_OF]
    for i, kind in enumerate(kinds):
        assert not any(issubclass(kind, earlier) for earlier in kinds[:i])


def test_a_message_says_what_where_and_what_to_do() -> None:
    """Without empty parts."""
    assert str(MountError("it failed")) == "it failed"
    assert str(MountError("it failed", where="/m")) == "/m: it failed"
    assert str(ConfigError("it failed", where="/m", remedy="try again")) == "/m: it failed; try again"


@pytest.mark.parametrize("kind", [ConfigError, MountError, SourceError])
def test_one_base_catches_all(kind: type[AlluxioFuseError]) -> None:
    """A program that mounts needs one except clause."""
    exc = kind("what", where="where", remedy="remedy")
    assert isinstance(exc, AlluxioFuseError)
    assert (exc.what, exc.where, exc.remedy) == ("what", "where", "remedy")
