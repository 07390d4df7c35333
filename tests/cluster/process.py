"""One Java server that we started. It ends with the thread that started it, however that ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from cluster.errors import ClusterError

TERM_S = 10.0  # a worker often needs longer for an orderly end
_KILL_S = 60.0
_TAIL_LINES = 40


class Process:
    """A server: `name`, its `log`, and the command that starts it, again too."""

    def __init__(self, name: str, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = [*ending_with_us(), *command]
        self._environ = dict(environ)
        self._child: subprocess.Popen[bytes] | None = None
        self._log_start = 0  # of this run
        self.paused = False

    def start(self) -> None:
        """Starts it, and returns at once."""
        if self.alive():
            raise ClusterError(f"{self.name} is running")
        self.paused = False
        with open(self.log, "ab") as log:
            self._log_start = log.tell()
            self._child = subprocess.Popen(
                self._command,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.log.parent,  # for what Java leaves when it crashes
                start_new_session=True,  # Ctrl-C is for us
            )

    @property
    def pid(self) -> int:
        """Its process id. Raises ClusterError when it is not running."""
        if self._child is None or not self.alive():
            raise ClusterError(f"{self.name} is not running")
        return self._child.pid

    def alive(self) -> bool:
        """Whether it is running."""
        return self._child is not None and self._child.poll() is None

    def pause(self) -> None:
        """It stalls: it neither answers nor hangs up."""
        os.kill(self.pid, signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        """It goes on."""
        if self.paused and self.alive():
            os.kill(self.pid, signal.SIGCONT)
        self.paused = False

    def terminate(self) -> None:
        """Asks it to end, and returns at once."""
        if self.alive():
            os.kill(self.pid, signal.SIGTERM)
            self.resume()

    def kill(self) -> None:
        """Ends it at once."""
        if self._child is not None and self.alive():
            self._child.kill()
            self._child.wait(_KILL_S)

    def wait(self, timeout: float) -> bool:
        """Whether it ends in time."""
        if self._child is not None:
            try:
                self._child.wait(timeout)
            except subprocess.TimeoutExpired:
                return False
        return True

    def stop(self, timeout: float = TERM_S) -> bool:
        """Ends it in an orderly way if it does so in time; whether it did."""
        self.terminate()
        orderly = self.wait(timeout)
        self.kill()
        return orderly

    def said(self, text: str) -> bool:
        """Whether its log has a text since it was started."""
        with open(self.log, "rb") as log:
            log.seek(self._log_start)
            return text.encode() in log.read()

    def tail(self) -> str:
        """The last lines of its log, for messages."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError as error:
            return str(error)
        return "\n".join([f"{self.log}:", *lines[-_TAIL_LINES:]])


def ending_with_us() -> list[str]:
    """The words that have the kernel kill a command when the thread that started it ends."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ClusterError("there is no setpriv on PATH (Debian: util-linux)")
    return [setpriv, "--pdeathsig", "KILL"]
