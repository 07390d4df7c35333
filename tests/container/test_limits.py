"""The memory limit of a container is the budget of its caches."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from container.client import DIRECTORY, MOUNT_POINT, NEEDED, SHARED, Client
from container.host import Host

pytestmark = pytest.mark.container

CACHE = "alluxio.user.client.cache."


@pytest.mark.parametrize("limit", ["128m", "256m"])
def test_a_small_container(clients: Callable[..., Client], host: Host, limit: str) -> None:
    """Reading far more than the limit, through the client cache of default size, keeps the container alive."""
    host.shell("mkdir much && head -c 400M /dev/urandom >much/data")
    root = ("--volume", "/mnt/much:/data:ro", *DIRECTORY[2:])
    options = (*NEEDED, *SHARED, *root, "--memory", limit, "--pids-limit", "128")
    client = clients(options, "fuse", f"--fuse-opts=passthrough=off,{CACHE}enabled=true")
    client.wait_mounted()
    assert f"{CACHE}size: " in client.logs()
    compare = f"cmp /mnt/much/data {MOUNT_POINT}/data"
    host.shell(f"{compare} & {compare} && wait $!", timeout=120)
    assert (client.state("Running"), client.state("OOMKilled")) == ("true", "false")
    assert client.stop() == 0
