"""Containers that read a mount which another container makes: what they must be handed, as docs/PROGRAMS.md says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness.children import until

from container.client import MOUNT_POINT, Client
from container.host import Host

pytestmark = pytest.mark.container

Clients = Callable[..., Client]
FILE = "train/1"


class Consumer:
    """A container that reads `path` and can do nothing else."""

    def __init__(self, host: Host, image: str, volume: str, path: str) -> None:
        self._host = host
        self._path = path
        words = ("--detach", "--entrypoint", "sleep", "--volume", volume)
        self._name = host.docker("run", *words, image, "infinity")

    def says(self) -> str:
        """The contents of the file, or why it cannot be read."""
        done = self._host.run("docker", "exec", self._name, "cat", self._path, check=False)
        return done.stdout or done.stderr


def test_consumers(clients: Clients, host: Host, fuse_image: str) -> None:
    """As a slave of the directory above, a container sees a mount that comes later, and the next one after a crash."""
    slave = Consumer(host, fuse_image, "/mnt:/mnt:rslave", f"{MOUNT_POINT}/{FILE}")
    private = Consumer(host, fuse_image, "/mnt:/mnt", f"{MOUNT_POINT}/{FILE}")
    assert "No such file" in slave.says()
    client = clients()
    client.wait_mounted()
    until(lambda: slave.says() == "one\n", "the mount to be seen")
    assert "No such file" in private.says()
    itself = Consumer(host, fuse_image, f"{MOUNT_POINT}:/data:rslave", f"/data/{FILE}")
    part = Consumer(host, fuse_image, f"{MOUNT_POINT}/train:/data:rslave", "/data/1")
    assert (itself.says(), part.says()) == ("one\n", "one\n")
    client.kill()
    assert "Transport endpoint is not connected" in slave.says()
    client.start()
    until(lambda: slave.says() == "one\n", "the new mount to be seen")
    assert "No such file" in private.says()
    for stuck in (itself, part):
        assert "Transport endpoint is not connected" in stuck.says()
