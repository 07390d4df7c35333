"""The same paths and the same output whatever the locale: a path is bytes, and what cannot be printed is escaped.

Python makes text of paths by the encoding of the locale. Two of those may not understand each other's files, and many
do not give every name back as it was. So our programs use UTF-8 for paths, with surrogates for what is none: that
gives back every byte.
"""

from __future__ import annotations

import codecs
import io
import os
import sys

_ESCAPED = "alluxio_jnifuse.escaped"


def use_utf8() -> None:
    """Starts this program anew in Python's UTF-8 mode, unless paths are UTF-8 already; called before anything else."""
    if codecs.lookup(sys.getfilesystemencoding()).name == "utf-8" or not sys.executable:
        return
    try:
        with open("/proc/self/cmdline", "rb") as file:  # sys.argv may not give every byte back
            words = file.read().split(b"\0")[1:-1]
        os.execv(sys.executable, [os.fsencode(sys.executable), b"-X", b"utf8", *words])
    except OSError:
        pass  # then names that this locale does not know may be misunderstood


def print_everything() -> None:
    """Lets stdout and stderr give paths back as they came and escape what is none of their letters; neither raises."""
    codecs.register_error(_ESCAPED, _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=sys.getfilesystemencoding(), errors=_ESCAPED)


def escaped(text: str) -> str:
    """`text` on one line and in one column: control characters and backslashes as \\ooo, as in /proc/mounts."""
    return "".join(f"\\{ord(c):03o}" if c < " " or c == "\\" or "\x7f" <= c <= "\x9f" else c for c in text)


def _escape(error: UnicodeError) -> tuple[bytes, int]:
    """A handler of codecs: the bytes that surrogates stand for, and \\u... for other characters."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return b"".join(
        bytes([ord(letter) - 0xDC00]) if "\udc80" <= letter <= "\udcff" else letter.encode("ascii", "backslashreplace")
        for letter in letters
    ), error.end
