"""Which worker is asked for a block: one that holds it, the nearest; else the one that a policy picks to fetch it.

The policies are Alluxio's, by the names of its classes. A deterministic one picks the worker that the Java
client of 2.9 picks, so that both clients find in its cache what the other read.

Threads: a policy may be used by several threads at once.
"""

from __future__ import annotations

import random
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from alluxio_jnifuse.errors import SourceError
from alluxio_jnifuse.sources.alluxio.metadata.status import Address

Rank = Callable[[Address], int]  # 0 = this machine, more is further: Locality.rank

DEFAULT = "LocalFirstPolicy"

_U64 = 2**64 - 1
_REMEMBERED_BLOCKS = 4096  # of a RoundRobinPolicy


class Worker(NamedTuple):
    """A worker as the master lists it."""

    id: int
    address: Address
    capacity: int  # bytes
    used: int


class Choice(NamedTuple):
    """The worker to ask for a block."""

    address: Address
    cached: bool  # whether the worker holds the block; if not it must be told where the under store has it
    local: bool  # whether it is on this machine

    @property
    def name(self) -> str:
        """For a person."""
        host, port = self.address.endpoint
        return f"worker {host}:{port}"


class NoWorker(SourceError):
    """No worker can provide the block."""


class Policy(Protocol):
    """Picks a worker for a block that none holds."""

    def pick(self, workers: Sequence[Worker], block_id: int, length: int) -> Worker | None:
        """One of `workers` that takes a block of `length` bytes; None when the policy has none for it."""


def choose(
    block_id: int,
    length: int,
    locations: Sequence[Address],
    workers: Sequence[Worker],
    *,
    in_ufs: bool,
    failed: Mapping[Address, float],
    rank: Rank,
    policy: Policy,
    rng: random.Random,
) -> Choice:
    """Chooses whom to ask for a block of `length` bytes.

    `locations`: the workers that hold it. `workers`: all live ones. `in_ufs`: whether any of these can get it from the
    under store. `failed`: when workers last failed to provide blocks of this file, by the address that was chosen; one
    of those is chosen only when there is no other, the one whose failure is the longest ago.

    Raises NoWorker.
    """
    if in_ufs:
        if not workers:
            raise NoWorker(f"no worker is alive to read block {block_id}", remedy="start a worker")
        eligible = {worker.address.endpoint: worker.address for worker in workers}
    else:
        if not locations:
            raise NoWorker(f"no worker has block {block_id}, and it was not written to the under store")
        eligible = {address.endpoint: address for address in locations}
    usable = {endpoint: address for endpoint, address in eligible.items() if address not in failed}
    if not usable:
        endpoint, address = min(eligible.items(), key=lambda item: failed[item[1]])
        usable = {endpoint: address}

    holders = [usable[address.endpoint] for address in locations if address.endpoint in usable]
    if holders:
        nearest, distance = _nearest(holders, rank, rng)
        return Choice(nearest, True, distance == 0)
    candidates = [worker for worker in workers if worker.address.endpoint in usable]
    picked = policy.pick(candidates, block_id, length)
    if picked is not None:
        return Choice(picked.address, False, rank(picked.address) == 0)
    # A worker that has no room for the block reads it for us all the same, without keeping it.
    nearest, distance = _nearest(list(usable.values()), rank, rng)
    return Choice(nearest, False, distance == 0)


def policy(
    name: str,
    *,
    rank: Rank,
    host: str = "",
    shards: int = 1,
    reserved: int = 0,
    rng: random.Random | None = None,
) -> tuple[Policy, str]:
    """The policy of a class name, with or without its package, and a note for the log, empty when there is none.

    `host`: of SpecificHostPolicy. `shards`: of the deterministic ones. `reserved`: bytes that
    LocalFirstAvoidEvictionPolicy leaves free.
    """
    rng = rng or random.Random()
    short = name.rpartition(".")[2]
    local = LocalFirstPolicy(rank, rng)
    if short in (
        "CapacityBasedDeterministicHashPolicy",
        "CapacityBaseDeterministicHashPolicy",
        "CapacityBaseHashPolicy",
    ):
        return CapacityBasedDeterministicHashPolicy(shards, rng), ""
    if short in ("CapacityBaseRandomPolicy", "CapacityBasedRandomPolicy"):
        return CapacityBaseRandomPolicy(rng), ""
    if short == "DeterministicHashPolicy":
        return DeterministicHashPolicy(shards, rng), ""
    if short == "LocalFirstAvoidEvictionPolicy":
        return LocalFirstAvoidEvictionPolicy(local, reserved), ""
    if short == "MostAvailableFirstPolicy":
        return MostAvailableFirstPolicy(), ""
    if short == "RoundRobinPolicy":
        return RoundRobinPolicy(rng), ""
    if short == "SpecificHostPolicy" and host:
        return SpecificHostPolicy(host), ""
    if short == "SpecificHostPolicy":
        return local, f"{short} was told no host; {DEFAULT} is used"
    return local, "" if short == DEFAULT else f"there is no policy {name!r}; {DEFAULT} is used"


class LocalFirstPolicy:
    """The nearest worker that is large enough; at random among those equally near."""

    def __init__(self, rank: Rank, rng: random.Random) -> None:
        self._rank = rank
        self._rng = rng

    def pick(self, workers: Sequence[Worker], block_id: int, length: int) -> Worker | None:
        fitting = [worker for worker in workers if worker.capacity >= length]
        if not fitting:
            return None
        self._rng.shuffle(fitting)
        return min(fitting, key=lambda worker: self._rank(worker.address))


class LocalFirstAvoidEvictionPolicy:
    """LocalFirstPolicy among the workers that need not evict anything and keep `reserved` bytes free, if there are."""

    def __init__(self, local_first: LocalFirstPolicy, reserved: int) -> None:
        self._local_first = local_first
        self._reserved = reserved

    def pick(self, workers: Sequence[Worker], block_id: int, length: int) -> Worker | None:
        roomy = [worker for worker in workers if worker.capacity - worker.used - self._reserved >= length]
        return self._local_first.pick(roomy or workers, block_id, length)


class MostAvailableFirstPolicy:
    """The worker with the most free bytes."""

    def pick(self, workers: Sequence[Worker], block_id: int, length: int) -> Worker | None:
        return max(workers, key=lambda worker: worker.capacity - worker.used, default=None)


class RoundRobinPolicy:
    """One worker after the other, in an order drawn at first; a block stays with its worker.

    In Java each open file has a policy of its own. Here files share one: the next file goes on where the last one was.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._lock = threading.Lock()  # guards what follows
        self._order: list[Address] = []
        self._last = -1  # index of the worker that was picked last
        self._chosen: OrderedDict[int, Address] = OrderedDict()  # by block

    def pick(self, workers: Sequence[Worker], block_id: int, length: int) -> Worker | None:
        live = {worker.address: worker for worker in workers}
        with self._lock:
            known = self._chosen.get(block_id)
            if known is not None and known in live:
                return live[known]
            self._follow(live)
            for _ in self._order:
                self._last = (self._last + 1) % len(self._order)
                candidate = live.get(self._order[self._last])
                if candidate is not None and candidate.capacity >= length:
                    self._chosen[block_id] = candidate.address
                    if len(self._chosen) > _REMEMBERED_BLOCKS:
                        self._chosen.popitem(last=False)
                    return candidate
        return None

    def _follow(self, live: Collection[Address]) -> None:
        """Appends the workers that are new, and forgets those that are gone when they are the most."""
        if len(self._order) > 2 * len(live):
            self._order = [address for address in self._order if address in live]
        known = set(self._order)
        fresh = [address for address in live if address not in known]
        self._rng.shuffle(fresh)
        self._order += fresh


class SpecificHostPolicy:
    """The worker on one host, or none."""

    def __init__(self, host: str) -> None:
        self._host = host

    def pick(self, workers: Sequence[Worker], block_id: int, length: int) -> Worker | None:
        return next((worker for worker in workers if worker.address.host == self._host), None)


class DeterministicHashPolicy:
    """The block's hash says which of the sorted workers; with `shards`, any of as many that follow."""

    def __init__(self, shards: int, rng: random.Random) -> None:
        self._shards = max(1, shards)
        self._rng = rng

    def pick(self, workers: Sequence[Worker], block_id: int, length: int) -> Worker | None:
        if not workers:
            return None
        ordered = sorted(workers, key=lambda worker: _as_java_prints(worker.address))
        first = abs(md5_int(block_id)) % len(ordered)
        fitting = [worker for worker in ordered[first:] + ordered[:first] if worker.capacity >= length]
        return self._rng.choice(fitting[: self._shards]) if fitting else None


class CapacityBasedDeterministicHashPolicy:
    """The block's hash says which byte of all workers' capacity; with `shards`, any of as many that follow from it."""

    def __init__(self, shards: int, rng: random.Random) -> None:
        self._shards = max(1, shards)
        self._rng = rng

    def pick(self, workers: Sequence[Worker], block_id: int, length: int) -> Worker | None:
        fitting = [worker for worker in workers if worker.capacity >= length]
        fitting.sort(key=lambda worker: worker.address.host)
        total = sum(worker.capacity for worker in fitting)
        if total == 0:
            return None
        candidates = []
        for _ in range(min(self._shards, len(fitting))):
            block_id = murmur3_64(block_id)
            candidates.append(_at(fitting, abs(block_id) % total))
        return self._rng.choice(candidates)


class CapacityBaseRandomPolicy:
    """A worker at random, large ones more often."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def pick(self, workers: Sequence[Worker], block_id: int, length: int) -> Worker | None:
        total = sum(worker.capacity for worker in workers)
        return _at(workers, self._rng.randrange(total)) if total else None


def md5_int(block_id: int) -> int:
    """Guava's Hashing.md5() of a Java long, asInt()."""
    import hashlib  # here: this policy alone uses it

    digest = hashlib.md5(struct.pack("<q", block_id), usedforsecurity=False).digest()
    return int.from_bytes(digest[:4], "little", signed=True)


def murmur3_64(block_id: int) -> int:
    """commons-codec's MurmurHash3.hash64 of a Java long, which is not half of the 128-bit hash."""
    k = int.from_bytes(struct.pack("<q", block_id), "big") * 0x87C37B91114253D5 & _U64
    h = 104729 ^ (_rotate(k, 31) * 0x4CF5AD432745937F & _U64)
    h = (_rotate(h, 27) * 5 + 0x52DCE729) & _U64
    h ^= 8
    h = (h ^ h >> 33) * 0xFF51AFD7ED558CCD & _U64
    h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53 & _U64
    h ^= h >> 33
    return h - 2**64 if h >= 2**63 else h


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & _U64


def _as_java_prints(address: Address) -> str:
    """WorkerNetAddress.toString(), as far as it decides the order; compared ignoring case."""
    text = f"host={address.host}, containerHost={address.container_host}, rpcPort={address.rpc_port}"
    return f"{text}, dataPort={address.data_port}".lower()


def _at(workers: Sequence[Worker], byte: int) -> Worker:
    """The worker that has this byte when all capacities lie in a row."""
    for worker in workers:
        byte -= worker.capacity
        if byte < 0:
            return worker
    raise ValueError("beyond the capacity of all workers")


def _nearest(addresses: Sequence[Address], rank: Rank, rng: random.Random) -> tuple[Address, int]:
    """One of the nearest, and its distance."""
    distances = [rank(address) for address in addresses]
    smallest = min(distances)
    return rng.choice([a for a, distance in zip(addresses, distances) if distance == smallest]), smallest
