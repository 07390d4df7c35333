"""Names that are commands: `ls -l DIRECTORY/.alluxiocli.metadatacache.drop` and its like, as AlluxioFuse has them.

Looking such a name up gives the command, for that directory and everything below it; no listing shows it. Every user
who can look names up can give it, so it has to be allowed (alluxio.fuse.special.command.enabled).
"""

from __future__ import annotations

import errno
import logging
import os
import time
from typing import TYPE_CHECKING

from alluxio_jnifuse.sources.base import BLOCKS_FROM_SIZE, Attr

if TYPE_CHECKING:
    from alluxio_jnifuse.sources.base import Source

log = logging.getLogger(__name__)

_PREFIX = b".alluxiocli."


class Commands:
    """The commands of one mount. Any thread."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def obey(self, path: bytes) -> Attr | None:
        """Obeys `path` if it names a command; the answer is the size of the file that it seems to be.

        Raises FileNotFoundError for a command that does not exist.
        """
        directory, _, name = path.rpartition(b"/")
        if not name.startswith(_PREFIX):
            return None
        size = 0
        what = name[len(_PREFIX) :]
        if what == b"metadatacache.size":
            size = self._source.remembered()
        elif what in (b"metadatacache.drop", b"metadatacache.dropAll"):
            top = b"/" if what.endswith(b"All") else directory or b"/"
            self._source.forget(top)
            self._source.invalidate(top)
        else:
            log.warning("%r is no command; there are metadatacache.drop, .dropAll and .size", os.fsdecode(name))
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        now = time.time_ns()
        # Neither a link nor a version: true for this once, and of a name that is in no listing.
        return Attr(0, size, BLOCKS_FROM_SIZE, 0, now, now, now, 0o100444, 0, os.getuid(), os.getgid())
