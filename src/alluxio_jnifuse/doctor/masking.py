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
_NAME = re.compile(r"""(?<![\w.-])(?P<name>[\w.-]+)\\?["']?\s*[=:]\s*""")
_VALUE = re.compile(r"""\\"(?:[^"\\]|\\[^"])*\\"|"(?:[^"\\]|\\.)*"|'[^']*'|(?:(?!\\["'])[^\s,;&"'{}])+""")
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
        return masked_text(_OPTION.sub(_masked, _without_secret_pairs(text)))


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


def _without_secret_pairs(text: str) -> str:
    """Pairs may be part of the value of another, as in an address: `http://HOST:PORT/?token=...`."""
    shown: list[str] = []
    at = 0
    for name in _NAME.finditer(text):
        if name.start() < at or not is_secret(name["name"]):
            continue
        value = _VALUE.match(text, name.end())
        if value is not None and value[0] not in _NO_SECRETS:
            shown += [text[at : name.end()], _mask_of(value[0])]
            at = value.end()
    return "".join([*shown, text[at:]])


def _masked(match: re.Match[str]) -> str:
    if match["value"] in _NO_SECRETS or not is_secret(match["name"]):
        return match[0]
    return f"{match['name']}{match['sign']}{_mask_of(match['value'])}"


def _mask_of(value: str) -> str:
    """In the quotes of the value."""
    mark = re.match(r"\\?[\"']?", value)
    return f"{mark[0] if mark else ''}{MASK}{mark[0] if mark else ''}"
