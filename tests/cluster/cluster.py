"""Cluster: masters and workers of Alluxio on this machine, on ports and in directories of their own."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster import jars, properties
from cluster.directories import Directories, sweep
from cluster.errors import ClusterError
from cluster.jvm import Jvm
from cluster.ports import Ports, is_open
from cluster.process import TERM_S, Process
from cluster.properties import HOST, Layout, Plan
from cluster.shell import Shell

READY_S = 400.0  # on an idle machine 5 s; one busy with the other tests has taken 17
_POLL_S = 0.05
_HTTP_S = 120.0  # the first answer takes seconds

_CLASSES = {
    "master": "alluxio.master.AlluxioMaster",
    "worker": "alluxio.worker.AlluxioWorker",
    "jobmaster": "alluxio.master.AlluxioJobMaster",
    "jobworker": "alluxio.worker.AlluxioJobWorker",
}
# A journal in files is formatted when each of these has an empty file named after the time, an embedded one as it is.
_JOURNALS = {
    "2.9.6": ("Metrics", "FileSystem", "Block", "Meta", "Journal", "Throttle"),
    "2.3.0": ("Metrics", "FileSystem", "Block", "Meta"),
}


class Cluster:
    """Servers called master0 ..., worker0 ..., and with `jobs` jobmaster0 ..., jobworker0 ...

    A context manager: started at the beginning, gone at the end, its directories too. Started by a thread that lives
    as long as it does: the kernel kills the servers with that thread, as when the process is killed.

    masters        three have an embedded journal and elect one of them
    workers        each with a ramdisk and ports of its own
    hosts          the host name of each worker; default: localhost
    jobs           the job service: a job master per master, a job worker per worker
    store          how workers keep blocks: FILE or PAGE
    auth           SIMPLE or NOSASL
    domain_socket  workers listen on one
    site           more properties for alluxio-site.properties
    version        of Alluxio
    ufs            the root of the under-store, a directory; default: one of this cluster
    root           the URI of one that is no directory, instead; its properties are in `site`
    ramdisk_size   of each worker
    block_size     of files for which it is not said
    optimized      for measurements: slower to start, and faster then
    dumping        see Jvm
    """

    def __init__(
        self,
        *,
        masters: int = 1,
        workers: int = 1,
        hosts: Sequence[str] = (),
        jobs: bool = False,
        store: str = "FILE",
        auth: str = "SIMPLE",
        domain_socket: bool = False,
        site: Mapping[str, str] | None = None,
        version: str = jars.VERSION,
        ufs: Path | None = None,
        root: str = "",
        ramdisk_size: str = "4GB",
        block_size: str = "64MB",
        optimized: bool = False,
        dumping: bool = False,
    ) -> None:
        self._jvm = Jvm(version, optimized=optimized, dumping=dumping)
        sweep()
        self._directories = Directories()
        base = self._directories.base
        self.plan = Plan(
            masters=masters,
            hosts=tuple(hosts) or (HOST,) * workers,
            jobs=jobs,
            store=store,
            auth=auth,
            domain_socket=domain_socket,
            version=version,
            ramdisk_size=ramdisk_size,
            block_size=block_size,
            base=base,
            ramdisk=self._directories.memory,
            ufs=ufs or base / "ufs",
            root=root,
        )
        self._ports = Ports()
        self.layout = Layout.choose(self.plan, self._ports)
        self._site = {**properties.site(self.plan, self.layout), **(site or {})}
        self._write()
        self.processes = {name: self._process(name) for name in self._names()}
        self._shell: Shell | None = None
        self._shell_is_stale = False  # its connection to a master is

    def __enter__(self) -> Cluster:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -------------------------------------------------------------------------------------------- where things are

    @property
    def base(self) -> Path:
        """The directory of configuration, logs and journal."""
        return self.plan.base

    @property
    def ufs(self) -> Path:
        """The root of the under-store, if that is a directory."""
        return self.plan.ufs

    @property
    def masters(self) -> tuple[str, ...]:
        """The addresses of the masters."""
        return tuple(f"{HOST}:{ports.rpc}" for ports in self.layout.masters)

    @property
    def workers(self) -> tuple[str, ...]:
        """The addresses of the workers."""
        return tuple(f"{host}:{ports.rpc}" for host, ports in zip(self.plan.hosts, self.layout.workers))

    @property
    def ramdisks(self) -> tuple[Path, ...]:
        """Where the workers keep their blocks."""
        return tuple(properties.ramdisk_of(self.plan, number) for number in range(len(self.plan.hosts)))

    @property
    def domain_sockets(self) -> tuple[Path, ...]:
        """The workers' domain sockets."""
        return tuple(properties.domain_socket_of(self.plan, number) for number in range(len(self.plan.hosts)))

    def uri(self, path: str = "/") -> str:
        """A path of the cluster as a URI."""
        return f"alluxio://{','.join(self.masters)}{path}"

    def client_properties(self) -> dict[str, str]:
        """What a client must be configured with."""
        return properties.client(self.plan, self.layout)

    def log(self, name: str) -> Path:
        """The log of a server."""
        return self.plan.base / "logs" / f"{name}.log"

    def java(self, kind: str, *more: str, log_level: str = "WARN") -> list[str]:
        """A Java command that knows this cluster, in `environ(kind)`. `kind`: one of jvm.KINDS."""
        conf = self.plan.base / "conf"
        # Alluxio's own client would write blocks of such a store to ./DUMMY_FILE_PATH.
        paged = kind == "client" and self.plan.store == "PAGE"
        return [
            *self._jvm.command(kind),
            *(["-Dalluxio.user.short.circuit.enabled=false"] if paged else []),
            f"-Dalluxio.home={self.plan.base}",
            f"-Dalluxio.conf.dir={conf}",
            f"-Dalluxio.site.conf.dir={conf}",
            f"-Dalluxio.logs.dir={self.plan.base / 'logs'}",
            f"-Dlog4j.configuration=file:{conf / 'log4j.properties'}",
            f"-Dalluxio.loglevel={log_level}",
            *more,
        ]

    def environ(self, kind: str) -> dict[str, str]:
        """The environment of a Java command."""
        return self._jvm.environ(kind)

    # --------------------------------------------------------------------------------------------------- the whole

    def start(self) -> None:
        """Starts all servers; returns when the workers are registered."""
        self._format()
        for process in self.processes.values():
            process.start()
        self._until(lambda: self.registered() == set(self.workers), "the workers to register", *self.processes)
        if self.plan.jobs:
            self._until(self._jobs_ready, "the job service", *self.processes)

    def close(self) -> None:
        """Ends everything at once and removes its directories."""
        if self._shell is not None:
            self._shell.close()
        for process in self.processes.values():
            process.kill()
        self._ports.close()
        self._directories.close()

    @property
    def shell(self) -> Shell:
        """The resident shell, as the user who runs this; started when first asked for."""
        if self._shell is None:
            self._shell = self.new_shell()
        if self._shell_is_stale:
            self._shell.reset()
            self._shell_is_stale = False
        return self._shell

    def new_shell(self, user: str = "", **more: str) -> Shell:
        """Another shell, as another user or with properties of its own (an _ for every dot); the caller closes it."""
        found = {name.replace("_", "."): value for name, value in more.items()}
        if user:
            found["alluxio.security.login.username"] = user
        number = len(list(self.log("x").parent.glob("shell*.log")))
        command = self.java("client", *properties.flags(found))
        return Shell(command, self.environ("client"), self.log(f"shell{number}"))

    # ------------------------------------------------------------------------------------------------- one server

    def kill9(self, name: str) -> None:
        """Ends a server at once."""
        self._shell_is_stale |= name.startswith("master")
        self.processes[name].kill()

    def stop(self, name: str, timeout: float = TERM_S) -> bool:
        """Ends a server, in an orderly way if it does so in time; whether it did."""
        self._shell_is_stale |= name.startswith("master")
        return self.processes[name].stop(timeout)

    def restart(self, name: str) -> None:
        """Starts a server that was ended, or ends it and starts it; returns when it is in use again."""
        self.stop(name)
        self.processes[name].start()
        self.wait_for(name)

    def wait_for(self, name: str) -> None:
        """Waits until a server that was started is in use."""
        kind, number = _split(name)
        if kind == "worker":
            # The master goes on showing a worker that was killed, and ports open sooner; this comes right after it.
            said = self.processes[name].said
            self._until(lambda: said("worker web service starting"), f"{name} to register", name)
        elif kind == "master":
            self._until(lambda: is_open(self.layout.masters[number].web), f"{name} to answer", name)
            self._until(lambda: self.registered() >= self._running_workers(), "the workers to register", name)
        else:
            self._until(self._jobs_ready, "the job service", name)

    def pause(self, name: str) -> None:
        """A server stalls: it neither answers nor hangs up."""
        self.processes[name].pause()

    def resume(self, name: str) -> None:
        """It goes on."""
        self.processes[name].resume()

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """A server stalls within this."""
        self.pause(name)
        try:
            yield
        finally:
            self.resume(name)

    def pid(self, name: str) -> int:
        """The process of a server."""
        return self.processes[name].pid

    def alive(self, name: str) -> bool:
        """Whether a server runs."""
        return self.processes[name].alive()

    def repair(self) -> None:
        """Starts what was ended and resumes what was paused."""
        down = [name for name, process in self.processes.items() if not process.alive()]
        for process in self.processes.values():
            process.resume()
        for name in down:
            self.restart(name)

    # ------------------------------------------------------------------------------------------- what masters say

    def primary(self) -> str:
        """The name of the master that serves. Raises ClusterError when there is none."""
        for number in range(self.plan.masters):
            if self._info(number) is not None:
                return f"master{number}"
        raise ClusterError("no master serves")

    def registered(self) -> set[str]:
        """The addresses of the workers that the primary master knows."""
        for number in range(self.plan.masters):
            info = self._info(number)
            if info is not None:
                return {f"{w['address']['host']}:{w['address']['rpcPort']}" for w in info["workers"]}
        return set()

    def info(self) -> dict[str, Any]:
        """What the primary master says about itself, see its REST interface."""
        return self._info(_split(self.primary())[1]) or {}

    def _info(self, number: int) -> dict[str, Any] | None:
        process = self.processes[f"master{number}"]
        if process.paused or not process.alive():
            return None
        url = f"http://127.0.0.1:{self.layout.masters[number].web}/api/v1/master/info"
        try:
            with urllib.request.urlopen(url, timeout=_HTTP_S) as answer:
                info = json.load(answer)
        except (OSError, ValueError):
            return None
        return info if isinstance(info, dict) and "workers" in info else None

    def _running_workers(self) -> set[str]:
        return {address for number, address in enumerate(self.workers) if self.alive(f"worker{number}")}

    def _jobs_ready(self) -> bool:
        """A job worker opens its port once it is registered."""
        workers = [p.job_rpc for n, p in enumerate(self.layout.workers) if self.alive(f"jobworker{n}")]
        return any(is_open(p.job_rpc) for p in self.layout.masters) and all(map(is_open, workers))

    # ------------------------------------------------------------------------------------------------------ set-up

    def _names(self) -> list[str]:
        kinds = [("master", self.plan.masters), ("worker", len(self.plan.hosts))]
        if self.plan.jobs:
            kinds += [("jobmaster", self.plan.masters), ("jobworker", len(self.plan.hosts))]
        return [f"{kind}{number}" for kind, count in kinds for number in range(count)]

    def _process(self, name: str) -> Process:
        kind, number = _split(name)
        own = properties.master if kind.endswith("master") else properties.worker
        flags = properties.flags(own(self.plan, self.layout, number))
        command = self.java(kind, *flags, _CLASSES[kind], log_level="INFO")
        return Process(name, command, self.environ(kind), self.log(name))

    def _write(self) -> None:
        base = self.plan.base
        for path in (base / "conf", base / "logs", base / "journal", self.plan.ufs, *self.ramdisks):
            path.mkdir(parents=True, exist_ok=True)
        (base / "conf" / "log4j.properties").write_text(properties.LOG4J)
        text = "".join(f"{name}={value}\n" for name, value in self._site.items())
        (base / "conf" / "alluxio-site.properties").write_text(text)

    def _format(self) -> None:
        """As `alluxio formatJournal` does, which takes seconds."""
        for number in range(self.plan.masters):
            journal = properties.journal_of(self.plan, number)
            if not journal.exists():
                journal.mkdir()
                for name in _JOURNALS[self.plan.version] if self.plan.masters == 1 else ():
                    marked = journal / f"{name}Master" / "v1"
                    marked.mkdir(parents=True)
                    (marked / f"_format_{time.time_ns() // 1_000_000}").touch()

    def _until(self, ready: Callable[[], bool], what: str, *names: str) -> None:
        """Waits until something is so, while the servers on which it depends run."""
        deadline = time.monotonic() + READY_S
        while not ready():
            for name in names:
                if not self.alive(name):
                    raise ClusterError(f"{name} ended; waited for {what}\n{self.processes[name].tail()}")
            if time.monotonic() > deadline:
                tails = "\n".join(self.processes[name].tail() for name in names)
                raise ClusterError(f"waited {READY_S:g} s for {what}\n{tails}")
            time.sleep(_POLL_S)


def _split(name: str) -> tuple[str, int]:
    kind = name.rstrip("0123456789")
    return kind, int(name[len(kind) :])
