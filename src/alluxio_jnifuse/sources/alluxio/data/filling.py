"""Bytes of a block, from a cursor's call or from those that take its place when it fails (attempts.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alluxio_jnifuse.errors import forget_frames
from alluxio_jnifuse.sources import doing
from alluxio_jnifuse.sources.alluxio.data.attempts import Effort
from alluxio_jnifuse.sources.alluxio.rpc.errors import CallError
from alluxio_jnifuse.sources.alluxio.rpc.streams import MalformedChunk, ShortStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from alluxio_jnifuse.sources.alluxio.data.attempts import FileBlocks
    from alluxio_jnifuse.sources.alluxio.data.cursor import Cursor

_FIRST_VERIFIED_BYTES = 1 << 20  # from the under store, before the master is asked: of a call,
_VERIFIED_BYTES = 4 << 20  # and between two questions


def fill(
    blocks: FileBlocks,
    cursor: Cursor,
    stop: int,
    buffer: memoryview,
    done: int,
    end: int,
    progress: Callable[[int], None],
) -> bool:
    """Fills buffer[done:end] from the cursor's call, or from those that take its place when it fails.

    Calls are made up to `stop` of the block. Bytes from the under store are reported once they are verified; returns
    whether that is left to do for the last part, when it is another thread's turn.
    """
    index = cursor.index
    base = cursor.position - done
    final = done

    def look(_: int = 0) -> None:
        progress(final)  # raises Cancelled

    effort = Effort(blocks, index, look)
    while final < end:
        attempt = cursor.attempt
        if cursor.call is None or attempt is None:
            look()  # who waited for his turn may have been left meanwhile
            attempt = cursor.attempt = effort.next()
        until = end
        if attempt.from_ufs:
            step = _FIRST_VERIFIED_BYTES if cursor.position == cursor.start else _VERIFIED_BYTES
            until = min(end, final + step)
        failure: Exception | None = None
        try:
            if cursor.call is None:
                limit = base + end if attempt.is_brief else stop
                cursor.call = blocks.begin(index, cursor.position, limit, attempt)
                cursor.began = cursor.position
            doing.asking(attempt.choice.name)
            try:
                cursor.call.read_into(buffer, final, until, look if attempt.from_ufs else progress)
            finally:
                cursor.position = cursor.call.position
        except (OSError, ShortStream, MalformedChunk) as error:
            cursor.finish()
            forget_frames(error)
            failure = error
            if not isinstance(error, CallError):  # a channel counts its own
                blocks.workers.count_failure(attempt.choice.address)
        came = cursor.position - base > final
        if came:
            blocks.note_source(index, attempt.choice)
            if attempt.from_ufs and not cursor.began and cursor.position == blocks.status.block_lengths[index]:
                blocks.note_kept(index, attempt.choice)
            final = cursor.position - base
            if attempt.from_ufs:
                if final == end and failure is None:
                    return True
                blocks.verify()
                progress(final)
        if failure is not None:
            effort.failed(attempt, failure, came)
            blocks.workers.count_retry(attempt.choice.address)
    if cursor.attempt is not None and cursor.attempt.is_brief:
        cursor.finish()
    return False
