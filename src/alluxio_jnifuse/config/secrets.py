"""Secrets among the settings, which nothing shows: no log, no `getConf`, no list of processes."""

from __future__ import annotations

import re

MASK = "******"
SECRETS_VARIABLE = "ALLUXIO_JNIFUSE_SECRETS"  # of the environment: properties as JSON, from `mount()` to the command

# Parts of the names of secrets. The chart has the same words (alluxio.isSecret), which a test compares.
NAMES = (
    r"((access|account|api|auth|encryption|master|private|session|shared|signing|storage)[._-]?key|secret|passw|passphrase"
    r"|pwd|token|credential|(\b|_)([as]k|sas|pass)\b)"
)
_SECRET = re.compile(NAMES, re.IGNORECASE)
# A secret among others, as in a list of mount options, where a comma ends it unless a backslash stands before that.
_PAIR = re.compile(rf"([\w.-]*{NAMES}[\w.-]*)=(?:\\.|[^,\\])*", re.IGNORECASE)
_ARGUMENT = re.compile(rb"[\w.-]*%s[\w.-]*=(?P<secret>[^\0]+)" % NAMES.encode(), re.IGNORECASE)
# user:secret@ of a URI, RFC 3986 3.2.1.
_USERINFO = re.compile(r"(://[^/\s:@]*):[^/\s@]+@")
_USERINFO_ARGUMENT = re.compile(rb"://[^/\s:@\0]*:(?P<secret>[^/\s@\0]+)@")

_ARG_START = 45  # in /proc/PID/stat, of what follows the name in brackets (proc_pid_stat(5) counts that as the third)


def masked(name: str, text: str) -> str:
    """The value `text` of the setting `name` as it may be shown."""
    if text and _SECRET.search(name):
        return MASK
    return masked_text(_PAIR.sub(rf"\1={MASK}", text))


def masked_text(text: str) -> str:
    """Any text without the passwords of URIs."""
    return _USERINFO.sub(rf"\1:{MASK}@", text) if "@" in text else text


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
            for pattern in (_ARGUMENT, _USERINFO_ARGUMENT):
                for match in pattern.finditer(found):
                    memory.seek(start + match.start("secret"))
                    memory.write(b"*" * len(match["secret"]))
    except (OSError, ValueError, IndexError):
        pass
