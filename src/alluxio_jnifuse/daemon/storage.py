"""The storage of a mount: asked for its settings, opened behind its cache, and waited for where that is wanted."""

from __future__ import annotations

import stat
import time
from typing import TYPE_CHECKING

from alluxio_jnifuse.config.values import ALLUXIO
from alluxio_jnifuse.errors import AlluxioFuseError, MountError, Unreachable
from alluxio_jnifuse.sources.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from alluxio_jnifuse.config.values import Config
    from alluxio_jnifuse.sources.base import Attr, Source

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 2.0  # between tries; a mount is not to come much later than its storage


def open_storage(config: Config, tell: Callable[[str], None]) -> tuple[Config, Source, Attr]:
    """The settings, with what the cluster says of clients, the storage, and what it has answered for its root.

    With the option `wait` a storage that cannot be reached is tried again until it can. `tell` gets what is waited
    for. Raises AlluxioFuseError.
    """
    tell("the storage to answer")
    pauses = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
    while True:
        try:
            asked, source = _open(config)
            root = _root(source, asked.ufs)
            break
        except Unreachable as error:
            if not config.flag("wait"):
                raise
            tell(f"the storage to answer: {error}")
        time.sleep(pauses.next())
    return asked, _cached(source, asked, tell), root


def _open(config: Config) -> tuple[Config, Source]:
    """The storage itself, and `config`, of a cluster with what its own configuration says of clients.

    Raises AlluxioFuseError.
    """
    if config.ufs.startswith(ALLUXIO):
        from alluxio_jnifuse.sources.alluxio import open_asked

        return open_asked(config)
    from alluxio_jnifuse.sources import open_source

    return config, open_source(config.ufs, config)


def _root(source: Source, ufs: str) -> Attr:
    """The root, as the storage answers for it. Raises AlluxioFuseError, and has closed the storage then."""
    try:
        root = source.stat(b"/")
        if not stat.S_ISDIR(root.mode):
            raise MountError("is not a directory", where=ufs, remedy="name the directory that it lies in")
    except BaseException as error:
        source.close()
        if isinstance(error, AlluxioFuseError) or not isinstance(error, Exception):
            raise
        raise _unusable(error, ufs) from error
    return root


def _unusable(error: Exception, ufs: str) -> MountError:
    """Why a storage cannot be mounted whose root was asked for in vain."""
    reason = error.strerror or str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return MountError(f"no such directory there ({reason})", where=ufs, remedy="correct the path")
    if isinstance(error, PermissionError):
        remedy = "let this user read and enter it, or mount as a user who may"
        return MountError(f"the storage denies it ({reason})", where=ufs, remedy=remedy)
    if isinstance(error, TimeoutError):
        return MountError(f"does not answer: {reason}", where=ufs, remedy="see whether it works, and the network")
    return MountError(f"answers with an error: {reason}", where=ufs, remedy="see whether it works, and its own log")


def _cached(source: Source, config: Config, tell: Callable[[str], None]) -> Source:
    """`source`, behind the client cache if that is on a disk. Raises AlluxioFuseError."""
    if not config.caching or config.cache_store == "MEM":
        return source
    tell(f"the client cache in {config.text('alluxio.user.client.cache.dirs')} to be read")
    from alluxio_jnifuse.cache.from_config import cached

    try:
        return cached(source, config)
    except BaseException:
        source.close()
        raise
