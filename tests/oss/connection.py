"""One connection: a thread that reads a request, has it answered, and goes on to the next."""

from __future__ import annotations

import base64
import socket
import traceback
from functools import partial
from typing import TYPE_CHECKING

from oss import access, addressing, answers, documents, faults, operations
from oss.answers import Answer
from oss.errors import OssError
from oss.log import Entry
from oss.store import PRIVATE
from oss.wire import Malformed, Reader, Request

if TYPE_CHECKING:
    from oss.faults import Fault
    from oss.site import Site

_READING = {"GET", "HEAD", "LIST"}  # what anybody may do with a public bucket


class Connection:
    """`number`: counted from 1."""

    def __init__(self, site: Site, connection: socket.socket, number: int) -> None:
        self._site = site
        self._connection = connection
        self._number = number
        self._reader = Reader(connection)

    def run(self) -> None:
        """Until the client goes."""
        try:
            while self._serve():
                pass
        except (OSError, Malformed):
            pass  # the client is gone, or is none of OSS
        finally:
            self._connection.close()

    def _serve(self) -> bool:
        """Answers a request; whether another may come."""
        try:
            request = self._reader.request()
        except OssError as error:  # a path or a query that is no text
            self._connection.sendall(_refusal(error, None, self._site.request_id()).head(keep=False))
            return False
        if request is None:
            return False
        answer, entry, fault = self._answer(request)
        for _ in request.pieces():
            pass  # of a body that was refused
        answer.bodiless = request.method == "HEAD" or answer.status in (204, 304)
        keep = request.stays()
        count = partial(self._site.log.sending, entry) if answer.is_object else _ignore
        answers.send(self._connection, answer, keep, count, fault.most, fault.rate)
        return fault.after(self._connection) and keep

    def _answer(self, request: Request) -> tuple[Answer, Entry, Fault]:
        site = self._site
        refused: OssError | None = None
        try:
            addressing.resolve(request)
        except OssError as error:
            refused = error
        request.operation, operation = operations.find(request)
        entry = self._entry(request)
        fault = site.rules.fault_of(request)
        entry.fault = "" if type(fault) is faults.Fault else type(fault).__name__
        site.log.asked(entry)
        request_id = site.request_id()
        try:
            if refused is not None:
                raise refused
            fault.before(request)
            answer = fault.instead(request)
            if answer is None:
                self._admit(request)
                answer = operation(site, request)
            answer = fault.changed(answer)
        except OssError as error:
            entry.code = error.code
            answer = _refusal(error, request, request_id)
        except faults.Hang:
            faults.wait_for_end(self._connection)
            raise ConnectionResetError("it was to hang") from None
        except (OSError, Malformed):
            raise
        except Exception:
            traceback.print_exc()  # a mistake of ours
            answer = _refusal(OssError("InternalError"), request, request_id)
        if fault.of_oss:
            answer.headers["x-oss-request-id"] = request_id
        entry.status = answer.status
        return answer, entry, fault

    def _admit(self, request: Request) -> None:
        """Raises OssError for a request that may not be made."""
        if access.version_of(request):
            self._site.access.check(request)
        elif not request.bucket or self._site.store.bucket(request.bucket).acl == PRIVATE:
            raise OssError("AccessDenied")
        elif request.operation not in _READING:
            raise OssError("AccessDenied", "Anonymous access is forbidden for this operation.")

    def _entry(self, request: Request) -> Entry:
        return Entry(
            method=request.method,
            operation=request.operation,
            bucket=request.bucket,
            key=request.key,
            query=request.query,
            range=request.headers.get("range", ""),
            host=request.host,
            signature=access.version_of(request),
            connection=self._number,
        )


def _refusal(error: OssError, request: Request | None, request_id: str) -> Answer:
    """The answer to a refused request; that to HEAD has its XML in a header."""
    if error.status == 304:
        return Answer(304, error.headers)
    text = documents.error(error, request_id, request.host if request is not None else "")
    answer = answers.document(text, error.status)
    answer.headers.update(error.headers)
    if request is not None and request.method == "HEAD":
        answer.headers["x-oss-err"] = base64.b64encode(text.encode()).decode()
    return answer


def _ignore(_: int) -> None:
    pass
