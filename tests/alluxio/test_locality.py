"""How near a worker is."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from alluxio_jnifuse.sources.alluxio.metadata.status import Address
from alluxio_jnifuse.sources.alluxio.settings import Settings
from alluxio_jnifuse.sources.alluxio.workers import locality as locality_module
from alluxio_jnifuse.sources.alluxio.workers.locality import Locality, SocketAddress, is_own_address, resolve_host

OURS = (socket.AF_INET, ("192.0.2.1", 9))
THEIRS = (socket.AF_INET, ("192.0.2.2", 9))


def address(host: str = "far", container: str = "", domain_socket: str = "", **tiers: str) -> Address:
    return Address(host, container, 29999, 29999, domain_socket, tuple(tiers.items()))


class Names:
    """A name service. `hosts`: what it knows; `held`: it does not answer while this is not set."""

    def __init__(self, **hosts: list[SocketAddress]) -> None:
        self.hosts = hosts
        self.asked: list[str] = []
        self.held = threading.Event()
        self.held.set()
        self.now = 1000.0

    def resolve(self, host: str) -> Iterable[SocketAddress]:
        self.asked.append(host)
        assert self.held.wait(120)
        if host not in self.hosts:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return self.hosts[host]

    def locality(self, patience_s: float = 20.0, **settings: Any) -> Locality:
        return Locality(
            Settings(masters=("m:19998",), user="u", **settings),
            resolve=self.resolve,
            is_own=lambda where: where == OURS,
            clock=lambda: self.now,
            patience_s=patience_s,
        )


def settled(found: Locality) -> None:
    """Waits until nothing is being resolved."""
    with found._found:
        assert found._found.wait_for(lambda: not found._queued, 20)


def until(condition: Callable[[], bool]) -> None:
    """Waits for what no event tells."""
    deadline = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


# ------------------------------------------------------------------------------------------------------- this machine


@pytest.mark.parametrize(
    "where",
    [
        address("localhost"),
        address("LocalHost."),
        address(socket.gethostname().upper()),
        address("me"),
        address("far", "me"),
        address(node="me"),
        address(node="LOCALHOST"),
        address(node="box-7"),
    ],
)
def test_names_of_this_machine(where: Address) -> None:
    """A worker that calls itself by one of them is here; no name is resolved for that."""
    names = Names()
    found = names.locality(hostname="me", tiers=(("node", "box-7"),))
    assert found.is_local(where)
    assert found.rank(where) == 0
    assert names.asked == []


def test_addresses_of_this_machine() -> None:
    """A worker that calls itself by another name of the machine is here; one that nobody knows is not."""
    names = Names(alias=[THEIRS, OURS], other=[THEIRS], pod=[OURS])
    found = names.locality()
    assert found.is_local(address("alias"))
    assert found.is_local(address("other", "pod"))
    assert not found.is_local(address("other"))
    assert not found.is_local(address("nobody"))
    assert not found.is_local(address(""))


def test_our_full_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found out beside, as that may take long; it need not resolve."""
    monkeypatch.setattr(socket, "getfqdn", lambda: "Box.example.com")
    found = Names().locality()
    assert not found.is_local(address("elsewhere"))
    settled(found)
    assert found.is_local(address("box.example.com"))


def test_a_domain_socket_that_is_here(tmp_path: Path) -> None:
    """Where that is configured: its name tells workers apart."""
    names = Names()
    here, gone = (address(domain_socket=str(tmp_path / name)) for name in ("here", "gone"))
    found = names.locality(domain_socket_as_uuid=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "here"))
        assert found.is_local(here)
    assert not found.is_local(gone)
    assert not found.is_local(address())
    assert not names.locality().is_local(here)


def test_the_kernel_knows_our_addresses() -> None:
    """All of the loopback, and those of the interfaces; not those of others, reached or not."""
    for host, expected in (("127.0.0.1", True), ("127.1.2.3", True), ("0.0.0.0", False), ("255.255.255.255", False)):
        assert [is_own_address(where) for where in resolve_host(host)] == [expected], host
    for documentation in ("198.51.100.1", "203.0.113.1"):
        assert not is_own_address((socket.AF_INET, (documentation, 9)))
    assert not is_own_address((socket.AF_INET6, ("2001:db8::1", 9)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))
        except OSError:
            return  # no interface besides the loopback
        own = probe.getsockname()[0]
    assert is_own_address((socket.AF_INET, (own, 9)))


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_the_loopback_of_ipv6() -> None:
    """In whatever notation."""
    for text in ("::1", "0:0:0:0:0:0:0:1"):
        assert is_own_address((socket.AF_INET6, (text, 9, 0, 0)))


# ------------------------------------------------------------------------------------------------------------- nearness


def test_distance() -> None:
    """The nearest tier that we share with a worker counts, in the order in which they are configured."""
    names = Names()
    found = names.locality(tiers=(("node", "me"), ("rack", "r1"), ("zone", "z1")))
    assert found.rank(address(node="me", rack="r2")) == 0
    assert found.rank(address(node="a", rack="r1", zone="z1")) == 1
    assert found.rank(address(node="a", rack="r2", zone="z1")) == 2
    assert found.rank(address(node="a", rack="z1", zone="r1")) == 3
    assert found.rank(address()) == 3
    assert names.locality().rank(address()) == 1


# ------------------------------------------------------------------------------------------------------------ resolving


def test_a_name_is_resolved_once_for_a_while() -> None:
    """Then what was found counts until there is something newer, and nobody waits for that."""
    names = Names(alias=[OURS])
    found = names.locality()
    for _ in range(3):
        assert found.is_local(address("alias"))
    assert names.asked == ["alias"]
    names.now += locality_module._VALID_S + 1
    names.hosts["alias"] = [THEIRS]
    names.held.clear()
    assert found.is_local(address("alias"))
    names.held.set()
    settled(found)
    assert not found.is_local(address("alias"))
    assert names.asked == ["alias"] * 2


def test_a_name_service_that_fails() -> None:
    """It makes no worker remote that was here, and is asked again soon."""
    names = Names(alias=[OURS])
    found = names.locality()
    assert found.is_local(address("alias"))
    del names.hosts["alias"]
    names.now += locality_module._VALID_S + 1
    found.is_local(address("alias"))
    settled(found)
    assert found.is_local(address("alias"))
    assert len(names.asked) == 2
    names.now += locality_module._RETRY_S + 1
    found.is_local(address("alias"))
    settled(found)
    assert len(names.asked) == 3


def test_a_slow_name_service(caplog: pytest.LogCaptureFixture) -> None:
    """It holds up one caller, once, and only so long; later its answer counts."""
    names = Names(alias=[OURS], other=[OURS])
    names.held.clear()
    found = names.locality(patience_s=0.01)
    with caplog.at_level(logging.WARNING):
        assert not found.is_local(address("alias"))
    assert "resolving alias takes longer than 0.01 s" in caplog.text
    found._patience_s = 1000.0  # the test would hang
    assert not found.is_local(address("other"))
    assert not found.is_local(address("alias"))
    names.held.set()
    settled(found)
    assert found.is_local(address("alias"))
    assert found.is_local(address("other"))
    assert sorted(names.asked) == ["alias", "other"]


def test_nothing_is_locked_while_a_name_is_resolved() -> None:
    """Others are answered from what is known."""
    names = Names(alias=[OURS], slow=[OURS])
    found = names.locality()
    assert found.is_local(address("alias"))
    names.held.clear()
    answers: list[bool] = []
    waiting = threading.Thread(target=lambda: answers.append(found.is_local(address("slow"))))
    waiting.start()
    until(lambda: "slow" in names.asked)
    assert found.is_local(address("alias"))
    assert answers == []
    names.held.set()
    waiting.join()
    assert answers == [True]


def test_many_workers_at_once() -> None:
    """Their names are resolved side by side by a few threads, which then end."""
    names = Names(**{f"w{number}": [OURS if number == 77 else THEIRS] for number in range(100)})
    workers = [address(f"w{number}") for number in range(100)]
    names.held.clear()
    found = names.locality()
    preparing = threading.Thread(target=lambda: found.prepare(workers))
    preparing.start()
    until(lambda: len(names.asked) == locality_module._THREADS)
    assert found._threads == locality_module._THREADS
    names.held.set()
    preparing.join()
    assert [worker.host for worker in workers if found.is_local(worker)] == ["w77"]
    assert len(names.asked) == 100
    until(lambda: not found._threads)


def test_no_thread_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker is remote until one can."""
    names = Names(alias=[OURS])
    found = names.locality(patience_s=0.01)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(2 * locality_module._THREADS):
            assert not found.is_local(address("alias"))
    found.is_local(address("alias"))
    settled(found)
    assert found.is_local(address("alias"))
