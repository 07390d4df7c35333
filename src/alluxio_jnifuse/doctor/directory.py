"""Checks of a directory of this machine that is to be shown."""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.parse import unquote

from alluxio_jnifuse.doctor.finding import ERROR, OK, Finding
from alluxio_jnifuse.doctor.subject import Subject


def directory(subject: Subject) -> Iterator[Finding]:
    """Whether it is there, and can be read."""
    uri = subject.ufs
    path = unquote(uri.partition("://")[2]) if uri.startswith("file:") else uri
    try:
        with os.scandir(path) as entries:
            next(entries, None)
    except NotADirectoryError:
        yield Finding(ERROR, "is a file, not a directory", path, "name the directory that it lies in", f"ls -ld {path}")
    except FileNotFoundError:
        yield Finding(ERROR, "is not there", path, "correct the path", f"ls -ld {os.path.dirname(path)}")
    except PermissionError:
        line = f"chmod o+rx {path}" if os.geteuid() else f"ls -ld {path}"
        yield Finding(ERROR, "this user may not read it", path, "let this user read and enter it", line)
    else:
        yield Finding(OK, "can be read", path)
