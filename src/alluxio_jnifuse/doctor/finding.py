"""A finding of a check: how bad it is, where, and what to do about it."""

from __future__ import annotations

import re
from typing import NamedTuple

from alluxio_jnifuse.errors import AlluxioFuseError, in_words

# Each is worse than the one before. A note costs speed or is good to know; a warning will be a fault some day, or is
# one for some; with an error there is no mount, or nothing can be read.
OK, NOTE, WARNING, ERROR = SEVERITIES = ("ok", "note", "warning", "error")

# The line of a remedy is what it has in brackets, if that begins as a command; else the property that it names.
_COMMAND = re.compile(r"\(((?:alluxio-jnifuse|chmod|modprobe|sysctl|ulimit|umount) [^()]*)\)")
_INSTALL = re.compile(r"pip install '[^']*'|apt-get install \S+")
_PROPERTY = re.compile(r"\b((?:fs\.oss|alluxio)(?:\.\w+)+)(=[^\s,;]+)?")


class Finding(NamedTuple):
    """`where`: a path, a host or a setting. `remedy`: what to do, in words; `line`: what to type, or an option."""

    severity: str
    what: str
    where: str = ""
    remedy: str = ""
    line: str = ""


class Examined(NamedTuple):
    """The findings of one check of one subject ("" is the machine), in the order in which they were made."""

    check: str
    subject: str
    findings: tuple[Finding, ...]


def of_error(error: AlluxioFuseError, severity: str = ERROR) -> Finding:
    """An error that a mount would end with."""
    return Finding(severity, error.what, error.where, error.remedy, line_of(error.remedy) or line_of(error.what))


def of_os_error(error: OSError, severity: str = WARNING) -> Finding:
    """A failure of the system."""
    return Finding(severity, in_words(error))


def line_of(remedy: str) -> str:
    """Returns the line of a remedy: the command that it names, or the property as an option of `mount`."""
    found = _COMMAND.search(remedy)
    if found:
        return found[1]
    found = _INSTALL.search(remedy)
    if found:
        return found[0]
    found = _PROPERTY.search(remedy)
    return f"-D {found[1]}{found[2] or '=VALUE'}" if found else ""


def worst(examined: list[Examined]) -> str:
    """The greatest severity there is."""
    found = [SEVERITIES.index(finding.severity) for each in examined for finding in each.findings]
    return SEVERITIES[max(found, default=0)]
