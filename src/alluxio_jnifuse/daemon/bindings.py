"""The two bindings to libfuse, as serve.py uses them: the C core (default), and llfuse.

`alluxio.fuse.jnifuse.enabled` chooses, as it chooses between JNI and JNR in AlluxioFuse.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from alluxio_jnifuse.daemon.commands import Commands
from alluxio_jnifuse.errors import ConfigError, MountError
from alluxio_jnifuse.mounts import stacking

if TYPE_CHECKING:
    from alluxio_jnifuse._core import Core
    from alluxio_jnifuse.config.values import Config
    from alluxio_jnifuse.llfuse_binding.core import LlfuseCore
    from alluxio_jnifuse.sources.base import Attr, Source
    from alluxio_jnifuse.sources.doing import Step

    Binding = Core | LlfuseCore


log = logging.getLogger(__name__)


class Workers(Protocol):
    """The threads that ask the source: the fetchers of the C core, or llfuse's workers."""

    @property
    def open_handles(self) -> int:
        """How many files are open at the source."""

    def tend(self) -> None:
        """Called every second: makes threads that could not be made before."""

    def steps(self) -> list[Step]:
        """Tells what each of them does at the source, as far as that is known."""

    def start(self) -> None:
        """Raises MountError."""

    def stop(self, timeout: float) -> int:
        """Returns how many are still inside the source after `timeout` s."""


def make(config: Config, source: Source, root: Attr) -> tuple[Binding, Workers]:
    """Makes the two halves of a mount: one answers the kernel, one asks the source. Raises MountError.

    Nothing is mounted yet. The C core takes the place of an llfuse that is not installed: a user who comes from
    AlluxioFuse may have the setting.
    """
    if not config.flag("alluxio.fuse.jnifuse.enabled"):
        try:
            return _make_llfuse(config, source, root)
        except ImportError as error:
            log.warning(
                "alluxio.fuse.jnifuse.enabled is false, and llfuse cannot be imported (%s): the C core is the binding; "
                "pip install 'alluxio-jnifuse[llfuse]' for the other", error,
            )  # fmt: skip
    return _make_core(config, source, root)


def name_of(core: Binding) -> str:
    """Names a binding for the log."""
    from alluxio_jnifuse import _core

    if isinstance(core, _core.Core):
        return f"the C core, libfuse {_core.libfuse_version()}"
    return core.name


def _commands(config: Config, source: Source) -> Commands | None:
    return Commands(source) if config.flag("alluxio.fuse.special.command.enabled") else None


def _make_llfuse(config: Config, source: Source, root: Attr) -> tuple[Binding, Workers]:
    from alluxio_jnifuse.llfuse_binding.core import LlfuseCore, LlfuseWorkers

    commands = _commands(config, source)
    core = LlfuseCore(config.core_options(), source, root, commands.obey if commands else None)
    source.invalidate = core.invalidate
    return core, LlfuseWorkers(core)


def _make_core(config: Config, source: Source, root: Attr) -> tuple[Core, Workers]:
    from alluxio_jnifuse._core import Core
    from alluxio_jnifuse.daemon.fetcher import Fetchers

    try:
        core = Core(_core_options(config, source))
    except OSError as error:
        raise MountError(error.strerror or str(error), remedy="raise the limit of memory (ulimit -v)") from error
    try:
        core.set_root(root)
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise MountError(f"what its storage says of the root is malformed: {error}", where=config.ufs) from error
    if source.small_bytes:
        core.open_lazily(source.small_bytes, source.small_ahead)
    if source.follows_growth:
        core.follow_growth()
    if source.confirms_opens and config.flag("default_permissions"):
        if config.text("open") == "NEVER":
            raise ConfigError(
                "open=never and default_permissions exclude each other for a local directory: a mode that changes "
                "counts from the next open, and the kernel would tell of none",
                where=config.ufs, remedy="use open=always, or no_default_permissions",
            )  # fmt: skip
        core.confirm_opens()
    if source.opens_files:
        core.open_files()
    source.invalidate = core.invalidate
    source.offer_list = core.offer_list
    threads = config.number("fetchers") + config.number("metadata_fetchers")
    commands = _commands(config, source)
    return core, Fetchers(core, source, threads, commands.obey if commands else None)


def _core_options(config: Config, source: Source) -> dict[str, int]:
    """The numbers of the settings; how deep this mount may be stacked is chosen here if it was not set."""
    options = config.core_options()
    if not options["stack_depth"]:
        own = stacking.PLAIN if options["cache_enabled"] else stacking.NOTHING  # the cache in memory
        options["stack_depth"] = max(source.stack_depth, own)
        if options["stack_depth"] == stacking.OVERLAY and options["passthrough"]:
            config.notes.append(
                "its files lie on an overlay: for passthrough stack_depth is 2, and no overlay can be mounted on this "
                "mount; with -o stack_depth=1 one can, and files are read through the daemon"
            )
    return options
