"""Runs a mount in the background: the typed command waits for it, and says how it went.

The command forks before it has made a thread or loaded the core. The child becomes a session of its own, logs to a
file and reports over a pipe: a line "log PATH", "stage TEXT" for what it waits for, "ready", or "failed TEXT". The
command exits with 0 only after the mount has answered it, and kills the child if it does not get that far in time.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from alluxio_jnifuse.errors import AlluxioFuseError, MountError, in_words
from alluxio_jnifuse.mounts import table

if TYPE_CHECKING:
    from collections.abc import Callable

    from alluxio_jnifuse.config.values import Config

_QUIET_S = 3.0  # nobody wonders before
_PROGRESS_S = 5.0
_ANSWER_S = 10.0  # for the first stat of a mount whose storage has just answered
_KILL_AFTER_S = 5.0


class PipeReporter:
    """The child's end. A command that was killed meanwhile is no reason to give up."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self._fd

    def stage(self, text: str) -> None:
        self._send("stage", text)

    def log(self, path: str) -> None:
        """Returns where the log of the mount is."""
        self._send("log", path)

    def ready(self) -> None:
        self._send("ready", "")
        self.close()

    def failed(self, text: str) -> None:
        """Why there will be no mount."""
        self._send("failed", text)
        self.close()

    def close(self) -> None:
        """Idempotent; everything after it is dropped."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _send(self, word: str, text: str) -> None:
        if self._fd < 0:
            return
        line = f"{word} {text}".replace("\n", "\\n")
        try:
            os.write(self._fd, line.encode("utf-8", "surrogateescape") + b"\n")
        except BrokenPipeError:
            pass


def start(config: Config, mountpoint: str, timeout: float) -> int:
    """Mounts in the background and returns the pid once `mountpoint` answers.

    `timeout` in seconds, 0 = for ever. Raises MountError with what the child reported, or with how it ended.
    """
    return launch(lambda reporter: _serve_in_child(config, mountpoint, reporter), mountpoint, timeout)


def launch(work: Callable[[PipeReporter], int], mountpoint: str, timeout: float) -> int:
    """Forks; the child does `work` and exits with what it returns, the parent waits until it is ready; see `start`."""
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.fork()
    except OSError as error:
        raise MountError(f"no process can be started: {in_words(error)}") from error
    if pid == 0:
        os.close(reading)
        _child(work, PipeReporter(writing))
    os.close(writing)
    try:
        log = _wait_ready(pid, reading, timeout)
        code = table.probe(mountpoint, _ANSWER_S)
        if code is None:
            raise MountError(f"does not answer within {_ANSWER_S:g} s", where=mountpoint, remedy=_look_into(log))
        if code:
            raise MountError(f"answers with an error: {os.strerror(code)}", where=mountpoint, remedy=_look_into(log))
    except BaseException:
        _end(pid)
        raise
    finally:
        os.close(reading)
    return pid


# ------------------------------------------------------------------------------------------------------ parent


def _wait_ready(pid: int, pipe: int, timeout: float) -> str:
    """Returns the path of the log."""
    started = time.monotonic()
    spoken = started - _PROGRESS_S + _QUIET_S
    pending, stage, log = b"", "the daemon to start", ""
    while True:
        now = time.monotonic()
        if timeout and now - started > timeout:
            raise MountError(
                f"gave up after {timeout:g} s of waiting for {stage}",
                remedy=f"{_look_into(log) or 'see whether it works'}, or wait for longer "
                "(alluxio.user.rpc.retry.max.duration, -o wait)",
            )
        if now - spoken >= _PROGRESS_S:
            spoken = now
            print(f"Waiting for {stage} ({now - started:.0f} s) ...", file=sys.stderr, flush=True)
        if not select.select([pipe], [], [], 0.25)[0]:
            continue
        received = os.read(pipe, 65536)
        if not received:
            raise MountError(_how_it_ended(pid), remedy=_look_into(log))
        *lines, pending = (pending + received).split(b"\n")
        for line in lines:
            word, _, text = line.decode("utf-8", "surrogateescape").partition(" ")
            if word == "ready":
                return log
            if word == "failed":
                raise MountError(text.replace("\\n", "\n"))
            if word == "log":
                log = text
            else:
                stage = text


def _look_into(log: str) -> str:
    return f"look into {log}" if log else ""


def _how_it_ended(pid: int) -> str:
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return f"the daemon was ended by {signal.Signals(os.WTERMSIG(status)).name} before the mount was ready"
    return f"the daemon ended with exit code {os.WEXITSTATUS(status)} before the mount was ready"


def _end(pid: int) -> None:
    """Ends a child that is not wanted any more, if it still runs: politely, so that it unmounts, then by force."""
    try:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _KILL_AFTER_S
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
    except (ProcessLookupError, ChildProcessError):
        pass  # already gone, or already waited for


# ------------------------------------------------------------------------------------------------------- child


def _child(work: Callable[[PipeReporter], int], reporter: PipeReporter) -> NoReturn:
    code = 1
    try:
        os.setsid()
        os.chdir("/")
        _close_inherited(reporter)
        code = work(reporter)
    except AlluxioFuseError as error:
        reporter.failed(str(error))
    except OSError as error:
        reporter.failed(in_words(error))
    except BaseException as error:
        import traceback

        traceback.print_exc()  # into the log file, once there is one
        reporter.failed(f"{type(error).__name__}: {error}")
    finally:
        os._exit(code)


def _close_inherited(reporter: PipeReporter) -> None:
    """Leaves nothing open of the command's: somebody may wait for its pipes, or lock by its descriptors."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    keep = {0, 1, 2, reporter.fileno()}
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in keep:
            try:
                os.close(int(name))
            except OSError:
                pass  # the listing's own


def _serve_in_child(config: Config, mountpoint: str, reporter: PipeReporter) -> int:
    from alluxio_jnifuse.daemon import logs
    from alluxio_jnifuse.daemon.serve import Logging, serve
    from alluxio_jnifuse.mounts.registry import file_stem

    fd, path = logs.open_file(config.logs_directory, file_stem(mountpoint))
    reporter.log(path)
    handler = logs.to_file(fd, path, **logs.settings_of(config))
    try:
        return serve(config, mountpoint, Logging(handler, path), reporter)
    except AlluxioFuseError as error:
        logs.LOGGER.error("%s", error)
        raise
    finally:
        handler.close()
