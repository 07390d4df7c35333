"""What a container lacks is said in one sentence that says what to do, and its exit code is 1."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from container.client import DIRECTORY, MOUNT_POINT, NEEDED, SHARED, USUAL, Client
from container.host import Host

pytestmark = pytest.mark.container

Clients = Callable[..., Client]
DEVICE, CAPABILITY = NEEDED[:2], NEEDED[2:]
SOMEBODY = ("--user", "1000")


@pytest.mark.parametrize(
    ("options", "arguments", "sentence"),
    [
        (
            (*CAPABILITY, *SHARED, *DIRECTORY),
            (),
            "there is no /dev/fuse; load the kernel module (modprobe fuse), or give",
        ),
        ((*DEVICE, *SHARED, *DIRECTORY), (), "(in a container: --cap-add SYS_ADMIN)"),
        ((*NEEDED, *DIRECTORY), (), f"{MOUNT_POINT}: a mount here would be seen in this container only"),
        ((*NEEDED, *DIRECTORY, "--volume", "/mnt:/mnt"), (), "docker: -v /mnt:/mnt:rshared"),
        (USUAL, ("fuse", "--fuse-opts=kernel_cache,no_such"), "unknown mount option: no_such"),
        (USUAL, ("fuse", "/mnt/data"), "/mnt/data: is not empty"),
        ((*NEEDED, *SHARED, "--env", "ALLUXIO_JAVA_OPTS=-Dalluxio.master.rpc.port=x"), (), "expected a whole number"),
        ((*USUAL, *SOMEBODY), ("fuse", "/mnt/nobodys"), "cannot be created: Permission denied"),
    ],
    ids=["device", "capability", "no volume", "private", "option", "not empty", "value", "user"],
)
def test_what_is_missing(
    clients: Clients, host: Host, options: tuple[str, ...], arguments: tuple[str, ...], sentence: str
) -> None:
    """No device, no capability, nothing shared, wrong settings."""
    host.shell("chmod 755 /mnt")
    client = clients(options, *arguments)
    assert client.wait_ended() == 1
    assert sentence in client.logs()
    assert len([line for line in client.logs().splitlines() if sentence in line]) == 1
    assert host.mounted(MOUNT_POINT) is None


def test_read_only_root(clients: Clients, host: Host) -> None:
    """Nothing is written to the root file system."""
    client = clients((*USUAL, "--read-only"))
    client.wait_mounted()
    assert host.run("docker", "exec", client.name, "alluxio-jnifuse", "health").returncode == 0
    assert host.shell(f"cat {MOUNT_POINT}/train/1") == "one\n"
    assert client.stop() == 0


def test_an_ordinary_user(clients: Clients, host: Host) -> None:
    """An ordinary user mounts with the help of fusermount3, for others too."""
    host.shell("mkdir -p users && chown 1000 users")
    client = clients((*USUAL, *SOMEBODY), "fuse", "--fuse-opts=allow_other", "/mnt/users/mp")
    client.wait_mounted("/mnt/users/mp")
    assert host.shell("cat /mnt/users/mp/train/1") == "one\n"
    assert client.stop() == 0
    assert host.mounted("/mnt/users/mp") is None


def test_an_ordinary_user_without_the_capability(clients: Clients, host: Host) -> None:
    """Without SYS_ADMIN in the container fusermount3 may not mount either."""
    host.shell("mkdir -p users && chown 1000 users")
    client = clients((*DEVICE, *SHARED, *DIRECTORY, *SOMEBODY), "fuse", "/mnt/users/mp")
    assert client.wait_ended() == 1
    assert "fusermount3: mount failed: Operation not permitted" in client.logs()


def test_no_cluster_yet(clients: Clients) -> None:
    """A cluster that cannot be reached is waited for, which is said with the reason; SIGTERM ends it all the same."""
    impatient = (*NEEDED, *SHARED, "--env", "ALLUXIO_USER_JAVA_OPTS=-Dalluxio.user.rpc.retry.max.duration=1s")
    client = clients(impatient)
    client.wait_said("waiting for the storage to answer: alluxio://localhost:19998: connection refused")
    assert "No cluster is configured: alluxio.master.hostname is localhost." in client.logs()
    assert client.state("Running") == "true"
    assert client.stop() == 143
    client = clients(impatient, "fuse", "--fuse-opts=nowait")
    assert client.wait_ended() == 1
    assert "connection refused; start it" in client.logs()
