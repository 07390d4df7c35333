"""Checks of a storage that is neither a bucket nor a cluster: a directory, or one that a plugin shows.

It is opened as `mount` opens it, listed, and closed.
"""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote
from urllib.parse import unquote

from alluxio_jnifuse.doctor.finding import ERROR, OK, Finding, of_error
from alluxio_jnifuse.doctor.subject import Subject
from alluxio_jnifuse.errors import ConfigError, SourceError


def storage(subject: Subject) -> Iterator[Finding]:
    """Whether it is named, can be opened, and can be listed."""
    config = subject.config
    if config is None:
        return
    if not config.ufs:
        what = "no storage is named and no cluster is configured"
        yield Finding(ERROR, what, remedy="name a directory, a bucket or a master", line="-u DIRECTORY")
        return
    from alluxio_jnifuse.sources import open_source

    try:
        source = open_source(config.ufs, config)
    except (ConfigError, SourceError) as error:
        found = of_error(error)
        yield found._replace(line=found.line or (_look_at(config.ufs) if subject.of_directory else "-u URI"))
        return
    try:
        source.list(b"/")
    except OSError as error:
        what = f"cannot be listed: {error.strerror or error}"
        yield Finding(ERROR, what, config.ufs, "let this user read and enter it", _look_at(config.ufs))
    else:
        yield Finding(OK, "can be listed", config.ufs)
    finally:
        source.close()


def _look_at(ufs: str) -> str:
    """The line that shows why a directory, a path or a URI of one, cannot be used."""
    path = unquote(ufs[len("file://") :]) if ufs.startswith("file://") else ufs
    return f"ls -ld {quote(path)}"
