"""Checks of what is configured: whether it can be read, and what of it has no effect or another one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from shlex import quote

from alluxio_jnifuse.config.options import is_property
from alluxio_jnifuse.doctor.finding import NOTE, OK, WARNING, Finding, of_error
from alluxio_jnifuse.doctor.subject import Subject

_IGNORED = "ignored: "
_READABLE = re.compile(r"(.*) holds secrets, and everybody can read it: chmod o-r", re.DOTALL)
_KILLED = re.compile(r"(\S+?)=.*: more than the (\S+) that .*may be killed", re.DOTALL)
_OWN_WAYS = ("it is for mount(8) and systemd", "there is no Java machine here")  # nobody has to mend these
_FILE = re.compile(r"(.*): (?:Permission denied|is a directory)", re.DOTALL)


def settings(subject: Subject) -> Iterator[Finding]:
    """Remarks that the settings make when they are read."""
    if subject.error is not None:
        found = of_error(subject.error)
        yield found._replace(line=found.line or _line(str(subject.error)))
    elif subject.unknown:
        yield Finding(NOTE, subject.unknown, subject.mountpoint, line=_as_its_user(subject))
    elif subject.config is not None:
        notes = subject.config.notes
        yield Finding(OK, f"the settings can be read; {len(notes)} remarks")
        yield from map(_of_note, notes)


def _of_note(note: str) -> Finding:
    """A line that the log of the mount has about its settings."""
    readable, killed = _READABLE.fullmatch(note), _KILLED.match(note)
    if readable:
        line = f"chmod o-r {quote(readable[1])}"
        return Finding(WARNING, "holds secrets, and everybody can read it", readable[1], "protect it", line)
    if killed:
        line = f"{'-D' if is_property(killed[1]) else '-o'} {killed[1]}={killed[2]}"
        return Finding(WARNING, note, remedy="make it fit, or raise the limit", line=line)
    if note.startswith(_IGNORED) and not any(word in note for word in _OWN_WAYS):
        return Finding(NOTE, f"has no effect: {note[len(_IGNORED) :]}", remedy="remove it, or correct its name")
    return Finding(OK, note)


def _as_its_user(subject: Subject) -> str:
    """The line by which the user of a mount examines it."""
    uid = os.geteuid() if subject.record is None else os.stat(f"/proc/{subject.record.pid}").st_uid
    if uid == os.geteuid():
        return ""
    return f"sudo -u '#{uid}' alluxio-jnifuse doctor {quote(subject.mountpoint)}"


def _line(message: str) -> str:
    """The line for an error of which the message has no remedy."""
    found = _FILE.match(message)
    if found and "Permission denied" in message:
        return f"chmod a+r {quote(found[1])}"
    if found:
        return f"ls -ld {quote(found[1])}"
    return "alluxio-jnifuse getConf --source"
