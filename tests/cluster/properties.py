"""How the servers of a cluster are configured: what all of them and the clients share, and what is each one's own.

What is not said here is Alluxio's default. The reasons beside the rows are why it is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from cluster.ports import Ports

HOST = "localhost"


class Plan(NamedTuple):
    """What a cluster is to be like; see Cluster."""

    masters: int
    hosts: tuple[str, ...]
    jobs: bool
    store: str
    auth: str
    domain_socket: bool
    version: str
    ramdisk_size: str
    block_size: str
    base: Path
    ramdisk: Path
    ufs: Path
    root: str


class MasterPorts(NamedTuple):
    """The ports of a master and of the job master beside it."""

    rpc: int
    web: int
    raft: int
    job_rpc: int
    job_web: int
    job_raft: int


class WorkerPorts(NamedTuple):
    """The ports of a worker and of the job worker beside it."""

    rpc: int
    web: int
    job_rpc: int
    job_data: int
    job_web: int


class Layout(NamedTuple):
    """Where everything is."""

    masters: tuple[MasterPorts, ...]
    workers: tuple[WorkerPorts, ...]

    @classmethod
    def choose(cls, plan: Plan, ports: Ports) -> Layout:
        """Free ports for every server of a plan."""
        return cls(
            tuple(MasterPorts(*(ports.take() for _ in MasterPorts._fields)) for _ in range(plan.masters)),
            tuple(WorkerPorts(*(ports.take() for _ in WorkerPorts._fields)) for _ in plan.hosts),
        )


def ramdisk_of(plan: Plan, number: int) -> Path:
    """The directory in which a worker keeps its blocks."""
    return plan.ramdisk / f"w{number}"


def domain_socket_of(plan: Plan, number: int) -> Path:
    """The domain socket of a worker that has one."""
    return plan.base / f"w{number}.socket"


def journal_of(plan: Plan, number: int) -> Path:
    """The journal of a master."""
    return plan.base / "journal" / f"m{number}"


def client(plan: Plan, layout: Layout) -> dict[str, str]:
    """What a client needs to know."""
    found = {"alluxio.user.hostname": HOST}  # as the workers' name, or short-circuit is silently off
    if plan.masters > 1:
        found["alluxio.master.rpc.addresses"] = _addresses(master.rpc for master in layout.masters)
    else:
        found["alluxio.master.hostname"] = HOST
        found["alluxio.master.rpc.port"] = str(layout.masters[0].rpc)
    if plan.auth != "SIMPLE":
        found["alluxio.security.authentication.type"] = plan.auth
    return found


def site(plan: Plan, layout: Layout) -> dict[str, str]:
    """What stands in alluxio-site.properties."""
    found = {
        **client(plan, layout),
        "alluxio.master.hostname": HOST,
        "alluxio.job.master.rpc.port": str(layout.masters[0].job_rpc),
        "alluxio.master.mount.table.root.ufs": plan.root or str(plan.ufs),
        "alluxio.master.metastore": "HEAP",
        "alluxio.master.journal.type": "EMBEDDED" if plan.masters > 1 else "UFS",
        "alluxio.master.update.check.enabled": "false",
        "alluxio.web.ui.enabled": "false",  # the pages, not the JSON
        # Without the job service the default, ASYNC_THROUGH, never persists.
        "alluxio.user.file.writetype.default": "CACHE_THROUGH",
        "alluxio.user.block.size.bytes.default": plan.block_size,
        # A quick start and end.
        "alluxio.exit.collect.info": "false",
        "alluxio.master.failover.collect.info": "false",
        "alluxio.master.worker.connect.wait.time": "0sec",
        "alluxio.master.journal.tailer.shutdown.quiet.wait.time": "50ms",
        "alluxio.master.journal.tailer.sleep.time": "50ms",
        "alluxio.network.connection.shutdown.graceful.timeout": "1s",
        "alluxio.network.connection.server.shutdown.timeout": "2s",
        "alluxio.worker.network.shutdown.timeout": "500ms",
        "alluxio.worker.block.heartbeat.interval": "500ms",
        # One tier, in memory.
        "alluxio.worker.block.store.type": plan.store,
        "alluxio.worker.ramdisk.size": plan.ramdisk_size,
        "alluxio.worker.tieredstore.levels": "1",
        "alluxio.worker.tieredstore.level0.alias": "MEM",
        "alluxio.worker.tieredstore.level0.dirs.mediumtype": "MEM",
        "alluxio.worker.tieredstore.level0.dirs.quota": plan.ramdisk_size,
        "alluxio.worker.page.store.sizes": plan.ramdisk_size,
    }
    if plan.auth == "NOSASL":
        found["alluxio.security.authorization.permission.enabled"] = "false"
    if plan.masters > 1:
        found["alluxio.job.master.rpc.addresses"] = _addresses(master.job_rpc for master in layout.masters)
        found["alluxio.master.embedded.journal.addresses"] = _addresses(master.raft for master in layout.masters)
        found["alluxio.job.master.embedded.journal.addresses"] = _addresses(m.job_raft for m in layout.masters)
        found["alluxio.master.embedded.journal.election.timeout.min"] = "1s"
        found["alluxio.master.embedded.journal.election.timeout.max"] = "2s"
    return found


def master(plan: Plan, layout: Layout, number: int) -> dict[str, str]:
    """What is a master's own, and its job master's."""
    ports = layout.masters[number]
    return {
        "alluxio.master.rpc.port": str(ports.rpc),
        "alluxio.master.web.port": str(ports.web),
        "alluxio.master.embedded.journal.port": str(ports.raft),
        "alluxio.master.journal.folder": str(journal_of(plan, number)),
        "alluxio.job.master.rpc.port": str(ports.job_rpc),
        "alluxio.job.master.web.port": str(ports.job_web),
        "alluxio.job.master.embedded.journal.port": str(ports.job_raft),
    }


def worker(plan: Plan, layout: Layout, number: int) -> dict[str, str]:
    """What is a worker's own, and its job worker's."""
    ports = layout.workers[number]
    found = {
        "alluxio.worker.hostname": plan.hosts[number],
        "alluxio.worker.rpc.port": str(ports.rpc),
        "alluxio.worker.web.port": str(ports.web),
        "alluxio.worker.tieredstore.level0.dirs.path": str(ramdisk_of(plan, number)),
        "alluxio.worker.page.store.dirs": str(ramdisk_of(plan, number)),
        "alluxio.job.worker.hostname": plan.hosts[number],
        "alluxio.job.worker.rpc.port": str(ports.job_rpc),
        "alluxio.job.worker.data.port": str(ports.job_data),
        "alluxio.job.worker.web.port": str(ports.job_web),
        "alluxio.user.rpc.retry.max.sleep": "300ms",  # registers as soon as the master is there
    }
    if plan.domain_socket:
        found["alluxio.worker.data.server.domain.socket.address"] = str(domain_socket_of(plan, number))
    return found


LOG4J = """\
log4j.rootLogger=WARN, O
log4j.logger.alluxio=${alluxio.loglevel}
log4j.logger.alluxio.conf.InstancedConfiguration=ERROR
log4j.appender.O=org.apache.log4j.ConsoleAppender
log4j.appender.O.target=System.err
log4j.appender.O.layout=org.apache.log4j.PatternLayout
log4j.appender.O.layout.ConversionPattern=%d{ISO8601} %-5p %c{1} - %m%n
"""


def _addresses(ports: Iterable[int]) -> str:
    return ",".join(f"{HOST}:{port}" for port in ports)


def flags(found: dict[str, str]) -> Sequence[str]:
    """Properties as words of a Java command."""
    return [f"-D{name}={value}" for name, value in found.items()]
