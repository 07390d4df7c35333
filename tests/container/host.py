"""Host: namespaces of this machine in which a Docker daemon runs. What is in them ends with the daemon."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from cluster import jars
from cluster.process import ending_with_us

from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.mounts.table import MountEntry

TOOLS = ("dockerd", "docker", "buildah", "mmdebstrap", "docker-compose", "unshare", "nsenter", "ip")
_READY_S = 300.0
_END_S = 120.0
_POLL_S = 0.05
# Java wants the host's name to have an address that others could reach: this one is for documentation (RFC 5737).
# udev lets everybody open /dev/fuse.
_SETUP = """\
set -e
mount --make-rshared /
mount -t tmpfs tmpfs /mnt
hostname host
ip link set lo up
ip link add host0 type bridge
ip address add 192.0.2.1/24 dev host0
ip link set host0 up
{ cat /etc/hosts; echo 192.0.2.1 host; } >"$BASE/hosts"
mount --bind "$BASE/hosts" /etc/hosts
mknod -m 666 "$BASE/fuse" c 10 229
mount --bind "$BASE/fuse" /dev/fuse
exec dockerd --host "unix://$BASE/socket" --data-root "$DATA" --exec-root "$BASE/run" --pidfile "$BASE/pid" \
    --cgroup-parent "/$(basename "$BASE")" --bridge=none --iptables=false --ip6tables=false >"$BASE/log" 2>&1
"""


class HostError(Exception):
    """The daemon does not run, or a command on the host has failed."""


def unusable() -> str:
    """Why no container can be run here, or ""."""
    if os.geteuid() != 0:
        return "only root can start a Docker daemon"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"there is no {', '.join(missing)} on PATH: run scripts/ensure-system container"
    return "" if os.path.exists("/dev/fuse") else "there is no /dev/fuse"


class Host:
    """A context manager. Images are kept between sessions, and one session at a time uses them."""

    def __init__(self) -> None:
        """Returns when the daemon answers. Raises HostError."""
        data = jars.cache() / "docker"
        data.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(data.with_suffix(".lock"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._base = Path(tempfile.mkdtemp(prefix="ajf-host-"))
        namespaces = ["--mount", "--net", "--pid", "--uts", "--ipc", "--mount-proc", "--propagation", "private"]
        self._unshare = subprocess.Popen(
            [*ending_with_us(), "unshare", *namespaces, "--fork", "--kill-child", "sh", "-c", _SETUP],
            env={**os.environ, "BASE": str(self._base), "DATA": str(data)},
            start_new_session=True,
        )
        try:
            self._wait_ready()
            self._remove_containers()  # of a session that was killed
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(
        self, *words: str, check: bool = True, timeout: float = 60.0, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command on the host, with `text` as its input. With `check` raises HostError when it fails."""
        inside = ["nsenter", f"--target={self._init()}", "--mount", "--net", "--pid", "--uts", "--ipc", "--wdns=/mnt"]
        environ = {**os.environ, "DOCKER_HOST": f"unix://{self._base}/socket"}
        done = subprocess.run(
            [*inside, *words], env=environ, input=text, capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and done.returncode:
            raise HostError(f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def shell(self, script: str, *, check: bool = True, timeout: float = 60.0) -> str:
        """Runs a script on the host, in /mnt; returns what it prints."""
        return self.run("bash", "-ec", script, check=check, timeout=timeout).stdout

    def docker(self, *words: str, check: bool = True, timeout: float = 60.0) -> str:
        """Runs docker; returns what it prints."""
        return self.run("docker", *words, check=check, timeout=timeout).stdout.strip()

    def mounted(self, mountpoint: str) -> MountEntry | None:
        """What of ours is mounted there, as the host sees it."""
        text = Path(f"/proc/{self._init()}/mountinfo").read_bytes()
        found = [entry for entry in table.parse(text) if entry.mountpoint == mountpoint]
        return found[-1] if found and found[-1].fstype == table.FSTYPE else None

    def tidy(self) -> None:
        """Removes all containers, and what is mounted and lies in /mnt beside the data."""
        self._remove_containers()
        mounts = "findmnt --noheadings --list --submounts --output TARGET /mnt | tail --lines=+2 | tac"
        self.shell(f"{mounts} | xargs --no-run-if-empty umount --lazy")
        self.shell("find /mnt -mindepth 1 -maxdepth 1 ! -name data -exec rm -r --one-file-system {} +")

    def close(self) -> None:
        """Ends all containers and the daemon."""
        try:
            if self._unshare.poll() is None:
                self._remove_containers()
                os.kill(self._init(), signal.SIGTERM)
                self._unshare.wait(_END_S)
        finally:
            self._unshare.kill()  # and so its child, and everything within
            self._unshare.wait()
            for directory in Path("/sys/fs/cgroup").glob(f"*/{self._base.name}"):
                directory.rmdir()
            shutil.rmtree(self._base, ignore_errors=True)
            os.close(self._lock)

    def _init(self) -> int:
        """The first process of the namespaces."""
        children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children").read_text().split()
        if not children:
            raise HostError(f"the daemon has ended\n{self._log()}")
        return int(children[0])

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + _READY_S
        while not (self._base / "socket").exists() or self.run("docker", "info", check=False).returncode:
            if self._unshare.poll() is not None or time.monotonic() > deadline:
                raise HostError(f"the daemon does not answer\n{self._log()}")
            time.sleep(_POLL_S)

    def _remove_containers(self) -> None:
        names = self.docker("ps", "--all", "--quiet").split()
        if names:
            self.docker("rm", "--force", "--volumes", *names)

    def _log(self) -> str:
        log = self._base / "log"
        return log.read_text()[-4000:] if log.exists() else ""
