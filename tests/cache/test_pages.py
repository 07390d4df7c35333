"""The index of pages and the evictors, compared with simpler ones."""

from __future__ import annotations

import random
import threading

import pytest
from stores import EVICTORS

from alluxio_jnifuse.cache.evictors import Key, make_evictor
from alluxio_jnifuse.cache.local.trust import Trust
from alluxio_jnifuse.cache.pages import PageIndex, Victim

UNIT = 64 << 10  # what `Trust` notes


def key(number: int) -> Key:
    return (b"%016d" % (number % 5), number)


@pytest.mark.parametrize("name", EVICTORS)
@pytest.mark.parametrize("seed", range(3))
def test_evictors_know_every_page_once(name: str, seed: int) -> None:
    """Whatever is added, read and removed, the coldest comes first, by a list that is sorted anew each time."""
    rng = random.Random(seed)
    evictor = make_evictor(name)
    added: dict[Key, int] = {}
    used: dict[Key, int] = {}
    uses: dict[Key, int] = {}
    for now in range(600):
        page, action = key(rng.randrange(60)), rng.random()
        if page not in added:
            evictor.add(page)
            added[page] = used[page] = now
            uses[page] = 1
        elif action < 0.8:
            evictor.touch(page)
            used[page] = now
            uses[page] += 1
        else:
            evictor.remove(page)
            del added[page], used[page], uses[page]
        evictor.touch(key(1000))
        evictor.remove(key(1000))
        victims = list(evictor.victims())
        assert sorted(victims) == sorted(added)
        by_use = sorted(added, key=used.__getitem__)
        if name.startswith("FIFO"):
            assert victims == sorted(added, key=added.__getitem__)
        elif name.startswith("LRU"):
            assert victims == by_use
        elif name.startswith("LFU"):
            assert victims == sorted(added, key=lambda page: (uses[page].bit_length(), used[page]))
        else:
            assert sorted(victims[:16]) == sorted(by_use[:16])
            assert victims[16:] == by_use[16:]


def test_an_unknown_evictor_is_lru() -> None:
    """As Alluxio's default."""
    assert type(make_evictor("anything")) is type(make_evictor(EVICTORS[0]))


def test_room_is_taken_before_it_is_used() -> None:
    """Victims do not count any more, and what is not used is given back."""
    index = PageIndex(100, make_evictor(EVICTORS[0]))
    assert index.take_room(60) == []
    assert index.add(key(1), 20, 5) == 25
    assert index.add(key(2), 30, 5) == 35
    assert (index.used, len(index)) == (60, 2)
    assert index.take_room(50) == [Victim(key(1), 25)]
    assert (index.used, len(index), index.evicted) == (85, 1, 1)
    assert index.add(key(2), 10, 5) == 10
    index.give_room(40)
    assert index.used == 45
    assert index.take_room(101) is None
    assert (index.used, len(index)) == (45, 1)
    index.remove(key(2))
    index.remove(key(2))
    assert (index.used, len(index)) == (0, 0)


def test_what_is_shelved_stays() -> None:
    """It counts, is no victim and does not expire; only so much may be shelved."""
    index = PageIndex(100, make_evictor(EVICTORS[0]))
    index.keep_births()
    for number in range(4):
        index.found((b"a", number), 20, 0.0)
    assert not index.shelve(b"a", range(4), 0.75)
    assert index.shelve(b"a", range(2), 0.75)
    assert index.shelve(b"a", range(2), 0.75)
    index.touch(b"a", range(4))
    assert index.take_room(60) == [Victim((b"a", 2), 20), Victim((b"a", 3), 20)]
    index.give_room(60)
    assert index.take_room(81) is None
    assert index.older_than(0.0, 9) == []
    assert index.take_room(5) == []
    assert index.add((b"a", 0), 5, 5) == 5
    index.unshelve(b"a", range(2))
    assert index.coldest(1000) == [Victim((b"a", 0), 25), Victim((b"a", 1), 20)]
    assert index.shelve(b"a", range(4), 0.0)
    assert index.used == 0


def test_pages_of_a_file() -> None:
    """It is known whether there are any."""
    index = PageIndex(100, make_evictor(EVICTORS[0]))
    assert not index.has_any(b"a")
    for number in range(3):
        index.found((b"a", number), 1, 0.0)
    for number in range(3):
        assert index.has_any(b"a")
        index.remove((b"a", number))
    assert not index.has_any(b"a")


def test_what_was_found_counts() -> None:
    """Once; what is beyond the budget goes, the coldest first."""
    index = PageIndex(100, make_evictor(EVICTORS[0]))
    for number in range(15):
        index.found(key(number), 10, 0.0)
        index.found(key(number), 10, 0.0)
    assert index.used == 150
    assert index.excess() == [Victim(key(number), 10) for number in range(5)]
    assert index.excess() == []
    assert index.used == 100


def test_births(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are known when they are wanted, and a page that is read or grows is not born again."""
    now = [1000.0]
    monkeypatch.setattr("alluxio_jnifuse.cache.pages.time.time", lambda: now[0])
    index = PageIndex(100, make_evictor(EVICTORS[0]))
    index.found(key(0), 10, 1.0)
    index.keep_births()
    index.found(key(1), 10, 990.0)
    index.found(key(3), 10, 995.0)
    index.take_room(20)
    index.add(key(1), 5, 0)
    index.add(key(2), 5, 0)
    index.touch(key(1)[0], [1])
    assert index.older_than(11.0, 9) == []
    assert index.older_than(5.0, 1) == [Victim(key(1), 15)]
    assert index.older_than(5.0, 9) == [Victim(key(3), 10)]
    assert index.older_than(0.0, 9) == [Victim(key(2), 5)]
    assert index.older_than(0.0, 9) == []
    assert index.used == 20


@pytest.mark.stress
def test_many_threads_take_room() -> None:
    """What is used never exceeds the budget, and is nothing in the end."""
    index = PageIndex(1000, make_evictor(EVICTORS[0]))
    most = [0]

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(2000):
            size, page = rng.randrange(1, 50), key(rng.randrange(200))
            victims = index.take_room(size)
            most[0] = max(most[0], index.used)
            if victims is not None:
                index.give_room(size - index.add(page, size // 2, 0))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0 < most[0] <= 1000
    for number in range(200):
        index.remove(key(number))
    assert (index.used, len(index)) == (0, 0)
    assert not any(index.has_any(key(number)[0]) for number in range(5))


def test_trust() -> None:
    """What is right is known until somebody else changes the file."""
    trust, size = Trust(), 3 * UNIT + 5
    trust.add(b"a", 1, size, 0, size)
    assert (trust.has_all(b"a", 1), trust.has_all(b"a", 2), trust.has_all(b"b", 1)) == (True, False, False)
    trust.changed(b"a", 1, 5)
    assert trust.has_all(b"a", 5)
    trust.remove(b"a", UNIT + 7, 1)
    assert not trust.has_all(b"a", 5)
    trust.add(b"a", 5, size, UNIT, UNIT - 1)
    assert not trust.has_all(b"a", 5)
    trust.add(b"a", 5, size, UNIT - 1, UNIT + 2)
    assert trust.has_all(b"a", 5)
    trust.changed(b"a", 4, 6)  # somebody else came before
    assert not trust.has_all(b"a", 6)
    trust.add(b"a", 9, size, 0, UNIT)
    assert not trust.has_all(b"a", 9)
    trust.add(b"a", 9, size, UNIT, size - UNIT)
    assert trust.has_all(b"a", 9)
    trust.forget(b"a")
    assert not trust.has_all(b"a", 9)
