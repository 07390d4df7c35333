"""Sources that break one promise each, and the test of the contract that finds it."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from alluxio_jnifuse import Attr, Extent, Listing, OpenFile, StaleVersion, StatFs, build_listing
from alluxio_jnifuse._core import Cancelled
from alluxio_jnifuse.testing import MemorySource

Progress = Callable[[int], None]


class Lending(MemorySource):
    """Right: lends a descriptor of its own to each open."""

    def open(self, path: bytes, version: int) -> OpenFile:
        opened = super().open(path, version)
        fd = os.memfd_create("lent")
        os.write(fd, self.content(path, 0, opened.size))
        return OpenFile(None, version, opened.size, (Extent(fd, 0, opened.size),))


class Small(MemorySource):
    """Right: reads small files without an open."""

    small_bytes = 65536

    def read_small(
        self, path: bytes, version: int, size: int, offset: int, buffer: memoryview, progress: Progress
    ) -> int:
        opened = self.open(path, version)
        return self.read_into(opened.handle, offset, buffer, progress)


class Remembering(MemorySource):
    """Right: remembers attributes until it forgets them, and asks whether anybody waits."""

    def __init__(self, tree: Mapping[bytes, Any]) -> None:
        super().__init__(tree)
        self.told: dict[bytes, Attr] = {}

    def stat(self, path: bytes) -> Attr:
        if path not in self.told:
            self.check_wanted()
            self.told[path] = super().stat(path)
        return self.told[path]

    def forget(self, path: bytes) -> None:
        self.told = {each: attr for each, attr in self.told.items() if not each.startswith(path.rstrip(b"/"))}

    def remembered(self) -> int:
        return len(self.told)


RIGHT = {"lending": Lending, "small": Small, "remembering": Remembering}

# ---------------------------------------------------------------------------------------------------------- names

WRONG: list[tuple[str, type[MemorySource]]] = []  # the name of the test, and the source that it must refuse


def found_by(test: str) -> Callable[[type[MemorySource]], type[MemorySource]]:
    def note(source: type[MemorySource]) -> type[MemorySource]:
        WRONG.append((f"test_{test}", source))
        return source

    return note


@found_by("the_root_is_a_directory")
class RootIsAFile(MemorySource):
    def stat(self, path: bytes) -> Attr:
        return super().stat(b"/small" if path == b"/" else path)


@found_by("everything_has_its_kind_and_size")
class SizeIsWrong(MemorySource):
    def stat(self, path: bytes) -> Attr:
        attr = super().stat(path)
        return attr._replace(size=attr.size + 1)


@found_by("attributes_are_those_of_the_core")
class TimesAreFloats(MemorySource):
    def stat(self, path: bytes) -> Attr:
        return super().stat(path)._replace(mtime_ns=0.5)  # type: ignore[arg-type]


@found_by("attributes_are_those_of_the_core")
class VersionsAreNegative(MemorySource):
    def stat(self, path: bytes) -> Attr:
        return super().stat(path)._replace(version=-1)


@found_by("stat_shows_the_link_and_not_its_target")
class LinksAreFollowed(MemorySource):
    def stat(self, path: bytes) -> Attr:
        return super().stat(b"/small" if path == b"/link" else path)


@found_by("readlink_of_what_is_no_link_is_einval")
class EverythingIsALink(MemorySource):
    def readlink(self, path: bytes) -> bytes:
        return b"small"


@found_by("what_is_not_there_is_enoent")
class MissingIsForbidden(MemorySource):
    def stat(self, path: bytes) -> Attr:
        try:
            return super().stat(path)
        except FileNotFoundError:
            raise PermissionError(path) from None


@found_by("what_is_not_there_is_enoent")
class MissingIsAKeyError(MemorySource):
    def list(self, path: bytes) -> Listing:
        try:
            return super().list(path)
        except FileNotFoundError:
            raise KeyError(path) from None


@found_by("what_is_not_there_is_enoent")
class MissingDirectoriesAreEmpty(MemorySource):
    def list(self, path: bytes) -> Listing:
        try:
            return super().list(path)
        except FileNotFoundError:
            return build_listing([])


@found_by("nothing_is_below_a_file")
class FilesHoldThemselves(MemorySource):
    def stat(self, path: bytes) -> Attr:
        return super().stat(path.removesuffix(b"/x"))


@found_by("list_of_a_file_is_enotdir")
class FilesAreEmptyDirectories(MemorySource):
    def list(self, path: bytes) -> Listing:
        return build_listing([]) if path == b"/small" else super().list(path)


def listed(names: Callable[[list[bytes]], list[bytes]]) -> type[MemorySource]:
    """A source whose listings have other names than there are."""

    class Listed(MemorySource):
        def list(self, path: bytes) -> Listing:
            found = self._find(path)
            super().list(path)
            return build_listing((name, found.children[name].attr) for name in names(list(found.children)))

    return Listed


found_by("a_listing_is_complete")(listed(lambda names: names[1:]))
found_by("a_listing_is_complete")(listed(lambda names: [*names, *names[:1]]))
found_by("a_long_listing_is_complete")(listed(lambda names: names[:1000]))


@found_by("a_listing_is_complete")
class DotIsListed(MemorySource):
    def list(self, path: bytes) -> Listing:
        listing = super().list(path)
        dots = build_listing([(b"xx", self.stat(path))])
        dots.entries["name_off"] = len(listing.names)
        return Listing(listing.entries.tobytes() + dots.entries.tobytes(), listing.names + b"..")


@found_by("a_listing_agrees_with_stat")
class ListedModesAreOthers(MemorySource):
    def list(self, path: bytes) -> Listing:
        listing = super().list(path)
        listing.entries["mode"] ^= 0o111
        return listing


@found_by("a_listing_agrees_with_stat")
class ListedNumbersAreOthers(MemorySource):
    def list(self, path: bytes) -> Listing:
        listing = super().list(path)
        listing.entries["nlink"] = 0
        listing.entries["ino"] += 1000
        return listing


@found_by("an_inode_number_is_that_of_one_file")
class NumbersAreShared(MemorySource):
    def stat(self, path: bytes) -> Attr:
        return super().stat(path)._replace(ino=7)


@found_by("an_inode_number_is_that_of_one_file")
class NumbersChange(MemorySource):
    def stat(self, path: bytes) -> Attr:
        attr = super().stat(path)
        return attr._replace(ino=attr.ino + self.calls["stat"] * 1000)


@found_by("the_version_of_an_unchanged_file_stays")
class VersionsChange(MemorySource):
    def stat(self, path: bytes) -> Attr:
        return super().stat(path)._replace(version=self.calls["stat"])

    def open(self, path: bytes, version: int) -> OpenFile:
        return super().open(path, super().stat(path).version)


@found_by("statfs_is_plausible")
class BlocksAreNothing(MemorySource):
    def statfs(self) -> StatFs:
        return super().statfs()._replace(block_size=0)


@found_by("mounted_is_a_hook_that_changes_nothing_elsewhere")
class MountsHideEverything(MemorySource):
    def mounted(self, device: int) -> None:
        self._root = self._make({}, b"")


@found_by("forget_loses_nothing_but_memory")
class ForgettingRemoves(MemorySource):
    def forget(self, path: bytes) -> None:
        self._root = self._make({}, b"")


@found_by("counters_keep_their_names")
class CountersCome(MemorySource):
    def counters(self) -> Mapping[str, int]:
        return dict(self.calls)


@found_by("servers_have_parts_of_the_counters")
class ServersCountMore(MemorySource):
    def servers(self) -> Mapping[str, Mapping[str, int]]:
        return {"host:1": {"requests": 1}}


@found_by("servers_have_parts_of_the_counters")
class ServersTellSecrets(MemorySource):
    def servers(self) -> Mapping[str, Mapping[str, int]]:
        return {"user:password@host": {}}


@found_by("it_can_be_named")
class NameHasLines(MemorySource):
    def __str__(self) -> str:
        return "two\nlines"


# ----------------------------------------------------------------------------------------------------------- data


@found_by("every_file_reads_as_it_was_written")
class SmallFilesAreOthers(MemorySource):
    def read_into(self, handle: Any, offset: int, buffer: memoryview, progress: Progress) -> int:
        filled = super().read_into(handle, offset, buffer, progress)
        if filled < 100:
            buffer[:filled] = bytes(filled)
        return filled


@found_by("an_open_file_is_the_one_that_was_looked_up")
class OpenTellsAnotherSize(MemorySource):
    def open(self, path: bytes, version: int) -> OpenFile:
        opened = super().open(path, version)
        return opened._replace(size=opened.size + 1)


@found_by("an_open_file_is_the_one_that_was_looked_up")
class OpenTellsAnotherVersion(MemorySource):
    def open(self, path: bytes, version: int) -> OpenFile:
        return super().open(path, version)._replace(version=0)


@found_by("an_open_file_is_the_one_that_was_looked_up")
class OpenConfirmsNothing(MemorySource):
    confirms_opens = True


@found_by("an_open_file_is_the_one_that_was_looked_up")
class LendsTooLittle(Lending):
    def open(self, path: bytes, version: int) -> OpenFile:
        opened = super().open(path, version)
        return opened._replace(extents=[each._replace(length=each.length - 1) for each in opened.extents])


@found_by("a_read_anywhere_returns_the_bytes_there")
class ReadsArePages(MemorySource):
    def read_into(self, handle: Any, offset: int, buffer: memoryview, progress: Progress) -> int:
        return super().read_into(handle, offset, buffer[:4096], progress)


@found_by("a_read_anywhere_returns_the_bytes_there")
class OffsetsAreAligned(MemorySource):
    def read_into(self, handle: Any, offset: int, buffer: memoryview, progress: Progress) -> int:
        return super().read_into(handle, offset & ~4095, buffer, progress)


@found_by("a_read_anywhere_returns_the_bytes_there")
class ReturnsTooMuch(MemorySource):
    def read_into(self, handle: Any, offset: int, buffer: memoryview, progress: Progress) -> int:
        return super().read_into(handle, offset, buffer, progress) + 1


@found_by("a_read_at_or_beyond_the_end_is_empty")
class EndIsAnError(MemorySource):
    def read_into(self, handle: Any, offset: int, buffer: memoryview, progress: Progress) -> int:
        filled = super().read_into(handle, offset, buffer, progress)
        if not filled:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return filled


@found_by("what_progress_calls_final_is_final")
class ProgressComesFirst(MemorySource):
    def read_into(self, handle: Any, offset: int, buffer: memoryview, progress: Progress) -> int:
        progress(len(buffer))
        return super().read_into(handle, offset, buffer, lambda _: None)


@found_by("what_progress_calls_final_is_final")
class ProgressGoesBack(MemorySource):
    def read_into(self, handle: Any, offset: int, buffer: memoryview, progress: Progress) -> int:
        filled = super().read_into(handle, offset, buffer, progress)
        progress(0)
        progress(filled)
        return filled


@found_by("what_progress_calls_final_is_final")
class ProgressEndsEarly(MemorySource):
    def read_into(self, handle: Any, offset: int, buffer: memoryview, progress: Progress) -> int:
        whole = handle.attr.size - offset
        return super().read_into(handle, offset, buffer, lambda n: progress(n) if n < whole else None)


@found_by("what_progress_calls_final_is_final")
class WritesBeyondTheEnd(MemorySource):
    def read_into(self, handle: Any, offset: int, buffer: memoryview, progress: Progress) -> int:
        filled = super().read_into(handle, offset, buffer, progress)
        buffer[filled:] = b"\1" * (len(buffer) - filled)
        return filled


@found_by("progress_is_told_often")
class ProgressComesOnce(MemorySource):
    def read_into(self, handle: Any, offset: int, buffer: memoryview, progress: Progress) -> int:
        filled = super().read_into(handle, offset, buffer, lambda _: None)
        progress(filled)
        return filled


@found_by("progress_is_told_often")
class ProgressNeverComes(MemorySource):
    def read_into(self, handle: Any, offset: int, buffer: memoryview, progress: Progress) -> int:
        return super().read_into(handle, offset, buffer, lambda _: None)


@found_by("a_cancelled_read_ends")
class CancelledIsAnError(MemorySource):
    def read_into(self, handle: Any, offset: int, buffer: memoryview, progress: Progress) -> int:
        try:
            return super().read_into(handle, offset, buffer, progress)
        except Cancelled as error:
            raise OSError(errno.EIO, os.strerror(errno.EIO)) from error


@found_by("a_cancelled_read_ends")
class CancelledIsTriedAgain(MemorySource):
    def read_into(self, handle: Any, offset: int, buffer: memoryview, progress: Progress) -> int:
        try:
            return super().read_into(handle, offset, buffer, progress)
        except Cancelled:
            return super().read_into(handle, offset, buffer, progress)


@found_by("a_buffer_is_given_back")
class BufferIsKept(MemorySource):
    def read_into(self, handle: Any, offset: int, buffer: memoryview, progress: Progress) -> int:
        self.kept = buffer[:1]
        return super().read_into(handle, offset, buffer, progress)


@found_by("a_call_that_nobody_waits_for_ends")
class AnswersNobody(MemorySource):
    def list(self, path: bytes) -> Listing:
        try:
            self.check_wanted()
        except Exception:
            pass
        return super().list(path)


class OfOneThread(MemorySource):
    """Belongs to the thread that made it."""

    def __init__(self, tree: Mapping[bytes, Any]) -> None:
        super().__init__(tree)
        self._own = threading.get_ident()

    def _belongs(self) -> None:
        if threading.get_ident() != self._own:
            raise RuntimeError("made in another thread")


@found_by("many_threads_read_one_handle")
class HandlesAreOfOneThread(OfOneThread):
    def read_into(self, handle: Any, offset: int, buffer: memoryview, progress: Progress) -> int:
        self._belongs()
        return super().read_into(handle, offset, buffer, progress)


@found_by("many_threads_use_one_source")
class CallsAreOfOneThread(OfOneThread):
    def list(self, path: bytes) -> Listing:
        self._belongs()
        return super().list(path)


@found_by("lent_descriptors_are_the_receivers")
class LendsOneToAll(Lending):
    def open(self, path: bytes, version: int) -> OpenFile:
        self._lent = getattr(self, "_lent", None) or super().open(path, version)
        return self._lent


@found_by("small_files_are_read_without_an_open")
class SmallFilesHaveNoVersion(Small):
    def read_small(
        self, path: bytes, version: int, size: int, offset: int, buffer: memoryview, progress: Progress
    ) -> int:
        return super().read_small(path, self.stat(path).version, size, offset, buffer, progress)


@found_by("small_files_are_read_without_an_open")
class SmallFilesHaveNoOffset(Small):
    def read_small(
        self, path: bytes, version: int, size: int, offset: int, buffer: memoryview, progress: Progress
    ) -> int:
        return super().read_small(path, version, size, 0, buffer, progress)


# ------------------------------------------------------------------------------------------------------- versions


@found_by("open_of_another_version_is_stale")
class OpensAnyVersion(MemorySource):
    def open(self, path: bytes, version: int) -> OpenFile:
        return super().open(path, self.stat(path).version)


@found_by("the_version_before_it_is_stale")
class OldVersionsAreNewBytes(MemorySource):
    def open(self, path: bytes, version: int) -> OpenFile:
        now = self.stat(path).version
        return super().open(path, now if version < now else version)


@found_by("open_of_what_is_no_file_is_stale")
class OpensDirectories(MemorySource):
    def open(self, path: bytes, version: int) -> OpenFile:
        if path == b"/d":
            raise IsADirectoryError(path)
        return super().open(path, version)


@found_by("open_of_what_is_no_file_is_stale")
class OpensLinks(MemorySource):
    def open(self, path: bytes, version: int) -> OpenFile:
        if path == b"/link":
            return super().open(b"/small", self.stat(b"/small").version)
        return super().open(path, version)


def versioned(version_of: Callable[[MemorySource, bytes, Attr], int]) -> type[MemorySource]:
    """A source with versions that are not those of the contents."""

    class Versioned(MemorySource):
        def stat(self, path: bytes) -> Attr:
            attr = super().stat(path)
            return attr._replace(version=version_of(self, path, attr))

        def list(self, path: bytes) -> Listing:
            below = path.rstrip(b"/") + b"/"
            return build_listing((name, self.stat(below + name)) for name in self._find(path).children)

        def open(self, path: bytes, version: int) -> OpenFile:
            if self.stat(path).version != version:
                raise StaleVersion(repr(path))
            return super().open(path, super().stat(path).version)._replace(version=version)

    return Versioned


found_by("a_replaced_file_is_another_version")(versioned(lambda source, path, attr: len(path)))
found_by("contents_of_the_same_size_are_another_version")(versioned(lambda source, path, attr: attr.size))


@found_by("a_replaced_file_is_another_version")
class RemembersForEver(Remembering):
    def forget(self, path: bytes) -> None:
        """Nothing."""


@found_by("an_open_file_never_shows_bytes_of_another_version")
class HandlesArePaths(MemorySource):
    def read_into(self, handle: Any, offset: int, buffer: memoryview, progress: Progress) -> int:
        return super().read_into(self._find(handle.path), offset, buffer, progress)


@found_by("a_replaced_file_has_not_grown")
class EverythingGrows(MemorySource):
    def grown(self, path: bytes, version: int) -> Attr | None:
        return self.stat(path)


@found_by("a_removed_file_is_gone_and_its_handle_can_be_closed")
class ClosingLooksForTheFile(MemorySource):
    def close_file(self, handle: Any) -> None:
        self._find(handle.path)


# --------------------------------------------------------------------------------------------------------- ending


@found_by("nothing_is_left_open")
class OpenLeaks(MemorySource):
    def __init__(self, tree: Mapping[bytes, Any]) -> None:
        super().__init__(tree)
        self.left: list[int] = []

    def __del__(self) -> None:
        for fd in self.left:
            os.close(fd)

    def open(self, path: bytes, version: int) -> OpenFile:
        self.left.append(os.open("/", os.O_RDONLY))
        return super().open(path, version)


@found_by("close_is_idempotent")
class ClosesOnce(MemorySource):
    closed = False

    def close(self) -> None:
        if self.closed:
            raise ValueError("it is closed")
        self.closed = True


@found_by("handles_outlive_the_source")
class HandlesEndWithTheSource(MemorySource):
    closed = False

    def close(self) -> None:
        self.closed = True

    def close_file(self, handle: Any) -> None:
        if self.closed:
            raise ValueError("it is closed")
