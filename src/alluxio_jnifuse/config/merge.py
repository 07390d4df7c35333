"""Merges every source of settings into one value for each row of OPTIONS; see values.py for the precedence."""

from __future__ import annotations

import copy
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from alluxio_jnifuse.config import units
from alluxio_jnifuse.config.options import BY_ENV, BY_NAME, OPTIONS, Option, is_property
from alluxio_jnifuse.config.properties import (
    JAVA_OPTS_VARIABLES,
    find_site_file,
    ignored_reason,
    parse_java_opts,
    parse_properties,
    read_site_file,
)
from alluxio_jnifuse.config.sdk import SDK_OPTIONS, properties_of
from alluxio_jnifuse.config.secrets import MASK, is_secret, masked, secrets_in
from alluxio_jnifuse.errors import ConfigError

Value = int | str | None  # flags and switches are 0 or 1; None = unset

_ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:,/\[\]]+)(?::(\d{1,5}))?")


def parse_addresses(text: str) -> str:
    """A comma list of `host` and `host:port`, an IPv6 address in brackets, without its spaces."""
    parts = [part.strip() for part in units.unquote(text).split(",") if part.strip()]
    for part in parts:
        match = _ADDRESS.fullmatch(part)
        if match is None or not 1 <= int(match[1] or 1) <= 65535:
            raise ValueError("host or host:port, an IPv6 address in brackets")
    return ",".join(parts)


def _parse_address(text: str) -> str:
    address = parse_addresses(text)
    if "," in address:
        raise ValueError("one host or host:port")
    return address


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
    "class": lambda text: units.unquote(text).rpartition(".")[2],
    "address": _parse_address,
    "addresses": parse_addresses,
}
_WORDS = ("flag", "mode")  # kinds that take no value
_TEXTS = ("text", "address", "addresses")  # kinds of which "" is a value

# How much a source of settings counts; a larger rank wins.
DEFAULT, CLUSTER, SITE_FILE, VARIABLE, JAVA_OPTS, DEFINE, COMMAND_LINE = range(7)

MOUNT_OPTIONS = "alluxio.fuse.mount.options"
TIER = "alluxio.locality."  # and the name of one of the tiers
TIERS = "alluxio.locality.order"
_SITE_DIRECTORIES = "alluxio.site.conf.dir"
SITE_PROPERTIES = "ALLUXIO_SITE_PROPERTIES"  # of the environment: the contents of the site file

_COMMA = re.compile(r"(?<!\\),")  # libfuse's escape


class Setting(NamedTuple):
    """A value, as parsed and as written (references replaced), and where it was written ("default" when nowhere)."""

    value: Value
    text: str
    origin: str
    rank: int
    name: str = ""  # as it was written there; "" with a default
    secret: bool = False  # a reference in it led to a secret

    def shown(self, name: str) -> str:
        """The text of the setting `name` as it may be shown."""
        return MASK if self.secret else masked(name, self.text)


class Loader:
    """Collects what the sources say; `finish` makes the settings of it. `notes` are lines for the log."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.notes: list[str] = []
        self._environ = environ
        self._errors: list[str] = []
        self._unknown: list[str] = []
        self._given: dict[str, Setting] = {}  # mount options, not parsed: value is None
        self._properties: dict[str, Setting] = {}  # by canonical name, not parsed either
        self._complete = False
        self._read_environment()

    def add_property(self, key: str, text: str, origin: str, rank: int) -> None:
        """A property, honoured or not; of equal rank the later one counts."""
        name, row = _canonical(key), BY_NAME.get(key)
        if rank == CLUSTER and (row is None or row.here):
            return
        known = self._properties.get(name)
        if known is None or known.rank <= rank:
            self._properties[name] = Setting(None, text, origin, rank, key)

    def add_options(self, text: str, origin: str, rank: int) -> None:
        """A comma list of mount options, `alluxio.key=value` among them."""
        for word in _COMMA.split(text):
            name, equals, value = word.strip().replace("\\,", ",").partition("=")
            if is_property(name):
                self.add_property(name, value if equals else "true", origin, rank)
            elif name in SDK_OPTIONS and equals:
                for key, text_of_it in properties_of(name, value):
                    self.add_property(key, text_of_it, f"-o {name}", rank)
            elif name.startswith(("x-", "X-")):  # x-systemd.automount
                self.notes.append(f"ignored: {name} ({origin}): it is for mount(8) and systemd")
            elif name in BY_NAME and rank == CLUSTER and BY_NAME[name].here:
                self.notes.append(f"ignored: {name} ({origin}): that is decided here")
            elif name in BY_NAME:
                self._add_option(name, value if equals else None, origin, rank)
            elif rank == CLUSTER:
                self._complain(f"{name} ({origin}): it is no mount option", rank)
            elif name or equals:
                self._unknown.append(name or word if rank == COMMAND_LINE else f"{name or word} ({origin})")

    def finish(self, cluster_defaults: Iterable[tuple[str, str]] = ()) -> tuple[dict[str, Setting], list[str]]:
        """The settings by canonical name, at least one for each row, and all notes. May be called again.

        `cluster_defaults`: keys and values that rank before nothing but the defaults. Of those only what this client
        honours is taken, and a bad value is a note. Raises ConfigError naming everything else that is wrong.
        """
        if not self._complete:
            self._complete = True
            self._read_site_file()
        return self._copy()._merge(cluster_defaults)

    def given(self, key: str) -> Setting | None:
        """A property as it was set, honoured or not; its value is None."""
        found = self._properties.get(_canonical(key))
        return found and found._replace(
            text=self._substituted(found) or found.text, secret=self._leads_to_secret(found)
        )

    def secrets(self) -> set[str]:
        """The secrets among what was set, honoured or not, as written and with references replaced."""
        found = set[str]()
        for key, given in (*self._properties.items(), *self._given.items()):
            texts = {given.text, self._substituted(given)}
            if is_secret(key) or is_secret(given.name) or self._leads_to_secret(given):
                found |= texts
            else:
                found |= {secret for text in texts for secret in secrets_in(text)}
        return found

    def _copy(self) -> Loader:
        other = copy.copy(self)
        other.notes, other._errors, other._unknown = [*self.notes], [*self._errors], [*self._unknown]
        other._given, other._properties = {**self._given}, {**self._properties}
        return other

    def _merge(self, cluster_defaults: Iterable[tuple[str, str]]) -> tuple[dict[str, Setting], list[str]]:
        for key, text in cluster_defaults:
            self.add_property(key, text, "cluster default", CLUSTER)
        listed = self._properties.get(MOUNT_OPTIONS)
        if listed is not None:
            self.add_options(self._substituted(listed), f"{MOUNT_OPTIONS} {listed.origin}", listed.rank)
        settings = {row.name: self._settle(row) for row in OPTIONS if row.kind != "accepted"}
        tiers = [TIER + tier.strip() for tier in str(settings[TIERS].value).split(",")]
        for key, given in self._properties.items():
            if key in tiers and key not in settings:
                settings[key] = self._settle(BY_NAME[TIER + "rack"]._replace(name=key))
            elif key not in settings:
                self.notes.append(f"ignored: {key} ({given.origin}): {ignored_reason(key)}")
        if self._unknown:
            unknown = ", ".join(dict.fromkeys(self._unknown))
            self._errors.append(f"unknown mount option: {unknown}; docs/CONFIGURATION.md lists those there are")
        if self._errors:
            raise ConfigError("\n".join(self._errors))
        return settings, self.notes

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
                self._errors.append(f"${variable}: its words cannot be told apart: {error}; quote as in a shell")
                continue
            self._add_pairs(found.properties, f"${variable}", JAVA_OPTS)
            flags += found.flags
        if flags:
            self.notes.append(f"ignored: there is no Java machine here to take {' '.join(dict.fromkeys(flags))}")

    def _read_site_file(self) -> None:
        text = self._environ.get(SITE_PROPERTIES, "")
        if text:
            self._add_pairs(parse_properties(text), f"${SITE_PROPERTIES}", SITE_FILE)
            return
        try:
            path = find_site_file(units.substitute(f"${{{_SITE_DIRECTORIES}}}", self._lookup))
            pairs = read_site_file(path) if path else []
        except ValueError as error:
            self._errors.append(f"{_SITE_DIRECTORIES}: expected {error}")
            return
        except OSError as error:
            self._errors.append(f"{error.filename}: {error.strerror}")
            return
        if path and any(is_secret(key) and text for key, text in pairs) and os.stat(path).st_mode & stat.S_IROTH:
            self.notes.append(f"{path} holds secrets, and everybody can read it: chmod o-r")
        self._add_pairs(pairs, str(path), SITE_FILE)

    def _add_pairs(self, pairs: Iterable[tuple[str, str]], origin: str, rank: int) -> None:
        seen: dict[str, tuple[str, str]] = {}
        for key, text in pairs:
            other, before = seen.get(_canonical(key), (key, text))
            if before != text:
                twice = "is set twice" if other == key else f"is set again as {key}"
                self.notes.append(f"{other} {twice} in {origin}; the last value counts")
            seen[_canonical(key)] = key, text
            self.add_property(key, text, origin, rank)

    def _add_option(self, name: str, text: str | None, origin: str, rank: int) -> None:
        row = BY_NAME[name]
        known = self._given.get(row.name)
        if row.kind == "accepted":
            self.notes.append(f"ignored: {name} ({origin}): {row.why}")
        elif row.kind in _WORDS and text is not None:
            self._complain(f"{name}={text} ({origin}): {name} takes no value", rank)
        elif row.kind not in _WORDS and row.kind != "switch" and text is None:
            self._complain(f"{name} ({origin}): expected {name}=VALUE", rank)
        elif known is None or known.rank <= rank:
            word = "off" if name == row.off else "on"
            self._given[row.name] = Setting(None, word if text is None else text, origin, rank, name)

    # -------------------------------------------------------------------------------------------------- values

    def _settle(self, row: Option) -> Setting:
        default = Setting(None, row.default, "default", DEFAULT)
        candidates = [self._given.get(row.name), self._properties.get(row.name)]
        given = max((c for c in candidates if c is not None), key=lambda c: c.rank, default=default)
        if given.rank == DEFAULT and given.text == "" and row.kind not in _TEXTS:
            return given
        try:
            text = units.substitute(given.text, self._lookup_in_cluster if given.rank == CLUSTER else self._lookup)
            value = PARSERS[row.kind](text)
            if row.kind == "class" and value not in row.choices:
                self.notes.append(f"{given.name}={given.text} ({given.origin}): unknown; {row.default} is used")
                value = row.default
            value = _within_range(row, value)
        except ValueError as error:
            shown_text = masked(given.name, given.text)
            self._complain(f"{given.name or row.name}={shown_text} ({given.origin}): expected {error}", given.rank)
            if given.rank != CLUSTER:
                return given
            self._given.pop(row.name, None)
            self._properties.pop(row.name, None)
            return self._settle(row)
        return given._replace(value=value, text=units.unquote(text), secret=self._leads_to_secret(given))

    def _complain(self, text: str, rank: int) -> None:
        """Records an error for values of the user; a value of the cluster is a note, since the user cannot mend it."""
        if rank == CLUSTER:
            self.notes.append(f"ignored: {text}")
        else:
            self._errors.append(text)

    def _substituted(self, given: Setting) -> str:
        try:
            lookup = self._lookup_in_cluster if given.rank == CLUSTER else self._lookup
            return units.unquote(units.substitute(given.text, lookup))
        except ValueError:
            return ""  # _settle reports it

    def _leads_to_secret(self, given: Setting) -> bool:
        """Whether a reference in it is to a secret, or to what refers to one."""
        keys, seen = units.references(given.text), set[str]()
        while keys:
            key = keys.pop()
            if is_secret(key):
                return True
            if key not in seen:
                seen.add(key)
                keys += units.references(self._lookup(key) or "")
        return False

    def _lookup(self, key: str) -> str | None:
        """The text of a property for `${key}`: as set, else its default."""
        if key == "user.home":
            return self._environ.get("HOME") or os.path.expanduser("~")
        given = self._properties.get(_canonical(key))
        if given is not None:
            return given.text
        row = BY_NAME.get(key)
        return row.default if row else None

    def _lookup_in_cluster(self, key: str) -> str | None:
        """Like `_lookup`, for what a cluster says: what is set here, maybe a key, is none of its business."""
        given = self._properties.get(_canonical(key))
        return None if given is not None and given.rank > CLUSTER else self._lookup(key)


def _canonical(key: str) -> str:
    row = BY_NAME.get(key)
    return row.name if row else key


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
