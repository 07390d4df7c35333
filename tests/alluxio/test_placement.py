"""Which worker is asked for a block."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest

from alluxio_jnifuse.sources.alluxio.metadata.status import Address
from alluxio_jnifuse.sources.alluxio.workers import placement
from alluxio_jnifuse.sources.alluxio.workers.placement import (
    CapacityBaseRandomPolicy,
    Choice,
    LocalFirstPolicy,
    NoWorker,
    Policy,
    RoundRobinPolicy,
    Worker,
    choose,
    md5_int,
    murmur3_64,
    policy,
)

GB = 1 << 30
MB = 1 << 20


def address(host: str) -> Address:
    return Address(host, "", 29999, 29999, "", (("rack", host[0]),))


def worker(host: str, capacity: int = 10 * GB, used: int = 0) -> Worker:
    return Worker(1, address(host), capacity, used)


def rank(where: Address) -> int:
    """Hosts that begin with l are here, with n near; all others are far."""
    return {"l": 0, "n": 1}.get(where.host[0], 2)


def hosts(made: Policy, workers: Sequence[Worker], length: int = MB, block_id: int = 1, times: int = 200) -> set[str]:
    """Where a policy sends a block when it is asked many times."""
    found = (made.pick(workers, block_id, length) for _ in range(times))
    return {picked.address.host if picked else "-" for picked in found}


def make(name: str, host: str = "", shards: int = 1, reserved: int = 0) -> Policy:
    made, note = policy(name, rank=rank, host=host, shards=shards, reserved=reserved, rng=random.Random(1))
    assert not note
    return made


# ------------------------------------------------------------------------------------------------------------ policies

# What Alluxio 2.9.6 answers for blocks of 64 MB and the workers below, and the hashes as its libraries compute them:
# block id, MurmurHash3.hash64, Hashing.md5 ... asInt, DeterministicHashPolicy with one shard and with three,
# CapacityBasedDeterministicHashPolicy likewise.
JAVA = [
    (0, -8620514229188030809, 725019261, "w10", "W2 w10 w3", "w10", "w10"),
    (1, 6840239832827182823, -856896205, "w1", "W2 w1 w10", "w10", "w1 w10"),
    (16777216, 2018414592048982719, 987824672, "w10", "W2 w10 w3", "w10", "w10"),
    (16777217, -9171353039712061607, 1325883244, "w3", "w1 w10 w3", "w10", "W2 w10"),
    (33554432, 3285879504971532, 2024551540, "w1", "W2 w1 w10", "w1", "w1 w10"),
    (1099511627775, -164092620263165023, -762292228, "W2", "W2 w1 w3", "w10", "w10 w3"),
    (72057594021150720, 1500025919255845805, -1758298676, "w10", "W2 w10 w3", "w10", "w10"),
    (9223372036854775807, 8510850762534098677, 759367434, "w3", "w1 w10 w3", "w10", "w10 w3"),
    (-1, -6995933311723732776, -195638334, "w3", "w1 w10 w3", "w1", "w1 w10 w3"),
    (-9223372036854775808, 5774917990927342291, 585452726, "w10", "W2 w10 w3", "w10", "w10 w3"),
    (50331648, 258759781722380460, -325644958, "W2", "W2 w1 w3", "W2", "W2 w3"),
    (67108864, -2947027835376204728, 1281501507, "w10", "W2 w10 w3", "W2", "W2 w10 w3"),
]
JAVA_WORKERS = [
    worker("w3", 3 * GB),
    worker("w1", 1 * GB),
    worker("W2", 2 * GB),
    worker("w10", 5 * GB),
    worker("w1-b", 10),
]


@pytest.mark.parametrize(("block_id", "murmur", "md5", "one", "three", "weighed", "weighed_three"), JAVA)
def test_deterministic_policies_are_javas(
    block_id: int, murmur: int, md5: int, one: str, three: str, weighed: str, weighed_three: str
) -> None:
    """Or both clients would load each block into a worker of its own."""
    assert (murmur3_64(block_id), md5_int(block_id)) == (murmur, md5)
    for name, shards, expected in (
        ("DeterministicHashPolicy", 1, one),
        ("DeterministicHashPolicy", 3, three),
        ("CapacityBasedDeterministicHashPolicy", 1, weighed),
        ("CapacityBasedDeterministicHashPolicy", 3, weighed_three),
    ):
        assert hosts(make(name, shards=shards), JAVA_WORKERS, 64 * MB, block_id) == set(expected.split()), name


def test_local_first() -> None:
    """The nearest that is large enough, any of several that are as near."""
    made = make("LocalFirstPolicy")
    workers = [worker("far1"), worker("near1"), worker("near2"), worker("local", GB)]
    assert hosts(made, workers) == {"local"}
    assert hosts(made, workers, 2 * GB) == {"near1", "near2"}
    assert hosts(made, workers[:1], 20 * GB) == {"-"}


def test_local_first_avoid_eviction() -> None:
    """A worker that would have to evict comes after all that would not, and is local first when all would."""
    made = make("LocalFirstAvoidEvictionPolicy", reserved=2 * GB)
    local, near = worker("local", 10 * GB, 8 * GB), worker("near", 10 * GB, 7 * GB)
    assert hosts(made, [local, near], GB) == {"near"}
    assert hosts(made, [local, near], GB + 1) == {"local"}
    assert hosts(make("LocalFirstAvoidEvictionPolicy"), [local, near], GB) == {"local"}


def test_most_available_first() -> None:
    """However large or near the others are."""
    made = make("MostAvailableFirstPolicy")
    assert hosts(made, [worker("local", 9 * GB, 8 * GB), worker("far", 3 * GB, GB)]) == {"far"}
    assert hosts(made, []) == {"-"}


def test_round_robin() -> None:
    """Blocks go to all workers in turn, and each stays where it went while the worker lives."""
    made = RoundRobinPolicy(random.Random(1))
    workers = [worker(name) for name in ("a", "b", "c")] + [worker("small", 10)]

    def go(block_id: int, live: Sequence[Worker]) -> str:
        picked = made.pick(live, block_id, MB)
        return picked.address.host if picked else "-"

    went = {block_id: go(block_id, workers) for block_id in range(30)}
    assert Counter(went.values()) == {"a": 10, "b": 10, "c": 10}
    assert {block_id: go(block_id, workers[::-1]) for block_id in range(30)} == went
    gone = [w for w in workers if w.address.host != went[7]]
    assert go(7, gone) != went[7]
    joined = [*workers, worker("d")]
    assert {go(block_id, joined) for block_id in range(100, 104)} == {"a", "b", "c", "d"}
    assert go(200, workers[3:]) == "-"
    assert go(201, []) == "-"


def test_round_robin_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither blocks that were read long ago nor workers that are gone fill the memory."""
    monkeypatch.setattr(placement, "_REMEMBERED_BLOCKS", 10)
    made = RoundRobinPolicy(random.Random(1))
    for number in range(100):
        assert made.pick([worker(f"w{number}")], number, MB) is not None
    assert len(made._chosen) == 10
    assert len(made._order) <= 3


def test_specific_host() -> None:
    """That worker or none."""
    made = make("SpecificHostPolicy", host="b")
    assert hosts(made, [worker("a"), worker("b")]) == {"b"}
    assert hosts(made, [worker("a")]) == {"-"}


def test_capacity_base_random() -> None:
    """In proportion to capacity."""
    made = CapacityBaseRandomPolicy(random.Random(1))
    workers = [worker("a", 3 * GB), worker("none", 0), worker("b", GB)]
    picked = [made.pick(workers, 1, MB) for _ in range(4000)]
    counts = Counter(found.address.host for found in picked if found)
    assert counts["a"] + counts["b"] == 4000
    assert 2800 < counts["a"] < 3200
    assert made.pick([worker("none", 0)], 1, MB) is None


@pytest.mark.parametrize("name", ["DeterministicHashPolicy", "CapacityBasedDeterministicHashPolicy"])
def test_deterministic_policies_without_a_worker(name: str) -> None:
    """None is large enough, or there is none at all."""
    assert hosts(make(name), []) == {"-"}
    assert hosts(make(name), [worker("a", 10)]) == {"-"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("alluxio.client.block.policy.LocalFirstPolicy", "LocalFirstPolicy"),
        ("alluxio.client.block.policy.LocalFirstAvoidEvictionPolicy", "LocalFirstAvoidEvictionPolicy"),
        ("alluxio.client.file.policy.RoundRobinPolicy", "RoundRobinPolicy"),
        ("MostAvailableFirstPolicy", "MostAvailableFirstPolicy"),
        ("DeterministicHashPolicy", "DeterministicHashPolicy"),
        ("CapacityBaseRandomPolicy", "CapacityBaseRandomPolicy"),
        ("CapacityBasedDeterministicHashPolicy", "CapacityBasedDeterministicHashPolicy"),
        ("CapacityBaseDeterministicHashPolicy", "CapacityBasedDeterministicHashPolicy"),
    ],
)
def test_names_of_policies(name: str, expected: str) -> None:
    """The classes of Java, in whatever package, and as early releases called them."""
    assert type(make(name)).__name__ == expected


@pytest.mark.parametrize("name", ["com.example.MyPolicy", "SpecificHostPolicy", ""])
def test_policies_that_cannot_be(name: str) -> None:
    """A class of somebody's own, or one that was not told its host: the default, and a note."""
    made, note = policy(name, rank=rank)
    assert type(made) is LocalFirstPolicy
    assert (name or "''") in note
    assert "LocalFirstPolicy is used" in note


# ------------------------------------------------------------------------------------------------------------ choosing


def chosen(
    locations: Sequence[str] = (),
    workers: Sequence[str] = (),
    failed: dict[str, float] | None = None,
    in_ufs: bool = True,
    name: str = "LocalFirstPolicy",
    host: str = "",
) -> set[Choice]:
    """Whom a block of 1 GB may be asked of."""
    rng = random.Random(1)
    made = make(name, host=host)
    return {
        choose(
            1,
            GB,
            [address(holder) for holder in locations],
            [worker(live, 10 if live.endswith("small") else 10 * GB) for live in workers],
            in_ufs=in_ufs,
            failed={address(broken): when for broken, when in (failed or {}).items()},
            rank=rank,
            policy=made,
            rng=rng,
        )
        for _ in range(50)
    }


def cached(*found: str) -> set[Choice]:
    return {Choice(address(host), True, host.startswith("l")) for host in found}


def fetched(*found: str) -> set[Choice]:
    return {Choice(address(host), False, host.startswith("l")) for host in found}


def test_a_worker_that_holds_the_block_is_asked() -> None:
    """The nearest of them, even where the policy would send it to a worker of this machine."""
    live = ("local", "near1", "near2", "far1", "far2")
    assert chosen(("far1", "near1", "near2"), live) == cached("near1", "near2")
    assert chosen(("far1", "local", "near1"), live) == cached("local")
    assert chosen(("far1",), live) == cached("far1")


def test_a_block_that_nobody_holds_is_fetched() -> None:
    """By the worker that the policy picks; so it is when its holders are no more."""
    assert chosen((), ("far1", "local")) == fetched("local")
    assert chosen(("gone",), ("far1", "far2")) == fetched("far1", "far2")
    assert chosen((), ("a", "b"), name="SpecificHostPolicy", host="b") == fetched("b")


def test_workers_that_failed() -> None:
    """They are asked when there is no other: the one whose failure is the longest ago."""
    assert chosen(("local", "far1"), ("local", "far1"), {"local": 1.0}) == cached("far1")
    assert chosen(("local",), ("local", "far1"), {"local": 1.0}) == fetched("far1")
    assert chosen(("far1",), ("local", "far1"), {"local": 2.0, "far1": 1.0}) == cached("far1")
    assert chosen(("far1",), ("local", "far1"), {"local": 1.0, "far1": 2.0}) == fetched("local")
    assert chosen(("a", "b"), (), {"a": 1.0}, in_ufs=False) == cached("b")
    assert chosen(("a", "b"), (), {"a": 1.0, "b": 2.0}, in_ufs=False) == cached("a")


def test_a_block_that_is_not_in_the_under_store() -> None:
    """Only those who hold it can be asked, whether or not the list of workers has them yet."""
    assert chosen(("far1",), ("local",), in_ufs=False) == cached("far1")
    with pytest.raises(NoWorker, match="no worker has block 1"):
        chosen((), ("local",), in_ufs=False)


def test_a_worker_of_which_the_block_has_older_news() -> None:
    """A worker is who listens there, and is what the list of workers says."""
    old = address("a")._replace(domain_socket="/old")
    found = choose(
        1, GB, [old], [worker("a")], in_ufs=True, failed={}, rank=rank, policy=make("x.LocalFirstPolicy"),
        rng=random.Random(1),
    )  # fmt: skip
    assert found == Choice(address("a"), True, False)


def test_no_worker_lives() -> None:
    """That is said, and what to do about it."""
    with pytest.raises(NoWorker, match="no worker is alive to read block 1; start a worker"):
        chosen(("a",), ())


def test_no_worker_has_room() -> None:
    """Reading goes on through the nearest, which keeps nothing."""
    assert chosen((), ("far-small", "near-small")) == fetched("near-small")
    assert chosen((), ("far1", "near1"), name="SpecificHostPolicy", host="gone") == fetched("near1")
