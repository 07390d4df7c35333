"""The state machine: what changes the directory (model_changes.py), and rules that compare the mount with it."""

from __future__ import annotations

import os
from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import precondition
from model_changes import (
    CROWD_SIZE,
    KIB,
    MIB,
    Changes,
    Held,
    Listing,
    contents,
    directories,
    existing,
    files,
    has,
    names,
    picked,
    rule,
    seeds,
    sizes,
)
from model_operations import OF_A_FILE, OF_A_FREE_NAME, OF_ANYTHING, OF_NO_LINK, Result

slots = st.integers(0, 3)
held = st.runner().flatmap(lambda machine: st.sampled_from(sorted(machine.held)))
listed = st.runner().flatmap(lambda machine: st.sampled_from(sorted(machine.listings)))

# A name that may be there, may have been there, and may be looked for in a file.
perhaps = st.builds(os.path.join, picked("file", "directory", "link"), names)
free = st.builds(os.path.join, directories, st.just(b"free"))
anything = st.one_of(existing, existing, perhaps)
any_file = st.one_of(files, files, picked("link"), perhaps)

offsets = st.one_of(st.integers(0, 20 * KIB), st.integers(0, 5 * MIB))
lengths = st.sampled_from((1, 100, 4096, 4097, 70_000, 2 * MIB))
_SPELLINGS = (b"%s/", b"%s/.", b"%s/..", b"%s/../a", b"%s//b")
_FLAGS = (
    os.O_RDONLY,
    os.O_RDONLY | os.O_NOFOLLOW,
    os.O_RDONLY | os.O_DIRECTORY,
    os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW,
    os.O_PATH,
)


class Machine(Changes):
    """`writable`: the mount is one with -o rw, so the refusals are the daemon's and not the kernel's."""

    writable = False

    def same(self, name: str, *args: Any) -> None:
        """Mount and directory say the same."""
        shown, there = self.ask(name, *args)
        if shown != there and without_blocks(shown) == without_blocks(there):
            shown, there = self.ask(name, *args)  # the file system wrote something back between the two questions
        assert shown == there, difference(name, args, shown, there)

    def ask(self, name: str, *args: Any) -> tuple[Result, Result]:
        """What the mount says, and what the directory says."""
        return self.mount.worker.run(name, *args), self.plain.run(name, *args)

    # ----------------------------------------------------------------------------------------------- metadata

    @rule(path=anything)
    def stat(self, path: bytes) -> None:
        """Attributes of a name, with and without following a link."""
        self.same("lstat", path)
        self.same("stat", path)

    @rule(path=anything, spelling=st.sampled_from(_SPELLINGS))
    def stat_spelled(self, path: bytes, spelling: bytes) -> None:
        """Names that the kernel has to resolve."""
        self.same("stat", spelling % path)

    @rule(path=directories, name=st.sampled_from((b"n" * 256, b"d" * 1000, b".hidden", b"...")))
    def stat_strange(self, path: bytes, name: bytes) -> None:
        """Names that cannot be there, and ones that are never there."""
        self.same("lstat", os.path.join(path, name))

    @rule(path=anything)
    def readlink(self, path: bytes) -> None:
        """Targets of links; EINVAL for anything else."""
        self.same("readlink", path)

    @rule(path=st.one_of(directories, anything))
    def list_names(self, path: bytes) -> None:
        """Names of a directory."""
        self.same("names", path)

    @rule(path=directories)
    def scandir(self, path: bytes) -> None:
        """Names, inode numbers and types of a directory."""
        self.same("scandir", path)

    @rule(path=directories)
    def walk(self, path: bytes) -> None:
        """A tree with all attributes."""
        self.same("walk", path)

    @rule(path=existing)
    def statvfs(self, path: bytes) -> None:
        """Figures of the file system."""
        self.same("statvfs", path)

    # ----------------------------------------------------------------------------------------------- contents

    @rule(path=any_file, chunk=st.sampled_from((700, 4096, 100_000, 8 * MIB)))
    def read(self, path: bytes, chunk: int) -> None:
        """Whole files."""
        self.same("read", path, max(chunk, self.size(path) // 100))

    @rule(path=any_file, ranges=st.lists(st.tuples(offsets, lengths), min_size=1, max_size=6))
    def pread(self, path: bytes, ranges: list[tuple[int, int]]) -> None:
        """Ranges here and there, also beyond the end."""
        self.same("pread", path, ranges)

    @rule(path=any_file, before=st.integers(0, 10), length=st.integers(1, 5000))
    def read_end(self, path: bytes, before: int, length: int) -> None:
        """The last bytes."""
        self.same("pread", path, [(max(0, self.size(path) - before), length)])

    @precondition(has("file"))
    @rule(path=files, offset=offsets)
    def seek(self, path: bytes, offset: int) -> None:
        """SEEK_END and its relatives."""
        self.same("seek", path, offset)

    @precondition(has("file"))
    @rule(path=files)
    def sendfile(self, path: bytes) -> None:
        """Whole files without a copy in user space."""
        self.same("sendfile", path)

    @precondition(has("file"))
    @rule(path=files, page=st.integers(0, 600), length=lengths)
    def read_mapped(self, path: bytes, page: int, length: int) -> None:
        """Mappings."""
        self.same("mmap", path, page, length)

    @rule(path=anything, flags=st.sampled_from(_FLAGS))
    def open_only(self, path: bytes, flags: int) -> None:
        """What open refuses."""
        self.same("open", path, flags)

    def size(self, path: bytes) -> int:
        """Of a file, or 0."""
        try:
            return os.stat(self.full(path)).st_size
        except OSError:
            return 0

    # ------------------------------------------------------------------------------- handles that stay open

    @precondition(has("file"))
    @rule(slot=slots, path=files, mapped=st.booleans())
    def hold(self, slot: int, path: bytes, mapped: bool) -> None:
        """Opens a file for later."""
        self.drop(slot)
        self.held[slot] = Held(path, self.identity(path))
        self.same("hold", slot, path, mapped)

    @precondition(lambda machine: machine.held)
    @rule(slot=held)
    def let_go(self, slot: int) -> None:
        """Closes a held file."""
        self.drop(slot)

    def drop(self, slot: int) -> None:
        """Closes what is in a slot."""
        self.ask("drop", slot)
        self.held.pop(slot, None)
        self.listings.pop(slot, None)

    @precondition(lambda machine: machine.held)
    @rule(slot=held, size=sizes, seed=seeds)
    def replace_held(self, slot: int, size: int, seed: int) -> None:
        """A held file is replaced."""
        path = self.held[slot].path
        if path in self.paths("file"):
            self.put(self.full(path), contents(seed, size))

    @precondition(lambda machine: machine.held)
    @rule(slot=held, ranges=st.lists(st.tuples(offsets, lengths), min_size=1, max_size=3))
    def held_read(self, slot: int, ranges: list[tuple[int, int]]) -> None:
        """A held file is the version that was opened, whatever its name means now."""
        for offset, length in ranges:
            self.same_version("held_pread", slot, offset, length)

    @precondition(lambda machine: machine.held)
    @rule(slot=held, offset=offsets, length=lengths)
    def held_map(self, slot: int, offset: int, length: int) -> None:
        """So is a held mapping."""
        self.same_version("held_map", slot, offset, length)

    def same_version(self, name: str, slot: int, offset: int, length: int) -> None:
        """As `same`; but what is copied and was not read in time can be lost, which is an error, never other bytes."""
        shown, there = self.ask(name, slot, offset, length)
        if self.copies and self.held[slot].lost and shown == ("error", "EIO" if name == "held_pread" else "EFAULT"):
            return
        assert shown == there, difference(name, (slot, offset, length), shown, there)

    @precondition(lambda machine: machine.held)
    @rule(slot=held)
    def held_stat(self, slot: int) -> None:
        """A held file keeps its length; its other attributes are true as long as it has its name."""
        self.same("held_end", slot)
        if self.held[slot].lost:
            shown, there = self.ask("held_stat", slot)
            kept = ("ino", "size")
            assert [shown[1][name] for name in kept] == [there[1][name] for name in kept], (shown, there)
        else:
            self.same("held_stat", slot)

    @rule(slot=slots, path=directories)
    def begin_listing(self, slot: int, path: bytes) -> None:
        """Opens a directory for later."""
        self.open_listing(slot, path)

    @precondition(lambda machine: machine.listings)
    @rule(slot=listed, count=st.sampled_from((1, 100, 1000)))
    def continue_listing(self, slot: int, count: int) -> None:
        """What was in a directory all the time is told once, and nothing that never was."""
        self.go_on(slot, count)

    @rule(path=directories, number=st.integers(0, CROWD_SIZE - 1), appears=st.booleans(), meanwhile=st.booleans())
    def list_across(self, path: bytes, number: int, appears: bool, meanwhile: bool) -> None:
        """So it is when a directory changes half-way, and others list it meanwhile."""
        self.crowd(path)
        member = self.full(self.member(path, number))
        if appears:
            os.unlink(member)
        self.open_listing(0, path)
        self.go_on(0, 1)
        if appears:
            os.symlink(b"late", member)
        else:
            os.unlink(member)
        self.changed()
        if meanwhile:
            self.same("names", path)
        self.go_on(0, 1000)

    def open_listing(self, slot: int, path: bytes) -> None:
        """Opens a directory and notes what is in it."""
        self.drop(slot)
        self.same("begin_listing", slot, path)
        now = self.names_in(path)
        self.listings[slot] = Listing(path, self.inode(path), set(now), now)

    def go_on(self, slot: int, count: int) -> None:
        """Asks for the next names, at the end whether some are missing."""
        listing = self.listings[slot]
        kind, told = self.mount.worker.run("continue_listing", slot, count)
        if listing.gone:
            return
        assert kind == "ok", told
        listing.told += told
        assert len(set(listing.told)) == len(listing.told), "a name was told twice"
        assert set(listing.told) <= listing.ever, "a name was never there"
        if len(told) < count:
            missing = sorted(listing.always - set(listing.told))
            assert not missing, f"not told: {missing}"
            self.drop(slot)

    # ----------------------------------------------------------------------------------------------- refusals

    @precondition(has("file"))
    @rule(path=files, kind=st.sampled_from((*OF_A_FILE, *OF_NO_LINK, *OF_ANYTHING, "unlink")))
    def change_file(self, path: bytes, kind: str) -> None:
        """Nothing changes a file."""
        self.refused(kind, path)

    @rule(path=directories, kind=st.sampled_from((*OF_NO_LINK, *OF_ANYTHING, "rmdir")))
    def change_directory(self, path: bytes, kind: str) -> None:
        """Nothing changes a directory."""
        self.refused(kind, path)

    @precondition(has("link"))
    @rule(path=picked("link"), kind=st.sampled_from((*OF_ANYTHING, "unlink")))
    def change_link(self, path: bytes, kind: str) -> None:
        """Nothing changes a symbolic link."""
        self.refused(kind, path)

    @rule(path=free, kind=st.sampled_from(OF_A_FREE_NAME))
    def make(self, path: bytes, kind: str) -> None:
        """Nothing is made."""
        self.refused(kind, path)

    def refused(self, kind: str, path: bytes) -> None:
        """EROFS, and the directory is as it was."""
        before = self.plain.run("lstat", path), self.plain.run("names", os.path.dirname(path))
        assert self.mount.worker.run("change", kind, path) == ("error", "EROFS")
        after = self.plain.run("lstat", path), self.plain.run("names", os.path.dirname(path))
        assert without_blocks(after[0]) == without_blocks(before[0]), f"{kind} changed {path!r}"
        assert after[1] == before[1]


def without_blocks(result: Result) -> Result:
    """A result without what the file system may change by itself."""
    kind, value = result
    if not isinstance(value, dict):
        return result
    entries = value.items()
    if any(isinstance(inner, dict) for _, inner in entries):
        return kind, {name: {**inner, "blocks": 0} for name, inner in entries}
    return kind, {**value, "blocks": 0}


def difference(name: str, args: tuple[Any, ...], shown: Result, there: Result) -> str:
    """Says where two results differ; files are too long to be printed."""
    (kind, seen), (other_kind, real) = shown, there
    what = f"{shown}, but the directory: {there}"
    if isinstance(seen, bytes) and isinstance(real, bytes):
        at = next((i for i, (a, b) in enumerate(zip(seen, real)) if a != b), min(len(seen), len(real)))
        what = f"{len(seen)} bytes, not {len(real)}; from byte {at}: {seen[at : at + 16]!r}, not {real[at : at + 16]!r}"
    elif isinstance(seen, dict) and isinstance(real, dict):
        keys = [key for key in {**seen, **real} if seen.get(key) != real.get(key)]
        what = f"{ {key: seen.get(key) for key in keys} }, but the directory: { {key: real.get(key) for key in keys} }"
    elif kind == other_kind and isinstance(seen, list) and isinstance(real, list) and len(seen) == len(real):
        return "; ".join(difference(name, args, ("ok", a), ("ok", b)) for a, b in zip(seen, real) if a != b)
    return f"{name}{args}: {what[:2000]}"
