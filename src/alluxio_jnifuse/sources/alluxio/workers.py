"""The workers of the cluster: who they are, who is asked for a block, and the links to them.

Threads: any. The list is replaced as a whole and refreshed by one thread at a time; the lock guards it and the
links, and is not held during a call. Requests for copies go out from a thread of their own: whoever closes a file
does not wait for them.
"""

from __future__ import annotations

import logging
import os
import queue
import random
import threading
import time
from typing import TYPE_CHECKING

from alluxio_jnifuse.errors import SourceError, StaleVersion
from alluxio_jnifuse.sources.alluxio import requests
from alluxio_jnifuse.sources.alluxio.errors import CallError, is_unimplemented
from alluxio_jnifuse.sources.alluxio.flight import SingleFlight
from alluxio_jnifuse.sources.alluxio.link import WorkerLink
from alluxio_jnifuse.sources.alluxio.placement import Choice, Worker, choose
from alluxio_jnifuse.sources.alluxio.proto import worker_pb2
from alluxio_jnifuse.sources.alluxio.status import Address, Addresses, FileStatus, from_info, version_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alluxio_jnifuse.sources.alluxio.locality import Locality
    from alluxio_jnifuse.sources.alluxio.master import MasterClient
    from alluxio_jnifuse.sources.alluxio.placement import Policy
    from alluxio_jnifuse.sources.alluxio.settings import Settings

log = logging.getLogger(__name__)

CACHE = "/alluxio.grpc.block.BlockWorker/Cache"
ASYNC_CACHE = "/alluxio.grpc.block.BlockWorker/AsyncCache"

_CACHE_S = 10.0
_MOST_WAITING_COPIES = 1000


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
        self._closed = threading.Event()
        self._copies: queue.Queue[tuple[str, bytes, str] | None] = queue.Queue()
        self._copier: threading.Thread | None = None  # lock
        self._old: set[str] = set()  # targets of workers without Cache; the copier's

    # -------------------------------------------------------------------------------------------------- the list

    def list(self) -> tuple[Worker, ...]:
        """The live workers, at most alluxio.user.worker.list.refresh.interval old. Raises OSError."""
        fresh = self._fresh()
        return fresh if fresh is not None else self._listing.run(self._fresh, self._ask, self.settings.rpc_retry_max_duration_s)

    def _fresh(self) -> tuple[Worker, ...] | None:
        with self._lock:
            return self._known if time.monotonic() < self._known_until else None

    def _ask(self) -> tuple[Worker, ...]:
        try:
            found = tuple(
                Worker(w.id, self.addresses.of(w.address), w.capacityBytes, w.usedBytes) for w in self._master.get_workers()
            )
        except OSError:
            with self._lock:
                if self._known:  # the master is away: those whom we know are probably still there
                    self._known_until = time.monotonic() + 1.0
                    return self._known
            raise
        self.locality.prepare(worker.address for worker in found)
        with self._lock:
            self._known = found
            # An empty list is nothing to rely on: workers register one after the other.
            self._known_until = time.monotonic() + (self.settings.worker_refresh_s if found else 1.0)
        return found

    def local(self) -> Worker | None:
        """A worker on this machine, if there is one. Raises OSError."""
        return next((worker for worker in self.list() if self.locality.is_local(worker.address)), None)

    # --------------------------------------------------------------------------------------------------- choosing

    def choose(self, status: FileStatus, index: int, failed: Mapping[Address, float]) -> Choice:
        """Who shall be asked for a block. Raises NoWorker, OSError."""
        holders = status.locations[index]
        # With a copy at hand the list of all workers is not needed, and the master may be away.
        fetch = status.in_ufs and all(holder in failed for holder in holders)
        return choose(
            status.block_ids[index],
            status.block_lengths[index],
            holders,
            self.list() if fetch else (),
            in_ufs=fetch,
            failed=failed,
            rank=self.locality.rank,
            policy=self._policy,
            rng=self._rng,
        )

    def link(self, choice: Choice) -> WorkerLink:
        return self.link_to(choice.address)

    def link_to(self, address: Address) -> WorkerLink:
        target = self._target(address)
        with self._lock:
            link = self._links.get(target)
            if link is None:
                link = self._links[target] = WorkerLink(target, self.settings, self._master.calls)
            return link

    def _target(self, address: Address) -> str:
        """As Alluxio's client: the domain socket of a worker of this machine that has one, else its port."""
        if address.domain_socket and self.locality.is_local(address) and os.path.exists(address.domain_socket):
            return f"unix:{address.domain_socket}"
        host, port = address.endpoint
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    # --------------------------------------------------------------------------------------- the state of a file

    def refresh(self, path: str, status: FileStatus, index: int) -> FileStatus:
        """`status` with the locations that the block has by now. Raises StaleVersion; the same when nobody answers."""
        try:
            now = from_info(self._master.get_status(path), self.addresses)
        except FileNotFoundError as error:
            raise StaleVersion(repr(path)) from error
        except OSError as error:
            log.debug("%s block %d: no news from the master: %s", path, index, error)
            return status
        if version_of(now) != version_of(status):
            raise StaleVersion(repr(path))
        with self._lock:
            self._known_until = 0.0
        return now

    def check_version(self, path: str, status: FileStatus) -> None:
        """Raises StaleVersion when the file is not the one that `status` describes any more."""
        self.refresh(path, status, 0)

    # --------------------------------------------------------------------------------------------------- requests

    def _ufs_options(self, status: FileStatus, index: int) -> worker_pb2.OpenUfsBlockOptions:
        return requests.open_ufs_block_options(
            persistence=status.persistence,
            ufs_path=status.ufs_path,
            mount_id=status.mount_id,
            block_id=status.block_ids[index],
            block_size=status.block_size,
            length=status.block_lengths[index],
            concurrency=self.settings.ufs_read_concurrency,
            no_cache=self.settings.read_type == "NO_CACHE",
        )

    def read_request(self, status: FileStatus, index: int, begin: int, end: int) -> bytes:
        """The serialised ReadRequest of bytes [begin, end) of a block."""
        whole = begin == 0 and end == status.block_lengths[index]  # read so, a block of the under store gets cached
        return requests.read_block(
            status.block_ids[index],
            begin,
            end - begin,
            self.settings.chunk_bytes,
            self._ufs_options(status, index),
            positioned=end - begin < self.settings.positioned_bytes and not whole,
            promote=self.settings.read_type == "CACHE_PROMOTE",
        ).SerializeToString()

    # ----------------------------------------------------------------------------------------------------- copies

    def cache(self, status: FileStatus, index: int, source: Choice) -> None:
        """Asks for a copy of a block that was read from `source`, which is not here, or from the under store.

        As Alluxio's client does: the worker of this machine shall have it, if there is one and
        alluxio.user.file.passive.cache.enabled says so; else the one that read it from the under store.
        """
        if self.settings.read_type == "NO_CACHE":
            return
        if 0 < status.replication_max <= len(status.locations[index]):
            return
        here = None
        if self.settings.passive_cache:
            with self._lock:
                here = next((w for w in self._known if self.locality.is_local(w.address)), None)
        if source.cached and (here is None or here.address == source.address):
            return  # it is where it shall be
        target = self._target(here.address if here is not None else source.address)
        host, port = source.address.endpoint
        request = requests.cache(
            status.block_ids[index], status.block_lengths[index], self._ufs_options(status, index), host, port
        )
        with self._lock:
            if self._closed.is_set() or self._copies.qsize() >= _MOST_WAITING_COPIES:
                return
            if self._copier is None:
                self._copier = threading.Thread(target=self._copy, name="copies", daemon=True)
                self._copier.start()
            link = self._links.get(target)
            if link is None:
                link = self._links[target] = WorkerLink(target, self.settings, self._master.calls)
        self._copies.put((target, request.SerializeToString(), f"block={status.block_ids[index]}"))

    def _copy(self) -> None:
        while True:
            item = self._copies.get()
            if item is None or self._closed.is_set():
                return
            target, wire, about = item
            with self._lock:
                link = self._links.get(target)
            if link is None:
                return
            request = worker_pb2.CacheRequest.FromString(wire)
            try:
                if target not in self._old:
                    try:
                        link.channel.unary(CACHE, request, worker_pb2.CacheResponse, _CACHE_S, about)
                        continue
                    except CallError as error:
                        if not is_unimplemented(error):
                            raise
                        self._old.add(target)
                older = requests.async_cache(
                    request.block_id,
                    request.length,
                    request.open_ufs_block_options,
                    request.source_host,
                    request.source_port,
                )
                link.channel.unary(ASYNC_CACHE, older, worker_pb2.AsyncCacheResponse, _CACHE_S, about)
            except OSError as error:
                log.debug("a copy was not made: %s", error)  # it only makes the next read faster

    # ------------------------------------------------------------------------------------------------------- end

    def sleep(self, seconds: float) -> None:
        """As time.sleep, but ends with `close`. Raises SourceError then."""
        if self._closed.wait(seconds):
            raise SourceError("the mount ends")

    def close(self) -> None:
        self._closed.set()
        self._copies.put(None)
        with self._lock:
            links, self._links = self._links, {}
        for link in links.values():
            link.close()
