"""Programs that use the compiled core as nobody should: `python abuse.py NAME DIRECTORY` runs one of them.

Each ends with 0 when it was refused as the types of the core say, and the process with a signal when it was not. A
program is the only process that has the mount it makes, and asks it from threads of its own.
"""

from __future__ import annotations

import gc
import math
import mmap
import os
import socket
import stat
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime_CAPI  # type: ignore[attr-defined]
from typing import Any, NamedTuple

import numpy as np

from alluxio_jnifuse import _core, _wire
from alluxio_jnifuse._core import Core, Fetch
from alluxio_jnifuse._wire import BlockConnection
from alluxio_jnifuse.config.values import Config
from alluxio_jnifuse.sources.base import ENTRY_DTYPE

GUARD_S = 60.0  # for what must happen; a program that waits so long has failed
PAGE = 4096
DIRECTORY_MODE = stat.S_IFDIR | 0o755
FILE_MODE = stat.S_IFREG | 0o644
PROGRAMS: dict[str, Callable[[str], None]] = {}


def program(function: Callable[[str], None]) -> Callable[[str], None]:
    """Makes a function one of the programs."""
    PROGRAMS[function.__name__] = function
    return function


class Attr(NamedTuple):
    """What `answer_attr` takes."""

    mode: int
    size: int = 0
    version: int = 1
    ino: int = 7
    blocks: int = 8
    mtime_ns: int = 0
    ctime_ns: int = 0
    atime_ns: int = 0
    nlink: int = 1
    uid: int = 0
    gid: int = 0


def new_core() -> Core:
    """A core with the default options."""
    return Core(Config.load(options=["ro"], environ={}).core_options())


def unborn() -> Core:
    """A core that was never initialised."""
    return Core.__new__(Core)


@contextmanager
def mounted(directory: str) -> Iterator[Core]:
    """A core that serves `directory`."""
    core = new_core()
    core.mount(os.fsencode(directory), "ro")
    try:
        core.start(GUARD_S)
        yield core
    finally:
        core.stop()


def next_of(core: Core, kind: int, path: bytes | None = None) -> Fetch:
    """The next fetch of that kind; all others are answered: everything but directories /d... is a file of a page."""
    while True:
        fetch, _ = core.next_fetch(GUARD_S)
        assert fetch is not None, "no fetch came"
        if fetch.kind == kind and path in (None, fetch.path):
            return fetch
        if fetch.kind == _core.STAT:
            is_directory = fetch.path == b"/" or fetch.path.startswith(b"/d")
            fetch.answer_attr(Attr(DIRECTORY_MODE) if is_directory else Attr(FILE_MODE, PAGE))
        elif fetch.kind == _core.OPEN:
            fetch.answer_opened(0, fetch.version, fetch.size, ())
        elif fetch.kind == _core.CLOSE:
            fetch.done()
        else:
            fetch.fail(5)
        fetch.release()


def fail_until_ended(core: Core, thread: Thread) -> None:
    """Whatever that thread asks for, it does not get."""
    while thread.is_alive():
        fetch, _ = core.next_fetch(0.01)
        if fetch is not None:
            fetch.fail(5)
            fetch.release()


class Thread(threading.Thread):
    """A thread whose failure is the program's."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        super().__init__(daemon=True)
        self._call = function, arguments
        self._answer: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        function, arguments = self._call
        try:
            self._answer = function(*arguments)
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        """What the function returned, or raises what it raised."""
        self.join(GUARD_S)
        assert not self.is_alive(), "the thread hangs"
        if self._error is not None:
            raise self._error
        return self._answer


def read_file(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, PAGE)
    finally:
        os.close(fd)


def refused(
    kinds: type[BaseException] | tuple[type[BaseException], ...], function: Callable[..., Any], *args: Any
) -> None:
    """Has a call fail in one of these ways."""
    try:
        answer = function(*args)
    except kinds:
        return
    raise AssertionError(f"{function!r}{args!r} was not refused, but returned {answer!r}")


def entries_of(*names: bytes) -> bytes:
    """A listing of files; their names lie one behind the other."""
    table = np.zeros(len(names), ENTRY_DTYPE)
    offset = 0
    for row, name in zip(table, names):
        row["mode"], row["size"], row["nlink"], row["version"] = FILE_MODE, PAGE, 1, 1
        row["name_off"], row["name_len"] = offset, len(name)
        offset += len(name)
    return table.tobytes()


# -------------------------------------------------------------------------------------------- a fetch, and two threads


@program
def released_while_it_is_answered(directory: str) -> None:
    """An answer is held up inside the core, by memory that a file of the same mount has to fill, and given back."""
    with mounted(directory) as core:
        opening = Thread(os.open, f"{directory}/slow", os.O_RDONLY)
        opened = next_of(core, _core.OPEN)
        opened.answer_opened(0, opened.version, PAGE, ())
        opened.release()
        memory = mmap.mmap(opening.result(), PAGE, mmap.MAP_SHARED, mmap.PROT_READ)
        listing = Thread(os.listdir, f"{directory}/d")
        fetch = next_of(core, _core.LIST)
        table = entries_of(b"a", b"b")
        answering = Thread(fetch.answer_list, memoryview(memory)[: len(table)], b"ab")
        page = next_of(core, _core.READ)  # the answer reads its entries now
        fetch.release()
        refused(ValueError, fetch.fail, 5)
        fetch.release()
        view = memoryview(page)
        view[: len(table)] = table
        view.release()
        page.done(PAGE)
        page.release()
        answering.result()
        assert sorted(listing.result()) == ["a", "b"]
        refused(ValueError, fetch.answer_list, b"", b"")


@program
def two_threads_end_a_fetch(directory: str) -> None:
    """Progress, the end and giving back, at once and often."""
    with mounted(directory) as core:
        for number in range(400):
            reading = Thread(read_file, f"{directory}/file{number}")
            fetch = next_of(core, _core.READ)
            end_at_once(fetch, number)
            fail_until_ended(core, reading)
            try:
                reading.result()
            except OSError:
                pass  # it was given back before it was done


def end_at_once(fetch: Fetch, number: int) -> None:
    """Calls everything that ends a fetch from threads of their own."""
    barrier = threading.Barrier(4)

    def call(function: Callable[..., Any], *arguments: Any) -> None:
        barrier.wait()
        try:
            for _ in range(20):
                function(*arguments)
        except (ValueError, _core.Cancelled):
            pass

    calls = [
        Thread(call, fetch.progress, PAGE),
        Thread(call, fetch.progress, PAGE // 2),
        Thread(call, fetch.done, PAGE) if number % 2 else Thread(call, fetch.fail, 5),
        Thread(call, fetch.release),
    ]
    for each in calls:
        each.result()


@program
def two_answers_at_once(directory: str) -> None:
    """The first counts, and takes the descriptors; the second is refused, and its descriptors are closed."""
    with mounted(directory) as core:
        for number in range(300):
            opening = Thread(read_file, f"{directory}/file{number}")
            fetch = next_of(core, _core.OPEN)
            barrier = threading.Barrier(2)

            def answer(fetch: Fetch, barrier: threading.Barrier) -> bool:
                fd = os.memfd_create("lent")
                os.write(fd, b"x" * PAGE)
                barrier.wait()
                try:
                    fetch.answer_opened(0, fetch.version, PAGE, [(fd, 0, PAGE)])
                except ValueError:
                    return False
                return True

            answers = [Thread(answer, fetch, barrier) for _ in range(2)]
            assert sorted(each.result() for each in answers) == [False, True]
            fetch.release()
            assert opening.result() == b"x" * PAGE


@program
def collected_with_its_core(directory: str) -> None:
    """A fetch and its core are garbage together: the collector clears what it likes first."""
    with mounted(directory) as core:
        reading = Thread(read_file, f"{directory}/file")
        fetch = next_of(core, _core.READ)
    for made in (fetch, memoryview(fetch)):
        ring: list[Any] = [made]
        ring.append(ring)
    refused(OSError, reading.result)
    del core, fetch, made, ring
    gc.collect()


@program
def kept_beyond_the_end(directory: str) -> None:
    """Fetches of every kind that are answered after the stop, and one that is never."""
    with mounted(directory) as core:
        asking: list[Thread] = []
        held = []
        for ask, kind in (
            (lambda: os.stat(f"{directory}/e"), _core.STAT),
            (lambda: os.listdir(f"{directory}/d"), _core.LIST),
            (lambda: read_file(f"{directory}/open"), _core.OPEN),
            (lambda: read_file(f"{directory}/read"), _core.READ),
            (lambda: os.statvfs(directory), _core.STATFS),
        ):
            asking.append(Thread(ask))
            held.append(next_of(core, kind, b"/e" if kind == _core.STAT else None))
        kept = Thread(lambda: os.stat(f"{directory}/kept"))
        never = next_of(core, _core.STAT, b"/kept")
    for thread in (*asking, kept):
        refused(OSError, thread.result)
    held[0].answer_attr(Attr(FILE_MODE))
    held[1].answer_list(entries_of(b"a"), b"a")
    held[2].answer_opened(0, held[2].version, held[2].size, [(os.memfd_create("lent"), 0, held[2].size)])
    memoryview(held[3])[:] = b"x" * len(memoryview(held[3]))
    held[3].done(held[3].length)
    held[4].answer_statfs(1, 1, 1, 1, 1, 1, 255)
    refused(_core.Stopped, core.next_fetch, 0.0)
    core.invalidate(b"/e")
    core.expire(0.0)
    core.offer_list(b"/d", entries_of(b"a"), b"a", 0.0)
    assert core.stats()["fetches_born"] > 5
    del core, never, held


# ----------------------------------------------------------------------------------------------------- descriptors


@program
def descriptors_of_a_malformed_answer(directory: str) -> None:
    """They are taken whatever the answer is worth, and whatever became of the fetch."""

    class Odd:
        def __iter__(self) -> Iterator[Any]:
            raise RuntimeError("planted")

    def broken(*extents: Any) -> Iterator[Any]:
        yield from extents
        raise RuntimeError("planted")

    bad: list[Callable[[int, int], tuple[Any, ...]]] = [
        lambda a, b: (0, 1, PAGE, [(a, 0, PAGE), (b, 0)]),
        lambda a, b: (0, 1, PAGE, [(a, 0), (b, 0, PAGE)]),
        lambda a, b: (0, 1, PAGE, [(a, 0, "long"), (b, 0, PAGE)]),
        lambda a, b: (0, 1, PAGE, [(a, -1, PAGE), (b, 0, PAGE)]),
        lambda a, b: (0, 1, PAGE, [(a, 0, 2**64), (b, 0, PAGE)]),
        lambda a, b: (0, 1, PAGE, [(a, 0, PAGE, 4), (b, 0, PAGE)]),
        lambda a, b: (0, 1, PAGE, [(a, 0, PAGE), None, (b, 0, PAGE)]),
        lambda a, b: (0, 1, PAGE, [Odd(), (a, 0, PAGE), (b, 0, PAGE)]),
        lambda a, b: (0, 1, PAGE, broken((a, 0, PAGE), (b, 0, PAGE))),
        lambda a, b: (0, 1, PAGE, [(-1, 0, PAGE), (a, 0, PAGE), (b, 0, PAGE)]),
        lambda a, b: (0, 1, PAGE, [(2**40, 0, PAGE), (a, 0, PAGE), (b, 0, PAGE)]),
        lambda a, b: (0, 1, 2 * PAGE, [(a, 0, PAGE), (a, PAGE, PAGE), (b, 0, 0)]),
        lambda a, b: (0, 1, PAGE, [(a, 0, 2**64 - PAGE), (b, 0, 2 * PAGE)]),
        lambda a, b: (0, 1, PAGE, [(a, 2**63, PAGE), (b, 0, 0)]),
        lambda a, b: (0, 1, 2**64 - 2, [(a, 0, 2**63 - 1), (b, 0, 2**63 - 1)]),
        lambda a, b: (-1, 1, PAGE, [(a, 0, 0), (b, 0, PAGE)]),
        lambda a, b: (0, -1, PAGE, [(a, 0, 0), (b, 0, PAGE)]),
        lambda a, b: (0, 2**64, PAGE, [(a, 0, 0), (b, 0, PAGE)]),
        lambda a, b: (0, "1", PAGE, [(a, 0, 0), (b, 0, PAGE)]),
        lambda a, b: (0, 1, 2**64, [(a, 0, 0), (b, 0, PAGE)]),
        lambda a, b: (0, 1, 1.5, [(a, 0, 0), (b, 0, PAGE)]),
    ]
    errors = (ValueError, TypeError, OverflowError, RuntimeError)
    with mounted(directory) as core:
        for number, make in enumerate(bad):
            opening = Thread(read_file, f"{directory}/file{number}")
            fetch = next_of(core, _core.OPEN)
            a, b = os.memfd_create("lent"), os.memfd_create("lent")
            refused(errors, fetch.answer_opened, *make(a, b))
            closed(number, a, b)
            fetch.release()
            refused(OSError, opening.result)
            refused(ValueError, fetch.answer_opened, 0, 1, PAGE, [(os.memfd_create("lent"), 0, PAGE)])
        listing = Thread(os.listdir, f"{directory}/d")
        fetch = next_of(core, _core.LIST)
        a = os.memfd_create("lent")
        refused(ValueError, fetch.answer_opened, 0, 1, PAGE, [(a, 0, PAGE)])
        closed("of another kind", a)
        fetch.release()
        refused(OSError, listing.result)


def closed(what: object, *descriptors: int) -> None:
    for fd in descriptors:
        try:
            os.fstat(fd)
        except OSError:
            continue
        raise AssertionError(f"{what}: descriptor {fd} is open")


# ------------------------------------------------------------------------------------------------------- a core


@program
def a_core_that_was_not_made(directory: str) -> None:
    core = unborn()
    calls: list[tuple[Any, ...]] = [
        (core.open_lazily, 1, 1),
        (core.invalidate, b"/"),
        (core.expire, 0.0),
        (core.offer_list, b"/", b"", b"", 0.0),
        (core.mount, os.fsencode(directory), "ro"),
        (core.start, 0.0),
        (core.wait_end, 0.0),
        (core.stop,),
        (core.next_fetch, 0.0),
        (core.next_log, 0.0),
        (core.stats,),
        (core.features,),
        (core.device,),
    ]
    for call in calls:
        refused(RuntimeError, *call)
    refused(TypeError, Fetch)
    nothing = Fetch.__new__(Fetch)
    nothing.release()
    for call in ((nothing.progress, 0), (nothing.done,), (nothing.fail, 5), (nothing.answer_link, b"x")):
        refused(ValueError, *call)
    refused(BufferError, memoryview, nothing)
    connection = BlockConnection.__new__(BlockConnection)
    connection.abort()
    connection.close()
    for call in ((connection.finish, 0.0), (connection.read_message, 1, 0.0), (connection.call, "", "", "", b"", 0.0)):
        refused(ValueError, *call)


@program
def a_life_in_the_wrong_order(directory: str) -> None:
    where = os.fsencode(directory)
    core = new_core()
    refused(OSError, core.device)
    assert core.features() == frozenset()
    assert not core.wait_end(0.0)
    refused(RuntimeError, core.start, 0.0)
    core.mount(where, "ro")
    refused(RuntimeError, core.mount, where, "ro")
    refused(RuntimeError, core.open_lazily, 1, 1)
    core.start(GUARD_S)
    refused(RuntimeError, core.start, 0.0)
    refused(RuntimeError, core.__init__, Config.load(options=["ro"], environ={}).core_options())
    stopping = [Thread(core.stop) for _ in range(4)]
    for thread in stopping:
        thread.result()
    assert not os.path.ismount(directory)
    core.stop()
    refused(RuntimeError, core.mount, where, "ro")
    refused(RuntimeError, core.start, 0.0)
    core = new_core()
    core.stop()
    refused(RuntimeError, core.mount, where, "ro")
    core = new_core()
    refused(OSError, core.mount, where + b"/nothing", "ro")
    refused(RuntimeError, core.start, 0.0)
    core.stop()


@program
def stopped_while_it_starts(directory: str) -> None:
    """The life of a mount belongs to one thread; another one that interferes is refused, or waits."""
    for _ in range(20):
        core = new_core()
        core.mount(os.fsencode(directory), "ro")
        starting, stopping = Thread(core.start, GUARD_S), Thread(core.stop)
        for thread in (starting, stopping):
            try:
                thread.result()
            except (OSError, RuntimeError):
                pass
        core.stop()
        assert not os.path.ismount(directory)


@program
def a_child_without_the_threads(directory: str) -> None:
    """A forked process ends, with all it has: mount and requests stay its parent's."""
    with mounted(directory) as core:
        asking = Thread(os.stat, f"{directory}/a")
        fetch = next_of(core, _core.STAT, b"/a")
        pid = os.fork()
        if not pid:
            core.stop()
            fetch.release()
            del fetch, core
            gc.collect()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        fetch.answer_attr(Attr(FILE_MODE, 5))
        fetch.release()
        assert asking.result().st_size == 5


@program
def left_at_the_exit(directory: str) -> None:
    """The interpreter ends while threads are inside of every call that waits, and nothing was stopped."""
    core = new_core()
    core.mount(os.fsencode(directory), "ro")
    core.start(GUARD_S)
    server = socket.create_server(("127.0.0.1", 0))
    connection = BlockConnection("127.0.0.1", str(server.getsockname()[1]), GUARD_S)
    connection.call("/a/B", "a", "", b"", GUARD_S)
    asking = Thread(os.listdir, f"{directory}/d")
    fetch = next_of(core, _core.LIST)
    started = threading.Barrier(5)

    def wait(function: Callable[..., Any], *arguments: Any) -> None:
        started.wait()
        function(*arguments)

    for call in (
        (core.next_fetch, -1.0),
        (core.next_log, -1.0),
        (core.wait_end, -1.0),
        (connection.read_message, 9, -1.0),
    ):
        Thread(wait, *call)
    started.wait()
    gc.collect()
    sys.kept = [core, fetch, connection, asking]  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------------- odd arguments


@program
def odd_arguments_of_functions(directory: str) -> None:
    where = os.fsencode(directory)
    fd = os.open(directory, os.O_RDONLY)
    os.mkdir(f"{directory}/a")
    for call in (
        (_core.unmount, where + b"\0b", False),
        (_core.stat_local, fd, b"a\0b", False, 0, 0),
        (new_core().mount, where + b"\0b", "ro"),
        (new_core().mount, where, "ro\0,suid"),
        (BlockConnection, "127.0.0.1\0x", "1", 0.0),
        (BlockConnection, "127.0.0.1", "1\0", 0.0),
        (new_core().next_fetch, math.nan),
        (new_core().next_log, math.nan),
        (new_core().wait_end, math.nan),
        (new_core().expire, math.nan),
        (new_core().offer_list, b"/", b"", b"", math.nan),
        (new_core().offer_list, b"/", b"x" * 79, b"", 0.0),
        (new_core().offer_list, b"/", b"x" * 81, b"", 0.0),
    ):
        refused(ValueError, *call)
    for call in (
        (_core.stat_local, -1, b"", False, 0, 0),
        (_core.stat_local, 2**31 - 1, b"a", False, 0, 0),
        (_core.scan_directory, -1, False, 0, 0),
        (_core.punch_hole, fd, 2**64 - 1, 1),
        (_core.punch_hole, fd, 0, 2**64 - 1),
        (_core.punch_hole, fd, 0, 0),
        (_core.unmount, b"", False),
        (_core.unmount, b"relative", True),
        (_core.unmount, b"/" + b"x" * 5000, False),
    ):
        refused(OSError, *call)
    core = new_core()
    for age in (-1.0, 0.0, 1e300, math.inf, -math.inf, 2.0**64):
        core.expire(age)
        core.offer_list(b"/", entries_of(b"a"), b"a", age)
    for path in (b"", b"/", b"a", b"\0", b"/a\0b", b"//", b"/" * 5000, b"x" * 70000):
        core.invalidate(path)
        core.offer_list(path, entries_of(b"a"), b"a", 0.0)
    for timeout in (0.0, -0.0, 1e-9):
        core.next_fetch(timeout)
        core.next_log(timeout)
    for size, ahead in ((0, 0), (2**64 - 1, 2**32 - 1)):
        core.open_lazily(size, ahead)
    refused(OverflowError, core.open_lazily, -1, 0)
    refused((TypeError, ValueError), core.offer_list, b"/", None, b"", 0.0)
    refused((TypeError, ValueError, BufferError), core.offer_list, b"/", np.zeros(8, ENTRY_DTYPE)[::2], b"", 0.0)
    core.offer_list(b"/", np.zeros((0, 4), np.uint8), b"", 0.0)
    core.offer_list(b"/", np.zeros(0, ENTRY_DTYPE), b"", 0.0)
    core.offer_list(b"/", memoryview(b"x" + entries_of(b"a"))[1:], b"a", 0.0)  # aligned to nothing
    crooked = np.frombuffer(entries_of(b"a", b"b"), ENTRY_DTYPE).copy()
    for field, value in (("name_off", 2**32 - 1), ("name_len", 2**32 - 1), ("name_off", 3)):
        table = crooked.copy()
        table[field][1] = value
        refused(ValueError, core.offer_list, b"/", table, b"ab", 0.0)
    for data in (b"", bytearray(b"x" * 4097), memoryview(b"x" * 9000)[3:5000], np.zeros(5000, np.uint8)):
        sums = _wire.make_sums(data, 2**64 - 1, 2**64 - 1)
        assert _wire.check_sums(data, 2**64 - 1, 2**64 - 1, memoryview(sums).cast("Q")) == len(data)
        _wire.crc64(data, 2**64 - 1)
    for bad in (None, np.zeros(8, np.uint8)[::2], np.zeros((2, 2), np.uint8), np.zeros(4, np.uint16), 7, "text"):
        refused((TypeError, ValueError, BufferError), _wire.crc64, bad)
        refused((TypeError, ValueError, BufferError), _wire.make_sums, bad, 0, 0)
        refused((TypeError, ValueError, BufferError), _wire.check_sums, b"x", 0, 0, bad)
    for length in (0, 1, 2**63, 2**64 - 1):
        _wire.crc64_combine(1, 2, length)
    os.close(fd)


@program
def odd_options(directory: str) -> None:
    """Each option with the ends of its range: the core is made, or says why not."""
    good = Config.load(options=["ro"], environ={}).core_options()
    for name in _core.option_names():
        for value in (-1, 0, 1, 3, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1):
            try:
                core = Core({**good, name: value})
            except (OSError, OverflowError):
                continue
            core.next_fetch(0.0)
            core.open_lazily(1 << 20, 4)
            core.expire(0.0)
            core.stats()
            core.stop()
            del core
    refused(ValueError, Core, {})
    refused(ValueError, Core, {**good, "unknown": 1})
    refused((TypeError, ValueError), Core, None)
    refused((TypeError, ValueError), Core, {**good, "fetchers": "many"})


@program
def odd_answers(directory: str) -> None:
    """Answers that no file system can have."""
    with mounted(directory) as core:
        for number, attr in enumerate(
            (
                Attr(FILE_MODE, 2**64 - 1),
                Attr(FILE_MODE, 2**63),
                Attr(FILE_MODE, 2**63 - 1),
                Attr(FILE_MODE, 2**44),
                Attr(0),
                Attr(2**32 - 1),
                Attr(
                    FILE_MODE, 1, mtime_ns=-(2**63), ctime_ns=2**63 - 1, nlink=2**32 - 1, ino=2**64 - 1, uid=2**32 - 1
                ),
            )
        ):
            answer_oddly(core, f"{directory}/file{number}", attr)
        asking = Thread(os.stat, f"{directory}/a")
        fetch = next_of(core, _core.STAT, b"/a")
        for bad in (Attr(-1), Attr(FILE_MODE, -1), Attr(FILE_MODE, 2**64), None, object()):
            refused((OverflowError, AttributeError), fetch.answer_attr, bad)
        for call in (
            (fetch.answer_link, b"x"),
            (fetch.done, 0),
        ):
            refused(ValueError, *call)
        fetch.release()
        refused(OSError, asking.result)
        reading = Thread(read_file, f"{directory}/b")
        fetch = next_of(core, _core.READ)
        for filled in (PAGE + 1, 2**63, 2**64 - 1):
            refused(ValueError, fetch.progress, filled)
        refused(OverflowError, fetch.progress, -1)
        refused(OverflowError, fetch.done, 2**64)
        refused(OverflowError, fetch.fail, 2**40)
        fetch.fail(-(2**31))
        refused(ValueError, fetch.done, PAGE)
        view = memoryview(fetch)
        refused(BufferError, fetch.release)
        view[:4] = b"late"
        view.release()
        fetch.release()
        fetch.release()
        fail_until_ended(core, reading)
        refused(OSError, reading.result)
        refused(BufferError, memoryview, fetch)
        for target in (b"", b"a\0b", b"x" * 4096):
            asking = Thread(os.readlink, f"{directory}/link{len(target)}")
            answer_link(core, target)
            fail_until_ended(core, asking)
            refused(OSError, asking.result)


@program
def fetches_that_end_with_the_next(directory: str) -> None:
    """A reader has its bytes as soon as the next fetch is waited for, whoever else still has the one that ended."""
    with mounted(directory) as core:
        for number, keep in enumerate((None, memoryview, Fetch.progress_capsule)):
            reading = Thread(read_file, f"{directory}/{number}")
            fetch = next_of(core, _core.READ)
            memoryview(fetch)[:] = b"x" * fetch.length
            kept = None if keep is None else keep(fetch)
            assert fetch.in_use is (keep is not None)
            fetch.complete()
            ended = [fetch]
            if keep is memoryview:
                refused(BufferError, core.next_fetch, 0.01, ended)
            else:
                core.next_fetch(0.01, ended)
            assert not ended
            assert reading.result() == b"x" * PAGE
            refused(ValueError, fetch.done, fetch.length)
            del kept
            fetch.release()
            refused(ValueError, fetch.complete)
            assert core.next_fetch(0.01, [fetch])[0] is None
        left = Thread(read_file, f"{directory}/left")
        fetch = next_of(core, _core.READ)
        memoryview(fetch)[:] = b"x" * fetch.length
        fetch.complete()
        del fetch
        assert left.result() == b"x" * PAGE
        asking = Thread(os.stat, f"{directory}/x")
        fetch = next_of(core, _core.STAT, b"/x")
        fetch.complete()
        core.next_fetch(0.01, [fetch])
        refused(OSError, asking.result)
        for wrong in (None, 7, core):
            refused(TypeError, core.next_fetch, 0.01, [wrong])
        refused(TypeError, core.next_fetch, 0.01, (fetch,))
        refused(ValueError, new_core().next_fetch, 0.01, [fetch])
    refused(_core.Stopped, core.next_fetch, 0.01, [fetch])


@program
def exchanges(directory: str) -> None:
    """Buffers that are none, or too small; descriptors of nothing."""
    ours, theirs = socket.socketpair()
    head, body = bytearray(_wire.HEAD_BYTES), bytearray(5)
    for bad in (None, b"x" * _wire.HEAD_BYTES, memoryview(head), bytearray(_wire.HEAD_BYTES - 1)):
        refused((TypeError, ValueError), _wire.exchange, ours.fileno(), b"GET", bad, body)
    for wrong in (b"hello", 7, memoryview(bytearray(10))[::2], memoryview(b"hello")):
        refused((TypeError, ValueError, BufferError), _wire.exchange, ours.fileno(), b"GET", head, wrong)
    for text in (None, "GET", bytearray(b"GET")):
        refused(TypeError, _wire.exchange, ours.fileno(), text, head, body)
    refused(OSError, _wire.exchange, -1, b"GET", head, body)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    for place in (body, memoryview(body)):
        theirs.sendall(answer + b"hello")
        err, end, begin, taken, filled, waited = _wire.exchange(ours.fileno(), b"GET", head, place)
        assert (err, begin, filled, bytes(body)) == (0, len(answer), 5, b"hello")
        assert end == taken == begin + filled
        assert waited >= 0
        body[:] = b"....."
    theirs.shutdown(socket.SHUT_WR)
    assert _wire.exchange(ours.fileno(), b"", head, None)[1] == 0
    ours.close()
    theirs.close()


def answer_oddly(core: Core, path: str, attr: Attr) -> None:
    """Has a file with these attributes looked at and read."""

    def ask() -> bytes:
        os.stat(path)
        with open(path, "rb", buffering=0) as file:
            first = file.read(PAGE)
            file.seek(2**62)
            return first + file.read(PAGE)

    asking = Thread(ask)
    while asking.is_alive():
        fetch, _ = core.next_fetch(0.05)
        if fetch is None:
            continue
        if fetch.kind == _core.STAT and fetch.path != b"/":
            try:
                fetch.answer_attr(attr)
            except ValueError:
                pass
        elif fetch.kind == _core.OPEN:
            fetch.answer_opened(0, fetch.version, fetch.size, ())
        elif fetch.kind == _core.READ:
            fetch.done(fetch.length)
        else:
            fetch.fail(5)
        fetch.release()
    try:
        asking.result()
    except OSError:
        pass


def answer_link(core: Core, target: bytes) -> None:
    while True:
        fetch, _ = core.next_fetch(GUARD_S)
        assert fetch is not None
        if fetch.kind == _core.READLINK:
            refused(ValueError, fetch.answer_link, target)
            return
        fetch.answer_attr(Attr(stat.S_IFLNK | 0o777, 1) if fetch.path != b"/" else Attr(DIRECTORY_MODE))


@program
def entries_that_change(directory: str) -> None:
    """A listing is written to while the core reads it: wrong names, but nobody else's memory."""
    core = new_core()
    table = np.frombuffer(entries_of(*[b"%06d" % number for number in range(20_000)]), ENTRY_DTYPE).copy()
    names = b"".join(b"%06d" % number for number in range(20_000))
    good = table["name_off"].copy()
    over = threading.Event()

    def scribble() -> None:
        while not over.is_set():
            table["name_off"] = 0xFFFFFF00
            table["name_off"] = good

    scribbling = Thread(scribble)
    for _ in range(60):
        try:
            core.offer_list(b"/", table, names, 0.0)
        except ValueError:
            pass
    over.set()
    scribbling.result()


# ------------------------------------------------------------------------------------------- a connection for blocks


class Peer:
    """Sends the beginning of an answer: `sent` bytes of data of a message that never ends."""

    def __init__(self, sent: int) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = str(self._server.getsockname()[1])
        self._sent = sent
        self._accepted: list[socket.socket] = []
        Thread(self._serve)

    def _serve(self) -> None:
        while True:
            connection, _ = self._server.accept()
            self._accepted.append(connection)
            head = struct.pack(">BI", 0, 1 << 20) + b"\x0a" + varint((1 << 20) - 4) + b"\x0a" + varint((1 << 20) - 8)
            data = head + b"x" * self._sent
            connection.sendall(frame(b"", 4, 0) + frame(data, 0, 1))


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def frame(payload: bytes, kind: int, stream: int) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, 0, stream) + payload


def connected(sent: int) -> BlockConnection:
    connection = BlockConnection("127.0.0.1", Peer(sent).port, GUARD_S)
    connection.call("/a/B", "authority", "", b"request", GUARD_S)
    return connection


@program
def closed_in_its_own_progress(directory: str) -> None:
    connection = connected(100)
    refused(OSError, connection.read_into, bytearray(PAGE), 0, PAGE, 1, GUARD_S, lambda _: connection.close())
    refused(ValueError, connection.finish, 0.0)
    connection.close()
    connection.abort()


@program
def closed_while_it_is_read(directory: str) -> None:
    """Another thread closes: the reader fails at once, however patient it is."""
    for _ in range(50):
        connection = connected(10)
        began = threading.Event()
        reading = Thread(connection.read_into, bytearray(PAGE), 0, PAGE, 1, -1.0, lambda _, began=began: began.set())
        assert began.wait(GUARD_S)
        connection.close()
        refused((OSError, ValueError), reading.result)


@program
def closed_while_a_fetch_is_filled(directory: str) -> None:
    with mounted(directory) as core:
        reading = Thread(read_file, f"{directory}/file")
        fetch = next_of(core, _core.READ)
        connection = connected(10)
        view = memoryview(fetch)
        filling = Thread(connection.read_into, view, 0, PAGE, 1, -1.0, fetch.progress)
        while connection.filled < 10 and filling.is_alive():
            time.sleep(0.001)
        refused(BufferError, fetch.release)
        connection.close()
        refused((OSError, ValueError), filling.result)
        view.release()
        fetch.release()
        fail_until_ended(core, reading)
        refused(OSError, reading.result)


@program
def filled_without_the_lock(directory: str) -> None:
    """A fetch is given back after the capsules of its progress; one that was given back has none."""
    with mounted(directory) as core:
        reading = Thread(read_file, f"{directory}/file")
        fetch = next_of(core, _core.READ)
        with memoryview(fetch) as view:
            assert connected(PAGE).read_into(view, 0, PAGE, 1, GUARD_S, fetch.progress) == PAGE
        fetch.done(PAGE)
        assert len(reading.result()) == PAGE
        reading = Thread(read_file, f"{directory}/other")
        fetch = next_of(core, _core.READ)
        kept = [fetch.progress_capsule() for _ in range(3)]
        fetch.release()
        refused(ValueError, fetch.progress_capsule)
        refused(ValueError, connected(10).read_into, bytearray(10), 0, 10, 1, GUARD_S, fetch.progress)
        kept.clear()
        fail_until_ended(core, reading)
        refused(OSError, reading.result)
        reading = Thread(read_file, f"{directory}/last")
        kept.append(next_of(core, _core.READ).progress_capsule())
    refused(OSError, reading.result)
    del core, fetch
    kept.clear()


class Liar:
    """Says that it has the progress of a fetch."""

    def __init__(self, capsule: object) -> None:
        self._capsule = capsule

    def progress(self, filled: int) -> None:
        """Is told nothing."""

    def progress_capsule(self) -> object:
        """Capsules that are of no fetch."""
        return self._capsule


@program
def filled_by_a_liar(directory: str) -> None:
    for capsule in (7, object(), datetime_CAPI):
        refused(ValueError, connected(10).read_into, bytearray(10), 0, 10, 1, GUARD_S, Liar(capsule).progress)


@program
def used_by_two_threads(directory: str) -> None:
    """A connection is one thread's at a time; whoever comes meanwhile is refused."""
    connection = connected(10)
    began = threading.Event()
    reading = Thread(connection.read_into, bytearray(PAGE), 0, PAGE, 1, -1.0, lambda _: began.set())
    assert began.wait(GUARD_S)
    for call in (
        (connection.read_into, bytearray(9), 0, 9, 1, 0.0, print),
        (connection.read_message, 9, 0.0),
        (connection.finish, 0.0),
        (connection.call, "/a/B", "a", "", b"", 0.0),
    ):
        refused(RuntimeError, *call)
    connection.abort()
    refused(OSError, reading.result)
    connection.close()


@program
def odd_arguments_of_a_connection(directory: str) -> None:
    anything = (ValueError, TypeError, OverflowError, OSError, BufferError, MemoryError, IndexError)
    connection = connected(100)
    buffer = bytearray(100)
    for args in (
        (buffer, 0, 101, 1),
        (buffer, 0, 2**64 - 1, 1),
        (buffer, -1, 100, 1),
        (buffer, 0, 100, 0),
        (buffer, 101, 100, 1),
        (b"x" * 100, 0, 100, 1),
        (None, 0, 0, 1),
        (np.zeros(200, np.uint8)[::2], 0, 100, 1),
        (np.zeros((10, 10), np.uint8), 0, 100, 1),
        (memoryview(b"x" * 100), 0, 100, 1),
    ):
        refused((ValueError, TypeError, OverflowError, BufferError), connection.read_into, *args, 0.0, lambda _: None)
    refused(TypeError, connection.read_into, buffer, 0, 100, 50, GUARD_S, None)
    assert connection.read_into(buffer, 50, 60, 2**64 - 1, GUARD_S, lambda _: None) == 60
    assert connection.read_into(bytearray(), 0, 0, 1, 0.0, lambda _: None) == 0
    for size in (0, 2**63, 2**64):
        refused((ValueError, OverflowError, MemoryError), connection.read_message, size, 0.0)
    refused(ValueError, connection.finish, math.nan)
    refused(RuntimeError, connection.__init__, "127.0.0.1", "1", 0.0)
    for call in (("/a\0", "", "", b""), ("", "a\0", "", b""), ("", "", "i\0", b"")):
        refused(ValueError, BlockConnection("127.0.0.1", Peer(1).port, GUARD_S).call, *call, 0.0)
    for call in (("/" * 5000, "", "", b""), ("", "", "", b"x" * 20000)):
        refused(anything, BlockConnection("127.0.0.1", Peer(1).port, GUARD_S).call, *call, GUARD_S)


# ----------------------------------------------------------------------------------------------------- interpreters


@program
def a_second_interpreter(directory: str) -> None:
    """Refuses to be loaded there, rather than to share what it should not."""
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters  # type: ignore[import-not-found, no-redef]
    other = interpreters.create()
    for module in (_core, _wire):
        code = f"try:\n    import {module.__name__}\nexcept ImportError: pass\nelse: raise SystemError('loaded')"
        failure = interpreters.run_string(other, code)
        assert failure is None, failure
    interpreters.destroy(other)


if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](sys.argv[2])
