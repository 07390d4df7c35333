"""Takes secrets out of text that leaves this machine.

A value that is known to be secret is replaced wherever it stands, also as it is written in a URL or in base64. A value
that has the name of a secret in front of it is replaced, too.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

from alluxio_jnifuse.config.secrets import MASK, SECRETS_VARIABLE, is_secret, masked_text, secrets_in

_SHORTEST = 4  # characters of a value that is replaced wherever it stands; a shorter one is part of too many words

_NO_SECRETS = ("VALUE", MASK)  # the first stands for one in lines to type
# Headers of HTTP: all that follows is secret.
_HEADER = re.compile(r"\b((?:proxy-)?authorization|(?:set-)?cookie)(\W{0,3}[=:]\s*)[^\r\n]*", re.IGNORECASE)
_PAIR = re.compile(
    r"""(?<![\w.-])(?P<name>[\w.-]+)(?P<sign>\\?["']?\s*[=:]\s*)"""
    r"""(?P<value>\\?"(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;&"'{}]+)"""
)
_OPTION = re.compile(r"(?<!\S)(?P<name>--?[\w.-]+)(?P<sign>[ \t]+)(?P<value>[^\s-]\S*)")


class Masker:
    """Replaces `known` secrets and whatever looks like one."""

    def __init__(self, known: Iterable[str]) -> None:
        words = {form for secret in known for form in _forms(secret)}
        # A longer one first, since it may contain a shorter one.
        listed = sorted((word for word in words if len(word) >= _SHORTEST), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, listed))) if listed else None

    def mask(self, text: str) -> str:
        """The text as it may be shown."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        text = _HEADER.sub(rf"\1\2{MASK}", text)
        return masked_text(_OPTION.sub(_masked, _PAIR.sub(_masked, text)))


def of_environment(environ: Mapping[str, str]) -> Iterator[str]:
    """The secrets in variables of the environment."""
    for name, value in environ.items():
        if name == SECRETS_VARIABLE:
            yield from _of_json(value)
        elif is_secret(name):
            yield value
        else:
            yield from secrets_in(value)


def _of_json(text: str) -> Iterator[str]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if isinstance(found, dict):
        yield from (str(value) for value in found.values())


def _forms(secret: str) -> set[str]:
    """A secret as it may be written."""
    secret = secret.strip()
    raw = secret.encode("utf-8", "surrogateescape")
    return {secret, quote(raw, safe=""), quote(raw), base64.b64encode(raw).decode(), json.dumps(secret)[1:-1]}


def _masked(match: re.Match[str]) -> str:
    value = match["value"]
    if value in _NO_SECRETS or not is_secret(match["name"]):
        return match[0]
    mark = re.match(r"\\?[\"']?", value)
    return f"{match['name']}{match['sign']}{mark[0] if mark else ''}{MASK}{mark[0] if mark else ''}"
