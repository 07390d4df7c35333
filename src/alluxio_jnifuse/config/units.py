"""Alluxio's notations for values: `32MB`, `2day`, `"1000000"`, `true`, `${other.key}`.

The rules are those of Alluxio's FormatUtils, so that a properties file means here what it means there. Every parser
takes the text as it was written and raises ValueError whose message is the form that was expected ("a size such as
32MB"); the caller knows the name of the option and puts it in front.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

# FormatUtils.parseSpaceSize: binary multiples; the trailing letters are the unit, the rest is a Java double
# (here without a sign: there are no negative sizes).
_SIZE = re.compile(r"((?:\d+|\d*\.\d+)(?:[eE][+-]?\d+)?)([a-zA-Z]*)")
_SIZE_UNITS = {"": 0, "b": 0}
for _power, _letter in enumerate("kmgtp", start=1):
    for _unit in (_letter, _letter + "b", _letter + "i", _letter + "ib"):
        _SIZE_UNITS[_unit] = 10 * _power

# FormatUtils.parseTimeSize: an integer, no unit = milliseconds, no plurals.
_DURATION = re.compile(r"(-?\d+)([a-zA-Z]*)")
_DURATION_UNITS_MS = {
    **dict.fromkeys(("", "ms", "millisecond"), 1),
    **dict.fromkeys(("s", "sec", "second"), 1000),
    **dict.fromkeys(("m", "min", "minute"), 60_000),
    **dict.fromkeys(("h", "hr", "hour"), 3_600_000),
    **dict.fromkeys(("d", "day"), 86_400_000),
}

_SECONDS = re.compile(r"\d+(?:\.\d*)?|\.\d+")
_REFERENCE = re.compile(r"\$\{([^{}]*)\}")
_MOST_REFERENCES = 1000  # of one value: ten that have ten each, and so on, would take days
_LONGEST = 1 << 20  # characters, with references replaced


def unquote(text: str) -> str:
    """`text` without surrounding white space and one pair of matching quotes (YAML users quote numbers)."""
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1].strip()
    return text


def parse_size(text: str) -> int:
    """Bytes of `32MB`, `1.5GB`, `1G`, `131072`. A comma list, as one size for each cache directory, is added up."""
    parts = unquote(text).split(",")
    return sum(_parse_one_size(part) for part in parts)


def _parse_one_size(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    power = _SIZE_UNITS.get(match[2].lower()) if match else None
    number = float(match[1]) * (1 << power) if match and power is not None else math.inf
    if not math.isfinite(number):
        raise ValueError("a size such as 512MB, 1.5GB or 131072 (bytes)")
    # 0.0001 is Alluxio's own guard against 0.1GB-like fractions that fall just short of a byte.
    return int(number + 0.0001)


def format_size(count: float) -> str:
    """`count` bytes in the same notation, three digits of it: `0B`, `512B`, `1.50MB`, `27.1GB`."""
    units = ("B", "KB", "MB", "GB", "TB")
    power = min(max(0, int(count).bit_length() - 1) // 10, len(units) - 1)
    value = count / (1 << 10 * power)
    digits = 0 if not power or value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f}{units[power]}"


def parse_duration_ms(text: str) -> int:
    """Milliseconds of `1000ms`, `10s`, `2min`, `2day`, `1000` (milliseconds); negative values are allowed."""
    match = _DURATION.fullmatch(unquote(text))
    unit = _DURATION_UNITS_MS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError("a whole number with ms, s, min, h or day, such as 1000ms or 2min")
    return int(match[1]) * unit


def parse_seconds_ns(text: str) -> int:
    """Nanoseconds of a FUSE timeout, which is written in seconds: `7200`, `1.0`, `.5`."""
    text = unquote(text)
    nanoseconds = float(text) * 1e9 if _SECONDS.fullmatch(text) else math.inf
    if not math.isfinite(nanoseconds):
        raise ValueError("a number of seconds, such as 60 or 1.5")
    return round(nanoseconds)


def parse_bool(text: str) -> bool:
    """`true` or `false`, in any case."""
    word = unquote(text).lower()
    if word not in ("true", "false"):
        raise ValueError("true or false")
    return word == "true"


def parse_switch(text: str) -> bool:
    """`on` or `off` (also `true` or `false`), in any case."""
    word = unquote(text).lower()
    if word not in ("on", "off", "true", "false"):
        raise ValueError("on or off")
    return word in ("on", "true")


def parse_count(text: str) -> int:
    """A whole number, `64` or `"64"`."""
    try:
        return int(unquote(text), 10)
    except ValueError:
        raise ValueError("a whole number") from None


def parse_octal(text: str) -> int:
    """A mask of permission bits in octal, `022` or `22`."""
    try:
        return int(unquote(text), 8)
    except ValueError:
        raise ValueError("permission bits in octal, such as 022") from None


def references(text: str) -> list[str]:
    """The keys that `text` refers to as `${key}`."""
    return _REFERENCE.findall(text)


def substitute(text: str, lookup: Callable[[str], str | None]) -> str:
    """`text` with every `${key}` replaced by `lookup(key)`, again inside what came in.

    Raises ValueError naming the key that has no value, or the chain of keys that leads back to itself, and for one that
    grows beyond all reason.
    """
    references = characters = 0

    def replaced(text: str, chain: tuple[str, ...]) -> str:
        def replace(match: re.Match[str]) -> str:
            nonlocal references, characters
            key = match[1]
            if key in chain:
                path = " -> ".join((*chain, key))
                raise ValueError(f"${{{key}}} to lead to a value; it leads back to itself: {path}")
            value = lookup(key)
            if value is None:
                raise ValueError(f"${{{key}}} to be set somewhere")
            references += 1
            characters += len(value)
            if references > _MOST_REFERENCES or characters > _LONGEST:
                raise ValueError(f"${{{key}}} to end: it grows with each reference in what it refers to")
            return replaced(value, (*chain, key))

        return _REFERENCE.sub(replace, text)

    return replaced(text, ())
