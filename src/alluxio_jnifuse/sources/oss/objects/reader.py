"""The bytes of one object: ranges of it, all of one version, as long as anybody gives them.

Each range is a GetObject of its own, pinned to the ETag where that is known. The head of an answer is checked before
any of its bytes counts: 206 and the very range, of an object of the very size and ETag. A server may answer a range
with the whole object (200): that is taken only where the whole object was asked for. When an answer ends early, stalls
or fails, what came stays, and the rest is asked for.

Threads: any; an OpenObject is for all readers of a file.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING

from alluxio_jnifuse._wire import crc64
from alluxio_jnifuse.errors import CorruptContents, StaleVersion, forget_frames
from alluxio_jnifuse.sources.oss.http.connection import LEAST_BYTES, Broken, Malformed, number
from alluxio_jnifuse.sources.oss.objects.checksum import Checksum, Damaged
from alluxio_jnifuse.sources.oss.objects.lookup import record_of
from alluxio_jnifuse.sources.oss.requests.errors import FAILURES, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from alluxio_jnifuse.sources.oss.requests.client import Answer, Client
    from alluxio_jnifuse.sources.oss.requests.patience import Patience

log = logging.getLogger(__name__)

_FIRST_BYTES = 128 << 10  # a waiting reader waits for the first read of the kernel
_PIECE_BYTES = 512 << 10  # between calls of progress; a call into the kernel for each
_DAMAGED_S = 3.0
_MOST_DAMAGED = 1000
_CRC = "x-oss-hash-crc64ecma"
_RANGE = re.compile(r"bytes ([0-9]{1,20})-([0-9]{1,20})/([0-9]{1,20})")
_ETAG = re.compile(r"[!#-~]{1,256}")  # what may stand between quotes in a header
_OTHER_VERSION = frozenset({412, 416})  # it has another ETag, has become shorter


class OpenObject:
    """One version of one object: the handle of an open file. `etag` is "" until it is known."""

    __slots__ = ("checksum", "crc", "etag", "key", "path", "size", "version")

    def __init__(self, path: bytes, key: str, version: int, size: int, etag: str) -> None:
        self.path = path
        self.key = key
        self.version = version
        self.size = size  # bytes
        self.etag = etag if _ETAG.fullmatch(etag) else ""
        self.crc: str | None = None  # as the last answer told it
        self.checksum = Checksum(size)

    @property
    def where(self) -> str:
        return repr(os.fsdecode(self.path))


class Reader:
    """Reads the objects of a client's bucket.

    A version that was found damaged is not read for a moment. A part of it cannot be checked, and the kernel, which
    asks again for what failed to be read ahead, would be given that part.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._patience_s = client.settings.read_patience_s
        self._damaged_until: OrderedDict[tuple[bytes, int], float] = OrderedDict()  # by path and version, monotonic

    def read_into(self, obj: OpenObject, offset: int, buffer: memoryview, progress: Callable[[int], None]) -> int:
        """`Source.read_into`, of an open object. Raises StaleVersion, CorruptContents, SourceError, Refused."""
        checksum = obj.checksum
        checked = checksum.checked
        again = False

        def take(begin: int, end: int) -> None:
            nonlocal again
            checksum.expect(obj.crc)
            try:
                checksum.add(offset + begin, buffer[begin:end])
            except Damaged as error:
                self._damaged(obj, error, again)
                again = True
                raise Broken("it is damaged") from None
            progress(end)

        done = self._fill(obj, offset, buffer, take, progress)
        if checksum.checked and not checked:
            self._client.counters.add("checked")
        return done

    def read_whole(self, obj: OpenObject, buffer: memoryview, progress: Callable[[int], None]) -> int:
        """Reads an object from its start to its end; not a byte counts before it returns, when all are checked."""
        again = False
        whole = min(len(buffer), obj.size)

        def look(begin: int, end: int) -> None:
            if end < whole:
                progress(0)

        while True:
            done = self._fill(obj, 0, buffer, look, lambda _: progress(0))
            expected = number(obj.crc or "")
            if expected is None:
                break
            self._client.counters.add("checked")
            found = crc64(buffer[:done])
            if found == expected:
                break
            self._damaged(obj, Damaged(expected, found), again)
            again = True
        return done

    def _fill(
        self,
        obj: OpenObject,
        offset: int,
        buffer: memoryview,
        take: Callable[[int, int], None],
        check: Callable[[int], None],
    ) -> int:
        """Fills the buffer as far as the object goes; `take(begin, end)` is told of each piece of it, in order.

        When that raises Broken, the piece is asked for again. `check(done)` raises when nobody wants the rest.
        """
        self._check_trust(obj)
        end = min(len(buffer), obj.size - offset)
        done = came = 0
        step = _FIRST_BYTES
        patience: Patience | None = None  # until something fails
        since = time.monotonic()
        while done < end:
            try:
                place = buffer[done:end] if end - done <= _FIRST_BYTES else None
                with self._get(obj, offset + done, offset + end, place) as answer:
                    _check(answer, obj, offset + done, offset + end)
                    while done < end:
                        count = answer.read_into(buffer[done : min(end, done + step)])
                        self._client.counters.add("bytes", count)
                        take(done, done + count)
                        done += count
                        came += count
                        step = _PIECE_BYTES
                        if came >= LEAST_BYTES and done < end:
                            since = time.monotonic()
                            if patience is not None:
                                patience.came()
                            came = 0
            except FAILURES as error:
                forget_frames(error)
                if isinstance(error, Refused) and (error.missing or error.status in _OTHER_VERSION):
                    raise StaleVersion(obj.where) from error
                if patience is None:
                    patience = self._client.patience(self._patience_s, obj.where, since)
                patience.failed(error, partial(check, done))
        return done

    def _distrust(self, obj: OpenObject) -> None:
        self._damaged_until[obj.path, obj.version] = time.monotonic() + _DAMAGED_S
        while len(self._damaged_until) > _MOST_DAMAGED:
            self._damaged_until.popitem(last=False)

    def _check_trust(self, obj: OpenObject) -> None:
        until = self._damaged_until.get((obj.path, obj.version), 0.0)
        if time.monotonic() < until:
            raise CorruptContents("it was damaged a moment ago", where=obj.where)

    def _get(self, obj: OpenObject, begin: int, end: int, place: memoryview | None) -> Answer:
        headers = {}
        if obj.etag:
            headers["if-match"] = f'"{obj.etag}"'
        if begin or end < obj.size:
            headers["range"] = f"bytes={begin}-{end - 1}"
            headers["x-oss-range-behavior"] = "standard"  # a range that cannot be served is 416, not all of the object
        return self._client.send("get", obj.key, {}, headers, place)

    def _damaged(self, obj: OpenObject, error: Damaged, again: bool) -> None:
        """Raises CorruptContents when it was damaged before, too."""
        self._client.counters.add("damaged")
        if again:
            self._distrust(obj)
            raise CorruptContents(str(error), where=obj.where)
        log.warning("%s: %s; reading it again", obj.where, error)


def _check(answer: Answer, obj: OpenObject, begin: int, end: int) -> None:
    """Whether an answer holds the bytes [begin, end) of the object. Raises StaleVersion, Malformed."""
    headers = answer.headers
    etag = headers.get("etag", "").strip('"')
    if answer.status == 206:
        match = _RANGE.fullmatch(headers.get("content-range", ""))
        if match is None:
            raise Malformed(f"an answer without its range: {headers.get('content-range')!r}")
        first, last, size = map(int, match.groups())
    elif answer.left is not None:
        first, last, size = 0, answer.left - 1, answer.left
    else:
        raise Malformed("an answer without its length")
    if not etag:
        raise Malformed("an answer without its ETag")
    if obj.etag:
        changed = etag != obj.etag or size != obj.size
    else:
        changed = record_of(headers, size, obj.key).version != obj.version
    if changed:
        raise StaleVersion(obj.where)
    if (first, last + 1) != (begin, end) or answer.left != end - begin:
        raise Malformed(f"asked for {begin}-{end - 1}, got {answer.status} with {first}-{last}")
    obj.etag = etag if _ETAG.fullmatch(etag) else ""
    obj.crc = headers.get(_CRC)
