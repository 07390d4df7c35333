"""The process that touches the mount, and its remote control: a hang must not be ours, nor a SIGBUS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from multiprocessing.connection import Connection, Pipe
from typing import Any

from model_operations import Operations, Result

# Ours: requests that the source does not answer are given up after two to three minutes, and nothing is slow here.
TIMEOUT_S = 20.0


class Hang(AssertionError):
    """An operation did not come back."""


class Crash(AssertionError):
    """The process died of an operation."""


class Worker:
    """Runs Operations on `root` in a process of its own."""

    def __init__(self, root: bytes) -> None:
        self._connection, theirs = Pipe()
        command = [sys.executable, __file__, str(theirs.fileno()), os.fsdecode(root)]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        self.usable = True

    def run(self, name: str, *args: Any) -> Result:
        """The result of one operation. Raises Hang, Crash; the worker cannot be used any more then."""
        try:
            self._connection.send((name, args))
            if self._connection.poll(TIMEOUT_S):
                return self._connection.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self.usable = False
            code = self._process.wait(TIMEOUT_S)
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            raise Crash(f"{name}{args}: {how}") from None
        self.usable = False
        where = self._where()
        self.kill()
        raise Hang(f"{name}{args} did not come back within {TIMEOUT_S:.0f} s, in the kernel at {where}")

    def kill(self) -> None:
        """Ends the process, also one that is waiting for the mount."""
        self.usable = False
        self._process.kill()
        self._connection.close()
        try:
            self._process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise Hang("the process that reads the mount cannot be killed") from None

    def _where(self) -> str:
        try:
            with open(f"/proc/{self._process.pid}/wchan", encoding="ascii") as file:
                return file.read()
        except OSError:
            return "an unknown place"


def main(connection: Connection, root: bytes) -> None:
    """Serves until the other side goes away."""
    operations = Operations(root)
    try:
        while True:
            name, args = connection.recv()
            connection.send(operations.run(name, *args))
    except EOFError:
        pass


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])), os.fsencode(sys.argv[2]))
