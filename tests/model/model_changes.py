"""Rules that change the directory that a mount shows; files are only ever replaced, never written in place."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import hypothesis.stateful
import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition
from model_mount import Mount
from model_operations import Operations

# Few, so that things happen to the same name again and again. The parts differ in the last byte alone; 255 bytes is
# the longest there is.
NAMES = (b"a", b"b", b"part-0001", b"part-0002", b"\xff\xfe \n", b"n" * 255)
FIFO = b"fifo"
# So many names of this length do not fit in the 32 KiB of one call of getdents.
CROWD, CROWD_SIZE = b"x" * 230, 150
DEEPEST = 4

KIB, MIB = 1 << 10, 1 << 20
# Borders: of the kernel's pages, of its requests (128 KiB, 1 MiB), of small and large files and of pages in the cache
# (1 MiB with the budget used here), of huge pages.
SMALL = (0, 1, 4095, 4096, 4097, 8192, 10_000, 64 * KIB - 1, 64 * KIB, 128 * KIB + 1)
LARGE = (MIB - 1, MIB, MIB + 1, 2 * MIB, 2 * MIB + 4097, 5 * MIB - 1)
# Before the epoch, at it, after 2038, and with all nine digits.
TIMES_NS = (-1_500_000_000, 0, 1, 1_700_000_000_123_456_789, 5_000_000_000_999_999_999)

_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}

sizes = st.one_of(*[st.sampled_from(SMALL)] * 5, st.integers(0, 300 * KIB), st.sampled_from(LARGE))
names = st.sampled_from(NAMES)
seeds = st.integers(0, 1 << 30)


def rule(**arguments: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """As in hypothesis.stateful, and counts the steps."""

    def decorate(function: Callable[..., None]) -> Any:
        @functools.wraps(function)
        def counted(self: Changes, **values: Any) -> None:
            type(self).steps += 1
            function(self, **values)

        return hypothesis.stateful.rule(**arguments)(counted)

    return decorate


def contents(seed: int, size: int) -> bytes:
    """Bytes in which every place of every file is recognisable."""
    return hashlib.shake_128(b"%d %d" % (seed, size)).digest(size)


@dataclass
class Held:
    """An open file. `lost`: its name has meant something else since, or, if it is copied, another state of it."""

    path: bytes
    identity: tuple[int, ...]
    lost: bool = False


@dataclass
class Listing:
    """An open directory: the names that were in it all the time, those that were in it at any time, those told."""

    path: bytes
    inode: int
    always: set[bytes]
    ever: set[bytes]
    told: list[bytes] = field(default_factory=list)
    gone: bool = False


@st.composite
def picked(draw: st.DrawFn, *kinds: str) -> bytes:
    """The path of something of these kinds; where there is none, the directory of the example."""
    machine = draw(st.runner())
    paths = machine.paths(*kinds) or [machine.base]
    return paths[draw(st.integers(0, len(paths) - 1))]  # ten times as fast as sampled_from with a list of its own


directories = picked("directory")
files = picked("file")
existing = picked("file", "directory", "link", "other")


def has(*kinds: str) -> Callable[[Any], bool]:
    """A precondition: there is such a thing."""
    return lambda machine: bool(machine.paths(*kinds))


class Changes(RuleBasedStateMachine):
    """A subclass for a run sets `mount`, and `copies` when bytes go through the client cache."""

    mount: Mount
    copies = False
    steps = 0  # of all examples
    _examples = 0

    def __init__(self) -> None:
        super().__init__()
        cls = type(self)
        cls._examples += 1
        self.mount.repair()
        self.root = os.fsencode(self.mount.source)
        self.base = b"%d" % cls._examples
        self.spare = os.path.join(os.path.dirname(self.root), b"spare")  # where files are made that replace others
        os.mkdir(self.full(self.base))
        self.plain = Operations(self.root, hide=True)
        self.held: dict[int, Held] = {}
        self.listings: dict[int, Listing] = {}
        self._paths: dict[bytes, str] | None = None

    def teardown(self) -> None:
        """Closes everything; the directory of this example goes away."""
        self.plain.drop_all()
        try:
            if self.mount.worker.usable:
                self.mount.worker.run("drop_all")
        finally:
            shutil.rmtree(self.full(self.base))

    # ----------------------------------------------------------------------------------------- the directory

    def paths(self, *kinds: str) -> list[bytes]:
        """What there is now, relative to the root."""
        if self._paths is None:
            self._paths = {self.base: "directory"}
            self._look(self.base, self._paths)
        return [path for path, kind in self._paths.items() if kind in kinds]

    def _look(self, directory: bytes, found: dict[bytes, str]) -> None:
        for name in sorted(os.listdir(self.full(directory))):
            if name.endswith(CROWD) and not name.startswith(b"00"):
                continue  # ten of them are enough to choose from
            path = os.path.join(directory, name)
            found[path] = _KINDS.get(stat.S_IFMT(os.lstat(self.full(path)).st_mode), "other")
            if found[path] == "directory":
                self._look(path, found)

    def full(self, path: bytes) -> bytes:
        return os.path.join(self.root, path)

    def _place(self, directory: bytes, name: bytes) -> bytes | None:
        """Where something can be put with one rename: no directory is in the way, and it is not too deep."""
        path = os.path.join(directory, name)
        if path.count(b"/") > DEEPEST:
            return None
        full = self.full(path)
        if os.path.isdir(full) and not os.path.islink(full):
            shutil.rmtree(full)
        return full

    def changed(self) -> None:
        """To be called after every change of the directory."""
        self._paths = None
        for held in self.held.values():
            held.lost = held.lost or self.identity(held.path) != held.identity
        for listing in self.listings.values():
            if self.inode(listing.path) != listing.inode:
                listing.gone = True
            else:
                now = self.names_in(listing.path)
                listing.always &= now
                listing.ever |= now

    def names_in(self, path: bytes) -> set[bytes]:
        """What a mount shows of a directory."""
        return set(os.listdir(self.full(path))) - {FIFO}

    def identity(self, path: bytes) -> tuple[int, ...]:
        try:
            s = os.stat(self.full(path))
        except OSError:
            return ()
        return (s.st_ino, s.st_ctime_ns) if self.copies else (s.st_ino,)

    def inode(self, path: bytes) -> int:
        try:
            return os.stat(self.full(path)).st_ino
        except OSError:
            return 0

    @initialize(size=sizes)
    def begin(self, size: int) -> None:
        """Something to begin with: a rule may be left out of an example."""
        path = os.path.join(self.base, NAMES[1])
        os.mkdir(self.full(path))
        for number, parent in enumerate((self.base, path)):
            self.put(self.full(os.path.join(parent, NAMES[number])), contents(number, size))
            os.symlink(NAMES[number], self.full(os.path.join(parent, NAMES[2])))

    @rule(directory=directories, name=names, size=sizes, seed=seeds)
    def put_file(self, directory: bytes, name: bytes, size: int, seed: int) -> None:
        """A file appears, or takes the place of what was there."""
        to = self._place(directory, name)
        if to is not None:
            self.put(to, contents(seed, size))

    @precondition(has("file"))
    @rule(path=files, seed=seeds, same_time=st.booleans())
    def replace_alike(self, path: bytes, seed: int, same_time: bool) -> None:
        """A file is replaced by one of the same length, and of the same age."""
        before = os.stat(self.full(path))
        self.put(self.full(path), contents(seed, before.st_size), before if same_time else None)

    def put(self, to: bytes, data: bytes, like: os.stat_result | None = None) -> None:
        """Puts a file with this contents, and the times of another one, in place of what is at the full path `to`."""
        with open(self.spare, "wb") as file:
            file.write(data)
        if like is not None:
            os.utime(self.spare, ns=(like.st_atime_ns, like.st_mtime_ns))
        os.rename(self.spare, to)
        self.changed()

    @rule(directory=directories, name=names)
    def put_directory(self, directory: bytes, name: bytes) -> None:
        """A directory appears, or takes the place of what was there."""
        to = self._place(directory, name)
        if to is not None:
            if os.path.lexists(to):
                os.unlink(to)
            os.mkdir(to)
            self.changed()

    @rule(
        directory=directories,
        name=names,
        to=st.one_of(
            names,
            st.builds(os.path.join, st.sampled_from((b".", b"..", *NAMES)), names),
            st.sampled_from((b".", b"nowhere", b"x/" * 2000)),
        ),
    )
    def put_link(self, directory: bytes, name: bytes, to: bytes) -> None:
        """A symbolic link appears, or takes the place of what was there."""
        place = self._place(directory, name)
        if place is not None:
            os.symlink(to, self.spare)
            os.rename(self.spare, place)
            self.changed()

    @rule(directory=directories)
    def put_fifo(self, directory: bytes) -> None:
        """Something appears that mounts do not show; under a name of its own, to which no link leads."""
        os.mkfifo(self.spare)
        os.rename(self.spare, self.full(os.path.join(directory, FIFO)))
        self.changed()

    @precondition(has("file"))
    @rule(path=files, directory=directories, name=names)
    def put_hard_link(self, path: bytes, directory: bytes, name: bytes) -> None:
        """A file gets one more name."""
        to = self._place(directory, name)
        if to is not None and os.path.lexists(self.full(path)):
            os.link(self.full(path), self.spare)
            os.rename(self.spare, to)
            if os.path.lexists(self.spare):
                os.unlink(self.spare)  # rename does nothing when both are one file
        self.changed()

    @precondition(lambda machine: not any(path.endswith(CROWD) for path in machine.paths("file")))
    @rule(directory=directories)
    def put_crowd(self, directory: bytes) -> None:
        """More names appear than one call of getdents can tell."""
        self.crowd(directory)

    def crowd(self, directory: bytes) -> None:
        """Puts the whole crowd into a directory."""
        with open(self.spare, "wb"):  # one file with many names is made faster than many files
            pass
        for number in range(CROWD_SIZE):
            member = self.full(self.member(directory, number))
            if not os.path.lexists(member):
                os.link(self.spare, member)
        os.unlink(self.spare)
        self.changed()

    def member(self, directory: bytes, number: int) -> bytes:
        """The path of one of the crowd."""
        return os.path.join(directory, b"%03d" % number + CROWD)

    @precondition(lambda machine: len(machine.paths("file", "directory", "link", "other")) > 1)
    @rule(path=existing)
    def remove(self, path: bytes) -> None:
        """Something goes away, with what is in it."""
        full = self.full(path)
        if path == self.base:
            return
        if os.path.isdir(full) and not os.path.islink(full):
            shutil.rmtree(full)
        else:
            os.unlink(full)
        self.changed()

    @rule(path=picked("file", "directory", "link"), directory=directories, name=names)
    def move(self, path: bytes, directory: bytes, name: bytes) -> None:
        """Something gets another name, possibly of something else; or rename refuses."""
        if path == self.base or directory.count(b"/") + 2 > DEEPEST:
            return
        try:
            os.rename(self.full(path), self.full(os.path.join(directory, name)))
        except OSError:
            return
        self.changed()

    @rule(path=existing, mode=st.sampled_from((0o400, 0o444, 0o644, 0o755, 0o4711, 0o1777)))
    def chmod(self, path: bytes, mode: int) -> None:
        """Permissions change; they always let us in, or this test would need root."""
        full = self.full(path)
        if not os.path.islink(full):
            os.chmod(full, mode | (0o700 if os.path.isdir(full) else 0))
            self.changed()

    @rule(path=existing, mtime_ns=st.sampled_from(TIMES_NS))
    def touch(self, path: bytes, mtime_ns: int) -> None:
        """Times change."""
        os.utime(self.full(path), ns=(mtime_ns, mtime_ns), follow_symlinks=False)
        self.changed()
