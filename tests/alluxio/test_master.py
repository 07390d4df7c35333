"""The masters: who is asked, what happens when the primary changes, and what a person is told when there is none."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from fake_server import FakeServer, RawServer, unused_port

from alluxio_jnifuse.errors import SourceError
from alluxio_jnifuse.sources.alluxio.metadata import master as master_module
from alluxio_jnifuse.sources.alluxio.metadata.master import MasterClient
from alluxio_jnifuse.sources.alluxio.proto import block_pb2, common_pb2, file_pb2, meta_pb2
from alluxio_jnifuse.sources.alluxio.rpc.errors import CallError, Closed, Status, TimedOut
from alluxio_jnifuse.sources.alluxio.settings import Settings

SOON_S = 100.0  # much longer than anything takes here, much shorter than what a mistake would wait for
SETTINGS = Settings(masters=(), user="alice", rpc_retry_base_s=0.02, rpc_retry_max_sleep_s=0.1)

Client = Callable[..., MasterClient]


@pytest.fixture
def servers() -> Iterator[Callable[[], FakeServer]]:
    """A factory of masters with one file, /a."""
    made: list[FakeServer] = []

    def make() -> FakeServer:
        made.append(FakeServer())
        made[-1].files["/a"] = file_pb2.FileInfo(path="/a", length=42)
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def server(servers: Callable[[], FakeServer]) -> FakeServer:
    """The only master."""
    return servers()


@pytest.fixture
def client() -> Iterator[Client]:
    """A factory of clients: client(masters or targets, settings that are not the usual ones)."""
    made: list[MasterClient] = []

    def make(*masters: FakeServer | RawServer | str, **changes: Any) -> MasterClient:
        targets = tuple(each if isinstance(each, str) else each.target for each in masters)
        made.append(MasterClient(SETTINGS._replace(masters=targets, **changes)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def silent() -> Iterator[RawServer]:
    """A port that takes connections and never says a word."""
    gone = threading.Event()
    made = RawServer(lambda _connection: gone.wait())
    yield made
    gone.set()
    made.close()


def nobody() -> str:
    """An address where nothing listens."""
    return f"127.0.0.1:{unused_port()}"


def eventually(condition: Callable[[], bool]) -> None:
    """Waits for what another thread is about to do."""
    deadline = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


# -------------------------------------------------------------------------------------------------------- answers


def test_what_a_cluster_tells(server: FakeServer, client: Client) -> None:
    """Each call brings what it is for."""
    mounts = {"/": file_pb2.MountPointInfo(ufsUri="s3://bucket", mountId=1)}
    block = common_pb2.BlockInfo(blockId=7, length=5)
    info = block_pb2.BlockMasterInfo(capacityBytes=100, usedBytes=30)
    worker = block_pb2.WorkerInfo(id=9)
    properties = [
        meta_pb2.ConfigProperty(name="a", value="1", source="RUNTIME"),
        meta_pb2.ConfigProperty(name="unset"),
        meta_pb2.ConfigProperty(name="empty", value=""),
    ]
    server.on("GetMountTable", lambda _r, _c: file_pb2.GetMountTablePResponse(mountPoints=mounts))
    server.on("GetBlockInfo", lambda _r, _c: block_pb2.GetBlockInfoPResponse(blockInfo=block))
    server.on("GetBlockMasterInfo", lambda _r, _c: block_pb2.GetBlockMasterInfoPResponse(blockMasterInfo=info))
    server.on("GetWorkerInfoList", lambda _r, _c: block_pb2.GetWorkerInfoListPResponse(workerInfos=[worker]))
    server.on("GetConfiguration", lambda _r, _c: meta_pb2.GetConfigurationPResponse(clusterConfigs=properties))
    made = client(server)
    for _ in range(2):  # the second time there is nothing to do
        made.connect()
    assert made.version() == "2.9.6"
    assert made.get_status("/a").length == 42
    assert made.get_mount_table()["/"].ufsUri == "s3://bucket"
    assert made.get_block_info(7).length == 5
    assert made.get_capacity() == (100, 30)
    assert [each.id for each in made.get_workers()] == [9]
    assert made.get_configuration() == [("a", "1", "RUNTIME"), ("empty", "", "")]
    assert made.get_configuration_hash() == "hash"
    assert made.exists("/a")
    assert not made.exists("/b")
    made.check_access("/a", os.R_OK)
    names = "GetMasterInfo GetStatus GetMountTable GetBlockInfo GetBlockMasterInfo GetWorkerInfoList CheckAccess"
    names += " GetConfiguration GetConfigHash getServiceVersion authenticate"
    counts = {name: number for name, number in made.calls.counts().items() if number}
    assert counts == {**{f"rpc_{name}": 1 for name in names.split()}, "rpc_Exists": 2}


def test_what_the_settings_say_arrives(server: FakeServer, client: Client) -> None:
    """How to load metadata, and how fresh it must be."""
    seen = []

    def answer(request: bytes, _context: grpc.ServicerContext) -> file_pb2.GetStatusPResponse:
        seen.append(file_pb2.GetStatusPRequest.FromString(request).options)
        return file_pb2.GetStatusPResponse()

    server.on("GetStatus", answer)
    client(server, load_type="ALWAYS", sync_interval_ms=5000).get_status("/a")
    assert (seen[0].loadMetadataType, seen[0].commonOptions.syncIntervalMs) == (file_pb2.ALWAYS, 5000)
    assert seen[0].commonOptions.ttl == -1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (Status.NOT_FOUND, FileNotFoundError),
        (Status.PERMISSION_DENIED, PermissionError),
        (Status.INVALID_ARGUMENT, OSError),
        (Status.INTERNAL, OSError),
    ],
)
def test_an_answer_is_final(server: FakeServer, client: Client, status: grpc.StatusCode, kind: type[OSError]) -> None:
    """Whatever it is, it is not asked for again."""
    server.fail("GetStatus", status, "because")
    server.fail("ListStatus", status, "because")
    made = client(server)
    with pytest.raises(kind, match=rf"GetStatus\(path=/a\) at {server.target}: {status.name}: because"):
        made.get_status("/a")
    with pytest.raises(kind, match=r"ListStatus\(path=/a\)"):
        list(made.list_status("/a"))
    assert (server.count("GetStatus"), server.count("ListStatus")) == (1, 1)


def test_a_service_that_is_not_found_is_no_path(server: FakeServer, client: Client) -> None:
    """A master on its way to serve says NOT_FOUND to who introduces himself; of the path nobody has spoken."""
    server.fail("authenticate", Status.NOT_FOUND, "Service is not found.", times=2)
    server.on("GetStatus", lambda request, context: file_pb2.GetStatusPResponse())
    client(server).get_status("/a")
    assert server.count("authenticate") == 3


def test_a_name_that_no_cluster_can_have(server: FakeServer, client: Client) -> None:
    """It is not there, and nobody is asked."""
    with pytest.raises(FileNotFoundError):
        client(server).get_status(os.fsdecode(b"/\xff"))
    assert server.calls == []


def test_the_configuration_comes_before_authentication(server: FakeServer, client: Client) -> None:
    """It may say how to authenticate."""
    server.authentication = "refuse"
    assert client(server).get_configuration() == []
    assert server.count("authenticate") == 0


# ------------------------------------------------------------------------------------------------------ directories


def test_a_directory_is_listed(server: FakeServer, client: Client) -> None:
    """In as many messages as the master likes; none at all for an empty one."""
    server.files["/b"] = file_pb2.FileInfo(path="/b")
    made = client(server)
    assert [[info.path for info in batch] for batch in made.list_status("/")] == [["/a"], ["/b"]]
    assert list(made.list_status("/empty")) == []


def test_a_listing_is_tried_again_before_it_began(server: FakeServer, client: Client) -> None:
    """Nobody has seen anything of it yet."""
    server.fail("ListStatus", Status.UNAVAILABLE, times=3)
    assert [info.path for batch in client(server).list_status("/") for info in batch] == ["/a"]
    assert server.count("ListStatus") == 4


def test_a_listing_that_breaks_off(server: FakeServer, client: Client) -> None:
    """Entries are never given twice, and missing ones are an error."""

    def broken(_request: bytes, context: grpc.ServicerContext) -> Iterator[file_pb2.ListStatusPResponse]:
        yield file_pb2.ListStatusPResponse(fileInfos=[file_pb2.FileInfo(path="/a")])
        context.abort(Status.UNAVAILABLE, "going down")

    server.on("ListStatus", broken)
    batches = client(server).list_status("/")
    assert [info.path for info in next(batches)] == ["/a"]
    with pytest.raises(CallError, match="going down"):
        next(batches)
    assert server.count("ListStatus") == 1


def test_a_listing_that_nobody_finishes(server: FakeServer, client: Client) -> None:
    """It ends at the master as well."""
    contexts: list[grpc.ServicerContext] = []

    def endless(_request: bytes, context: grpc.ServicerContext) -> Iterator[file_pb2.ListStatusPResponse]:
        contexts.append(context)
        while context.is_active():
            yield file_pb2.ListStatusPResponse(fileInfos=[file_pb2.FileInfo()])

    server.on("ListStatus", endless)
    batches = client(server).list_status("/")
    next(batches)
    batches.close()
    eventually(lambda: not contexts[0].is_active())


# ----------------------------------------------------------------------------------------------- older clusters


def test_a_cluster_without_exists(server: FakeServer, client: Client) -> None:
    """Attributes tell as well; that the call is missing is remembered."""
    server.fail("Exists", Status.UNIMPLEMENTED, times=1_000)
    made = client(server)
    for _ in range(3):
        assert made.exists("/a")
        assert not made.exists("/b")
    assert server.count("Exists") <= 2  # the first one may have met a master that was none yet
    assert server.count("GetStatus") == 6


def test_a_cluster_that_was_upgraded(server: FakeServer, client: Client) -> None:
    """What is missing is forgotten with the master that lacked it."""
    made = client(server)
    server.fail("Exists", Status.UNIMPLEMENTED, times=1_000)
    made.exists("/a")
    server.succeed("Exists")
    server.fail("GetStatus", Status.UNAVAILABLE)  # it is restarted
    made.get_status("/a")
    before = server.count("Exists")
    assert made.exists("/a")
    assert server.count("Exists") == before + 1


def test_a_cluster_without_check_access(server: FakeServer, client: Client) -> None:
    """There the attributes of what must not be read are refused."""
    server.fail("CheckAccess", Status.UNIMPLEMENTED, times=1_000)
    made = client(server)
    made.check_access("/a", os.R_OK)
    server.fail("GetStatus", Status.PERMISSION_DENIED)
    with pytest.raises(PermissionError):
        made.check_access("/a", os.R_OK)


def test_a_standby_is_no_older_cluster(servers: Callable[[], FakeServer], client: Client) -> None:
    """It has none of the calls; the primary is asked, and asked again the next time."""
    first, second = servers(), servers()
    second.stand_by()
    made = client(first, second)
    made.connect()
    second.files.clear()
    first.stand_by()
    second.stand_by(False)
    assert not made.exists("/a")
    assert not made.exists("/a")
    assert (first.count("Exists"), second.count("Exists")) == (1, 2)


# ------------------------------------------------------------------------------------------------ finding the primary


def test_the_primary_among_others(servers: Callable[[], FakeServer], client: Client, silent: RawServer) -> None:
    """A dead, a silent and a standby master cost no time; the standby is not even told who we are."""
    standby, primary = servers(), servers()
    standby.stand_by()
    targets = (nobody(), silent, standby, primary, "no-such-host.invalid:19998")
    made = client(*targets, polling_timeout_s=3600.0)
    made.connect()
    assert made.get_status("/a").length == 42
    assert standby.count("authenticate") == 0


@pytest.mark.parametrize("status", [Status.UNAVAILABLE, Status.NOT_FOUND, Status.UNIMPLEMENTED, Status.INTERNAL])
def test_a_master_on_its_way(server: FakeServer, client: Client, status: grpc.StatusCode) -> None:
    """Whatever it says meanwhile, it is asked until it serves."""
    server.fail("getServiceVersion", status, times=3)
    client(server).connect()
    assert server.count("getServiceVersion") == 4


def test_a_master_that_comes_back(client: Client) -> None:
    """A search goes on for as long as there is time."""
    target = nobody()
    made = client(target)
    late: list[FakeServer] = []
    timer = threading.Timer(0.5, lambda: late.append(FakeServer(target)))
    timer.start()
    try:
        made.connect()
        assert made.version() == "2.9.6"
    finally:
        timer.join()
        for each in late:
            each.close()


def test_one_search_for_many(servers: Callable[[], FakeServer], client: Client) -> None:
    """Threads that lost the primary together look for the next one together."""
    first, second = servers(), servers()
    second.stand_by()
    made = client(first, second)
    made.connect()
    first.hold("GetStatus")
    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(made.get_status, "/a") for _ in range(16)]
        first.wait_for(lambda: first.count("GetStatus") == 16)
        second.stand_by(False)
        first.stand_by()
        polls = second.count("getServiceVersion")
        first.release("GetStatus")
        assert [call.result(SOON_S).length for call in calls] == [42] * 16
    assert second.count("getServiceVersion") - polls <= 2
    assert len(second.all_ids) == 1


def test_patience_is_everybodys_own(client: Client) -> None:
    """Who waits for the search of somebody with less time goes on when that is over."""
    target = nobody()
    made = client(target)
    with ThreadPoolExecutor(2) as pool:
        short = pool.submit(made.get_status, "/a", 0.4)
        eventually(lambda: made._search is not None)
        long = pool.submit(made.get_status, "/a")
        with pytest.raises(CallError, match="connection refused"):
            short.result(SOON_S)
        assert not long.done()
        late = FakeServer(target)
        try:
            late.files["/a"] = file_pb2.FileInfo(length=42)
            assert long.result(SOON_S).length == 42
        finally:
            late.close()


# ----------------------------------------------------------------------------------------------------- fail-over


def test_the_primary_dies(servers: Callable[[], FakeServer], client: Client) -> None:
    """The next call goes to its successor, under a new session."""
    first, second = servers(), servers()
    second.stand_by()
    made = client(first, second)
    made.connect()
    made.get_status("/a")
    first.close()
    second.stand_by(False)
    second.files["/a"].length = 7
    assert made.get_status("/a").length == 7
    assert [info.length for batch in made.list_status("/") for info in batch] == [7]
    assert len(second.users) == 1


def test_the_primary_steps_down(servers: Callable[[], FakeServer], client: Client) -> None:
    """It goes on to authenticate, and has no calls any more."""
    first, second = servers(), servers()
    second.stand_by()
    made = client(first, second)
    made.connect()
    first.stand_by()
    timer = threading.Timer(0.3, second.stand_by, (False,))  # nobody serves for a while
    timer.start()
    assert made.get_status("/a").length == 42
    timer.join()
    assert second.count("GetStatus") == 1
    second.stand_by()
    first.stand_by(False)
    assert [info.path for batch in made.list_status("/") for info in batch] == ["/a"]


def test_a_master_that_is_busy(server: FakeServer, client: Client) -> None:
    """It is asked again; every attempt is counted."""
    made = client(server)
    made.connect()
    server.fail("GetStatus", Status.UNAVAILABLE, "safe mode", times=3)
    assert made.get_status("/a").length == 42
    assert made.calls.counts()["rpc_GetStatus"] == server.count("GetStatus") == 4


def test_patience_has_an_end(server: FakeServer, client: Client) -> None:
    """The last error is the answer then."""
    server.fail("GetStatus", Status.UNAVAILABLE, "safe mode", times=1_000_000)
    made = client(server, rpc_retry_max_duration_s=2.0)
    begin = time.monotonic()
    with pytest.raises(CallError, match="UNAVAILABLE: safe mode") as caught:
        made.get_status("/a")
    assert caught.value.status is Status.UNAVAILABLE
    assert time.monotonic() - begin > 1.5
    assert 2 <= server.count("GetStatus") <= 200  # with pauses of 20 to 100 ms


def test_nobody_serves_any_more(server: FakeServer, client: Client) -> None:
    """The error names the masters and what they said."""
    made = client(server, rpc_retry_max_duration_s=0.5)
    made.connect()
    server.close()
    with pytest.raises(CallError, match=rf"{server.target}: connection refused"):
        made.get_status("/a")


def test_others_are_not_disturbed(server: FakeServer, client: Client) -> None:
    """A call that takes its time survives that another one gave up the connection."""
    made = client(server)
    made.connect()
    server.hold("ListStatus")
    with ThreadPoolExecutor(1) as pool:
        listing = pool.submit(lambda: [info.path for batch in made.list_status("/") for info in batch])
        server.wait_for(lambda: server.count("ListStatus") == 1)
        server.fail("GetStatus", Status.UNAVAILABLE)
        made.get_status("/a")
        assert len(server.users) == 2
        server.release("ListStatus")
        assert listing.result(SOON_S) == ["/a"]
    assert server.count("ListStatus") == 1
    server.wait_for(lambda: len(server.users) == 1)  # the old connection has ended with it


def test_a_call_that_is_never_answered(server: FakeServer, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails once, and the next one does not trust that connection any more."""
    made = client(server)
    made.connect()
    server.hold("GetStatus")
    with monkeypatch.context() as patch:
        patch.setattr(master_module, "_CALL_S", 0.3)
        with pytest.raises(TimedOut):
            made.get_status("/a")
    assert server.count("GetStatus") == 1
    server.release("GetStatus")
    assert made.get_status("/a").length == 42
    assert len(server.all_ids) == 2


# ------------------------------------------------------------------------------------------ what a person is told


def told(made: MasterClient, timeout: float = 0.5) -> str:
    """Why no cluster could be connected to."""
    with pytest.raises(SourceError) as caught:
        made.connect(timeout)
    return str(caught.value)


def test_nothing_is_there(client: Client) -> None:
    """One master: what is wrong and what to do."""
    target = nobody()
    text = told(client(target))
    assert text == f"alluxio://{target}: connection refused; start it, or correct host and port"


def test_what_each_master_said(servers: Callable[[], FakeServer], client: Client, silent: RawServer) -> None:
    """Several masters: which one said what."""
    standby, other, worker = servers(), servers(), servers()
    standby.stand_by()
    other.fail("getServiceVersion", Status.UNIMPLEMENTED, times=1_000)
    worker.fail("getServiceVersion", Status.NOT_FOUND, "Service META_MASTER_CLIENT_SERVICE is not found.", times=1_000)
    target = nobody()
    made = client(target, standby, other, worker, silent)
    targets = ",".join((target, standby.target, other.target, worker.target, silent.target))
    expected = (
        f"alluxio://{targets}: none of the masters serves: ",
        f"{target}: connection refused (start it, or correct host and port)",
        f"{standby.target}: unavailable: this master is on standby",
        f"{other.target}: it is no master of Alluxio 2 (name the RPC port of a master, usually 19998, of a cluster",
        f"{worker.target}: it is of Alluxio but serves as no master (name the RPC port",
        f"{silent.target}: it does not answer (look for a firewall",
    )
    for timeout in (0.5, 4.0, 32.0):  # the silent one takes all of it, on a busy machine the others may take as long
        text = told(made, timeout)
        if all(each in text for each in expected):
            return
    assert expected == text


def test_words_say_more_than_silence(server: FakeServer, client: Client) -> None:
    """A master that spoke once and is silent now is told of by what it said."""
    server.fail("getServiceVersion", Status.UNAVAILABLE, "this master is on standby")
    made = client(server, polling_timeout_s=0.1)
    server.on("getServiceVersion", lambda _r, context: time.sleep(0.3) or context.abort(Status.INTERNAL, "late"))
    assert "this master is on standby" in told(made)
    assert server.count("getServiceVersion") >= 2


def test_the_reason_is_not_that_time_was_up(server: FakeServer, client: Client) -> None:
    """What went wrong before counts, not that the last attempt had no time left."""

    def answer(_request: bytes, context: grpc.ServicerContext) -> None:
        server.hold("authenticate")
        context.abort(Status.UNIMPLEMENTED, "")

    server.on("GetMasterInfo", answer)
    assert "it is no master of Alluxio 2" in told(client(server), timeout=1.0)


def test_waiting_would_not_help(client: Client) -> None:
    """A port of the web interface will never be another one: no time is spent on it."""
    web = RawServer(lambda c: (c.recv(1000), c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), c.close()))
    try:
        text = told(client(web), timeout=3600)
    finally:
        web.close()
    assert "it speaks HTTP/1, not gRPC; this is perhaps its web port: name the RPC port" in text


def test_we_are_refused(server: FakeServer, client: Client) -> None:
    """At once, with the user, the server, its reason, and what to set."""
    server.authentication = "refuse"
    text = told(client(server, impersonated="bob"), timeout=3600)
    for part in (server.target, "'alice' for 'bob'", "not configured to allow", "impersonation.alice.users"):
        assert part in text
    assert len(server.all_ids) == 1


@pytest.mark.parametrize("version", ["313", "3.2.0", "304-SNAPSHOT"])
def test_a_cluster_of_another_kind(server: FakeServer, client: Client, version: str) -> None:
    """Alluxio 3 keeps some of the names and little of what they meant."""
    info = meta_pb2.MasterInfo(version=version)
    server.on("GetMasterInfo", lambda _r, _c: meta_pb2.GetMasterInfoPResponse(masterInfo=info))
    assert f"the cluster is Alluxio {version}, which has another protocol" in told(client(server))


@pytest.mark.parametrize("version", ["2.3.0", "2.10.0-SNAPSHOT", "enterprise-2.10-3.0", ""])
def test_a_cluster_of_our_kind(server: FakeServer, client: Client, version: str) -> None:
    """Any release of Alluxio 2."""
    info = meta_pb2.MasterInfo(version=version)
    server.on("GetMasterInfo", lambda _r, _c: meta_pb2.GetMasterInfoPResponse(masterInfo=info))
    client(server).connect()


def test_something_that_only_looks_like_a_master(server: FakeServer, client: Client) -> None:
    """It tells a version and has no other call."""
    server.fail("GetMasterInfo", Status.UNIMPLEMENTED, times=1_000)
    text = told(client(server))
    assert f"GetMasterInfo() at {server.target}: it is no master of Alluxio 2" in text


# ------------------------------------------------------------------------------------------------------------ end


@pytest.mark.parametrize("what", ["call", "listing", "search", "pause", "authentication"])
def test_close_ends_whatever_goes_on(server: FakeServer, client: Client, what: str) -> None:
    """Soon, and for good."""
    made = client(server, rpc_retry_base_s=3600.0, rpc_retry_max_sleep_s=3600.0, rpc_retry_max_duration_s=7200.0)
    held = {
        "call": "GetStatus",
        "listing": "ListStatus",
        "search": "getServiceVersion",
        "authentication": "authenticate",
    }
    if what == "pause":
        server.fail("GetStatus", Status.UNAVAILABLE, times=1_000)
        method = "GetStatus"
    else:
        method = held[what]
        server.hold(method)
    call = (lambda: list(made.list_status("/"))) if what == "listing" else (lambda: made.get_status("/a"))
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(call)
        server.wait_for(lambda: server.count(method) == 1)
        if what == "pause":
            server.wait_for(lambda: not server.users)  # the connection was given up
        made.close()
        assert isinstance(under_way.exception(SOON_S), Closed)
    made.close()
    with pytest.raises(Closed):
        call()


def test_closing_what_was_never_used(client: Client) -> None:
    """Nothing to end."""
    client(nobody()).close()
