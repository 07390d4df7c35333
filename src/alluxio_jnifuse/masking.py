"""Secrets among the settings, which nothing shows: no log, no `getConf`, no list of processes."""

from __future__ import annotations

import re

MASK = "******"
SECRETS_VARIABLE = "ALLUXIO_JNIFUSE_SECRETS"  # of the environment: properties as JSON, from `mount()` to the command

_WORD = r"secret|password|access\.?key|credential|token"
_SECRET = re.compile(_WORD, re.IGNORECASE)
# A secret among others, as in a list of mount options, where a comma ends it unless a backslash stands before that.
_PAIR = re.compile(rf"([\w.]*(?:{_WORD})[\w.]*)=(?:\\.|[^,\\])*", re.IGNORECASE)
_ARGUMENT = re.compile(rb"[\w.]*(?:%s)[\w.]*=([^\0]+)" % _WORD.encode(), re.IGNORECASE)

_ARG_START = 45  # in /proc/PID/stat, of what follows the name in brackets (proc_pid_stat(5) counts that as the third)


def masked(name: str, text: str) -> str:
    """The value `text` of the setting `name` as it may be shown."""
    if text and _SECRET.search(name):
        return MASK
    return _PAIR.sub(rf"\1={MASK}", text)


def is_secret(name: str) -> bool:
    """Whether the values of a setting are masked."""
    return _SECRET.search(name) is not None


def hide_arguments() -> None:
    """Removes secrets from this process's command line as others see it; where that is not permitted it stays."""
    try:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        start, end = int(fields[_ARG_START]), int(fields[_ARG_START + 1])
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(start)
            found = memory.read(end - start)
            for match in _ARGUMENT.finditer(found):
                memory.seek(start + match.start(1))
                memory.write(b"*" * len(match[1]))
    except (OSError, ValueError, IndexError):
        pass
