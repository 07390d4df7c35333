"""One mount for a whole run: the directory it shows, the daemon, and the worker that reads it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from model_worker import Worker

from alluxio_jnifuse.mounts import stats as mount_stats

_START_S = 30.0
_STOP_S = 20.0
# Whatever the source changes is to be seen at once.
_OPTIONS = "attr_timeout=0,entry_timeout=0,negative_timeout=0"


class Mount:
    """Shows `source`; `arguments` are those of the variant. Everything lies in the directory `place`."""

    def __init__(self, place: Path, *arguments: str) -> None:
        self.source = place / "source"
        self.mountpoint = place / "mnt"
        self.log = place / "log"
        self._arguments = arguments
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith("ALLUXIO_")}
        self._environ["ALLUXIO_CONF_DIR"] = str(place)  # not what this machine has configured
        self.source.mkdir()
        self._start()

    def _start(self) -> None:
        command = [sys.executable, "-m", "alluxio_jnifuse", "mount", "-n", "-o", _OPTIONS, *self._arguments]
        command += ["-u", str(self.source), str(self.mountpoint)]
        with open(self.log, "ab") as log:
            self._daemon = subprocess.Popen(command, env=self._environ, stdout=subprocess.PIPE, stderr=log)
        assert self._daemon.stdout is not None
        ready = select.select([self._daemon.stdout], [], [], _START_S)[0]
        if not ready or not self._daemon.stdout.readline().startswith(b"Successfully mounted"):
            self.kill()
            raise AssertionError(f"no mount:\n{self.log.read_text()}")
        self.worker = Worker(os.fsencode(self.mountpoint))

    def repair(self) -> None:
        """Starts again what the last example left in a bad state."""
        if not self.worker.usable or self._daemon.poll() is not None:
            self.kill()
            self._start()

    def counters(self, *pairs: str) -> dict[str, int]:
        """The counters of the core, when as many died as were born of each pair: RELEASE comes after close."""
        deadline = time.monotonic() + _STOP_S
        while True:
            counters = mount_stats.request(str(self.mountpoint)).stats
            odd = [pair for pair in pairs if counters[f"{pair}_born"] != counters[f"{pair}_died"]]
            if not odd:
                return counters
            assert time.monotonic() < deadline, f"left behind: {odd} of {counters}"
            time.sleep(0.01)

    def stop(self) -> int:
        """Unmounts; returns the exit code of the daemon."""
        self.worker.kill()
        self._daemon.send_signal(signal.SIGTERM)
        return self._wait()

    def kill(self) -> None:
        """Ends everything, also when it hangs."""
        if self._daemon.poll() is None:
            self._daemon.kill()
        self._wait()
        unmount = ["umount", "-l"] if os.geteuid() == 0 else ["fusermount3", "-u", "-z"]
        subprocess.run([*unmount, str(self.mountpoint)], capture_output=True, check=False)
        if hasattr(self, "worker"):
            self.worker.kill()

    def _wait(self) -> int:
        assert self._daemon.stdout is not None
        self._daemon.stdout.close()
        return self._daemon.wait(_STOP_S)
