"""A page of a listing: keys in their order, those below a delimiter rolled up."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple


class Page(NamedTuple):
    """Keys, and what is common to others, together as many as were asked for."""

    keys: list[str]
    prefixes: list[str]
    last: str  # key or prefix
    truncated: bool


def page(keys: Sequence[str], prefix: str, delimiter: str, after: str, most: int) -> Page:
    """`keys`: all there are, sorted; a page begins behind `after`, which may be a common prefix of the page before."""
    found: list[str] = []
    prefixes: list[str] = []
    last = ""
    at = max(bisect_left(keys, prefix), bisect_right(keys, after) if after else 0)
    while at < len(keys) and keys[at].startswith(prefix):
        key = keys[at]
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        common = key[: end + len(delimiter)] if end >= 0 else ""
        if common and common == after:
            at = _behind(keys, common, at)
            continue
        if len(found) + len(prefixes) == most:
            return Page(found, prefixes, last, True)
        if common:
            prefixes.append(common)
            at = _behind(keys, common, at)
        else:
            found.append(key)
            at += 1
        last = common or key
    return Page(found, prefixes, last, False)


def _behind(keys: Sequence[str], prefix: str, start: int) -> int:
    """Where the keys with a prefix end."""
    after = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    return bisect_left(keys, after, start)
