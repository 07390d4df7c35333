"""`getConf`: what a setting is and where it was made, in the words of Alluxio's command of that name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

from alluxio_jnifuse.cli.words import PROGRAM, UsageError, options_of
from alluxio_jnifuse.config import units
from alluxio_jnifuse.config.merge import CLUSTER, DEFAULT, SITE_FILE, Setting
from alluxio_jnifuse.config.options import BY_NAME, OPTIONS, is_property
from alluxio_jnifuse.config.secrets import masked
from alluxio_jnifuse.config.values import Config
from alluxio_jnifuse.errors import ConfigError, printable

USAGE = f"""\
Usage: {PROGRAM} getConf [--unit UNIT] [--source] [--master] [--json] [KEY]

  --unit UNIT               print a size in B, KB, MB, GB, TB or PB, a duration in MS, S, M, H or D
  --source                  print where the value comes from
  --master                  ask the cluster for its configuration, in place of this client's
  --json                    objects with name, value and source, one for each line
  KEY                       a property; without KEY all known properties are printed

For a property that is not set it prints an empty line; for an unknown one the exit code is 1.
"""

_SIZES = {unit: 1 << power for unit, power in zip(("B", "KB", "MB", "GB", "TB", "PB"), range(0, 60, 10))}
_DURATIONS_MS = {
    **dict.fromkeys(("MS", "MILLISECOND"), 1),
    **dict.fromkeys(("S", "SEC", "SECOND"), 1000),
    **dict.fromkeys(("M", "MIN", "MINUTE"), 60_000),
    **dict.fromkeys(("H", "HR", "HOUR"), 3_600_000),
    **dict.fromkeys(("D", "DAY"), 86_400_000),
}


class _Known(NamedTuple):
    value: str
    source: str


def run(arguments: Sequence[str]) -> int:
    """Returns the exit code. Raises UsageError and AlluxioFuseError."""
    options, positional = options_of(arguments, "", ["unit=", "source", "master", "json"])
    if len(positional) > 1:
        raise UsageError(f"More arguments than expected. Args: [{', '.join(positional)}]")
    source, master = ("--source", "") in options, ("--master", "") in options
    config = Config.load()
    known = _of_cluster(config) if master else _of_client(config)
    as_json = ("--json", "") in options
    if not positional and as_json:
        print("\n".join(_as_json(name, each) for name, each in sorted(known.items())))
        return 0
    if not positional:
        lines = (
            f"{name}={value}" + (f" ({where})" if source else "") for name, (value, where) in sorted(known.items())
        )
        print("\n".join(lines))
        return 0
    key = BY_NAME[positional[0]].name if positional[0] in BY_NAME else positional[0]
    found = known.get(key) or (None if master else _given(config, key))
    if found is None:
        problem = "found" if key in BY_NAME and is_property(key) else "a valid configuration key"
        print(f"{key} is not {problem}\n{USAGE}", end="", file=sys.stderr)
        return 1
    unit = dict(options).get("--unit")
    if as_json:
        print(_as_json(key, found if unit is None else found._replace(value=_converted(found.value, unit.upper()))))
        return 0
    print(found.source if source else found.value if unit is None else _converted(found.value, unit.upper()))
    return 0


def _as_json(name: str, known: _Known) -> str:
    import json

    return json.dumps({"name": name, "value": known.value, "source": known.source})


def _of_client(config: Config) -> dict[str, _Known]:
    rows = [row for row in OPTIONS if is_property(row.name)]
    return {row.name: _known(row.name, config.settings[row.name]) for row in rows}


def _of_cluster(config: Config) -> dict[str, _Known]:
    if not config.cluster:
        raise ConfigError("no cluster is configured", remedy="set alluxio.master.hostname")
    from alluxio_jnifuse.sources.alluxio import from_config

    client = from_config.master_client(config)
    try:
        client.connect()
        told = client.get_configuration()
        return {
            printable(name): _Known(printable(masked(name, value)), printable(source)) for name, value, source in told
        }
    except OSError as error:
        raise ConfigError(f"Unable to create master-side configuration: {error}") from error
    finally:
        client.close()


def _given(config: Config, key: str) -> _Known | None:
    """A property that was set though this client does not honour it."""
    setting = config.given(key)
    return setting and _known(key, setting)


def _known(name: str, setting: Setting) -> _Known:
    """Sources are called as Alluxio calls them."""
    text = setting.shown(name)
    if setting.rank == DEFAULT:
        return _Known(text, "DEFAULT")
    if setting.rank == CLUSTER:
        return _Known(text, "CLUSTER_DEFAULT")
    if setting.rank == SITE_FILE:
        return _Known(text, f"SITE_PROPERTY ({setting.origin})")
    return _Known(text, f"SYSTEM_PROPERTY ({setting.origin})")


def _converted(value: str, unit: str) -> str:
    """`value` in whole units, rounded down. Raises UsageError."""
    try:
        if unit in _SIZES:
            return str(units.parse_size(value) // _SIZES[unit])
        if unit in _DURATIONS_MS:
            return str(int(units.parse_duration_ms(value) / _DURATIONS_MS[unit]))
    except ValueError as error:
        raise UsageError(f"{value!r} is not {error}") from None
    raise UsageError(f"{unit} is not a valid unit")
