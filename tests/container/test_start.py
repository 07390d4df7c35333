"""A container of the client mounts what its arguments and variables say, soon, and is small."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from container.client import DIRECTORY, MOUNT_POINT, NEEDED, SHARED, USUAL, Client
from container.host import Host

pytestmark = pytest.mark.container

LARGEST_BYTES = 150 << 20  # compressed
STARTS = 5

Clients = Callable[..., Client]


def age(host: Host, client: Client) -> float:
    """Seconds since its first process was started, of which the kernel counts hundredths (proc_pid_stat(5))."""
    fields = host.shell(f"cat /proc/{client.state('Pid')}/stat").rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")


def test_size(host: Host, fuse_image: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The image is small; without Java and without a compiler."""
    size = int(host.shell(f"docker save {fuse_image} | gzip -1 | wc -c", timeout=120))
    with capsys.disabled():
        print(f"\n{fuse_image}: {size / (1 << 20):.0f} MiB compressed (gzip -1)")
    assert size <= LARGEST_BYTES
    found = host.docker("run", "--rm", "--net=none", fuse_image, "sh", "-c", "command -v java gcc cc pip; :")
    assert found == ""


def test_time_to_the_mount(clients: Clients, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """How soon after the container's start the host sees the mount; printed (a second is what it may be)."""
    took = []
    for _ in range(STARTS):
        client = clients()
        client.wait_mounted()
        seen = time.monotonic()
        took.append(age(host, client) - (time.monotonic() - seen))
        client.stop()
    with capsys.disabled():
        print(f"\nstart to mount: {', '.join(f'{seconds:.2f}' for seconds in took)} s")


def test_healthy(clients: Clients, host: Host) -> None:
    """The health check passes while the mount answers, and notices when it is gone."""
    client = clients()
    client.wait_mounted()
    assert host.run("docker", "exec", client.name, "alluxio-jnifuse", "health").returncode == 0
    assert (
        host.docker("inspect", "--format", "{{.Config.Healthcheck.Test}}", client.name)
        == "[CMD alluxio-jnifuse health]"
    )
    client.signal("STOP")
    done = host.run("docker", "exec", client.name, "alluxio-jnifuse", "health", check=False)
    assert done.returncode == 1
    assert "did not answer within" in done.stderr
    client.kill()


@pytest.mark.parametrize(
    ("variables", "arguments", "mountpoint", "names"),
    [
        ((), ("fuse",), MOUNT_POINT, "train"),
        ((), ("fuse", "--fuse-opts=kernel_cache,ro"), MOUNT_POINT, "train"),
        ((), ("fuse", "--fuse-opts=kernel_cache,ro", "/mnt/mp", "/train"), "/mnt/mp", "1 2"),
        ((), ("fuse", "/mnt/mp", "/train"), "/mnt/mp", "1 2"),
        (("MOUNT_POINT=/mnt/mp", "FUSE_ALLUXIO_PATH=/train"), ("fuse", "--fuse-opts=ro"), "/mnt/mp", "1 2"),
    ],
    ids=["alone", "options", "all", "arguments", "variables"],
)
def test_forms(
    clients: Clients, host: Host, variables: tuple[str, ...], arguments: tuple[str, ...], mountpoint: str, names: str
) -> None:
    """Every form of the arguments that Alluxio's images take, and the variables."""
    options = [word for variable in variables for word in ("--env", variable)]
    client = clients((*USUAL, *options), *arguments)
    client.wait_mounted(mountpoint)
    assert host.shell(f"ls {mountpoint}").split() == names.split()


def test_settings(clients: Clients) -> None:
    """Settings come as a whole file and as flags, of which those for Java are named once; variables count."""
    site = "alluxio.master.mount.table.root.ufs=/data\nalluxio.fuse.fs.name=site"
    java = "-Xmx16G -XX:+UseG1GC -Dalluxio.user.hostname=${ALLUXIO_CLIENT_HOSTNAME} -XX:MaxDirectMemorySize=32g"
    variables = {
        "ALLUXIO_SITE_PROPERTIES": site,
        "ALLUXIO_JAVA_OPTS": "",
        "ALLUXIO_FUSE_JAVA_OPTS": java,
        "ALLUXIO_CLIENT_HOSTNAME": "node7",
        "ALLUXIO_RAM_FOLDER": "/opt/ramdisk",
        "MAX_IDLE_THREADS": "64",
        "SPENT_TIME": "1000",
    }
    given = [word for name, text in variables.items() for word in ("--env", f"{name}={text}")]
    client = clients((*NEEDED, *SHARED, *DIRECTORY[:2], *given))
    client.wait_mounted()
    client.wait_said("granted by the kernel")
    said = client.logs()
    assert said.count("-Xmx16G -XX:+UseG1GC -XX:MaxDirectMemorySize=32g") == 1
    for setting in (
        "fsname=site ($ALLUXIO_SITE_PROPERTIES)",
        "alluxio.user.hostname=node7 ($ALLUXIO_FUSE_JAVA_OPTS)",
        "max_idle_threads=64 ($MAX_IDLE_THREADS)",
        "alluxio.fuse.logging.threshold=1000 ($SPENT_TIME)",
        "alluxio.worker.tieredstore.level0.dirs.path=/opt/ramdisk ($ALLUXIO_RAM_FOLDER)",
    ):
        assert setting in said


def test_read_ahead(clients: Clients) -> None:
    """With the directory of its setting from the host, the kernel reads ahead as far as on the host."""
    client = clients((*USUAL, "--volume", "/sys/devices/virtual/bdi:/sys/devices/virtual/bdi"))
    client.wait_said("granted by the kernel")
    assert client.stop() == 0
    assert "read-ahead stays" not in client.logs()


def test_other_commands(host: Host, fuse_image: str) -> None:
    """The image is good for other commands of the package too."""
    assert "alluxio-jnifuse" in host.docker("run", "--rm", "--net=none", fuse_image, "alluxio-jnifuse", "version")
    for kind in ("alluxio-jnifuse", "fuse.alluxio-fuse"):  # mount(8) looks there
        told = host.docker("run", "--rm", "--net=none", fuse_image, f"/sbin/mount.{kind}", "--help")
        assert told.startswith("Usage: mount.alluxio-jnifuse SOURCE")
    done = host.run("docker", "run", "--rm", "--net=none", fuse_image, "worker", check=False)
    assert (done.returncode, "another image" in done.stderr) == (1, True)
