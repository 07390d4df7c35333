"""Faults of clusters, planted in fakes: each is found, with a line to type, and nothing else is."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from fake_cluster import FakeCluster
from fake_server import FakeServer, unused_port
from lender import Lender
from patient import Doctor, Fault, Report

from alluxio_jnifuse.sources.alluxio.proto import block_pb2, common_pb2, meta_pb2

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(600)]

MIB = 1 << 20
LOCAL = "alluxio.user.short.circuit.enabled"


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    made = FakeCluster(workers=1)
    yield made
    made.close()


class Patient:
    """A cluster, and the doctor who examines a mount of it."""

    def __init__(self, doctor: Doctor, private: Path, cluster: FakeCluster) -> None:
        self.doctor = doctor
        self.private = private
        self.cluster = cluster

    def examine(self, *words: str, masters: str = "", path: Sequence[str] = (), **more: Any) -> Report:
        address = masters or self.cluster.master.target
        soon = ["-D", "alluxio.user.rpc.retry.max.duration=3sec"] if masters else []
        chosen = ["-D", f"alluxio.master.rpc.addresses={address}", *soon, *words, str(self.private / "mnt"), *path]
        return self.doctor.examine(*chosen, **more)

    def tell_workers(self, *addresses: common_pb2.WorkerNetAddress, capacity: int = 1 << 40) -> None:
        """From now on these are the workers that the master tells."""
        told = block_pb2.GetWorkerInfoListPResponse()
        for number, address in enumerate(addresses, 1):
            told.workerInfos.add(id=number, address=address, capacityBytes=capacity)
        self.cluster.master.on("GetWorkerInfoList", lambda _r, _c: told)

    def tell_tiers(self, path: str) -> None:
        """From now on workers have their block files there."""
        told = meta_pb2.GetConfigurationPResponse()
        told.clusterConfigs.add(name="alluxio.worker.tieredstore.level0.dirs.path", value=path, source="SITE_PROPERTY")
        self.cluster.master.on("GetConfiguration", lambda _r, _c: told)


@pytest.fixture
def patient(doctor: Doctor, private: Path, cluster: FakeCluster) -> Patient:
    return Patient(doctor, private, cluster)


def lend(patient: Patient, name: str = "alluxioworker") -> Lender:
    """A file of two blocks on the worker of this machine, which lends them from the directory `tier`."""
    (patient.private / "tier" / name).mkdir(parents=True)
    lender = Lender(patient.cluster, patient.private / "tier" / name)
    lender.keep(patient.cluster.put("/data/file", bytes(2 * MIB), MIB, holders=[0]))
    return lender


def test_a_good_cluster(patient: Patient) -> None:
    lend(patient)
    report = patient.examine("-D", f"alluxio.worker.tieredstore.level0.dirs.path={patient.private / 'tier'}")
    assert (report.code, report.problems()) == (0, [])
    well = [each["what"] for each in report.told["findings"] if each["check"] == "cluster"]
    assert "is the master that serves" in well
    assert "the cluster is Alluxio 2.9.6, and accepts this user" in well
    assert "the worker 127.0.0.1 is on this machine" in well
    assert "the worker's block files can be opened here" in well
    assert patient.cluster.workers[0].reads == []


def test_no_master(patient: Patient) -> None:
    port = unused_port()
    report = patient.examine(masters=f"localhost:{port}")
    Fault("cluster", "error", f"localhost:{port}: connection refused", f"nc -vz localhost {port}").is_found(report)


def test_a_master_without_an_address(patient: Patient) -> None:
    report = patient.examine(masters="master.invalid")
    Fault("cluster", "error", "this name has no address", "getent hosts master.invalid").is_found(report)


def test_one_of_two_masters_is_away(patient: Patient) -> None:
    """The mount works, until the other one is away as well."""
    port = unused_port()
    report = patient.examine(LOCAL_OFF, OFF, masters=f"localhost:{port},{patient.cluster.master.target}")
    Fault("cluster", "warning", f"localhost:{port}: connection refused", "nc -vz").is_found(report)


def test_a_master_on_standby(patient: Patient) -> None:
    """Is as it should be."""
    standby = FakeServer()
    standby.stand_by()
    try:
        assert not patient.examine(
            LOCAL_OFF, OFF, masters=f"{standby.target},{patient.cluster.master.target}"
        ).problems()
    finally:
        standby.close()


LOCAL_OFF, OFF = "-D", f"{LOCAL}=false"


def test_a_user_who_is_refused(patient: Patient) -> None:
    patient.cluster.master.authentication = "refuse"
    report = patient.examine()
    assert report.code == 1
    (found,) = report.of("cluster")
    assert "refused" in found["what"]


def test_a_path_that_is_not_there(patient: Patient) -> None:
    report = patient.examine(path=["/nothing"])
    Fault("cluster", "error", "/nothing: the cluster has no such directory", "alluxio fs ls").is_found(report)


def test_a_path_that_is_denied(patient: Patient) -> None:
    patient.cluster.master.fail("GetStatus", grpc.StatusCode.PERMISSION_DENIED, "no", times=100)
    report = patient.examine("-D", "alluxio.security.login.username=alice", path=["/secret"])
    what = "/secret: the cluster denies it to the user alice"
    Fault("cluster", "error", what, "alluxio fs chmod o+rx /secret").is_found(report)


def test_no_worker(patient: Patient) -> None:
    patient.tell_workers()
    Fault("cluster", "error", "no worker has registered", "alluxio-start.sh workers").is_found(patient.examine())


def address(host: str, port: int) -> common_pb2.WorkerNetAddress:
    return common_pb2.WorkerNetAddress(host=host, rpcPort=port, dataPort=port)


def test_a_worker_that_cannot_be_reached(patient: Patient) -> None:
    port = unused_port()
    patient.tell_workers(patient.cluster.address(0), address("127.0.0.1", port))
    report = patient.examine(LOCAL_OFF, OFF)
    what = f"1 of 2 workers cannot be reached: 127.0.0.1:{port} (connection refused)"
    Fault("cluster", "warning", what, f"nc -vz 127.0.0.1 {port}").is_found(report)


def test_a_worker_by_a_name_that_is_known_to_it_alone(patient: Patient) -> None:
    """It is on this machine, but called otherwise; and nobody else can find it either."""
    port = int(patient.cluster.workers[0].target.rpartition(":")[2])
    patient.tell_workers(address("node7.invalid", port))
    report = patient.examine()
    Fault("cluster", "warning", "it is not recognised", "-D alluxio.user.hostname=node7.invalid").is_found(report)
    Fault("cluster", "error", "its name has no address", "getent hosts node7.invalid").is_found(report)
    report = patient.examine("-D", "alluxio.user.hostname=node7.invalid", LOCAL_OFF, OFF)
    Fault("cluster", "error", "its name has no address", "getent hosts node7.invalid").is_found(report)


def test_block_files_out_of_sight(patient: Patient) -> None:
    """The worker's directory is not in this container."""
    lend(patient)
    hidden = patient.private / "tier"
    report = patient.examine(plant=lambda: subprocess.run(["mount", "-t", "tmpfs", "tmpfs", hidden], check=True))
    line = f"docker run -v {hidden}:{hidden} ..."
    Fault("cluster", "warning", "has block files that cannot be opened here", line).is_found(report)


def test_directories_out_of_sight(patient: Patient) -> None:
    """Without a block at hand, the directories that the cluster is configured with tell."""
    patient.tell_tiers("/nonexistent/ramdisk")
    report = patient.examine()
    line = "docker run -v /nonexistent/ramdisk:/nonexistent/ramdisk ..."
    Fault("cluster", "note", "block files in a directory that is not here", line).is_found(report)


def test_block_files_in_another_directory(patient: Patient) -> None:
    """They are here, but not where the mount is configured to find them."""
    lend(patient)
    report = patient.examine("-D", "alluxio.worker.tieredstore.level0.dirs.path=/mnt/elsewhere")
    line = f"-D alluxio.worker.tieredstore.level0.dirs.path={patient.private / 'tier'}"
    Fault("cluster", "warning", "they lie elsewhere", line).is_found(report)


def test_blocks_larger_than_a_worker(patient: Patient) -> None:
    patient.cluster.put("/large", bytes(4 * MIB), 4 * MIB)
    patient.tell_workers(patient.cluster.address(0), capacity=2 * MIB)
    report = patient.examine(LOCAL_OFF, OFF)
    what = "large: its block of 4.00MB fits into no worker (2.00MB at most)"
    Fault("cluster", "warning", what, "alluxio.user.block.size.bytes.default=").is_found(report)


def test_blocks_far_smaller_than_a_file(patient: Patient) -> None:
    lend(patient)
    patient.cluster.put("/long", bytes(65 * MIB), MIB)
    report = patient.examine("-D", f"alluxio.worker.tieredstore.level0.dirs.path={patient.private / 'tier'}")
    what = "long: has 65 blocks of 1.00MB"
    Fault("cluster", "note", what, "alluxio.user.block.size.bytes.default=2MB").is_found(report)


def test_a_later_release(patient: Patient) -> None:
    info = meta_pb2.MasterInfo(version="3.5.1")
    patient.cluster.master.on("GetMasterInfo", lambda _r, _c: meta_pb2.GetMasterInfoPResponse(masterInfo=info))
    report = patient.examine()
    assert "3.5.1" in report.of("cluster")[0]["what"]
    assert report.code == 1


def test_a_master_that_hangs(patient: Patient) -> None:
    """It is given up."""
    patient.cluster.master.hold("getServiceVersion")
    report = patient.examine(masters=patient.cluster.master.target)
    Fault("cluster", "error", "it does not answer", "nc -vz").is_found(report)
    patient.cluster.master.release("getServiceVersion")
