"""Checks of a cluster: masters, workers, and whether a worker of this machine is taken for one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from shlex import quote
from typing import TYPE_CHECKING

from alluxio_jnifuse.doctor import blocks, names
from alluxio_jnifuse.doctor.finding import ERROR, OK, WARNING, Finding, line_of
from alluxio_jnifuse.doctor.subject import Subject

if TYPE_CHECKING:
    from alluxio_jnifuse.config.values import Config
    from alluxio_jnifuse.sources.alluxio.metadata.master import MasterClient
    from alluxio_jnifuse.sources.alluxio.rpc.errors import CallError
    from alluxio_jnifuse.sources.alluxio.settings import Settings
    from alluxio_jnifuse.sources.alluxio.workers.placement import Worker

_PATIENCE_S = 10.0  # as long as a mount has by default; less where less is configured
_MOST_WORKERS = 64  # that are connected to
_MOST_NAMED = 3
_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")  # proc_net(5)
_LISTENING = "0A"


def cluster(subject: Subject) -> Iterator[Finding]:
    """From the masters to the blocks; what depends on something that failed is not looked at."""
    config = subject.config
    if config is None:
        return
    from alluxio_jnifuse.sources.alluxio import from_config

    masters, root = from_config.split_uri(config.ufs)
    from_config.master_client(config).close()  # says what is not installed
    settings = from_config.settings(config, masters)
    primary = False
    for finding, serves in _masters(settings):
        primary = primary or serves
        yield finding
    if not primary:
        return
    asked, client = from_config.ask_cluster(config)
    try:
        client.connect()
        yield Finding(OK, f"the cluster is Alluxio {client.version()}, and accepts this user", config.ufs)
        denied = _denied(client, settings, os.fsdecode(root))
        if denied is not None:
            yield denied
        else:
            yield from _workers(asked, client, from_config.settings(asked, masters), root)
    finally:
        client.close()


def _masters(settings: Settings) -> Iterator[tuple[Finding, bool]]:
    """A finding for each master, and whether it is the one that serves."""
    from alluxio_jnifuse.sources.alluxio.rpc.errors import diagnose, is_of_server

    def ask(master: str) -> CallError | None:
        return _answer(settings, master)

    answers = names.side_by_side(ask, settings.masters, 2 * _PATIENCE_S)
    serves = [master for master, answer in answers.items() if answer is None]
    for master in settings.masters:
        host, port = names.split(master)
        answer = answers.get(master)
        if master in serves:
            yield Finding(OK, "is the master that serves", master), True
        elif master not in answers:
            yield Finding(ERROR, "does not answer", master, "look for a firewall", f"nc -vz {host} {port}"), False
        elif answer is not None and serves and is_of_server(answer):
            yield Finding(OK, "is a master on standby", master), False
        elif answer is not None:
            severity = WARNING if serves else ERROR
            nameless = names.without_address(host)
            if nameless is not None:
                yield nameless._replace(severity=severity, where=master), False
                continue
            said = diagnose(answer)
            line = line_of(said.remedy) or f"nc -vz {host} {port}"
            yield Finding(severity, said.what, master, said.remedy, line), False


def _answer(settings: Settings, master: str) -> CallError | None:
    """Why a master does not serve; None: it does."""
    from alluxio_jnifuse.sources.alluxio.metadata.primary import NoPrimary, Search
    from alluxio_jnifuse.sources.alluxio.rpc.calls import Calls

    patience = min(_PATIENCE_S, settings.mount_patience_s)
    try:
        Search(settings._replace(masters=(master,)), Calls()).run(patience, hopeful=False).close()
    except NoPrimary as error:
        return error.answers[master]
    return None


def _denied(client: MasterClient, settings: Settings, root: str) -> Finding | None:
    """Why the directory that is to be shown cannot be."""
    if root == "/":
        return None
    try:
        folder = client.get_status(root, _PATIENCE_S).folder
    except FileNotFoundError:
        return Finding(ERROR, "the cluster has no such directory", root, "correct the path", "alluxio fs ls /")
    except PermissionError:
        user = settings.impersonated or settings.user
        line = f"alluxio fs chmod o+rx {quote(root)}"
        return Finding(
            ERROR, f"the cluster denies it to the user {user}", root, "let that user read and enter it", line
        )
    if folder:
        return None
    return Finding(ERROR, "is a file, not a directory", root, "name the directory that it lies in", "alluxio fs ls /")


def _workers(config: Config, client: MasterClient, settings: Settings, root: bytes) -> Iterator[Finding]:
    from alluxio_jnifuse.sources.alluxio.metadata.status import Addresses
    from alluxio_jnifuse.sources.alluxio.workers.locality import Locality
    from alluxio_jnifuse.sources.alluxio.workers.placement import Worker

    addresses = Addresses()
    told = client.get_workers(_PATIENCE_S)
    workers = [Worker(w.id, addresses.of(w.address), w.capacityBytes, w.usedBytes) for w in told]
    if not workers:
        what = "no worker has registered: every read waits for one"
        yield Finding(ERROR, what, config.ufs, "start the workers", "alluxio-start.sh workers")
        return
    yield from _reach(workers)
    locality = Locality(settings)
    locality.prepare(worker.address for worker in workers)
    here = [worker for worker in workers if locality.is_local(worker.address)]
    yield from _local(workers, here)
    yield from blocks.blocks(client, settings, root, workers, locality, here)


def _reach(workers: Sequence[Worker]) -> Iterator[Finding]:
    """Which workers do not take connections."""
    tried = [worker.address.endpoint for worker in workers[:_MOST_WORKERS]]
    reasons = names.side_by_side(names.unreachable, tried, names.CONNECT_S + _PATIENCE_S)
    failed = {endpoint: reasons.get(endpoint, "it does not answer") for endpoint in tried}
    failed = {endpoint: reason for endpoint, reason in failed.items() if reason}
    if not failed:
        yield Finding(OK, f"{len(workers)} workers, of which {len(tried)} were connected to")
        return
    listed = [f"{host}:{port} ({reason})" for (host, port), reason in failed.items()]
    more = f" and {len(listed) - _MOST_NAMED} others" if len(listed) > _MOST_NAMED else ""
    (host, port), reason = next(iter(failed.items()))
    nameless = reason == "its name has no address"
    yield Finding(
        ERROR if len(failed) == len(tried) else WARNING,
        f"{len(failed)} of {len(tried)} workers cannot be reached: {', '.join(listed[:_MOST_NAMED])}{more}",
        remedy="add the name to the name service, or to /etc/hosts" if nameless else "start it, or look for a firewall",
        line=f"getent hosts {host}" if nameless else f"nc -vz {host} {port}",
    )


def _local(workers: Sequence[Worker], here: Sequence[Worker]) -> Iterator[Finding]:
    """Whether a worker of this machine is known as one: by its name or an address of this machine."""
    if here:
        yield Finding(OK, f"the worker {here[0].address.host} is on this machine")
        return
    listening = _listening()
    alike = [worker.address for worker in workers if worker.address.endpoint[1] in listening]
    if not alike:
        yield Finding(OK, "no worker is on this machine: every read crosses the network")
        return
    hosts = list(dict.fromkeys(address.host for address in alike))
    yield Finding(
        WARNING,
        f"something listens on port {alike[0].endpoint[1]} here, as the worker of {' or '.join(hosts[:_MOST_NAMED])} "
        "does; if that is this machine, it is not recognised, and every read crosses the network",
        remedy="call this machine as its worker does",
        line=f"-D alluxio.user.hostname={hosts[0]}",
    )


def _listening() -> set[int]:
    """The ports of this machine that take connections."""
    found = set()
    for path in _TABLES:
        try:
            with open(path, encoding="ascii") as file:
                rows = [line.split() for line in file.readlines()[1:]]
        except OSError:
            continue  # a kernel without IPv6
        found |= {int(row[1].rpartition(":")[2], 16) for row in rows if len(row) > 3 and row[3] == _LISTENING}
    return found
