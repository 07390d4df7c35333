"""Fixtures of all tests that mount or need a cluster, and what happens where they cannot have it.

Every test works in a directory of its own beneath ROOT/PID. Mounts are looked for there and nowhere else when a
session begins (those of dead sessions) and when it ends (its own).
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Before numpy and gRPC are loaded: children are forked from this process, and should have one thread. gRPC would start
# its own in each of them, and those take the signals that a test sends.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
sys.path.insert(0, str(Path(__file__).parent / "fuse"))

from cluster import dataset, jars
from cluster.cluster import Cluster
from cluster.dataset import DataSet, Place
from cluster.directories import sweep
from container import host as container_host
from harness.children import Children
from harness.mounting import Mounts, beneath, detach, is_running, unusable
from harness.remote import RemoteSource
from harness.turns import turn
from oss.bucket import KEY_ID, SECRET, Bucket
from oss.server import OssServer

ROOT = Path(os.path.realpath(tempfile.gettempdir())) / f"ajf-tests-{os.getuid()}"
BINDINGS = ("core", "llfuse")
REQUIRE = "AJF_REQUIRE_FUSE"  # environment: 1 = a test that cannot mount fails
REQUIRE_CLUSTER = "AJF_REQUIRE_CLUSTER"  # environment: 1 = a test that cannot start a cluster fails
REQUIRE_CHART = "AJF_REQUIRE_CHART"  # environment: 1 = a test of the Helm chart fails where there is no helm
REQUIRE_CONTAINER = "AJF_REQUIRE_CONTAINER"  # environment: 1 = a test that cannot run a container fails
NUMBERS = itertools.count(1)  # of buckets
CLUSTER_TIMEOUT_S = 1200  # for a test that may have to start servers on a busy machine
CONTAINER_TIMEOUT_S = 2400  # for one that may have to build an image


def pytest_sessionstart() -> None:
    """Removes what sessions that are no more left mounted, and left of clusters."""
    for number in (signal.SIGHUP, signal.SIGINT):  # nohup, or `&` in a script, would have children ignore them too
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    sweep()
    for path in beneath(str(ROOT)):
        session = Path(path).relative_to(ROOT).parts[0]
        if not (session.isdigit() and is_running(int(session))):
            detach(path)


def pytest_sessionfinish() -> None:
    """Removes the directory of this session, with what is still mounted there."""
    own = ROOT / str(os.getpid())
    for path in beneath(str(own)):
        detach(path)
    if not beneath(str(own)):
        shutil.rmtree(own, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Servers take their time; and images are built while other tests run."""
    items.sort(key=lambda item: item.get_closest_marker("container") is not None)
    for item in items:
        for marker, seconds in (("container", CONTAINER_TIMEOUT_S), ("cluster", CLUSTER_TIMEOUT_S)):
            if item.get_closest_marker(marker) and not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(seconds))


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before its time begins
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test that drops the kernel's caches is alone on the machine."""
    with turn(ROOT, alone=item.get_closest_marker("drops_caches") is not None):
        return (yield)


@pytest.hookimpl(tryfirst=True)  # before the fixtures
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a test that mounts or needs a cluster where that is not possible, or fails it when it must be possible."""
    if item.get_closest_marker("fuse") is not None:
        _need(unusable(), "FUSE", REQUIRE)
    marker = item.get_closest_marker("cluster")
    if marker is not None:  # its argument: the release of Alluxio
        _need(jars.unusable(*marker.args), "a cluster", REQUIRE_CLUSTER)
    if item.get_closest_marker("container") is not None:
        _need(container_host.unusable(), "a container", REQUIRE_CONTAINER)
    if item.get_closest_marker("chart") is not None:
        import helm

        _need(helm.unusable(), "helm", REQUIRE_CHART)


def _need(reason: str, what: str, variable: str) -> None:
    if reason and os.environ.get(variable) == "1":
        pytest.fail(f"{what} is required by {variable}=1: {reason}", pytrace=False)
    if reason:
        pytest.skip(reason)


@pytest.fixture
def private(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A directory that is this test's alone; its path is short enough for sockets."""
    own = ROOT / str(os.getpid())
    own.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(dir=own))
    directory.chmod(0o755)
    yield directory
    if not beneath(str(directory)):
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def children(mounts: Mounts) -> Iterator[Children]:
    """Child processes; they end before the mounts do."""
    made = Children()
    yield made
    problems = made.close()
    assert not problems, "\n".join(problems)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs the tests that are marked so with each binding."""
    if "mounts" in metafunc.fixturenames and metafunc.definition.get_closest_marker("both_bindings"):
        metafunc.parametrize("binding", BINDINGS, indirect=True)


@pytest.fixture
def binding(request: pytest.FixtureRequest) -> str:
    """The binding to libfuse of the test's mounts, one of BINDINGS."""
    return str(getattr(request, "param", BINDINGS[0]))


@pytest.fixture
def mounts(private: Path, binding: str) -> Iterator[Mounts]:
    """A factory of mounts, all of which are gone afterwards, having left no request, page, file ... behind."""
    made = Mounts(private, {} if binding == BINDINGS[0] else {"alluxio.fuse.jnifuse.enabled": "false"})
    yield made
    problems = made.close()
    assert not problems, "\n".join(problems)


@pytest.fixture
def remote(private: Path, mounts: Mounts) -> Iterator[Callable[..., RemoteSource]]:
    """A factory of sources that live in the daemon and are commanded from here; calls held in them go on at the end."""
    made: list[RemoteSource] = []

    def make(*arguments: object, **keywords: object) -> RemoteSource:
        made.append(RemoteSource(private / f"source{len(made)}", *arguments, **keywords))
        return made[-1]

    yield make
    for source in made:
        source.close()


@pytest.fixture(scope="session")
def session_oss(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OssServer]:
    """A server of OSS's protocol, started once."""
    with OssServer(tmp_path_factory.mktemp("oss"), keys={KEY_ID: SECRET}) as server:
        yield server


@pytest.fixture
def bucket(session_oss: OssServer) -> Iterator[Bucket]:
    """A bucket that is this test's alone, of a server to which nothing happens."""
    made = Bucket(session_oss, f"bucket-{next(NUMBERS)}")
    session_oss.reset()
    yield made
    session_oss.clear_rules()
    session_oss.set_keys({KEY_ID: SECRET})
    session_oss.set_clock(0.0)


@pytest.fixture(scope="session")
def session_cluster() -> Iterator[Cluster]:
    """A master and two workers, started once."""
    with Cluster(workers=2) as made:
        yield made


@pytest.fixture
def cluster(session_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster of the session; what the test ends or pauses is brought back."""
    yield session_cluster
    session_cluster.repair()


@pytest.fixture
def place(cluster: Cluster) -> Iterator[Place]:
    """A directory of the cluster of the session that is this test's alone; empty, and not in Alluxio yet."""
    with tempfile.TemporaryDirectory(prefix="place-", dir=cluster.ufs) as made:
        os.chmod(made, 0o755)
        yield Place(f"/{Path(made).name}", Path(made))


@pytest.fixture(scope="session")
def small_files(session_cluster: Cluster) -> DataSet:
    """3,000 small files in the under-store of the cluster of the session; they are not to be changed."""
    return _put(session_cluster, "small-files", dataset.small(3_000))


@pytest.fixture(scope="session")
def large_files(session_cluster: Cluster) -> DataSet:
    """Files of many blocks, as `small_files`."""
    return _put(session_cluster, "large-files", dataset.large())


def _put(to: Cluster, name: str, files: dataset.Files) -> DataSet:
    dataset.make(to.ufs / name, files)
    return DataSet(f"/{name}", to.ufs / name, files)


@pytest.fixture
def clusters() -> Iterator[Callable[..., Cluster]]:
    """A factory of clusters that are like nobody else's; they are gone afterwards."""
    made: list[Cluster] = []

    def make(**keywords: object) -> Cluster:
        made.append(Cluster(**keywords))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.close()
