"""The single-machine section of AlluxioFuse's guide, command by command, with its names; then with the compose file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.children import until

from container.client import MOUNT_POINT
from container.host import Host

pytestmark = [pytest.mark.container, pytest.mark.cluster]

ROOT = Path(__file__).parents[2]
REPOSITORY, TAG = "registry.cn-huhehaote.aliyuncs.com/alluxio", "2.3.0-SNAPSHOT-b7629dc"
SERVERS_S = 600.0  # until they are up, on a machine that is busy with other tests

PREPARE = """\
mkdir underStorage
sudo mkdir /mnt/ramdisk
sudo mount -t ramfs -o size=1G ramfs /mnt/ramdisk
sudo chmod a+w /mnt/ramdisk
"""
MASTER = """\
docker run -d \\
    --name=alluxio-master \\
    -u=0 \\
    --net=host \\
    -v $PWD/underStorage:/opt/alluxio/underFSStorage \\
    -e ALLUXIO_JAVA_OPTS="-Dalluxio.master.hostname=localhost \\
        -Dalluxio.master.mount.table.root.ufs=/opt/alluxio/underFSStorage " \\
    registry.cn-huhehaote.aliyuncs.com/alluxio/alluxio:2.3.0-SNAPSHOT-b7629dc master
"""
WORKER = """\
docker run -d \\
    --name=alluxio-worker \\
    -u=0 \\
    --net=host \\
    --shm-size=1G \\
    -v /mnt/ramdisk:/opt/ramdisk \\
    -v $PWD/underStorage:/opt/alluxio/underFSStorage \\
    -e ALLUXIO_JAVA_OPTS="-Dalluxio.worker.hostname=localhost \\
        -Dalluxio.master.hostname=localhost \\
        -Dalluxio.worker.ramdisk.size=1G \\
        -Dalluxio.master.mount.table.root.ufs=/opt/alluxio/underFSStorage " \\
    -e ALLUXIO_RAM_FOLDER=/opt/ramdisk \\
    registry.cn-huhehaote.aliyuncs.com/alluxio/alluxio:2.3.0-SNAPSHOT-b7629dc worker
"""
DIRECTORY = """\
mkdir /mnt/alluxio-fuse
sudo chmod a+r /mnt/alluxio-fuse
"""
FUSE = """\
docker run -d \\
    --name=alluxio-fuse \\
    -u=0 \\
    --net=host \\
    -v /mnt/ramdisk:/opt/ramdisk \\
    -v /mnt:/mnt:rshared \\
    --cap-add SYS_ADMIN \\
    --device /dev/fuse \\
    registry.cn-huhehaote.aliyuncs.com/alluxio/alluxio-fuse:2.3.0-SNAPSHOT-b7629dc fuse \\
    --fuse-opts=kernel_cache
"""
# Typed into the terminal that `docker exec -it alluxio-master bash` opens.
COPY = "alluxio fs copyFromLocal LICENSE  /"
NAMES = ("alluxio-master", "alluxio-worker", "alluxio-fuse")


@pytest.fixture
def machine(host: Host, fuse_image: str, alluxio_image: str) -> Iterator[Host]:
    """The host, with the images under the guide's names; containers, mounts and files are gone afterwards."""
    host.docker("tag", alluxio_image, f"{REPOSITORY}/alluxio:{TAG}")
    host.docker("tag", fuse_image, f"{REPOSITORY}/alluxio-fuse:{TAG}")
    yield host
    host.tidy()


def typed(host: Host, *commands: str) -> str:
    """Runs the guide's commands; there is no sudo where everybody is root."""
    return host.shell('sudo() { "$@"; }\n' + "".join(commands))


def said(host: Host, name: str) -> str:
    """What a container has printed."""
    done = host.run("docker", "logs", name)
    return done.stdout + done.stderr


def copied(host: Host) -> bool:
    """Whether the file could be copied; the servers may still be starting."""
    terminal = ("script", "-qec", "docker exec -it alluxio-master bash", "/dev/null")
    return "Copied file:///opt/alluxio/LICENSE to /" in host.run(*terminal, text=f"{COPY}\nexit\n", check=False).stdout


def test_single_machine(machine: Host) -> None:
    """Three containers come up in any order, show the file on the host, and leave nothing when they are stopped."""
    typed(machine, PREPARE, DIRECTORY, FUSE)  # before there is a master
    until(
        lambda: "waiting for the storage to answer: alluxio://localhost" in said(machine, "alluxio-fuse"),
        "it to say so",
        60,
    )
    typed(machine, MASTER, WORKER)
    until(lambda: machine.mounted(MOUNT_POINT), "the cluster to be mounted", SERVERS_S)
    until(lambda: copied(machine), "LICENSE to be copied", SERVERS_S)
    up = machine.docker("ps", "--format", "{{.Names}} {{.State}}").splitlines()
    assert sorted(up) == sorted(f"{name} running" for name in NAMES)
    assert machine.shell("ls /mnt/alluxio-fuse/") == "LICENSE\n"
    assert machine.shell("cat /mnt/alluxio-fuse/LICENSE") == (ROOT / "LICENSE").read_text()
    counters = machine.docker("exec", "alluxio-fuse", "alluxio-jnifuse", "stat", "--stats", MOUNT_POINT)
    assert json.loads(counters)["stats"]["rpc_OpenLocalBlock"] == 1  # a block file of /opt/ramdisk was opened

    machine.docker("kill", "--signal", "KILL", "alluxio-fuse")
    assert "not connected" in machine.run("ls", MOUNT_POINT, check=False).stderr
    machine.docker("start", "alluxio-fuse")
    until(lambda: machine.shell("ls /mnt/alluxio-fuse/", check=False) == "LICENSE\n", "the mount to be back")

    machine.docker("stop", "alluxio-fuse")
    assert machine.docker("inspect", "--format", "{{.State.ExitCode}}", "alluxio-fuse") == "0"
    assert machine.mounted(MOUNT_POINT) is None


def test_compose(machine: Host, fuse_image: str, alluxio_image: str) -> None:
    """The compose file brings up the same, with the least capabilities."""
    names = f"FUSE_IMAGE={fuse_image} ALLUXIO_IMAGE={alluxio_image} UNDER_STORAGE=/mnt/underStorage"
    compose = f"{names} docker-compose --file {ROOT}/docker/compose.yaml --project-name ajf"
    machine.shell(f"mkdir underStorage && echo hello >underStorage/file && {compose} up --detach", timeout=120)
    try:
        until(lambda: machine.mounted(MOUNT_POINT), "the cluster to be mounted", SERVERS_S)
        until(lambda: machine.shell(f"cat {MOUNT_POINT}/file", check=False) == "hello\n", "to be readable", SERVERS_S)
        limits = machine.shell(f"{compose} exec -T alluxio-fuse grep -E '^(CapBnd|NoNewPrivs):' /proc/1/status").split()
        assert (int(limits[1], 16), limits[3]) == (1 << 21 | 1 << 2, "1")  # SYS_ADMIN and DAC_READ_SEARCH
        machine.shell(f"{compose} stop alluxio-fuse")
        assert machine.mounted(MOUNT_POINT) is None
    finally:
        machine.shell(f"{compose} down --volumes --timeout 2", timeout=120)
