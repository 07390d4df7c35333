"""The composition root: builds source, core and fetchers for one mount, serves until told to stop, takes it apart.

Runs in a process of its own. Order of the start: the storage answers, the kernel mounts and sends INIT, the source
learns the device of the mount (to hide it from itself), fetchers start, then `ready`. This process never touches
its own mount: such a request would wait for the threads that make it.

SIGTERM, SIGINT and SIGHUP stop, SIGUSR1 dumps the counters; before anything is mounted signals do what they did.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from alluxio_jnifuse import __version__
from alluxio_jnifuse.config.options import OPTIONS
from alluxio_jnifuse.daemon import bindings, present, storage
from alluxio_jnifuse.daemon.hit_ratio import HitRatio
from alluxio_jnifuse.daemon.logs import LOGGER, LogHandler, drain
from alluxio_jnifuse.daemon.signals import WAKE, SignalPipe
from alluxio_jnifuse.daemon.watcher import Watcher
from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts import point, privileges, table
from alluxio_jnifuse.mounts import stats as mount_stats
from alluxio_jnifuse.mounts.registry import Record, Registry, record_of_this_process
from alluxio_jnifuse.system.threads import start_thread

if TYPE_CHECKING:
    from alluxio_jnifuse.config.values import Config
    from alluxio_jnifuse.daemon.web.server import Server
    from alluxio_jnifuse.sources.base import Attr, Source

_INIT_TIMEOUT_S = 10.0  # the kernel sends INIT with the mount; only a frozen machine takes longer
_STOP_FETCHERS_S = 2.0  # a thread that hangs in the source is left behind
_STOP_LOG_S = 1.0
_RETRY_UMOUNT_S = 0.05
_LOOK_S = 1.0
# A busy Python thread delays the others by this much, not by 5 ms: a fetch costs 20 to 60 us.
_SWITCH_INTERVAL_S = 0.0005

_HEAP_PIECE_BYTES = 128 << 10  # glibc's own at first

# Room for so many descriptors from the start: 33 KB of the kernel's memory. Each cached or lent file has one.
_DESCRIPTORS = 4096

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Reporter(Protocol):
    """Tells the user who typed the command how far the start has got."""

    def stage(self, text: str) -> None:
        """Tells what is waited for now, as "the storage to answer"."""

    def ready(self) -> None:
        """The mount answers."""


class Logging(NamedTuple):
    """The log of this process: the handler, and the file's path or "" for a terminal."""

    handler: LogHandler
    path: str


def serve(config: Config, mountpoint: str, log: Logging, reporter: Reporter) -> int:
    """Mounts on the prepared directory `mountpoint` and serves it to the end; returns the exit code.

    Raises AlluxioFuseError when the mount did not come about; nothing is left behind then.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    os.umask(0o077)  # a database of the client cache makes files as this says
    _return_memory()
    if not config.flag("alluxio.fuse.debug.enabled"):
        _leave_no_core()
    _raise_file_limit()
    _enlarge_file_table()  # before any thread
    watcher = Watcher(mountpoint) if config.flag("auto_unmount") else None  # forks: before any thread, too
    config, source, root = storage.open_storage(config, reporter.stage)
    try:
        with SignalPipe((*_STOP_SIGNALS, mount_stats.REQUEST)) as signals:
            reporter.stage("the kernel to mount")
            session = _Session(config, mountpoint, source, root, signals, log)
            try:
                session.start(watcher)
                reporter.ready()
                session.wait()
                session.unmount()
            finally:
                session.take_apart()
        return 0
    finally:
        source.close()
        if watcher is not None:
            watcher.done()


class _Session:
    """Everything that lives from the mount to its end. Used by the main thread alone."""

    def __init__(
        self, config: Config, mountpoint: str, source: Source, root: Attr, signals: SignalPipe, log: Logging
    ) -> None:
        """Nothing is mounted yet. Raises MountError."""
        self._config = config
        self._mountpoint = mountpoint
        self._source = source
        self._signals = signals
        self._log = log
        self._registry = Registry()
        self._record_path = ""
        self._record: Record | None = None
        self._web: Server | None = None
        self._device = (0, 0)
        self._core, self._fetchers = bindings.make(config, source, root)
        self._ratio = HitRatio(self._counters)
        self._recent = present.Recent(self._core, self._counters)
        self._ended = threading.Event()
        self._log_thread = start_thread("log", drain, self._core, log.handler)

    def start(self, watcher: Watcher | None) -> None:
        """Returns when the mount answers. Raises MountError."""
        others = point.confirm(self._mountpoint)
        if others:
            LOGGER.warning("another user can move %s, or have a mount made elsewhere: %s", self._mountpoint, others)
        _mount(self._core, self._mountpoint, self._config.mount_options())
        self._device = _start(self._core)
        if watcher is not None:
            watcher.mounted(self._device)
        self._source.passthrough = "passthrough" in self._core.features() and not self._config.flag("direct_io")
        self._source.mounted(os.makedev(*self._device))
        self._fetchers.start()
        directory = self._source.directory()
        if directory is not None:
            commands = self._config.flag("alluxio.fuse.special.command.enabled")
            self._core.serve_directory(*directory, tells_absence=not commands)
        config = self._config
        self._record = record_of_this_process(
            self._mountpoint, config.alluxio_path, config.ufs, self._log.path, config.cache_bytes
        )
        self._record_path = self._registry.add(self._record)
        _say_hello(self._config, self._mountpoint, self._core)
        _widen_read_ahead(self._device, self._config.number("max_readahead"))
        if config.flag("alluxio.fuse.web.enabled"):
            from alluxio_jnifuse.daemon.web.pages import start as start_web

            self._web = start_web(config, self._mountpoint, self._core, self._fetchers, self._source)
        start_thread("watch", self._watch_end)
        start_thread("figures", self._look)
        if self._config.flag("alluxio.user.client.cache.ttl.enabled"):
            start_thread("cache-ttl", self._expire)

    def wait(self) -> None:
        """Returns when a signal asks to stop, or the session has ended."""
        while True:
            number = self._next_signal()
            if number == WAKE:
                LOGGER.info("unmounted")
                return
            if number in _STOP_SIGNALS:
                LOGGER.info("unmounting after %s", signal.Signals(number).name)
                return

    def unmount(self) -> None:
        """Unmounts, if that has not happened: at once, or when it is no longer busy, or lazily."""
        from alluxio_jnifuse.mounts.unmount import unmount_at

        entry = table.top_at(self._mountpoint)
        if entry is None or (entry.major, entry.minor) != self._device:
            self._tell_covered(entry)
            return
        deadline = time.monotonic() + self._config.number("alluxio.fuse.umount.timeout") / 1000
        number: int | None = None
        while number not in (*_STOP_SIGNALS, WAKE):  # who signals again does not want to wait
            try:
                unmount_at(self._mountpoint, lazy=False)
                return
            except OSError as error:
                if error.errno != errno.EBUSY:
                    LOGGER.warning("cannot unmount %s: %s", self._mountpoint, error.strerror)
                    break
            if time.monotonic() >= deadline:
                break
            number = self._next_signal(_RETRY_UMOUNT_S)
        LOGGER.info("%s is detached with files open; those in passthrough stay readable", self._mountpoint)
        try:
            unmount_at(self._mountpoint, lazy=True)
        except OSError as error:
            LOGGER.error("cannot detach %s: %s", self._mountpoint, error.strerror)

    def _tell_covered(self, entry: table.MountEntry | None) -> None:
        """Something else may be mounted over this mount, which is left behind dead then."""
        ours = [each for each in table.read() if (each.major, each.minor) == self._device]
        if entry is not None and ours:
            LOGGER.warning(
                "%s is not unmounted: a mount of type %s lies over it; unmount that, then this one (umount -l %s)",
                self._mountpoint, entry.fstype, self._mountpoint,
            )  # fmt: skip

    def take_apart(self) -> None:
        """Ends what was started, in whatever state that is."""
        self._ended.set()
        if self._web is not None:
            self._web.stop()
        with privileges.system_path():
            stopped = self._core.stop()
        hanging = self._fetchers.stop(_STOP_FETCHERS_S)
        stats = self._counters()
        LOGGER.info("counters: %s", mount_stats.summary(stats))
        if not stopped:
            LOGGER.warning("a file of the storage does not answer; its readers wait for the end of this process")
        elif hanging:
            LOGGER.warning("%d requests still hang in the storage; they end with this process", hanging)
        elif mount_stats.left_behind(stats):
            LOGGER.error("left behind: %s", mount_stats.left_behind(stats))
        if self._record is not None and self._record_path:
            self._registry.remove(self._record_path, self._record)
        self._log_thread.join(_STOP_LOG_S)

    def _next_signal(self, timeout: float | None = None) -> int | None:
        """The next signal, or None after `timeout` s; requests for the counters are fulfilled on the way."""
        number = self._signals.wait(timeout)
        if number == mount_stats.REQUEST and self._record_path:
            try:
                now, recent = present.of(self._core, self._fetchers), self._recent.since()
                mount_stats.dump(self._core, self._source, self._record_path, now, recent)
            except OSError as error:
                LOGGER.error("the counters cannot be written: %s", error)
        return number

    def _counters(self) -> dict[str, int]:
        return mount_stats.counters(self._core, self._source)

    def _look(self) -> None:
        """Looks at the counters again and again."""
        while True:
            now = time.monotonic()
            self._ratio.look(now)
            self._recent.look(now)
            self._fetchers.tend()
            if self._ended.wait(_LOOK_S):
                return

    def _expire(self) -> None:
        """Drops old pages of the client cache in memory, now and then."""
        age = self._config.number("alluxio.user.client.cache.ttl.threshold.seconds")
        while not self._ended.wait(self._config.number("alluxio.user.client.cache.ttl.check.interval.seconds")):
            self._core.expire(age)

    def _watch_end(self) -> None:
        self._core.wait_end(-1)
        self._signals.wake()


def _mount(core: bindings.Binding, mountpoint: str, options: str) -> None:
    failure = None
    with captured_stderr() as said, privileges.system_path():
        try:
            core.mount(os.fsencode(mountpoint), options)
        except OSError as error:
            failure = error
    if failure is not None:
        raise privileges.explain(failure, said[0], mountpoint, privileges.look()) from failure
    for line in said[0].splitlines():
        LOGGER.warning("%s", line)


def _start(core: bindings.Binding) -> tuple[int, int]:
    """Lets the kernel's INIT be answered; returns the device number (major, minor) of the mount."""
    try:
        core.start(_INIT_TIMEOUT_S)
        return core.device()
    except OSError as error:
        raise MountError(f"the kernel and the mount did not agree: {error.strerror or error}") from error


@contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Collects what C code prints to stderr (libfuse and fusermount3 say the reason there) as one text."""
    said: list[str] = []
    kept = os.dup(2)
    catch = os.memfd_create("stderr")
    os.dup2(catch, 2)
    try:
        yield said
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        said.append(os.pread(catch, 4096, 0).decode("utf-8", "replace").strip())
        os.close(catch)


def _return_memory() -> None:
    """Has the C library give back what is freed, of the core's listings and of Python's.

    glibc raises its two thresholds by itself up to 32 and 64 MiB, with the largest piece that was freed, and keeps
    that much in each of its arenas for ever. Set once they stay. Large pieces are listings, live long, or are used
    again (cache/buffers.py): a mapping for each does not show beside what fills it. After two directories of
    150,000 names were listed in turn, 58 MiB were kept without this, and 15 to 28 with it.
    """
    from alluxio_jnifuse import _core

    try:
        _core.return_memory(_HEAP_PIECE_BYTES)
    except OSError as error:
        LOGGER.debug("freed memory may be kept: %s", error)


def _leave_no_core() -> None:
    """The memory of this process holds credentials, and data that few may read: a crash must not write it down.

    The limit keeps the kernel from writing a file. A program that is handed the core instead (core_pattern) need not
    heed it, so the daemon of root is not dumpable at all. For an ordinary user that would make root the owner of
    the process's files in /proc, and where that hides others' processes (hidepid) he would not find his own daemon.
    """
    from alluxio_jnifuse import _core

    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if os.geteuid() == 0:
            _core.forbid_dumps()
    except (OSError, ValueError) as error:
        LOGGER.warning("a crash of this process may leave a core: %s", error)


def _raise_file_limit() -> None:
    """Every open file of the mount may need a descriptor here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:
        LOGGER.warning("the limit of open files stays as it is: %s", error)


def _enlarge_file_table() -> None:
    """Every time the table of a process with threads grows, the kernel makes the open(2) wait for all processors.

    That is 8 to 20 ms at each doubling from 64 descriptors on, and others wait for the opener. One thread waits for
    nobody.
    """
    try:
        os.close(fcntl.fcntl(sys.stderr.fileno(), fcntl.F_DUPFD_CLOEXEC, _DESCRIPTORS - 1))
    except (OSError, ValueError) as error:  # the limit is lower, or there is no stderr
        LOGGER.debug("the table of open files stays small: %s", error)


def _widen_read_ahead(device: tuple[int, int], size: int) -> None:
    """The kernel reads 128 KiB ahead, whatever was agreed in INIT, until told here (bytes; the file counts KiB)."""
    path = "/sys/class/bdi/{}:{}/read_ahead_kb".format(*device)
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(str(size >> 10))
    except OSError as error:
        LOGGER.info("read-ahead stays at the kernel's 128 KiB: %s: %s", path, error.strerror)


def _say_hello(config: Config, mountpoint: str, core: bindings.Binding) -> None:
    LOGGER.info("alluxio-jnifuse %s: %s on %s", __version__, config.ufs, mountpoint)
    settings = config.settings
    names = [row.name for row in OPTIONS if row.name in settings and settings[row.name].rank > 0]
    if names:
        LOGGER.info("settings: %s", ", ".join(f"{n}={settings[n].shown(n)} ({settings[n].origin})" for n in names))
    for note in config.notes:
        LOGGER.info("%s", note)
    LOGGER.info("binding: %s", bindings.name_of(core))
    LOGGER.info("granted by the kernel: %s", ", ".join(sorted(core.features())) or "nothing beyond the basics")
