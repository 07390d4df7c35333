"""How near a worker is: on this machine, in the same rack, anywhere.

A worker is on this machine when one of its names is one of ours, when its host resolves to an address of ours, or, if
so configured, when its domain socket lies here. The Java client knows the first and the last; a worker that calls
itself by another name of the machine is remote to it.

Threads: any method from any thread. Names are resolved by a few daemon threads, which exist while there is something
to do. A caller waits for them for a second at most, holding nothing; answers that come later count from then on.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.sources.alluxio.workers.domainsockets import DomainSockets
from alluxio_jnifuse.system.threads import start_thread

if TYPE_CHECKING:
    from alluxio_jnifuse.sources.alluxio.metadata.status import Address
    from alluxio_jnifuse.sources.alluxio.settings import Settings

log = logging.getLogger(__name__)

NODE = "node"  # the tier that means one machine

_THREADS = 8
_PATIENCE_S = 1.0  # for names to be resolved
_IMPATIENT_S = 30.0  # after it was in vain, nobody waits for so long
_VALID_S = 600.0  # of what was found; used until there is something newer
_RETRY_S = 60.0  # after a name could not be resolved
_ANY_PORT = 9  # nothing is sent to it

SocketAddress = tuple[int, tuple[Any, ...]]  # family, and what connect() takes


class Locality:
    """See the module's docstring."""

    def __init__(
        self,
        settings: Settings,
        *,
        resolve: Callable[[str], Iterable[SocketAddress]] | None = None,
        is_own: Callable[[SocketAddress], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self.sockets = DomainSockets()
        self._as_uuid = settings.domain_socket_as_uuid
        self._tiers = [tier for tier in settings.tiers if tier[0] != NODE]
        self._resolve = resolve or resolve_host
        self._is_own = is_own or is_own_address
        self._clock = clock
        self._patience_s = patience_s
        names = ("localhost", socket.gethostname(), settings.hostname, dict(settings.tiers).get(NODE))
        self._names = {_plain(name) for name in names if name}

        self._found = threading.Condition()  # guards what follows
        self._ours: dict[
            str, tuple[bool, float]
        ] = {}  # by host: whether it is this machine, and until when that counts
        self._queue: deque[str] = deque(("",))  # hosts to resolve; "": our own full name
        self._queued: set[str] = {""}  # and those being resolved
        self._threads = 0
        self._impatient_until = float("-inf")

    def is_local(self, address: Address) -> bool:
        """Whether a worker is on this machine."""
        if self._is_local_by_name(address):
            return True
        hosts = _hosts(address)
        self._learn(hosts)
        return any(self._ours.get(host, (False,))[0] for host in hosts)

    def rank(self, address: Address) -> int:
        """The distance to a worker: 0 on this machine, 1 in the same nearest tier, and so on."""
        if self.is_local(address):
            return 0
        for distance, tier in enumerate(self._tiers, start=1):
            if tier in address.tiers:
                return distance
        return len(self._tiers) + 1

    def prepare(self, addresses: Iterable[Address]) -> None:
        """Resolves the names of many workers at once, before `is_local` is asked for each."""
        unknown = {host for address in addresses if not self._is_local_by_name(address) for host in _hosts(address)}
        self._learn(unknown)

    def _is_local_by_name(self, address: Address) -> bool:
        if any(host in self._names for host in _hosts(address)):
            return True
        if any(name == NODE and _plain(value) in self._names for name, value in address.tiers):
            return True
        return self._as_uuid and self.sockets.usable(address.domain_socket)

    def _learn(self, hosts: Iterable[str]) -> None:
        """Returns when everything is known of the hosts that can be known in time."""
        now = self._clock()
        known = self._ours
        missing = [host for host in hosts if known.get(host, (False, float("-inf")))[1] <= now]
        if not missing:
            return
        with self._found:
            for host in missing:
                if host not in self._queued:
                    self._queued.add(host)
                    self._queue.append(host)
            for _ in range(min(_THREADS - self._threads, len(self._queue))):
                self._start_thread()
            # Expired answers are used until they are replaced.
            if now >= self._impatient_until and not self._found.wait_for(
                lambda: all(host in known for host in missing), self._patience_s
            ):
                self._impatient_until = now + _IMPATIENT_S
                slow = ", ".join(sorted(host for host in missing if host not in known))
                log.warning("resolving %s takes longer than %g s; taken as remote until then", slow, self._patience_s)

    def _start_thread(self) -> None:
        self._threads += 1
        try:
            start_thread("locality", self._run)
        except MountError:  # the next caller tries again
            self._threads -= 1

    def _run(self) -> None:
        while True:
            with self._found:
                if not self._queue:
                    self._threads -= 1
                    return
                host = self._queue.popleft()
            ours = self._look_up(host)
            with self._found:
                self._queued.discard(host)
                if host:
                    before = self._ours.get(host, (False,))[0]
                    valid_s = _RETRY_S if ours is None else _VALID_S
                    self._ours[host] = (before if ours is None else ours), self._clock() + valid_s
                self._found.notify_all()

    def _look_up(self, host: str) -> bool | None:
        """Whether a host is this machine; None when it has no address."""
        try:
            if host:
                return any(self._is_own(address) for address in self._resolve(host))
            self._names |= {_plain(socket.getfqdn())}
        except (OSError, ValueError):  # ValueError: no host can have that name
            pass
        return None


def resolve_host(host: str) -> list[SocketAddress]:
    """The addresses of a host. Raises OSError; blocks for as long as the name service does."""
    found = socket.getaddrinfo(host, _ANY_PORT, type=socket.SOCK_DGRAM)
    return [(family, address) for family, _, _, _, address in found]


def is_own_address(address: SocketAddress) -> bool:
    """Whether an address belongs to an interface of this machine.

    To one of its own addresses the kernel sends from that same address. Nothing is sent by connecting.
    """
    family, where = address
    packed = _packed(family, where)
    if packed[0] == 127 if family == socket.AF_INET else packed == _packed(family, ("::1",)):
        return True
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.connect(where)
        except OSError:  # no route to it
            return False
        return _packed(family, probe.getsockname()) == packed


def _packed(family: int, where: tuple[Any, ...]) -> bytes:
    return socket.inet_pton(family, where[0].partition("%")[0])


def _hosts(address: Address) -> list[str]:
    return [_plain(name) for name in (address.host, address.container_host) if name]


def _plain(name: str) -> str:
    """A host's name as it is compared."""
    return name.rstrip(".").lower()
