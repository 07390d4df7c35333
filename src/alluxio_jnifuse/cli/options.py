"""`options`: the settings that there are, from the table that the mount itself uses."""

from __future__ import annotations

import difflib
import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from alluxio_jnifuse.cli.words import PROGRAM, UsageError, options_of
from alluxio_jnifuse.config.merge import shown
from alluxio_jnifuse.config.options import OPTIONS, Option, is_property
from alluxio_jnifuse.config.properties import ignored_reason

USAGE = f"""\
Usage: {PROGRAM} options [--json] [WORD]...

  WORD                      an option, a property or a variable of the environment: everything about it;
                            else a part of names, as `cache` or `timeout`: a line for each of them
  --json                    objects, one for each line

Without WORD: a line for each option and property. `{PROGRAM} getConf --source` says how a property is set now.
"""

_WIDTH = 100


def run(arguments: Sequence[str]) -> int:
    """Returns the exit code. Raises UsageError."""
    given, words = options_of(arguments, "", ["json"])
    if any(not word.strip() for word in words):
        raise UsageError("an empty word")
    rows = [row for row in OPTIONS if row.kind != "accepted"]
    if not words:
        _print(rows, bool(given))
        return 0
    code = 0
    for word in words:
        exact = [row for row in OPTIONS if word in (row.name, *row.aliases, row.env, row.off)]
        parts = [row for row in rows if any(word.lower() in name.lower() for name in _names(row))]
        if exact and not given:
            print("\n".join(_page(exact[0])))
        elif exact or parts:
            _print(exact or parts, bool(given))
        else:
            print(f"{PROGRAM} options: {_unknown(word)}", file=sys.stderr)
            code = 1
    return code


def _names(row: Option) -> tuple[str, ...]:
    return tuple(name for name in (row.name, *row.aliases, row.env, row.off) if name)


def _print(rows: Iterable[Option], as_json: bool) -> None:
    if as_json:
        print("\n".join(json.dumps(_told(row)) for row in rows))
        return
    for row in rows:
        default = f" [{row.default}]" if row.default else ""
        first = row.help.replace("\n", " ")
        print(textwrap.shorten(f"{row.name}{default}: {first}", _WIDTH + 40, placeholder=" ..."))


def _page(row: Option) -> Iterator[str]:
    how = f"-D {row.name}=..." if is_property(row.name) else f"-o {row.name}{'' if _is_flag(row) else '=...'}"
    yield f"{row.name}  ({how})"
    if row.kind == "accepted":
        yield from _indented(f"accepted without effect: {row.why}")
        return
    yield from _indented(row.help)
    yield f"  value: {_values(row)}"
    yield f"  default: {row.default or 'not set'}"
    yield from _indented(f"why: {row.why}")
    if row.off:
        yield f"  opposite: {row.off}"
    if row.aliases:
        yield from _indented(f"also: {', '.join(row.aliases)}")
    if row.env:
        yield f"  environment: {row.env}"
    for applies, where in ((row.cluster, "an Alluxio cluster"), (row.oss, "a bucket of OSS")):
        if applies:
            yield f"  only for {where}"
    if row.here:
        yield "  never taken from the configuration of a cluster"


def _is_flag(row: Option) -> bool:
    return row.kind in ("flag", "mode", "accepted")


def _values(row: Option) -> str:
    if row.choices:
        return " or ".join(row.choices)
    if _is_flag(row):
        return "the name alone"
    if row.kind in ("duration", "seconds") or row.low is None or row.high is None:
        return row.kind
    return f"{row.kind}, {shown(row, row.low)} to {shown(row, row.high)}"


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def _told(row: Option) -> dict[str, object]:
    return {
        "name": row.name,
        "property": is_property(row.name),
        "kind": row.kind,
        "default": row.default,
        "value": _values(row),
        "help": row.help,
        "why": row.why,
        "aliases": list(row.aliases),
        "environment": row.env,
        "opposite": row.off,
        "cluster": row.cluster,
        "oss": row.oss,
    }


def _unknown(word: str) -> str:
    """Says why a word names nothing, and which names are near it."""
    if is_property(word):
        return f"{word} has no effect here: {ignored_reason(word)}"
    names = [name for row in OPTIONS for name in _names(row)]
    near = difflib.get_close_matches(word, names, 3, 0.6)
    return f"there is no {word!r}" + (f"; did you mean {' or '.join(near)}?" if near else "")
