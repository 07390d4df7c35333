"""The workers of the cluster: the list of them, the choice for a block, and the links to them.

A worker that left a question unanswered is asked last for a while, for all files. While no master answers, the list
of workers stays as it was.

Threads: any. The list is replaced as a whole and refreshed by one thread at a time; the lock guards it and the
links, and is not held during a call. Copies are asked for by a thread of copies.py.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import TYPE_CHECKING

from alluxio_jnifuse.errors import SourceError, forget_frames
from alluxio_jnifuse.sources.alluxio.proto import worker_pb2
from alluxio_jnifuse.sources.alluxio.rpc import requests
from alluxio_jnifuse.sources.alluxio.rpc.errors import Closed, Status
from alluxio_jnifuse.sources.alluxio.rpc.flight import SingleFlight
from alluxio_jnifuse.sources.alluxio.workers.copies import Copies
from alluxio_jnifuse.sources.alluxio.workers.link import WorkerLink
from alluxio_jnifuse.sources.alluxio.workers.placement import Choice, Worker, choose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alluxio_jnifuse.sources.alluxio.metadata.master import MasterClient
    from alluxio_jnifuse.sources.alluxio.metadata.status import Address, Addresses, FileStatus
    from alluxio_jnifuse.sources.alluxio.settings import Settings
    from alluxio_jnifuse.sources.alluxio.workers.copies import Left
    from alluxio_jnifuse.sources.alluxio.workers.locality import Locality
    from alluxio_jnifuse.sources.alluxio.workers.placement import Policy

log = logging.getLogger(__name__)

_SILENT_S = 15.0  # how long a worker that did not answer is asked last
_MASTER_S = 1.0  # for a master to be found, where there is a list of workers that is only old
_RETRY_LIST_S = 1.0  # when there is no new one, or an empty one: workers register one after the other
_UNUSED_S = 600.0  # after which the link to a worker that is none any more is closed


class Workers:
    """See the module's docstring."""

    def __init__(
        self, settings: Settings, master: MasterClient, locality: Locality, policy: Policy, addresses: Addresses
    ) -> None:
        self.settings = settings
        self.locality = locality
        self.addresses = addresses
        self._master = master
        self._policy = policy
        self._rng = random.Random()
        self._lock = threading.Lock()
        self._links: dict[str, WorkerLink] = {}  # lock; by target
        self._known: tuple[Worker, ...] = ()  # lock
        self._known_until = 0.0  # lock; monotonic
        self._listing: SingleFlight[tuple[Worker, ...]] = SingleFlight("the list of workers")
        self._silent: dict[Address, float] = {}  # lock; who did not answer, and when; replaced as a whole
        self._closed = threading.Event()  # set with the lock
        self._copies = Copies(self.link_to, self.is_silent, self.note_silence)

    # -------------------------------------------------------------------------------------------------- the list

    def list(self) -> tuple[Worker, ...]:
        """The live workers, at most alluxio.user.worker.list.refresh.interval old. Raises OSError."""
        fresh = self._fresh()
        if fresh is not None:
            return fresh
        return self._listing.run(self._fresh, self._ask, self.settings.rpc_retry_max_duration_s)

    def expire(self) -> None:
        """The list is wrong, as it seems."""
        with self._lock:
            self._known_until = 0.0

    def local(self) -> Worker | None:
        """A worker on this machine, if there is one. Raises OSError."""
        return next((worker for worker in self.list() if self.locality.is_local(worker.address)), None)

    def _fresh(self) -> tuple[Worker, ...] | None:
        with self._lock:
            return self._known if time.monotonic() < self._known_until else None

    def _ask(self) -> tuple[Worker, ...]:
        with self._lock:
            known = self._known
        try:
            found = known if known and self._master.is_away() else self._ask_master(_MASTER_S if known else None)
        except OSError as error:
            if not known:
                raise
            forget_frames(error)
            found = known  # they are probably still there
        with self._lock:
            self._known = found
            lasts = self.settings.worker_refresh_s if found and found is not known else _RETRY_LIST_S
            self._known_until = time.monotonic() + lasts
        return found

    def _ask_master(self, patience: float | None) -> tuple[Worker, ...]:
        infos = self._master.get_workers(patience)
        found = tuple(Worker(w.id, self.addresses.of(w.address), w.capacityBytes, w.usedBytes) for w in infos)
        self.locality.prepare(worker.address for worker in found)
        self._close_unused({self._target(worker.address) for worker in found})
        return found

    # --------------------------------------------------------------------------------------------------- choosing

    def choose(self, status: FileStatus, index: int, failed: Mapping[Address, float]) -> Choice:
        """Returns the worker to be asked for a block. Raises NoWorker, OSError."""
        holders = status.locations[index]
        avoided = {**self._recently_silent(), **failed} if self._silent else failed
        # With a copy at hand the list of all workers is not needed, and the master may be away.
        fetch = status.in_ufs and all(holder in avoided for holder in holders)
        return choose(
            status.block_ids[index],
            status.block_lengths[index],
            holders,
            self.list() if fetch else (),
            in_ufs=fetch,
            failed=avoided,
            rank=self.locality.rank,
            policy=self._policy,
            rng=self._rng,
        )

    def note_silence(self, address: Address) -> None:
        """A worker did not answer in time."""
        with self._lock:
            self._silent = {**self._silent, address: time.monotonic()}

    def is_silent(self, address: Address) -> bool:
        """Whether a worker lately did not answer."""
        return address in self._silent and address in self._recently_silent()

    def _recently_silent(self) -> dict[Address, float]:
        since = time.monotonic() - _SILENT_S
        with self._lock:
            self._silent = {address: when for address, when in self._silent.items() if when > since}
            return self._silent

    # ------------------------------------------------------------------------------------------------------ links

    def link(self, choice: Choice) -> WorkerLink:
        """See `link_to`."""
        return self.link_to(choice.address)

    def link_to(self, address: Address) -> WorkerLink:
        """The link to a worker. Raises Closed."""
        target = self._target(address)
        with self._lock:
            if self._closed.is_set():
                raise Closed(Status.CANCELLED, target, "the mount ends")
            link = self._links.get(target)
            if link is None:
                link = self._links[target] = WorkerLink(target, self.settings, self._master.calls)
            link.used_at = time.monotonic()
            return link

    def count_failure(self, address: Address) -> None:
        """A call to this worker failed."""
        self._master.calls.failed(self._target(address))

    def count_retry(self, address: Address) -> None:
        """A call to this worker failed, and another one follows, there or elsewhere."""
        self._master.calls.repeated(self._target(address))

    def prepare(self) -> None:
        """Connects to a worker on this machine, if there is one: the first reader would wait for that. Raises nothing.

        Takes as long as that takes.
        """
        try:
            here = self.local()
            if here is not None:
                self.link_to(here.address).prepare()
        except (OSError, SourceError) as error:
            forget_frames(error)
            log.debug("not connected yet to the worker on this machine: %s", error)

    def _target(self, address: Address) -> str:
        """The domain socket of a worker of this machine that has one, else its port, as Alluxio's client does."""
        path = address.domain_socket
        if path and self.locality.is_local(address) and self.locality.sockets.usable(path):
            return f"unix:{address.domain_socket}"
        host, port = address.endpoint
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def _close_unused(self, targets: set[str]) -> None:
        """Closes the links to others than `targets` that nobody has used for long."""
        since = time.monotonic() - _UNUSED_S
        with self._lock:
            old = [link for target, link in self._links.items() if target not in targets and link.unused_since(since)]
            for link in old:
                del self._links[link.target]
        for link in old:
            link.retire()

    # --------------------------------------------------------------------------------------------------- requests

    def read_request(self, status: FileStatus, index: int, begin: int, end: int, *, from_ufs: bool) -> bytes:
        """The serialised ReadRequest of bytes [begin, end) of a block; `from_ufs`: the worker may fetch them there."""
        whole = begin == 0 and end == status.block_lengths[index]  # read so, a block of the under store gets cached
        return requests.read_block(
            status.block_ids[index],
            begin,
            end - begin,
            self.settings.chunk_bytes,
            self._ufs_options(status, index, from_ufs),
            positioned=end - begin < self.settings.positioned_bytes and not whole,
            promote=self.settings.read_type == "CACHE_PROMOTE",
        ).SerializeToString()

    def _ufs_options(self, status: FileStatus, index: int, from_ufs: bool) -> worker_pb2.OpenUfsBlockOptions:
        length = status.block_lengths[index]
        concurrency = self.settings.ufs_read_concurrency
        no_cache = self.settings.read_type == "NO_CACHE"
        if not from_ufs:
            return requests.held_block_options(length=length, concurrency=concurrency, no_cache=no_cache)
        return requests.open_ufs_block_options(
            persistence=status.persistence,
            ufs_path=status.ufs_path,
            mount_id=status.mount_id,
            block_id=status.block_ids[index],
            block_size=status.block_size,
            length=length,
            concurrency=concurrency,
            no_cache=no_cache,
        )

    # ----------------------------------------------------------------------------------------------------- copies

    def cache(
        self, status: FileStatus, index: int, source: Choice, left: Sequence[Left] = (), *, kept: bool = False
    ) -> bool:
        """Has a copy asked for, of a block that was read from `source`, which is not here, or from the under store.

        It is, when the calls `left` have ended, which become the other thread's; False: nothing is asked for.

        It goes where Alluxio's client puts it: to the worker of this machine, if there is one and
        alluxio.user.file.passive.cache.enabled says so; else to the one that read it from the under store, unless that
        one has `kept` the block. It may not be done with that: if asked meanwhile it would read the block once more.
        """
        if self.settings.read_type == "NO_CACHE":
            return False
        if 0 < status.replication_max <= len(status.locations[index]):
            return False
        here = None
        if self.settings.passive_cache:
            with self._lock:
                known = self._known
            here = next((w for w in known if self.locality.is_local(w.address)), None)
        if (source.cached or kept) and (here is None or here.address == source.address):
            return False  # it is where it shall be
        host, port = source.address.endpoint
        # From a worker that holds it, the block is copied as it is there, or not at all.
        options = self._ufs_options(status, index, from_ufs=not source.cached)
        request = requests.cache(status.block_ids[index], status.block_lengths[index], options, host, port)
        return self._copies.ask(here.address if here is not None else source.address, request, left)

    # ------------------------------------------------------------------------------------------------------- end

    def sleep(self, seconds: float) -> None:
        """Sleeps, but ends with `close`, and raises SourceError then."""
        self._master.calls.paused("", seconds)
        if self._closed.wait(seconds):
            raise SourceError("the mount ends")

    def close(self) -> None:
        """Ends the calls under way. Idempotent."""
        with self._lock:
            self._closed.set()
            links, self._links = self._links, {}
        self._copies.close()
        for link in links.values():
            link.close()
