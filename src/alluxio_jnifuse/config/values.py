"""The settings of one mount: every source of them merged, each value with its origin.

Precedence, highest first: `-o` and the arguments of the command line, `-D`, the `*_JAVA_OPTS` variables, single
environment variables (MAX_IDLE_THREADS ...), alluxio-site.properties, the cluster's own configuration (asked when it
is mounted), the default of the OPTIONS table. A mount option inside `alluxio.fuse.mount.options` ranks as that
property does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from alluxio_jnifuse.config import limits
from alluxio_jnifuse.config.merge import CLUSTER, COMMAND_LINE, DEFAULT, DEFINE, Loader, Setting, parse_addresses
from alluxio_jnifuse.config.options import BY_NAME, OPTIONS
from alluxio_jnifuse.config.options.option import UINT32_MAX
from alluxio_jnifuse.config.properties import define, ignored_reason
from alluxio_jnifuse.config.units import format_size, parse_size, unquote
from alluxio_jnifuse.errors import ConfigError

UFS = "alluxio.master.mount.table.root.ufs"
MOUNT_POINT = "alluxio.fuse.mount.point"
ALLUXIO_PATH = "alluxio.fuse.mount.alluxio.path"

ALLUXIO = "alluxio://"  # how the URI of a cluster begins
OSS = "oss://"  # and that of a bucket

_PORT = "alluxio.master.rpc.port"
_RETRY = "alluxio.user.block.read.retry.max.duration"
_CACHE = "alluxio.user.client.cache."
_METADATA_PATHS = "alluxio.user.metadata.cache.max.size"
_POLICY = "alluxio.user.ufs.block.read.location.policy"
_BLOCK_FILES = (*(f"alluxio.worker.tieredstore.level{n}.dirs.path" for n in range(3)), "alluxio.worker.data.folder")
_BINDING = "alluxio.fuse.jnifuse.enabled"
# Fields of struct ajf_options that mean nothing to llfuse.
_OF_THE_CORE = frozenset(
    {"busy_poll_us", "clone_fd", "passthrough", "stack_depth", "io_uring", "transient_bytes", "prefetch_bytes"}
)
_MODES_OF_THE_CORE = frozenset({"open", "direct_io", "auto_cache"})
_POLLING_PROCESSORS = 2  # one for the thread that polls, one for the others; with less a quota is soon used up
_SMALLEST_PAGE_BYTES = 64 << 10  # options.h

_PORT_OF = re.compile(r":\d+\Z")
_SEPARATORS = re.compile(r"[;+]")  # AlluxioURI takes them too, for what would break up its lists


class Config:
    """All settings of one mount; see `load`. Relative paths are of the directory it was loaded in.

    `ufs`: the storage to show as an absolute path or a URI, ALLUXIO_PATH appended; "" when none is configured. It is
    the configured cluster, `alluxio://host:port,host:port/path` with the port of each master, unless --ufs names
    something else; a storage that only the properties name is the cluster's where a cluster is configured.
    `cluster`: the masters of the configured cluster, `host:port,host:port`, or "".
    `alluxio_path`: the part of the storage to show, absolute and normalised.
    `logs_directory`: where the log file shall lie, or "" for the default.
    `cache_bytes`: the budget of the client cache; 0 when it is off.
    `listing_bytes`: the most that a listing may take.
    `caching`: whether there is a client cache.
    `by_core`: whether the C core answers the kernel, because it shall, or llfuse is not installed.
    `lend`: whether a local source hands over its open files instead of having them copied into the client cache.
    `notes`: lines for the log; what has no effect, or another one than it says, and why.
    """

    def __init__(self, loader: Loader, cluster_defaults: Iterable[tuple[str, str]] = ()) -> None:
        self._loader = loader
        self.settings, self.notes = loader.finish(cluster_defaults)
        self._fit_into_memory()
        self._fit_into_processors()
        self._check_permissions()
        self.caching = self.flag(f"{_CACHE}enabled")
        self.by_core = self.flag(_BINDING) or not _has_llfuse()
        self.lend = self.by_core and not self.caching
        self.listing_bytes = self.number("listing_limit")
        self.cache_bytes = self.number(f"{_CACHE}size") if self.caching else 0
        self.cluster = self._masters()
        self.alluxio_path = "/" + os.path.normpath(self.text(ALLUXIO_PATH)).lstrip("/")
        self.ufs = ""
        if self.text(UFS) and (not self.cluster or self.origin(UFS) == "--ufs"):
            self.ufs = _join(self._complete(self.text(UFS)), self.alluxio_path)
        elif self.cluster:
            self.ufs = _join(f"{ALLUXIO}{self.cluster}/", self.alluxio_path)
        logs = self.text("alluxio.logs.dir")
        self.logs_directory = os.path.abspath(logs) if logs else ""
        self.notes += self._notes()
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
            if not define(text)[0]:
                raise ConfigError("expected KEY=VALUE", where=f"-D {text!r}")
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
        return cls(loader)

    def with_cluster_defaults(self, pairs: Iterable[tuple[str, str]]) -> Config:
        """The same settings with keys and values of the cluster's configuration in place of defaults; never fails.

        Settings that describe a machine, the mount itself or the way to the cluster are not taken; one that cannot be
        used is a note.
        """
        try:
            config = Config(self._loader, pairs)
        except ConfigError as error:  # good values that do not go together
            self.notes.append(f"the cluster's configuration is not used: {error}")
            return self
        config.ufs, config.logs_directory = self.ufs, self.logs_directory  # the directory may have changed since
        config.notes = [*self.notes, *(note for note in config.notes if note not in self.notes)]
        return config

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
        """The origin of the value: "default", "cluster default", "-o", "-D", "$VARIABLE" or the path of a file."""
        return self.settings[name].origin

    def given(self, key: str) -> Setting | None:
        """A property as it was set, also one that this client does not honour; its value is None."""
        return self._loader.given(key)

    def secrets(self) -> set[str]:
        """The secrets among the settings, those too that this client does not honour."""
        return self._loader.secrets()

    def core_options(self) -> dict[str, int]:
        """One number for every field of struct ajf_options (csrc/base/options.h has names and units)."""
        numbers = {row.field: int(self.number(row.name)) for row in OPTIONS if row.field and row.kind != "mode"}
        modes = [row for row in OPTIONS if row.kind == "mode" and self.flag(row.name)]
        numbers["cache_mode"] = max((self.settings[row.name].rank, row.mode) for row in modes)[1]
        numbers["asks_no_open"] = int(self.text("open") == "NEVER")
        numbers["max_threads"] = max(numbers["max_threads"], numbers["max_idle_threads"])
        if self.settings["congestion_threshold"].rank == DEFAULT:
            numbers["congestion_threshold"] = max(1, numbers["max_background"] * 3 // 4)
        numbers["page_bytes"] = page_bytes(numbers["page_bytes"])
        numbers["cache_enabled"] = int(self.caching and self.cache_store == "MEM")
        numbers["evictor"] = BY_NAME[f"{_CACHE}evictor.class"].choices.index(self.cache_evictor)
        if self.ufs.startswith(ALLUXIO) and numbers["read_timeout_ms"]:
            # A worker that hangs is given up after that time: a reader waits for the others as well.
            patience = self.number(_RETRY)
            numbers["read_timeout_ms"] = min(numbers["read_timeout_ms"] + patience, UINT32_MAX) if patience else 0
        return numbers

    @property
    def cache_store(self) -> str:
        """MEM, LOCAL or ROCKS: where the client cache lies, if it is enabled."""
        name = f"{_CACHE}store.type"
        if self.settings[name].rank == DEFAULT and self.settings[f"{_CACHE}dirs"].rank != DEFAULT:
            return "LOCAL"
        return "MEM" if self.text(name) == "MEMORY" else self.text(name)

    @property
    def cache_evictor(self) -> str:
        """The class of the evictor, one of those that its option may have."""
        name = self.text(f"{_CACHE}evictor.class")
        drawn = self.flag(f"{_CACHE}evictor.nondeterministic.enabled")
        return "NondeterministicLRUCacheEvictor" if drawn and name == "LRUCacheEvictor" else name

    def cache_directories(self) -> list[tuple[str, int]]:
        """Directories of the client cache with the bytes that each may hold. Raises ConfigError."""
        dirs, size = f"{_CACHE}dirs", f"{_CACHE}size"
        chosen = self.settings[dirs].rank != DEFAULT
        listed = self.text(dirs).split(",") if chosen else [_default_cache_directory()]
        paths = [os.path.abspath(path.strip()) for path in listed if path.strip()]
        sizes = [parse_size(part) for part in unquote(self.settings[size].text).split(",")]
        if not paths or len(set(paths)) < len(paths):
            problem = "names one directory twice" if paths else "names no directory"
            raise ConfigError(problem, where=f"{dirs}={self.text(dirs)}", remedy="name each directory once")
        if len(sizes) == 1:
            sizes = [sizes[0] // len(paths)] * len(paths)
        if len(sizes) != len(paths):
            raise ConfigError(
                f"{len(sizes)} sizes for {len(paths)} directories",
                where=size,
                remedy="give one in all, or as many",
            )
        return list(zip(paths, sizes))

    def mount_options(self) -> str:
        """The comma list for mount(2) and libfuse; the type in /proc/mounts becomes fuse.alluxio-fuse."""
        name = self.text("fsname") or BY_NAME["fsname"].default  # mount(2) takes no empty one
        fsname = name.replace("\\", "\\\\").replace(",", "\\,")
        words = [f"fsname={fsname}", "subtype=alluxio-fuse"]
        for row in OPTIONS:
            if row.kernel and self.flag(row.name):
                words.append(row.name)
            elif row.kernel and row.default == "on":
                words.append(row.off)
        if self.number("max_read") > 0:
            words.append(f"max_read={self.number('max_read')}")
        return ",".join(words)

    def _fit_into_memory(self) -> None:
        """Makes defaults as small as a container's memory limit needs; what was set stays, and is told.

        Sizes that a cluster says are made as small as the machine needs where there is no limit.
        """
        found = limits.memory()
        limit = limits.installed() if found is None else found
        caching = self.flag(f"{_CACHE}enabled") and self.cache_store == "MEM"
        budget = limits.budget(limit, caching=caching)
        sizes = [
            ("transient_window", budget.window),
            ("listing_limit", budget.listing),
            ("listings_kept", budget.listings),
        ]
        if caching:
            sizes.append((f"{_CACHE}size", max(budget.cache, page_bytes(self.number(f"{_CACHE}page.size")))))
        if self.settings[_METADATA_PATHS].rank == CLUSTER:
            sizes.append((_METADATA_PATHS, budget.cache // limits.PATH_BYTES))
        for name, most in sizes:
            setting = self.settings[name]
            counts = found is not None or setting.rank == CLUSTER
            if not counts or not isinstance(setting.value, int) or setting.value <= most:
                continue
            if setting.rank <= CLUSTER:
                text = str(most) if name == _METADATA_PATHS else format_size(most)
                kind = "memory" if found is None else "memory limit"
                self.settings[name] = setting._replace(value=most, text=text, origin=kind)
                self.notes.append(f"{name}: {text}, for the {kind} of {format_size(limit)}")
            else:
                self.notes.append(
                    f"{name}={setting.text} ({setting.origin}): more than the {format_size(most)} that the memory "
                    f"limit of {format_size(limit)} has room for; this process may be killed"
                )

    def _fit_into_processors(self) -> None:
        """No busy polling by default where it would use up what the answers need: in a container with a small quota."""
        quota = limits.processors()
        setting = self.settings["busy_poll"]
        if quota is not None and quota < _POLLING_PROCESSORS and setting.rank == DEFAULT:
            self.settings["busy_poll"] = setting._replace(value=0, text="0", origin="processor limit")
            self.notes.append(f"busy_poll: 0, for the limit of {quota:g} processors")

    def _check_permissions(self) -> None:
        """If other users than the mounting one get in, the kernel lets each of them do what modes permit."""
        setting = self.settings["default_permissions"]
        for name in ("allow_other", "allow_root"):  # both open the mount to everybody in the kernel
            if self.flag(name) and setting.rank == DEFAULT:
                self.settings["default_permissions"] = setting._replace(value=1, text="on", origin=name)

    def _masters(self) -> str:
        """The masters of the configured cluster with their ports, or ""."""
        addresses = self.text("alluxio.master.rpc.addresses")
        journals = self.text("alluxio.master.embedded.journal.addresses")
        if not addresses and journals:
            addresses = ",".join(_PORT_OF.sub("", address) for address in journals.split(","))
        return self._with_ports(addresses or self.text("alluxio.master.hostname"))

    def _with_ports(self, addresses: str) -> str:
        port = self.number(_PORT)
        return ",".join(a if _PORT_OF.search(a) else f"{a}:{port}" for a in addresses.split(",") if a)

    def _complete(self, ufs: str) -> str:
        """`ufs`; of a cluster with the port of each master, and with the configured masters where it names none."""
        if ufs.lower().startswith(OSS):
            return OSS + ufs[len(OSS) :]
        if not ufs.lower().startswith(ALLUXIO):
            return ufs
        authority, _, path = ufs[len(ALLUXIO) :].partition("/")
        try:
            masters = self._with_ports(parse_addresses(_SEPARATORS.sub(",", authority))) or self.cluster
        except ValueError as error:
            raise ConfigError(f"expected {error}", where=repr(ufs)) from None
        if not masters:
            raise ConfigError("names no master", where=repr(ufs), remedy=f"use {ALLUXIO}HOST:{self.number(_PORT)}/")
        return f"{ALLUXIO}{masters}/{path}"

    def _notes(self) -> list[str]:
        """Settings that are taken, but not to the letter, and those that this mount has no use for."""
        notes = [
            f"ignored: {setting.name} ({setting.origin}): {reason}"
            for name, setting in self.settings.items()
            for reason in [self._useless(name)]
            if setting.rank > CLUSTER and reason
        ]
        page = f"{_CACHE}page.size"
        if self.caching and self.cache_store == "MEM" and not self.by_core:
            notes.append(
                f"there is no client cache: one in memory is the C core's, and {_BINDING} is false; "
                f"{_CACHE}store.type=LOCAL has one on disk"
            )
        if not self.flag("ro"):
            notes.append("rw: this release does not write; every write answers EROFS")
        if page_bytes(self.number(page)) != self.number(page):
            notes.append(f"{page}: rounded up to {page_bytes(self.number(page))} bytes, a power of two")
        return notes

    def _useless(self, name: str) -> str:
        """Why this mount has no use for a setting, or ""."""
        row = BY_NAME.get(name)
        of_the_core = name in _MODES_OF_THE_CORE or (row is not None and row.field in _OF_THE_CORE)
        if of_the_core and not self.by_core:
            return f"it is for the C core, and {_BINDING} is false"
        if row is not None and row.oss and not self.ufs.startswith(ALLUXIO):
            return "" if self.ufs.startswith(OSS) else f"it is for a bucket of OSS, and {self.ufs or 'none'} is mounted"
        if not self.ufs.startswith(ALLUXIO):
            if row is None or row.cluster:
                return f"it is for an Alluxio cluster, and {self.ufs or 'none'} is mounted"
        elif name == UFS and self.origin(UFS) != "--ufs":
            return "the cluster has it mounted"
        else:
            used = {
                "alluxio.worker.hostname": self.text(_POLICY) == "SpecificHostPolicy",
                **dict.fromkeys(_BLOCK_FILES, self.flag("alluxio.user.short.circuit.enabled")),
            }
            of_storage = row is not None and row.oss
            return "" if used.get(name, not of_storage) else ignored_reason(name)
        return ""

    def _check(self) -> None:
        """Raises ConfigError for values that contradict each other."""
        problems = []
        if self.flag("allow_other") and self.flag("allow_root"):
            problems.append("allow_other and allow_root exclude each other")
        if self.text("open") == "NEVER" and self.flag("direct_io"):
            problems.append("open=never and direct_io exclude each other: an open tells the kernel to keep nothing")
        if self.caching:
            try:
                sizes = [self.number(f"{_CACHE}size")]
                if self.cache_store != "MEM":
                    sizes = [size for _, size in self.cache_directories()]
                if min(sizes) < page_bytes(self.number(f"{_CACHE}page.size")):
                    problems.append(f"{_CACHE}size must hold at least one page of {_CACHE}page.size in each directory")
            except ConfigError as error:
                problems.append(str(error))
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


def _default_cache_directory() -> str:
    """A directory for this user, where nobody else can take the name before; Alluxio's own lies below /tmp."""
    if os.geteuid() == 0:
        return "/var/cache/alluxio-jnifuse"
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "alluxio-jnifuse")


def _has_llfuse() -> bool:
    """Whether llfuse is installed; it is not loaded here."""
    from importlib.util import find_spec

    return find_spec("llfuse") is not None
