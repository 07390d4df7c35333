"""The cluster of the tests: it serves files, its servers end and come back, and it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.children import until
from harness.mounting import is_running

from cluster import dataset, directories
from cluster.cluster import Cluster
from cluster.dataset import DataSet, Place
from cluster.errors import ClusterError
from cluster.ports import is_open

pytestmark = pytest.mark.cluster

Clusters = Callable[..., Cluster]
CONTENT = b"content" * 100_000
BLOCK = 1 << 18


def names(cluster: Cluster, path: str) -> set[str]:
    """What `alluxio fs ls` lists there."""
    lines = cluster.shell.fs("ls", path or "/").splitlines()
    return {line[line.index(f" {path}/") + len(path) + 2 :] for line in lines}


# ---------------------------------------------------------------------------------------------------------- files


def test_a_file_is_in_alluxio_in_memory_and_in_the_under_store(cluster: Cluster, place: Place) -> None:
    """The three places that the tests look at."""
    cluster.shell.write(f"{place.path}/ä b%", CONTENT, block_size=BLOCK)
    assert cluster.shell.fs("stat", "-f", "%z %b", f"{place.path}/ä b%").split() == ["700000", "3"]
    assert (place.ufs / "ä b%").read_bytes() == CONTENT
    assert sum(len(list(ramdisk.glob("alluxioworker/[0-9]*"))) for ramdisk in cluster.ramdisks) >= 3


def test_files_put_into_the_under_store_are_listed(cluster: Cluster, place: Place) -> None:
    """All kinds of names."""
    files = dataset.small(300)
    dataset.make(place.ufs, files)
    listed = {
        f"{directory}/{name}"
        for directory in dataset.directories(files)
        for name in names(cluster, f"{place.path}/{directory}")
    }
    assert listed == (set(files) | dataset.directories(files)) - {"small"}


def test_what_a_file_of_the_data_set_holds(cluster: Cluster, small_files: DataSet) -> None:
    """Contents follow from names, in the under-store and through Alluxio."""
    name = next(name for name, size in small_files.files.items() if size > 100_000)
    size = small_files.files[name]
    assert (small_files.ufs / name).read_bytes() == dataset.content(name, 0, size)
    assert dataset.content(name, 77, 1000) == dataset.content(name, 0, size)[77:1077]
    cluster.shell.fs("copyToLocal", f"{small_files.path}/{name}", cluster.base / "copy")
    assert (cluster.base / "copy").read_bytes() == dataset.content(name, 0, size)


def test_a_file_on_a_worker_of_choice_and_on_one_more(cluster: Cluster, place: Place) -> None:
    """For tests of which worker is asked."""
    path = f"{place.path}/file"
    for first, second in (cluster.workers, reversed(cluster.workers)):
        cluster.shell.write(path, CONTENT, block_size=BLOCK, worker=first, overwrite=True)
        assert cluster.shell.locations(path) == [{first}] * 3
        cluster.shell.cache(path, second)
        until(lambda: cluster.shell.locations(path) == [set(cluster.workers)] * 3, "copies")


def test_a_file_that_is_being_written(cluster: Cluster, place: Place) -> None:
    """It is there, and complete when it is finished; given up, it never is."""
    file = cluster.shell.begin(f"{place.path}/file", write_type="MUST_CACHE")
    file.append(b"one")
    file.append(b"two")
    assert "completed=false" in cluster.shell.run("stat", file.path)[1]
    file.finish()
    assert cluster.shell.fs("cat", file.path) == "onetwo"
    cluster.shell.write(file.path, b"three", overwrite=True)
    assert cluster.shell.fs("cat", file.path) == "three"
    other = cluster.shell.begin(f"{place.path}/other")
    other.append(b"four")
    other.abandon()
    assert "completed=false" in cluster.shell.run("stat", other.path)[1]


def test_a_command_that_fails(cluster: Cluster) -> None:
    """Its exit code and what it says."""
    code, output = cluster.shell.run("ls", "/nowhere")
    assert code != 0
    assert "/nowhere" in output
    with pytest.raises(ClusterError, match="/nowhere"):
        cluster.shell.fs("ls", "/nowhere")


def test_a_shell_of_another_user(cluster: Cluster, place: Place) -> None:
    """It may do less."""
    cluster.shell.fs("mkdir", f"{place.path}/private")
    cluster.shell.fs("chmod", "700", f"{place.path}/private")
    shell = cluster.new_shell(user="nobody")
    try:
        assert shell.run("ls", f"{place.path}/private")[0] != 0
    finally:
        shell.close()


# -------------------------------------------------------------------------------------------------------- servers


def test_a_worker_that_was_killed_comes_back_with_its_blocks(cluster: Cluster, place: Place) -> None:
    """On the same port."""
    cluster.shell.write(f"{place.path}/file", CONTENT, block_size=BLOCK, worker=cluster.workers[1])
    cluster.kill9("worker1")
    assert not cluster.alive("worker1")
    assert not is_open(cluster.layout.workers[1].rpc)
    cluster.restart("worker1")
    assert is_open(cluster.layout.workers[1].rpc)
    assert cluster.shell.locations(f"{place.path}/file") == [{cluster.workers[1]}] * 3


@pytest.mark.parametrize("end", [Cluster.kill9, Cluster.stop])
def test_a_master_that_ended_comes_back_with_its_files(
    cluster: Cluster, place: Place, end: Callable[[Cluster, str], object]
) -> None:
    """And with its workers."""
    cluster.shell.write(f"{place.path}/file", CONTENT)
    end(cluster, "master0")
    with pytest.raises(ClusterError, match="no master"):
        cluster.primary()
    cluster.restart("master0")
    assert cluster.primary() == "master0"
    assert cluster.registered() == set(cluster.workers)
    assert names(cluster, place.path) == {"file"}


def test_a_paused_server_does_not_answer(cluster: Cluster) -> None:
    """Connections to it are accepted, by the kernel."""
    with cluster.paused("master0"):
        assert is_open(cluster.layout.masters[0].rpc)
        with pytest.raises(ClusterError):
            cluster.primary()
    assert cluster.primary() == "master0"


def test_what_a_test_ended_or_paused_is_brought_back(cluster: Cluster) -> None:
    """For the next test."""
    cluster.kill9("worker0")
    cluster.pause("worker1")
    cluster.repair()
    assert all(map(cluster.alive, cluster.processes))
    cluster.shell.write("/repaired", b"content", overwrite=True)


# ---------------------------------------------------------------------------------------------------- other kinds


def test_three_masters(clusters: Clusters) -> None:
    """One that is killed is replaced by another, which has the same files."""
    cluster = clusters(masters=3, workers=1)
    cluster.shell.write("/file", CONTENT)
    first = cluster.primary()
    cluster.kill9(first)
    until(lambda: cluster.registered() == set(cluster.workers), "another primary", timeout=120)
    assert cluster.primary() != first
    assert names(cluster, "") == {"file"}
    cluster.restart(first)
    assert all(map(cluster.alive, cluster.processes))


def test_workers_of_other_names(clusters: Clusters) -> None:
    """One that clients take for a remote one."""
    cluster = clusters(hosts=("localhost", "127.0.0.2"), block_size="1MB")
    cluster.shell.write("/file", CONTENT * 2, worker=cluster.workers[1])
    assert cluster.shell.locations("/file") == [{f"127.0.0.2:{cluster.layout.workers[1].rpc}"}] * 2


def test_the_page_store(clusters: Clusters) -> None:
    """Blocks are kept in pages."""
    cluster = clusters(store="PAGE")
    cluster.shell.write("/file", CONTENT)
    assert list(cluster.ramdisks[0].glob("LOCAL/*/*/paged_block_*/0"))
    assert cluster.shell.fs("cat", "/file").encode() == CONTENT


def test_neither_authentication_nor_permissions_and_domain_sockets(clusters: Clusters) -> None:
    """What is written without a user has no owner."""
    cluster = clusters(auth="NOSASL", domain_socket=True)
    cluster.shell.write("/file", CONTENT)
    assert cluster.shell.fs("stat", "-f", "%u", "/file").strip() == ""
    assert cluster.domain_sockets[0].is_socket()


def test_the_job_service_and_properties_of_its_own(clusters: Clusters) -> None:
    """Files are persisted by it; the TTL check is as frequent as it was asked to be."""
    cluster = clusters(jobs=True, site={"alluxio.master.ttl.checker.interval": "1sec"})
    cluster.shell.write("/file", CONTENT, write_type="ASYNC_THROUGH")
    until((cluster.ufs / "file").exists, "persisted", timeout=120)
    cluster.shell.fs("setTtl", "/file", "1")
    until(lambda: cluster.shell.run("ls", "/file")[0] != 0, "expired", timeout=120)


@pytest.mark.cluster("2.3.0")
def test_an_old_release(clusters: Clusters) -> None:
    """The oldest that is supported."""
    cluster = clusters(version="2.3.0", workers=2)
    assert cluster.info()["version"] == "2.3.0"
    cluster.shell.write("/file", CONTENT)
    cluster.kill9("worker0")
    cluster.kill9("master0")
    cluster.repair()
    assert names(cluster, "") == {"file"}


# -------------------------------------------------------------------------------------------------------- the end


def test_a_cluster_leaves_nothing() -> None:
    """No process, no port, no directory."""
    with Cluster() as cluster:
        assert cluster.shell.fs("ls", "/") == ""
        cluster.pause("worker0")
        pids = [cluster.pid(name) for name in cluster.processes]
        ports = [*cluster.layout.masters[0], *cluster.layout.workers[0]]
        paths = [cluster.base, *cluster.ramdisks]
        assert all(path.exists() for path in paths)
    assert not any(path.exists() for path in paths)
    assert not any(map(is_running, pids))
    assert not any(map(is_open, ports))


def test_a_cluster_ends_with_its_process() -> None:
    """However that ends; its directories are removed by the next one."""
    code = (
        "import sys, time; from cluster.cluster import Cluster; c = Cluster(); c.start();"
        "print(*[p.pid for p in c.processes.values()], c.base, c.plan.ramdisk, flush=True); time.sleep(1000)"
    )
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    child = subprocess.Popen([sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    *pids, base, ramdisk = child.stdout.readline().split()
    child.stdout.close()
    directories.sweep()
    assert Path(base).exists()  # it is in use
    child.kill()
    child.wait()
    until(lambda: not any(is_running(int(pid)) for pid in pids), "the servers to end")
    directories.sweep()
    assert not Path(base).exists()
    assert not Path(ramdisk).exists()


def test_a_cluster_that_cannot_start_says_why() -> None:
    """With the end of the log of the server that ended; nothing is left of it either."""
    cluster = Cluster(site={"alluxio.master.journal.type": "NONE"})
    with pytest.raises(ClusterError, match=r"master0 ended(.|\n)*JournalType"), cluster:
        pass
    assert not cluster.base.exists()


def test_make_cluster() -> None:
    """It says where it is and how to use it, and is gone after Ctrl-C."""
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    child = subprocess.Popen([sys.executable, "-m", "cluster"], env=environ, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    told = {}
    for line in iter(child.stdout.readline, ""):
        if line.startswith("Ctrl-C"):
            break
        key, _, value = line.strip().partition(" ")
        told[key] = value.split()
    script = told["shell"][0]
    subprocess.run([script, "fs", "copyFromLocal", __file__, "/file"], check=True, capture_output=True)
    assert (Path(told["under-store"][0]) / "file").read_bytes() == Path(__file__).read_bytes()
    child.send_signal(signal.SIGINT)
    assert child.wait(120) == 0
    child.stdout.close()
    assert not Path(script).exists()
