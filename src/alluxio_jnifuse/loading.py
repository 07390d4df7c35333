"""Merges every source of settings into one value for each row of OPTIONS; see config.py for the precedence."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, Union

from alluxio_jnifuse import units
from alluxio_jnifuse.errors import ConfigError
from alluxio_jnifuse.options import BY_ENV, BY_NAME, OPTIONS, Option, is_property
from alluxio_jnifuse.properties import (
    JAVA_OPTS_VARIABLES,
    find_site_file,
    ignored_reason,
    parse_java_opts,
    read_site_file,
)

Value = Union[int, str, None]  # flags and switches are 0 or 1; None = unset

PARSERS: dict[str, Callable[[str], Value]] = {
    "flag": units.parse_switch,  # only defaults are written as on or off
    "mode": units.parse_switch,
    "switch": units.parse_switch,
    "bool": units.parse_bool,
    "size": units.parse_size,  # bytes
    "count": units.parse_count,
    "seconds": units.parse_seconds_ns,
    "duration": units.parse_duration_ms,
    "octal": units.parse_octal,
    "text": units.unquote,
    "choice": lambda text: units.unquote(text).upper(),
}
_WORDS = ("flag", "mode", "accepted")  # kinds that take no value

# How much a source of settings counts; a larger rank wins.
DEFAULT, SITE_FILE, VARIABLE, JAVA_OPTS, DEFINE, COMMAND_LINE = range(6)

MOUNT_OPTIONS = "alluxio.fuse.mount.options"
_SITE_DIRECTORIES = "alluxio.site.conf.dir"

_COMMA = re.compile(r"(?<!\\),")  # libfuse's escape


class Setting(NamedTuple):
    """A value, as parsed and as written, and where it was written ("default" when nowhere)."""

    value: Value
    text: str
    origin: str
    rank: int


class Loader:
    """Collects what the sources say; `finish` makes the settings of it. `notes` are lines for the log."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.notes: list[str] = []
        self._environ = environ
        self._errors: list[str] = []
        self._unknown: list[str] = []
        self._given: dict[str, Setting] = {}  # mount options, parsed
        self._properties: dict[str, Setting] = {}  # by canonical name, not parsed: value is None
        self._read_environment()

    def add_property(self, key: str, text: str, origin: str, rank: int) -> None:
        """A property, honoured or not; of equal rank the later one counts."""
        row = BY_NAME.get(key)
        known = self._properties.get(row.name if row else key)
        if known is None or known.rank <= rank:
            self._properties[row.name if row else key] = Setting(None, text, origin, rank)

    def add_options(self, text: str, origin: str, rank: int) -> None:
        """A comma list of mount options, `alluxio.key=value` among them."""
        for word in _COMMA.split(text):
            name, equals, value = word.strip().replace("\\,", ",").partition("=")
            if is_property(name):
                self.add_property(name, value if equals else "true", origin, rank)
            elif name not in BY_NAME:
                if name or equals:
                    self._unknown.append(name or word)
            else:
                self._add_option(name, value if equals else None, origin, rank)

    def finish(self) -> dict[str, Setting]:
        """The settings by canonical name, one for each row. Raises ConfigError naming everything that is wrong."""
        self._read_site_file()
        listed = self._properties.get(MOUNT_OPTIONS)
        if listed is not None:
            self.add_options(self._substituted(MOUNT_OPTIONS, listed), f"{MOUNT_OPTIONS} {listed.origin}", listed.rank)
        settings = {row.name: self._settle(row) for row in OPTIONS if row.kind != "accepted"}
        for key, given in self._properties.items():
            if key not in BY_NAME:
                self.notes.append(f"ignored: {key} ({given.origin}): {ignored_reason(key)}")
        if self._unknown:
            self._errors.append(f"unknown mount option: {', '.join(dict.fromkeys(self._unknown))}")
        if self._errors:
            raise ConfigError("\n".join(self._errors))
        return settings

    # ------------------------------------------------------------------------------------------------- sources

    def _read_environment(self) -> None:
        for variable, row in BY_ENV.items():
            text = self._environ.get(variable, "")
            if text and is_property(row.name):
                self.add_property(row.name, text, f"${variable}", VARIABLE)
            elif text:
                self._add_option(row.name, text, f"${variable}", VARIABLE)
        flags: list[str] = []
        for variable in JAVA_OPTS_VARIABLES:
            try:
                found = parse_java_opts(self._environ.get(variable, ""), self._environ)
            except ValueError as error:
                self._errors.append(f"${variable}: {error}")
                continue
            for key, text in found.properties:
                self.add_property(key, text, f"${variable}", JAVA_OPTS)
            flags += found.flags
        if flags:
            self.notes.append(f"ignored: there is no Java machine here to take {' '.join(dict.fromkeys(flags))}")

    def _read_site_file(self) -> None:
        try:
            path = find_site_file(units.substitute(f"${{{_SITE_DIRECTORIES}}}", self._lookup))
            pairs = read_site_file(path) if path else []
        except ValueError as error:
            self._errors.append(f"{_SITE_DIRECTORIES}: expected {error}")
            return
        except OSError as error:
            self._errors.append(f"{error.filename}: {error.strerror}")
            return
        seen: dict[str, str] = {}
        for key, text in pairs:
            if key in seen and seen[key] != text:
                self.notes.append(f"{key} is set twice in {path}; the last value counts")
            seen[key] = text
            self.add_property(key, text, str(path), SITE_FILE)

    def _add_option(self, name: str, text: str | None, origin: str, rank: int) -> None:
        row = BY_NAME[name]
        known = self._given.get(row.name)
        if row.kind in _WORDS and text is not None:
            self._errors.append(f"{name}={text} ({origin}): {name} takes no value")
        elif row.kind == "accepted":
            self.notes.append(f"ignored: {name} ({origin}): {row.why}")
        elif row.kind not in _WORDS and row.kind != "switch" and text is None:
            self._errors.append(f"{name} ({origin}): expected {name}=VALUE")
        elif known is None or known.rank <= rank:
            word = "off" if name == row.off else "on"
            self._given[row.name] = Setting(None, word if text is None else text, origin, rank)

    # -------------------------------------------------------------------------------------------------- values

    def _settle(self, row: Option) -> Setting:
        candidates = [self._given.get(row.name), self._properties.get(row.name)]
        given = max((c for c in candidates if c is not None), key=lambda c: c.rank, default=None)
        if given is None:
            given = Setting(None, row.default, "default", DEFAULT)
        if given.rank == DEFAULT and given.text == "" and row.kind != "text":
            return given
        try:
            value = PARSERS[row.kind](units.substitute(given.text, self._lookup))
            value = _within_range(row, value)
        except ValueError as error:
            self._errors.append(f"{row.name}={given.text} ({given.origin}): expected {error}")
            return given
        return given._replace(value=value)

    def _substituted(self, name: str, given: Setting) -> str:
        try:
            return units.unquote(units.substitute(given.text, self._lookup))
        except ValueError:
            return ""  # _settle reports it

    def _lookup(self, key: str) -> str | None:
        """The text of a property for `${key}`: as set, else its default."""
        if key == "user.home":
            return self._environ.get("HOME") or os.path.expanduser("~")
        row = BY_NAME.get(key)
        given = self._properties.get(row.name if row else key)
        if given is not None:
            return given.text
        return row.default if row else None


def _within_range(row: Option, value: Value) -> Value:
    """`value`, a duration clamped to the range of its row. Raises ValueError."""
    if row.choices and value not in row.choices:
        raise ValueError(f"one of {', '.join(row.choices)}")
    if not isinstance(value, int) or row.low is None or row.high is None:
        return value
    if row.kind == "duration":
        return min(max(value, row.low), row.high)
    if not row.low <= value <= row.high:
        raise ValueError(f"a value from {shown(row, row.low)} to {shown(row, row.high)}")
    return value


def shown(row: Option, value: int) -> str:
    """A parsed value in the notation of its option, for messages and documentation."""
    if row.kind == "octal":
        return f"{value:o}"
    if row.kind == "seconds":
        return f"{value / 1e9:g}"
    if row.kind == "size":
        for power, unit in ((50, "PB"), (40, "TB"), (30, "GB"), (20, "MB"), (10, "KB")):
            if value and value % (1 << power) == 0:
                return f"{value >> power}{unit}"
    return str(value)
