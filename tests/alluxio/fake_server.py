"""A server of gRPC in this process that behaves as an Alluxio one does, or as badly as a test wants.

Sessions are Alluxio's: an id is known for as long as its authentication stream lives, told twice it is lost, and a
call without a known id is UNAUTHENTICATED. `on` sets what a method answers; `fail` and `hold` come first.
"""

from __future__ import annotations

import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.message import Message

from alluxio_jnifuse.sources.alluxio.proto import block_pb2, file_pb2, meta_pb2, sasl_pb2, version_pb2

AUTHENTICATE = "authenticate"
VERSION = "getServiceVersion"
WITHOUT_AUTHENTICATION = {AUTHENTICATE, VERSION, "GetConfiguration", "GetConfigHash"}
STREAMS_OF_REPLIES = {"ListStatus"}
STREAMS = {AUTHENTICATE, "ReadBlock", "OpenLocalBlock"}
_WAIT_S = 100.0


class FakeServer:
    """Serves on `target` until `close`. What it was asked: `calls` [(method, channel id)], `users` by channel id."""

    def __init__(self, address: str = "127.0.0.1:0", credentials: grpc.ServerCredentials | None = None) -> None:
        self.lock = threading.Condition()
        self.calls: list[tuple[str, str]] = []
        self.users: dict[str, str] = {}  # who is authenticated now
        self.all_ids: list[str] = []  # every id that was ever told
        self.authentication = "accept"  # or "refuse", "silent", "none", "ask on", "hang up"
        self.files: dict[str, file_pb2.FileInfo] = {}
        self._answers: dict[str, Callable[[bytes, grpc.ServicerContext], Any]] = {}
        self._failures: dict[str, list[tuple[grpc.StatusCode, str]]] = defaultdict(list)
        self._held: set[str] = set()
        self._closed = False
        self._streams: dict[str, grpc.ServicerContext] = {}
        self.version = 2
        self._set_answers()
        self._server = grpc.server(
            ThreadPoolExecutor(64), handlers=(self._handlers(),), options=(("grpc.so_reuseport", 0),)
        )
        if credentials is None:
            port = self._server.add_insecure_port(address)
        else:
            port = self._server.add_secure_port(address, credentials)
        host = address.rpartition(":")[0]
        self.target = address if address.startswith("unix:") else f"{host}:{port}"
        self._server.start()

    # ---------------------------------------------------------------------------------------------- what it does

    def on(self, method: str, answer: Callable[[bytes, grpc.ServicerContext], Any]) -> None:
        """`answer(request, context)` gives the reply of a method, or an iterator of replies.

        For a method with a stream of requests, `request` is their iterator.
        """
        self._answers[method] = answer

    def fail(self, method: str, status: grpc.StatusCode, details: str = "", times: int = 1) -> None:
        """The next `times` calls of a method fail."""
        self._failures[method] += [(status, details)] * times

    def succeed(self, method: str) -> None:
        """Forgets the failures that were due."""
        self._failures[method].clear()

    def hold(self, method: str) -> None:
        """Calls of a method do not return until `release`."""
        with self.lock:
            self._held.add(method)

    def release(self, method: str) -> None:
        with self.lock:
            self._held.discard(method)
            self.lock.notify_all()

    def stand_by(self, standby: bool = True) -> None:
        """As a standby master: it authenticates, and serves nothing."""
        for method in self._answers:
            self.succeed(method)
            if standby:
                status = grpc.StatusCode.UNAVAILABLE if method == VERSION else grpc.StatusCode.UNIMPLEMENTED
                self.fail(method, status, "this master is on standby", times=1_000_000)

    def end_sessions(self) -> None:
        """Ends the authentication streams, as a server does that shuts down."""
        with self.lock:
            streams = list(self._streams.values())
            self._streams.clear()
            self.users.clear()
            self.lock.notify_all()
        for context in streams:
            context.cancel()

    def forget_sessions(self) -> None:
        """Loses the ids while the streams stay open."""
        with self.lock:
            self.users.clear()

    def count(self, method: str) -> int:
        with self.lock:
            return sum(1 for name, _ in self.calls if name == method)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Returns when `condition` holds; it is looked at whenever something happens here."""
        with self.lock:
            assert self.lock.wait_for(condition, _WAIT_S), "it did not happen"

    def close(self) -> None:
        """Connections are cut at once."""
        with self.lock:
            self._closed = True
            self.lock.notify_all()
        self._server.stop(None).wait(_WAIT_S)

    # ---------------------------------------------------------------------------------------------- how it does it

    def _set_answers(self) -> None:
        info = meta_pb2.MasterInfo(version="2.9.6")
        self.on(VERSION, lambda _r, _c: version_pb2.GetServiceVersionPResponse(version=self.version))
        self.on("GetMasterInfo", lambda _r, _c: meta_pb2.GetMasterInfoPResponse(masterInfo=info))
        self.on("GetStatus", self._get_status)
        self.on("ListStatus", self._list_status)
        self.on(
            "Exists", lambda r, _c: file_pb2.ExistsPResponse(exists=_path(file_pb2.ExistsPRequest, r) in self.files)
        )
        self.on("CheckAccess", lambda _r, _c: file_pb2.CheckAccessPResponse())
        self.on("GetMountTable", lambda _r, _c: file_pb2.GetMountTablePResponse())
        self.on("GetBlockInfo", lambda _r, _c: block_pb2.GetBlockInfoPResponse())
        self.on("GetWorkerInfoList", lambda _r, _c: block_pb2.GetWorkerInfoListPResponse())
        self.on("GetBlockMasterInfo", lambda _r, _c: block_pb2.GetBlockMasterInfoPResponse())
        self.on("GetConfiguration", lambda _r, _c: meta_pb2.GetConfigurationPResponse())
        self.on("GetConfigHash", lambda _r, _c: meta_pb2.GetConfigHashPResponse(clusterConfigHash="hash"))

    def _get_status(self, request: bytes, context: grpc.ServicerContext) -> Message:
        path = _path(file_pb2.GetStatusPRequest, request)
        if path not in self.files:
            context.abort(grpc.StatusCode.NOT_FOUND, f'Path "{path}" does not exist.')
        return file_pb2.GetStatusPResponse(fileInfo=self.files[path])

    def _list_status(self, request: bytes, _context: grpc.ServicerContext) -> Iterator[Message]:
        prefix = _path(file_pb2.ListStatusPRequest, request).rstrip("/") + "/"
        for path, info in self.files.items():
            if path.startswith(prefix):
                yield file_pb2.ListStatusPResponse(fileInfos=[info])

    def _handlers(self) -> grpc.GenericRpcHandler:
        server = self

        class Handlers(grpc.GenericRpcHandler):
            def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
                method = details.method.rpartition("/")[2]
                if method == AUTHENTICATE:
                    return grpc.stream_stream_rpc_method_handler(server._authenticate)
                if method in STREAMS:
                    return grpc.stream_stream_rpc_method_handler(lambda r, c: server._replies(method, r, c))
                if method in STREAMS_OF_REPLIES:
                    return grpc.unary_stream_rpc_method_handler(lambda r, c: server._replies(method, r, c))
                return grpc.unary_unary_rpc_method_handler(lambda r, c: server._reply(method, r, c))

        return Handlers()

    def _reply(self, method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        self._admit(method, context)
        return _serialised(self._answers[method](request, context))

    def _replies(self, method: str, request: Any, context: grpc.ServicerContext) -> Iterator[bytes]:
        self._admit(method, context)
        for reply in self._answers[method](request, context):
            yield _serialised(reply)

    def _admit(self, method: str, context: grpc.ServicerContext) -> None:
        channel_id = dict(context.invocation_metadata()).get("channel-id", "")
        with self.lock:
            self.calls.append((method, channel_id))
            self.lock.notify_all()
            known = channel_id in self.users or self.authentication == "none"
            self.lock.wait_for(lambda: self._closed or method not in self._held or not context.is_active())
            failure = self._failures[method].pop(0) if self._failures[method] else None
        if not known and method not in WITHOUT_AUTHENTICATION:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, f"Channel Id is missing for call: {method}.")
        if failure is not None:
            context.abort(*failure)
        if method != AUTHENTICATE and method not in self._answers:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"Method not found: {method}")

    def _authenticate(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        first = sasl_pb2.SaslMessage.FromString(next(messages))
        impersonated, user, password = first.message.decode().split("\0")
        channel_id = first.clientId
        self._admit(AUTHENTICATE, context)
        behaviour = self.authentication
        with self.lock:
            live = channel_id in self.users
            self.users.pop(channel_id, None)
            self.all_ids.append(channel_id)
            if behaviour == "accept" and not live:
                self.users[channel_id] = f"{user} as {impersonated}" if impersonated else user
                self._streams[channel_id] = context
            self.lock.notify_all()
        if behaviour == "none":
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"Method not found: {AUTHENTICATE}")
        if live:
            context.abort(grpc.StatusCode.INTERNAL, "Channel is already registered")
        if behaviour == "refuse" or not user or not password:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, f"{user} is not configured to allow any impersonation")
        if behaviour == "hang up":
            return
        if not context.add_callback(lambda: self._forget(channel_id)):
            self._forget(channel_id)  # the client is gone
        if behaviour == "ask on":
            yield sasl_pb2.SaslMessage(messageType=sasl_pb2.CHALLENGE).SerializeToString()
        elif behaviour == "accept":
            yield sasl_pb2.SaslMessage(messageType=sasl_pb2.SUCCESS).SerializeToString()
        for _ in messages:  # until the client half-closes, or its connection ends
            pass
        self._forget(channel_id)

    def _forget(self, channel_id: str) -> None:
        with self.lock:
            self.users.pop(channel_id, None)
            self._streams.pop(channel_id, None)
            self.lock.notify_all()


class RawServer:
    """Accepts connections and treats them as `behaviour` does, each in a thread of its own."""

    def __init__(self, behaviour: Callable[[socket.socket], None]) -> None:
        self._behaviour = behaviour
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            self._behaviour(connection)
        except OSError:
            pass


def unused_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _path(kind: Any, request: bytes) -> str:
    return str(kind.FromString(request).path)


def _serialised(reply: Message | bytes) -> bytes:
    return reply if isinstance(reply, bytes) else reply.SerializeToString()
