"""A source that lives in a daemon and is commanded from the test."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any
from urllib.parse import quote

from alluxio_jnifuse.testing import Node

FACTORIES = Path(__file__).with_name("factories.py")


class RemoteSource:
    """A MemorySource of `tree` behind delays and switches.

    `delays`: seconds by kind of call. `rules`: (name of a switch, kind of call, path or None for every path).
    `uri` is for the mount; everything else works once that is mounted.
    """

    def __init__(
        self,
        directory: Path,
        tree: Mapping[bytes, Node],
        delays: Mapping[str, float] | None = None,
        rules: Sequence[tuple[str, str, bytes | None]] = (),
    ) -> None:
        directory.mkdir(parents=True)
        plan = directory / "plan"
        self.ready = directory / "socket"  # exists once the daemon has made the source
        self._switches = [name for name, _, _ in rules]
        plan.write_bytes(pickle.dumps((dict(tree), dict(delays or {}), list(rules), str(self.ready))))
        self.uri = f"testing://{quote(str(FACTORIES))}?plan={quote(str(plan), safe='')}#planned"
        self._connection: Connection | None = None

    def calls(self) -> dict[str, int]:
        """How often MemorySource was asked, by kind."""
        return self._ask("calls")

    def bytes_read(self) -> int:
        """How many bytes were read from it."""
        return self._ask("bytes_read")

    def replace(self, path: bytes, node: Node) -> int:
        """As MemorySource.replace."""
        return self._ask("replace", path, node)

    def remove(self, path: bytes) -> None:
        """As MemorySource.remove."""
        self._ask("remove", path)

    def hold(self, name: str, count: int = 1 << 30) -> None:
        """The next calls that meet the switch, at most `count`, wait in it."""
        self._ask("set", name, None, count)

    def release(self, name: str) -> None:
        """Calls pass, those that wait too."""
        self._ask("set", name, None, 0)

    def act(self, name: str, *action: Any) -> None:
        """Calls meet an action: the name of a function of alluxio_jnifuse.testing or factories.py, its arguments."""
        self._ask("set", name, action, 0)

    def waiting(self, name: str) -> int:
        """How many calls wait in a switch."""
        return self._ask("waiting", name)

    def met(self, name: str) -> int:
        """How many calls have met a switch."""
        return self._ask("met", name)

    def close(self) -> None:
        """Lets everything go on that waits, and hangs up."""
        if self._connection is None:
            return
        try:
            for name in self._switches:
                self.release(name)
        except (OSError, EOFError):
            pass  # the daemon is no more
        self._connection.close()
        self._connection = None

    def restart(self) -> None:
        """Its daemon is no more; the next mount of `uri` makes the same tree anew."""
        self.close()
        self.ready.unlink(missing_ok=True)

    def _ask(self, name: str, *arguments: Any) -> Any:
        if self._connection is None:
            self._connection = Client(str(self.ready), "AF_UNIX")
        self._connection.send((name, arguments))
        assert self._connection.poll(10), f"the daemon does not answer {name}"
        done, value = self._connection.recv()
        if not done:
            raise value
        return value
