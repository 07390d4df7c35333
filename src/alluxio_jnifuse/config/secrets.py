"""Secrets among the settings, which nothing shows: no log, no `getConf`, no list of processes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MASK = "******"
SECRETS_VARIABLE = "ALLUXIO_JNIFUSE_SECRETS"  # of the environment: properties as JSON, from `mount()` to the command

# Parts of the names of secrets. The chart has the same words (alluxio.isSecret), which a test compares.
NAMES = (
    r"((access|account|api|auth|encryption|master|private|session|shared|signing|storage)[._-]?key|secret|passw|passphrase"
    r"|pwd|token|credential|(\b|_)([as]k|sas|pass)\b)"
)
_SECRET = re.compile(NAMES, re.IGNORECASE)
# A name before a `=`, anywhere in a text. It begins at its first letter only, or a long text would take for ever.
_NAME = re.compile(r"(?<![\w.-])[\w.-]+(?==)")
# A value in a list of mount options, where a comma ends it unless a backslash stands before that.
_VALUE = re.compile(r"(?:\\.|[^,\\])*")
# user:secret@ of a URI, RFC 3986 3.2.1.
_USERINFO = re.compile(r"(://[^/\s:@]*):[^/\s@]+@")
_USERINFO_ARGUMENT = re.compile(r"://[^/\s:@\0]*:([^/\s@\0]+)@")

_ARG_START = 45  # in /proc/PID/stat, of what follows the name in brackets (proc_pid_stat(5) counts that as the third)


def masked(name: str, text: str) -> str:
    """The value `text` of the setting `name` as it may be shown."""
    if text and _SECRET.search(name):
        return MASK
    shown: list[str] = []
    at = 0
    for name_of_pair in _NAME.finditer(text):
        if name_of_pair.start() >= at and is_secret(name_of_pair[0]):
            begin = name_of_pair.end() + 1
            shown += [text[at:begin], MASK]
            at = _end_of_value(text, begin)
    return masked_text("".join([*shown, text[at:]]))


def _end_of_value(text: str, begin: int) -> int:
    found = _VALUE.match(text, begin)
    return found.end() if found else begin


def masked_text(text: str) -> str:
    """Any text without the passwords of URIs."""
    return _USERINFO.sub(rf"\1:{MASK}@", text) if "@" in text else text


def secrets_in(text: str) -> Iterator[str]:
    """The values that `masked` takes out of a text: of pairs whose names are secret, and passwords of URIs."""
    at = 0
    for name in _NAME.finditer(text):
        if name.start() >= at and is_secret(name[0]):
            at = _end_of_value(text, name.end() + 1)
            yield text[name.end() + 1 : at]
    for match in _USERINFO_ARGUMENT.finditer(text):
        yield match[1]


def is_secret(name: str) -> bool:
    """Whether the values of a setting are masked."""
    return _SECRET.search(name) is not None


def is_hidden(text: str) -> bool:
    """Whether `text` is what `hide_arguments` leaves of a secret."""
    return bool(text) and not text.strip("*")


def hide_arguments() -> None:
    """Removes secrets from this process's command line as others see it; where that is not permitted it stays."""
    try:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        start, end = int(fields[_ARG_START]), int(fields[_ARG_START + 1])
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(start)
            found = memory.read(end - start)
            for begin, end in _secrets_in(found.decode("ascii", "replace")):
                memory.seek(start + begin)
                memory.write(b"*" * (end - begin))
    except (OSError, ValueError, IndexError):
        pass


def _secrets_in(arguments: str) -> Iterator[tuple[int, int]]:
    """The begin and end of each secret in arguments, each of which ends with a NUL."""
    for match in _NAME.finditer(arguments):
        end = arguments.find("\0", match.end())
        if is_secret(match[0]):
            yield match.end() + 1, end if end >= 0 else len(arguments)
    for match in _USERINFO_ARGUMENT.finditer(arguments):
        yield match.span(1)
