"""The composition root: builds source, core and fetchers for one mount, serves until told to stop, takes it apart.

Runs in a process of its own. Order of the start: the storage answers, the kernel mounts and sends INIT, the source
learns the device of the mount (to hide it from itself), fetchers start, then `ready`. This process never touches
its own mount: such a request would wait for the threads that make it.

Signals write a byte into a pipe, which the main thread reads: SIGTERM, SIGINT and SIGHUP stop, SIGUSR1 dumps the
counters, byte 0 is the session that ended because somebody unmounted. Before the mount exists signals kill as usual.
"""

from __future__ import annotations

import errno
import os
import resource
import select
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from alluxio_jnifuse import __version__, metrics, mounttable, privileges
from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.logs import LOGGER, LogHandler, start_drain
from alluxio_jnifuse.options import OPTIONS
from alluxio_jnifuse.registry import Registry, record_of_this_process

if TYPE_CHECKING:
    from alluxio_jnifuse._core import Core
    from alluxio_jnifuse.config import Config
    from alluxio_jnifuse.fetcher import Fetchers
    from alluxio_jnifuse.sources.base import Source

_INIT_TIMEOUT_S = 10.0  # the kernel sends INIT with the mount; only a frozen machine takes longer
_STOP_FETCHERS_S = 2.0  # a thread that hangs in the source is left behind
_RETRY_UMOUNT_S = 0.05
# A busy Python thread delays the others by this much, not by 5 ms: a fetch costs 20 to 60 us.
_SWITCH_INTERVAL_S = 0.0005

_ENDED = 0  # written where a signal's number would be
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Reporter(Protocol):
    """Tells whoever typed the command how far the start has got."""

    def stage(self, text: str) -> None:
        """What is waited for now, as "the storage to answer"."""

    def ready(self) -> None:
        """The mount answers."""


class Logging(NamedTuple):
    """Where this process logs: the handler, and the file's path or "" for a terminal."""

    handler: LogHandler
    path: str


def serve(config: Config, mountpoint: str, log: Logging, reporter: Reporter) -> int:
    """Mounts on the prepared directory `mountpoint` and serves it to the end; returns the exit code.

    Raises AlluxioFuseError when the mount did not come about; nothing is left behind then.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    _raise_file_limit()
    reporter.stage("the storage to answer")
    source = _open_source(config)
    try:
        with _signals() as (signals, wake):
            return _serve(config, mountpoint, log, reporter, source, signals, wake)
    finally:
        source.close()


def _serve(
    config: Config, mountpoint: str, log: Logging, reporter: Reporter, source: Source, signals: int, wake: int
) -> int:
    from alluxio_jnifuse._core import Core
    from alluxio_jnifuse.fetcher import Fetchers

    reporter.stage("the kernel to mount")
    try:
        core = Core(config.core_options())
    except OSError as error:
        raise MountError(
            f"cannot allocate its tables: {error.strerror}", where=f"cannot mount on {mountpoint}"
        ) from error
    drain = start_drain(core, log.handler)
    fetchers = Fetchers(core, source, config.number("fetchers") + config.number("metadata_fetchers"))
    registry, record_path = Registry(), ""
    try:
        _mount(core, mountpoint, config.mount_options())
        device = _start(core)
        source.mounted(os.makedev(*device))
        fetchers.start()
        record = record_of_this_process(mountpoint, config.alluxio_path, config.ufs, log.path)
        record_path = registry.add(record)
        _say_hello(config, mountpoint, core)
        _widen_read_ahead(device, config.number("max_readahead"))
        threading.Thread(target=_watch_end, args=(core, wake), name="watch", daemon=True).start()
        reporter.ready()
        _wait(signals, core, record_path)
        _unmount(mountpoint, device, config.number("alluxio.fuse.umount.timeout") / 1000, signals)
        return 0
    finally:
        _take_apart(core, fetchers)
        if record_path:
            registry.remove(record_path)
        drain.join(1.0)


def _take_apart(core: Core, fetchers: Fetchers) -> None:
    core.stop()
    hanging = fetchers.stop(_STOP_FETCHERS_S)
    if hanging:
        LOGGER.warning("%d requests still hang in the storage; they end with this process", hanging)


# ------------------------------------------------------------------------------------------------------ start


def _open_source(config: Config) -> Source:
    """The storage, which has answered for its root. Raises AlluxioFuseError."""
    from alluxio_jnifuse.sources import open_source

    source = open_source(config.ufs, config)
    try:
        if not stat.S_ISDIR(source.stat(b"/").mode):
            raise MountError("is not a directory", where=config.ufs)
    except OSError as error:
        source.close()
        raise MountError(f"does not answer: {error.strerror or error}", where=config.ufs) from error
    except BaseException:
        source.close()
        raise
    return source


def _mount(core: Core, mountpoint: str, options: str) -> None:
    failure = None
    with captured_stderr() as said:
        try:
            core.mount(os.fsencode(mountpoint), options)
        except OSError as error:
            failure = error
    if failure is not None:
        raise privileges.explain(failure, said[0], mountpoint, privileges.look()) from failure
    for line in said[0].splitlines():
        LOGGER.warning("%s", line)


def _start(core: Core) -> tuple[int, int]:
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


def _raise_file_limit() -> None:
    """Every open file of the mount may need a descriptor here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:
        LOGGER.warning("the limit of open files stays as it is: %s", error)


def _widen_read_ahead(device: tuple[int, int], size: int) -> None:
    """The kernel reads 128 KiB ahead, whatever was agreed in INIT, until told here (bytes; the file counts KiB)."""
    path = "/sys/class/bdi/{}:{}/read_ahead_kb".format(*device)
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(str(size >> 10))
    except OSError as error:
        LOGGER.info("read-ahead stays at the kernel's 128 KiB: %s: %s", path, error.strerror)


def _say_hello(config: Config, mountpoint: str, core: Core) -> None:
    LOGGER.info("alluxio-jnifuse %s: %s on %s", __version__, config.ufs, mountpoint)
    settings = config.settings
    names = [row.name for row in OPTIONS if row.name in settings and settings[row.name].rank > 0]
    if names:
        LOGGER.info("settings: %s", ", ".join(f"{n}={settings[n].text} ({settings[n].origin})" for n in names))
    for note in config.notes:
        LOGGER.info("%s", note)
    LOGGER.info("granted by the kernel: %s", ", ".join(sorted(core.features())) or "nothing beyond the basics")


# ------------------------------------------------------------------------------------------------ serve and stop


@contextmanager
def _signals() -> Iterator[tuple[int, int]]:
    """A pipe (reading end, writing end) that receives the number of every signal as a byte."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(writing, False)
    handled = (*_STOP_SIGNALS, metrics.REQUEST)
    before = {number: signal.signal(number, lambda *_: None) for number in handled}
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield reading, writing
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        # The watching thread may still write: the pipe ends with the process.


def _watch_end(core: Core, wake: int) -> None:
    core.wait_end(-1)
    os.write(wake, bytes([_ENDED]))


def _wait(signals: int, core: Core, record_path: str) -> None:
    """Returns when a signal asks to stop, or the session has ended."""
    while True:
        number = os.read(signals, 1)[0]
        if number == metrics.REQUEST:
            try:
                metrics.dump(core, record_path)
            except OSError as error:
                LOGGER.error("the counters cannot be written: %s", error)
        elif number == _ENDED:
            LOGGER.info("unmounted")
            return
        elif number in _STOP_SIGNALS:
            LOGGER.info("unmounting after %s", signal.Signals(number).name)
            return


def _unmount(mountpoint: str, device: tuple[int, int], patience: float, signals: int) -> None:
    """Unmounts, if that has not happened: at once, or when idle within `patience` s, or lazily."""
    from alluxio_jnifuse import _core

    entry = mounttable.top_at(mountpoint)
    if entry is None or (entry.major, entry.minor) != device:
        return
    deadline = time.monotonic() + patience
    while True:
        try:
            _core.unmount(os.fsencode(mountpoint), False)
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                LOGGER.warning("cannot unmount %s: %s", mountpoint, error.strerror)
                break
        # A second signal is somebody who does not want to wait.
        if time.monotonic() >= deadline or select.select([signals], [], [], _RETRY_UMOUNT_S)[0]:
            LOGGER.info("%s is busy: detached, files that are open in passthrough stay readable", mountpoint)
            break
    try:
        _core.unmount(os.fsencode(mountpoint), True)
    except OSError as error:
        LOGGER.error("cannot detach %s: %s", mountpoint, error.strerror)
