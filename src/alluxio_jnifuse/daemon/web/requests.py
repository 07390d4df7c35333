"""Requests to the endpoint: the first lines of one, and whether it is to be answered.

A browser that was led to a page of a stranger can be made to ask this machine's own addresses, under a name of the
stranger's that was bound to them (DNS rebinding). So a name in `Host` has to be one that is known; an address cannot be
bound anew, and is always good.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import NamedTuple

MOST_BYTES = 8 << 10  # of the lines of a request; a scraper sends some hundred
_END = b"\r\n\r\n"
_LOCAL = frozenset({"localhost", "localhost.localdomain"})


class Refused(Exception):
    """A request that gets nothing but `status`."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Asked(NamedTuple):
    """A request: its path, whether the body of the answer is left out, and the query of its address."""

    path: str
    head_only: bool
    query: str = ""


def parse(received: bytes | bytearray, names: Collection[str]) -> Asked | None:
    """None: more has to come. `names`: those that `Host` may have beside addresses, in lower case. Raises Refused."""
    end = received.find(_END)
    if end < 0:
        if len(received) >= MOST_BYTES:
            raise Refused(431)
        return None
    if end > MOST_BYTES:
        raise Refused(431)
    first, *lines = bytes(received[:end]).decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.0", "HTTP/1.1"):
        raise Refused(400)
    hosts = [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].lower() == "host"]
    if len(hosts) != 1:
        raise Refused(400)
    if not is_good_host(hosts[0], names):
        raise Refused(421)
    if words[0] not in ("GET", "HEAD"):
        raise Refused(405)
    path, _, query = words[1].partition("?")
    return Asked(path, words[0] == "HEAD", query)


def is_good_host(host: str, names: Collection[str]) -> bool:
    """Whether a client that was told this name was told it by somebody who knows this machine."""
    name = host.lower()
    if name.startswith("["):
        address, bracket, port = name[1:].partition("]")
        return bool(bracket) and (not port or port.startswith(":")) and _is_address(address)
    name = name.rpartition(":")[0] if ":" in name else name
    return name in _LOCAL or name in names or _is_address(name)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
