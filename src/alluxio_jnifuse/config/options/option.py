"""One row of OPTIONS."""

from __future__ import annotations

from typing import NamedTuple

MIB, GIB = 1 << 20, 1 << 30
UINT32_MAX = (1 << 32) - 1  # the width of most fields of struct ajf_options


class Option(NamedTuple):
    """One row: how a setting is called, written and limited, what it is without being set, and why.

    `kind` is a key of merge.PARSERS, which fixes notation and unit (bytes, nanoseconds, milliseconds):
    flag (present or not; `off` is its opposite word), mode (one of the flags that exclude each other, `mode` is its
    number), accepted (known and without effect, `why` says the reason), switch (on/off), bool (true/false), size,
    count, seconds, duration, octal, choice, class (a Java class, its package left out; one that is not in `choices`
    is not an error: the default is taken and the log says so), address (host or host:port), addresses (a comma list
    of them), text.
    """

    name: str
    kind: str
    default: str  # in the notation of the option; "" = unset
    help: str
    why: str  # the reason for the default
    field: str = ""  # of struct ajf_options
    low: int | None = None  # range of the parsed value; a duration is clamped to it, anything else refused
    high: int | None = None
    aliases: tuple[str, ...] = ()
    env: str = ""  # environment variable with the same meaning
    choices: tuple[str, ...] = ()
    off: str = ""
    mode: int = 0  # enum ajf_cache_mode
    kernel: bool = False  # goes into the option string of mount(2)
    cluster: bool = False  # without effect unless an Alluxio cluster is mounted
    oss: bool = False  # without effect unless a bucket of OSS is mounted
    # Of this machine, its files, its users and its memory, of this command, or of the way to the cluster: no cluster
    # default of it counts.
    here: bool = False
