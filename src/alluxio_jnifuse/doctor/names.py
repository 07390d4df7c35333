"""Names of hosts: whether they have an address, and whether somebody answers there."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from alluxio_jnifuse.doctor.finding import ERROR, Finding
from alluxio_jnifuse.system.threads import start_thread

T = TypeVar("T")
R = TypeVar("R")

CONNECT_S = 5.0
_PORT = re.compile(r":(\d+)\Z")


def split(target: str) -> tuple[str, int]:
    """Host and port of `host:port`, an IPv6 address in brackets."""
    found = _PORT.search(target)
    host = target[: found.start()] if found else target
    return host.strip("[]"), int(found[1]) if found else 0


def without_address(host: str) -> Finding | None:
    """A finding if a name has no address."""
    try:
        socket.getaddrinfo(host, 9, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        remedy = "correct the name, or add it to the name service, or to /etc/hosts"
        return Finding(ERROR, "this name has no address", host, remedy, f"getent hosts {host}")
    return None


def unreachable(endpoint: tuple[str, int]) -> str:
    """Why nobody answers there; "" if somebody does."""
    try:
        socket.create_connection(endpoint, CONNECT_S).close()
    except socket.gaierror:
        return "its name has no address"
    except TimeoutError:
        return "it does not answer"
    except (OSError, UnicodeError) as error:
        return (getattr(error, "strerror", "") or str(error)).lower()
    return ""


def side_by_side(work: Callable[[T], R], items: Iterable[T], timeout: float) -> dict[T, R]:
    """Results by item, each worked on in a thread of its own; without those that did not come within `timeout` s.

    Raises what one of them raised.
    """
    results: dict[T, R] = {}
    errors: list[Exception] = []

    def one(item: T) -> None:
        try:
            results[item] = work(item)
        except Exception as error:
            errors.append(error)

    deadline = time.monotonic() + timeout
    for thread in [start_thread("ask", one, item) for item in items]:
        thread.join(max(0.0, deadline - time.monotonic()))
    if errors:
        raise errors[0]
    return dict(results)
