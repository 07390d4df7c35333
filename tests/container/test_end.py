"""However a container of the client ends, the next one mounts again; and in an orderly end nothing is left."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness.children import until

from container.client import MOUNT_POINT, USUAL, Client
from container.host import Host

pytestmark = pytest.mark.container

Clients = Callable[..., Client]


def test_stop(clients: Clients, host: Host) -> None:
    """SIGTERM unmounts and ends with 0."""
    client = clients()
    client.wait_mounted()
    assert client.stop() == 0
    assert host.mounted(MOUNT_POINT) is None
    assert host.shell(f"ls {MOUNT_POINT}") == ""
    assert "unmounting after SIGTERM" in client.logs()


def test_stop_under_a_reader(clients: Clients, host: Host) -> None:
    """A file that is open does not keep the container from ending, and stays readable as far as it is the kernel's."""
    client = clients()
    client.wait_mounted()
    assert host.shell(f"exec 3<{MOUNT_POINT}/train/1; docker stop {client.name} >/dev/null; cat <&3") == "one\n"
    assert client.state("ExitCode") == "0"
    assert host.mounted(MOUNT_POINT) is None


def test_kill_and_start(clients: Clients, host: Host) -> None:
    """After kill -9 the mount is dead; the same container, started again, replaces it."""
    client = clients()
    client.wait_mounted()
    before = host.mounted(MOUNT_POINT)
    client.kill()
    assert "Transport endpoint is not connected" in host.run("ls", MOUNT_POINT, check=False).stderr
    client.start()
    client.wait_said("Successfully mounted")
    assert before is not None
    for _ in range(2):  # the record of the daemon that was killed is in the container's file system
        client.kill()
        client.start()
        client.wait_mounted()
    wait_readable(host)
    assert client.stop() == 0
    assert host.mounted(MOUNT_POINT) is None


def test_kill_and_another(clients: Clients, host: Host) -> None:
    """A new container replaces the dead mount of one that was removed while it ran."""
    client = clients()
    client.wait_mounted()
    host.docker("rm", "--force", client.name)
    assert host.mounted(MOUNT_POINT) is not None
    clients().wait_said("Successfully mounted")
    wait_readable(host)


def test_two_on_one_mount_point(clients: Clients, host: Host) -> None:
    """The second says that the place is taken, and leaves the first alone."""
    client = clients()
    client.wait_mounted()
    second = clients()
    assert second.wait_ended() == 1
    assert f"{MOUNT_POINT}: alluxio-fuse (fuse.alluxio-fuse) is mounted there already" in second.logs()
    wait_readable(host)


def test_unmounted_from_outside(clients: Clients, host: Host) -> None:
    """Who unmounts it on the host ends the container."""
    client = clients()
    client.wait_mounted()
    host.run("umount", MOUNT_POINT)
    assert client.wait_ended() == 0


def test_restart_policy(clients: Clients, host: Host) -> None:
    """With a restart policy, a daemon that was killed is replaced without anybody's help."""
    client = clients((*USUAL, "--restart=always"))
    client.wait_mounted()
    client.signal("KILL")
    client.wait_restarted()
    wait_readable(host)


def wait_readable(host: Host) -> None:
    """The mount shows the directory."""
    until(lambda: host.shell(f"cat {MOUNT_POINT}/train/2", check=False) == "two\n", "the file to be readable")
