"""The masters of a cluster as one server: the primary among them answers.

A call goes to the master that answered last. When that is gone, has handed over, or does not know us any more, the
primary is looked for and the call is made again, with growing pauses, for `rpc_retry_max_duration_s`; what a master
answers otherwise is the answer. Calls that only read may be repeated at any time, and there are no others here.

Threads: any method may be called from any thread. A call is made by its caller, on one channel that all share. When
it fails several callers may want another one; one of them searches, the others wait for what he finds. A channel
that is given up lives on until the calls on it have ended. `close` ends every call and every wait soon. Callers that
do not wait for a primary (`is_away`) have a thread look for it.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from alluxio_jnifuse.errors import MountError, SourceError, forget_frames
from alluxio_jnifuse.sources import doing
from alluxio_jnifuse.sources.alluxio.metadata.primary import NoPrimary, Search, explain
from alluxio_jnifuse.sources.alluxio.proto import block_pb2, file_pb2, meta_pb2
from alluxio_jnifuse.sources.alluxio.rpc import requests
from alluxio_jnifuse.sources.alluxio.rpc.calls import Calls
from alluxio_jnifuse.sources.alluxio.rpc.errors import (
    CallError,
    Closed,
    NotFound,
    Status,
    TimedOut,
    Unanswered,
    is_retryable,
    is_unimplemented,
)
from alluxio_jnifuse.sources.alluxio.rpc.flight import SingleFlight
from alluxio_jnifuse.sources.alluxio.rpc.messages import parts
from alluxio_jnifuse.sources.backoff import Backoff
from alluxio_jnifuse.system.threads import start_thread

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from google.protobuf.message import Message

    from alluxio_jnifuse.sources.alluxio.proto import common_pb2
    from alluxio_jnifuse.sources.alluxio.rpc.channel import Channel
    from alluxio_jnifuse.sources.alluxio.settings import Settings

    M = TypeVar("M", bound=Message)

log = logging.getLogger(__name__)

_FILE = "/alluxio.grpc.file.FileSystemMasterClientService/"
_BLOCK = "/alluxio.grpc.block.BlockMasterClientService/"
_META = "/alluxio.grpc.meta.MetaMasterClientService/"
_CONFIGURATION = "/alluxio.grpc.meta.MetaMasterConfigurationService/"

# A master may have to ask the under store first, and Alluxio's own clients wait for ever.
_CALL_S = 120.0
_LIST_S = 600.0
# The same where its last answer will do: a master that is stopped, as by a long collection of garbage, says nothing.
_CALL_KNOWN_S = 10.0
_LIST_KNOWN_S = 60.0


class _Effort:
    """How long one call is tried, and how often."""

    __slots__ = ("_timeout", "deadline", "hopeful", "pauses", "reason")

    def __init__(self, settings: Settings, duration: float, timeout: float = 0.0, *, hopeful: bool = True) -> None:
        """`duration` s for all attempts to begin in, `timeout` s for each; 0: what is left of the duration.

        Unless `hopeful` the search for a primary ends when waiting is of no use.
        """
        self.hopeful = hopeful
        self.deadline = time.monotonic() + duration
        self.pauses = Backoff(settings.rpc_retry_base_s, settings.rpc_retry_max_sleep_s, least=0.5)
        self.reason: CallError | None = None  # the last failure but for those by lack of time
        self._timeout = timeout

    def timeout(self) -> float:
        """Seconds for an attempt that begins now."""
        return self._timeout or self.left()

    def left(self) -> float:
        return max(0.0, self.deadline - time.monotonic())


class MasterClient:
    """See the module's docstring. Every method but `close` raises CallError, an OSError with the errno that fits."""

    def __init__(self, settings: Settings) -> None:
        self.calls = Calls()  # of masters, and of workers that are asked because of their answers
        self._settings = settings
        self._lock = threading.Lock()
        self._channel: Channel | None = None  # to the primary; written with the lock, read without
        self._search: Search | None = None  # under way; lock
        self._searches: SingleFlight[Channel] = SingleFlight("search for the primary master")
        self._seeking = False  # in the background; set with the lock
        self._closed = threading.Event()  # set with the lock
        self._version = ""
        self._missing: set[str] = set()  # calls that an older cluster does not have

    # ------------------------------------------------------------------------------------------------- connection

    def connect(self, timeout: float | None = None) -> None:
        """Finds the primary, introduces us, and checks that it is an Alluxio 2, all within `timeout` seconds, as many
        as a mount has by default, or alluxio.user.rpc.retry.max.duration if that is less. Once that has happened, and
        as long as the primary is the same, it returns at once.

        Raises SourceError saying which masters were asked, what each answered, and what to do.
        """
        if self._version and self._channel is not None:
            return
        patience = self._settings.mount_patience_s if timeout is None else timeout
        effort = _Effort(self._settings, min(patience, self._settings.rpc_retry_max_duration_s), hopeful=False)
        try:
            version = self._try_master_info(effort)
        except CallError as error:
            raise explain(self._settings.masters, error) from None
        number = re.search(r"\d+", version.replace("enterprise-", ""))
        if number is not None and int(number[0]) > 2:
            raise SourceError(
                f"the cluster is Alluxio {version}, which has another protocol than Alluxio 2",
                where=f"alluxio://{','.join(self._settings.masters)}",
                remedy="use a client of that release",
            )

    def close(self) -> None:
        """Ends the calls under way. Idempotent; any thread."""
        with self._lock:
            self._closed.set()
            channel, self._channel = self._channel, None
            search = self._search
        if search is not None:
            search.cancel()
        if channel is not None:
            channel.close()

    def version(self) -> str:
        """The release of the cluster, as "2.9.6"."""
        return self._version or self._try_master_info(self._usual_effort())

    def is_away(self) -> bool:
        """Whether there is no primary at the moment: a call may take long.

        The caller can do without one then; it is looked for in the background.
        """
        if self._channel is not None:
            return False
        with self._lock:
            if self._closed.is_set() or self._seeking:
                return True
            self._seeking = True
        try:
            start_thread("primary", self._seek)
        except MountError:
            self._seeking = False
        return True

    def _seek(self) -> None:
        try:
            self._primary(self._usual_effort())
        except CallError as error:
            log.debug("%s", error)
        finally:
            self._seeking = False

    # ------------------------------------------------------------------------------------------------------ files

    def get_status(self, path: str, patience: float | None = None) -> file_pb2.FileInfo:
        """Raises FileNotFoundError, PermissionError.

        `patience`: how long a primary is looked for, s, by a caller that can do without. Its answer is waited for less
        long then, too.
        """
        settings = self._settings
        request = requests.get_status(path, settings.sync_interval_ms, settings.load_type)
        effort = self._usual_effort(patience)
        return self._try(_FILE + "GetStatus", request, file_pb2.GetStatusPResponse, f"path={path}", effort).fileInfo

    def list_status(
        self, path: str, patience: float | None = None
    ) -> Generator[Sequence[file_pb2.FileInfo], None, None]:
        """The entries of a directory, some hundreds at a time; nothing for an empty one, itself for a file.

        Once the first entries were given an error is final: a caller that tries again begins anew. Closing the
        generator ends the call. `patience` as for `get_status`.
        """
        settings = self._settings
        request = requests.list_status(path, settings.sync_interval_ms, settings.load_type)
        effort = self._usual_effort(patience)
        method = _FILE + "ListStatus"
        while True:
            channel: Channel | None = None
            try:
                channel = self._primary(effort)
                limit = _LIST_S if patience is None else _LIST_KNOWN_S
                limit = min(limit, settings.rpc_retry_max_duration_s)  # nobody waits longer
                batches = channel.replies(method, request, limit, f"path={path}")
                first = next(batches, None)
                break
            except CallError as error:
                self._recover(error, channel, effort)
        if first is None:
            return
        try:
            for batch in chain([first], batches):
                for part in parts(batch):
                    yield file_pb2.ListStatusPResponse.FromString(part).fileInfos
        finally:
            batches.close()

    def exists(self, path: str) -> bool:
        """Raises PermissionError."""
        settings = self._settings
        request = requests.exists(path, settings.sync_interval_ms, settings.load_type)
        answer = self._call_if_there(_FILE + "Exists", request, file_pb2.ExistsPResponse, f"path={path}")
        if answer is not None:
            return answer.exists
        try:
            self.get_status(path)
        except NotFound:
            return False
        return True

    def check_access(self, path: str, access: int) -> None:
        """Raises PermissionError unless the user may; `access` is made of os.R_OK, os.W_OK and os.X_OK.

        A cluster without that call refuses the attributes of what must not be read, and knows nothing finer.
        """
        request = requests.check_access(path, access, self._settings.sync_interval_ms)
        answer = self._call_if_there(_FILE + "CheckAccess", request, file_pb2.CheckAccessPResponse, f"path={path}")
        if answer is None:
            self.get_status(path)

    def get_mount_table(self) -> Mapping[str, file_pb2.MountPointInfo]:
        """The under stores, by where they are mounted."""
        return self._call(
            _FILE + "GetMountTable", requests.get_mount_table(), file_pb2.GetMountTablePResponse
        ).mountPoints

    # ----------------------------------------------------------------------------------------- blocks and workers

    def get_block_info(self, block_id: int) -> common_pb2.BlockInfo:
        """Returns where a block is; EINVAL for one that the cluster does not have."""
        request = requests.get_block_info(block_id)
        return self._call(_BLOCK + "GetBlockInfo", request, block_pb2.GetBlockInfoPResponse, f"id={block_id}").blockInfo

    def get_workers(self, patience: float | None = None) -> Sequence[block_pb2.WorkerInfo]:
        """The workers that live. `patience` as for `get_status`."""
        method, request = _BLOCK + "GetWorkerInfoList", requests.get_worker_info_list()
        effort = self._usual_effort(patience)
        return self._try(method, request, block_pb2.GetWorkerInfoListPResponse, "", effort).workerInfos

    def get_capacity(self) -> tuple[int, int]:
        """Bytes that the workers can hold, and hold."""
        request = requests.get_block_master_info()
        info = self._call(_BLOCK + "GetBlockMasterInfo", request, block_pb2.GetBlockMasterInfoPResponse).blockMasterInfo
        return info.capacityBytes, info.usedBytes

    # ---------------------------------------------------------------------------------------------- configuration

    def get_configuration(self) -> list[tuple[str, str, str]]:
        """The cluster's properties as (name, value, where it was set). Needs no authentication."""
        method, request = _CONFIGURATION + "GetConfiguration", requests.get_configuration()
        answer = self._call(method, request, meta_pb2.GetConfigurationPResponse, authenticated=False)
        return [(each.name, each.value, each.source) for each in answer.clusterConfigs if each.HasField("value")]

    def get_configuration_hash(self) -> str:
        """Changes when the cluster's properties do. Needs no authentication."""
        method, request = _CONFIGURATION + "GetConfigHash", requests.get_config_hash()
        return self._call(method, request, meta_pb2.GetConfigHashPResponse, authenticated=False).clusterConfigHash

    # ------------------------------------------------------------------------------------------------------ calls

    def _call(self, method: str, request: Message, reply: type[M], about: str = "", *, authenticated: bool = True) -> M:
        return self._try(method, request, reply, about, self._usual_effort(), authenticated=authenticated)

    def _call_if_there(self, method: str, request: Message, reply: type[M], about: str) -> M | None:
        """Calls as `_call` does; None if the cluster is too old to have the method."""
        while method not in self._missing:
            channel = self._channel
            try:
                return self._try(method, request, reply, about, self._usual_effort(), optional=True)
            except CallError as error:
                if not is_unimplemented(error):
                    raise
            # A master that is not the primary any more has none of the calls: this one finds the new primary then.
            self.get_configuration_hash()
            if channel is self._channel:
                self._missing.add(method)
        return None

    def _try(
        self,
        method: str,
        request: Message,
        reply: type[M],
        about: str,
        effort: _Effort,
        *,
        authenticated: bool = True,
        optional: bool = False,
    ) -> M:
        while True:
            channel: Channel | None = None
            try:
                channel = self._primary(effort)
                return channel.unary(method, request, reply, effort.timeout(), about, authenticated=authenticated)
            except CallError as error:
                if optional and is_unimplemented(error):
                    raise
                self._recover(error, channel, effort)

    def _try_master_info(self, effort: _Effort) -> str:
        method, request = _META + "GetMasterInfo", requests.get_master_info()
        answer = self._try(method, request, meta_pb2.GetMasterInfoPResponse, "", effort)
        self._version = answer.masterInfo.version
        return self._version

    def _usual_effort(self, patience: float | None = None) -> _Effort:
        usual = self._settings.rpc_retry_max_duration_s
        if patience is None:
            return _Effort(self._settings, usual, _CALL_S)
        return _Effort(self._settings, min(patience, usual), min(_CALL_KNOWN_S, _CALL_S))

    def _recover(self, error: CallError, channel: Channel | None, effort: _Effort) -> None:
        """Returns when the call is worth another attempt; else raises `error`."""
        forget_frames(error)  # it may be kept
        if self._closed.is_set():
            raise Closed(Status.CANCELLED, error.where, "closed") from None
        if not isinstance(error, (TimedOut, Unanswered)) and not (isinstance(error, NoPrimary) and error.is_silence):
            effort.reason = error
        if channel is None:
            if is_retryable(error) and effort.hopeful and effort.left():
                return  # the search was another thread's, who had less time
            raise effort.reason or error
        given_up = isinstance(error, Closed)  # by another thread
        if not (is_retryable(error) or is_unimplemented(error) or isinstance(error, TimedOut) or given_up):
            raise error
        self._give_up(channel, error)
        pause = effort.pauses.next()
        if isinstance(error, TimedOut) and effort.left():
            raise error
        if time.monotonic() + pause >= effort.deadline:
            raise effort.reason or error
        self.calls.repeated(channel.target)
        doing.failed(error.strerror or str(error))
        if not given_up:
            self.calls.paused(channel.target, pause)
            with doing.pausing():
                self._closed.wait(pause)

    # ---------------------------------------------------------------------------------------------------- primary

    def _primary(self, effort: _Effort) -> Channel:
        channel = self._channel
        if channel is not None:
            doing.asking(f"master {channel.target}")
            return channel
        doing.asking(f"the masters {', '.join(self._settings.masters)}, none of which serves")
        left = effort.left()
        return self._searches.run(lambda: self._channel, lambda: self._find(left, effort.hopeful), left)

    def _find(self, timeout: float, hopeful: bool) -> Channel:
        search = Search(self._settings, self.calls)
        with self._lock:
            if self._closed.is_set():
                raise Closed(Status.CANCELLED, "search for the primary master", "closed")
            self._search = search
        try:
            channel = search.run(timeout, hopeful=hopeful)
        finally:
            with self._lock:
                self._search = None
        with self._lock:
            if not self._closed.is_set():
                self._channel = channel
                self._missing.clear()
                log.info("the primary master is %s", channel.target)
                return channel
        channel.close()
        raise Closed(Status.CANCELLED, "search for the primary master", "closed")

    def _give_up(self, channel: Channel, error: CallError) -> None:
        with self._lock:
            current = self._channel is channel
            if current:
                self._channel = None
        if current:
            log.warning("%s; looking for the primary master", error.strerror)
        channel.retire()
