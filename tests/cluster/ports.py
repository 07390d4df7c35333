"""Ports for servers that are started later, and again.

Chosen outside the range from which the kernel takes ports for outgoing connections. An abstract socket named after
a port keeps other clusters of this machine from choosing it, also while its server is down; it ends with the process.
"""

from __future__ import annotations

import random
import socket

from cluster.errors import ClusterError

_FIRST, _LAST = 12_000, 31_999
_TRIES = 2000


class Ports:
    """Ports that nobody uses, and that no other cluster of this machine will."""

    def __init__(self) -> None:
        self._claims: list[socket.socket] = []

    def take(self) -> int:
        """One more."""
        for _ in range(_TRIES):
            port = random.randint(_FIRST, _LAST)
            if self._claim(port):
                return port
        raise ClusterError(f"no free port between {_FIRST} and {_LAST}")

    def close(self) -> None:
        """Gives them back."""
        while self._claims:
            self._claims.pop().close()

    def _claim(self, port: int) -> bool:
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            claim.bind(f"\0alluxio-jnifuse-port-{port}")
            with socket.socket() as probe:
                probe.bind(("0.0.0.0", port))
        except OSError:
            claim.close()
            return False
        self._claims.append(claim)
        return True


def is_open(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0
