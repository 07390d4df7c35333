"""The settings of one mount: every source of them merged, each value with its origin.

Precedence, highest first: `-o` and the arguments of the command line, `-D`, the `*_JAVA_OPTS` variables, single
environment variables (MAX_IDLE_THREADS ...), alluxio-site.properties, the default of the OPTIONS table.
A mount option inside `alluxio.fuse.mount.options` ranks as that property does.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from alluxio_jnifuse.errors import ConfigError
from alluxio_jnifuse.loading import COMMAND_LINE, DEFAULT, DEFINE, Loader, Setting
from alluxio_jnifuse.options import OPTIONS
from alluxio_jnifuse.properties import define

UFS = "alluxio.master.mount.table.root.ufs"
MOUNT_POINT = "alluxio.fuse.mount.point"
ALLUXIO_PATH = "alluxio.fuse.mount.alluxio.path"

_CACHE = "alluxio.user.client.cache."
_SMALLEST_PAGE_BYTES = 64 << 10  # options.h


class Config:
    """All settings of one mount; see `load`. Relative paths are of the directory it was loaded in.

    `ufs`: the storage to show as an absolute path or a URI, ALLUXIO_PATH appended; "" when none is configured. A
    storage that only the properties name is the cluster's where a cluster is configured: then "" too.
    `cluster`: the addresses of the configured Alluxio cluster, or "".
    `alluxio_path`: the part of the storage to show, absolute and normalised.
    `logs_directory`: where the log file shall lie, or "" for the default.
    `lend`: whether a local source hands over its open files instead of having them copied into the client cache.
    `notes`: lines for the log; what has no effect, or another one than it says, and why.
    """

    def __init__(self, settings: Mapping[str, Setting], notes: Iterable[str] = ()) -> None:
        self.settings = dict(settings)
        self.lend = not self.flag(f"{_CACHE}enabled")
        self.cluster = self.text("alluxio.master.rpc.addresses") or self.text("alluxio.master.hostname")
        self.alluxio_path = "/" + os.path.normpath(self.text(ALLUXIO_PATH)).lstrip("/")
        self.ufs = ""
        if self.text(UFS) and (not self.cluster or self.origin(UFS) == "--ufs"):
            self.ufs = _join(self.text(UFS), self.alluxio_path)
        logs = self.text("alluxio.logs.dir")
        self.logs_directory = os.path.abspath(logs) if logs else ""
        self.notes = [*notes, *self._notes()]
        self._check()

    @classmethod
    def load(
        cls,
        *,
        options: Iterable[str] = (),
        properties: Iterable[str] = (),
        ufs: str | None = None,
        mountpoint: str | None = None,
        alluxio_path: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Config:
        """Merges the command line with the environment, the site file and the defaults.

        `options`: what followed each -o, comma lists; `properties`: KEY=VALUE of each -D; the rest are arguments of
        the command line. Raises ConfigError that names every option that is unknown or has a bad value.
        """
        loader = Loader(os.environ if environ is None else environ)
        for text in properties:
            loader.add_property(*define(text), "-D", DEFINE)
        for text in options:
            loader.add_options(text, "-o", COMMAND_LINE)
        arguments = (
            (UFS, ufs, "--ufs"),
            (MOUNT_POINT, mountpoint, "argument"),
            (ALLUXIO_PATH, alluxio_path, "argument"),
        )
        for name, argument, origin in arguments:
            if argument is not None:
                loader.add_property(name, argument, origin, COMMAND_LINE)
        return cls(loader.finish(), loader.notes)

    def text(self, name: str) -> str:
        """The value of a text or choice; "" when unset."""
        value = self.settings[name].value
        return value if isinstance(value, str) else ""

    def number(self, name: str) -> int:
        """The value of anything else, in the unit of its kind; -1 when unset."""
        value = self.settings[name].value
        return value if isinstance(value, int) else -1

    def flag(self, name: str) -> bool:
        """Whether a flag, switch or bool is on."""
        return self.number(name) > 0

    def origin(self, name: str) -> str:
        """Where the value was written: "default", "-o", "-D", "$VARIABLE" or the path of a file."""
        return self.settings[name].origin

    def core_options(self) -> dict[str, int]:
        """One number for every field of struct ajf_options (csrc/options.h has names and units)."""
        numbers = {row.field: int(self.number(row.name)) for row in OPTIONS if row.field and row.kind != "mode"}
        modes = [row for row in OPTIONS if row.kind == "mode" and self.flag(row.name)]
        numbers["cache_mode"] = max((self.settings[row.name].rank, row.mode) for row in modes)[1]
        numbers["max_threads"] = max(numbers["max_threads"], numbers["max_idle_threads"])
        if self.settings["congestion_threshold"].rank == DEFAULT:
            numbers["congestion_threshold"] = max(1, numbers["max_background"] * 3 // 4)
        numbers["page_bytes"] = page_bytes(numbers["page_bytes"])
        return numbers

    def mount_options(self) -> str:
        """The comma list for mount(2) and libfuse; the type in /proc/mounts becomes fuse.alluxio-fuse."""
        fsname = self.text("fsname").replace("\\", "\\\\").replace(",", "\\,")
        words = [f"fsname={fsname}", "subtype=alluxio-fuse"]
        for row in OPTIONS:
            if row.kernel and self.flag(row.name):
                words.append(row.name)
            elif row.kernel and row.default == "on":
                words.append(row.off)
        if self.number("max_read") > 0:
            words.append(f"max_read={self.number('max_read')}")
        return ",".join(words)

    def _notes(self) -> list[str]:
        """Settings that are taken, but not to the letter."""
        notes = []
        page, store = f"{_CACHE}page.size", f"{_CACHE}store.type"
        if not self.flag("ro"):
            notes.append("rw: this release does not write; every write answers EROFS")
        if not self.lend and self.text(store) in ("LOCAL", "ROCKS"):
            notes.append(f"{store}={self.text(store)}: in this release cached pages are kept in memory")
        if page_bytes(self.number(page)) != self.number(page):
            notes.append(f"{page}: rounded up to {page_bytes(self.number(page))} bytes, a power of two")
        return notes

    def _check(self) -> None:
        """Raises ConfigError for values that contradict each other."""
        problems = []
        if self.flag("allow_other") and self.flag("allow_root"):
            problems.append("allow_other and allow_root exclude each other")
        if not self.lend and self.number(f"{_CACHE}size") < page_bytes(self.number(f"{_CACHE}page.size")):
            problems.append(f"{_CACHE}size must hold at least one page of {_CACHE}page.size")
        if not self.text(ALLUXIO_PATH).startswith("/"):
            problems.append(f"ALLUXIO_PATH {self.text(ALLUXIO_PATH)!r} must start with a slash")
        if problems:
            raise ConfigError("\n".join(problems))


def _join(ufs: str, path: str) -> str:
    """The directory `path` within `ufs`."""
    path = path.rstrip("/")
    if "://" not in ufs:
        return os.path.abspath(ufs).rstrip("/") + path or "/"
    if not path:
        return ufs
    from urllib.parse import quote

    return ufs.rstrip("/") + quote(os.fsencode(path))


def page_bytes(size: int) -> int:
    """`size` rounded up to what the core takes: a power of two, at least 64 KiB."""
    return max(_SMALLEST_PAGE_BYTES, 1 << (size - 1).bit_length())
