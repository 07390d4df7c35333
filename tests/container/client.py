"""One container of the client on a host."""

from __future__ import annotations

from harness.children import until

from container.host import Host

MOUNT_POINT = "/mnt/alluxio-fuse"
NEEDED = ("--device", "/dev/fuse", "--cap-add", "SYS_ADMIN")
SHARED = ("--volume", "/mnt:/mnt:rshared")
# A directory of the host instead of a cluster.
DIRECTORY = ("--volume", "/mnt/data:/data:ro", "--env", "ALLUXIO_JAVA_OPTS=-Dalluxio.master.mount.table.root.ufs=/data")
USUAL = (*NEEDED, *SHARED, *DIRECTORY)
_PATIENCE_S = 300.0  # on a machine that is busy with other tests


class Client:
    """Started with the options of `docker run` and the arguments of the entrypoint."""

    def __init__(self, host: Host, image: str, options: tuple[str, ...] = USUAL, *arguments: str) -> None:
        self._host = host
        self.name = host.docker("run", "--detach", "--net=host", *options, image, *(arguments or ("fuse",)))

    def logs(self) -> str:
        """What it has said."""
        done = self._host.run("docker", "logs", self.name)
        return done.stdout + done.stderr

    def state(self, name: str) -> str:
        """Something of its state, as docker inspect calls it."""
        return self._host.docker("inspect", "--format", "{{.State." + name + "}}", self.name)

    def wait_mounted(self, mountpoint: str = MOUNT_POINT) -> None:
        """Returns when the host sees the mount."""
        try:
            until(lambda: self._host.mounted(mountpoint), f"{mountpoint} to be mounted", _PATIENCE_S)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None

    def wait_said(self, text: str) -> None:
        """Returns when it has said so."""
        until(lambda: text in self.logs(), f"{text!r} in its log", _PATIENCE_S)

    def wait_restarted(self) -> None:
        """Returns when the daemon has started it again by itself."""
        counted = ("inspect", "--format", "{{.RestartCount}}", self.name)
        until(lambda: self._host.docker(*counted) != "0", "it to be started again", _PATIENCE_S)

    def signal(self, word: str) -> None:
        """Sends a signal to the process that serves the mount."""
        pid = "sed 's/.*\"pid\": \\([0-9]*\\).*/\\1/' /run/alluxio-jnifuse/*.json"
        self._host.docker("exec", self.name, "sh", "-c", f"kill -{word} $({pid})")

    def wait_ended(self) -> int:
        """Its exit code, once it has ended by itself."""
        return int(self._host.docker("wait", self.name))

    def stop(self) -> int:
        """Ends it as `docker stop` does; returns its exit code."""
        self._host.docker("stop", self.name)
        return int(self.state("ExitCode"))

    def kill(self) -> None:
        """Ends it at once."""
        self._host.docker("kill", "--signal", "KILL", self.name)
        self.wait_ended()

    def start(self) -> None:
        """Starts it again."""
        self._host.docker("start", self.name)
