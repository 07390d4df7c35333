"""`version`: versions, and which features are compiled in and granted by this kernel.

A kernel tells what it grants only when something is mounted. So an empty file system is mounted for a moment on a
directory of its own; nothing ever asks it anything.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from alluxio_jnifuse import __version__
from alluxio_jnifuse.cli.words import PROGRAM, UsageError, options_of

USAGE = f"""\
Usage: {PROGRAM} version [--json]

Prints the versions of {PROGRAM}, libfuse and the kernel, the features that are compiled in, and those that the
kernel grants.
"""

_INIT_TIMEOUT_S = 10.0


def run(arguments: Sequence[str]) -> int:
    """Returns the exit code. Raises UsageError."""
    options, positional = options_of(arguments, "", ["json"])
    if positional:
        raise UsageError(f"too many arguments: {' '.join(positional)}")
    from alluxio_jnifuse import _core

    system = os.uname()
    libfuse, compiled = _core.libfuse_version(), _core.compiled_features()
    if options:
        return _print_json(libfuse, f"{system.sysname} {system.release}", compiled)
    print(f"{PROGRAM} {__version__}")
    print(f"libfuse {libfuse}")
    print(f"kernel {system.sysname} {system.release}")
    granted, reason = _granted()
    for feature in sorted(compiled | granted):
        here = "unknown" if reason else "granted" if feature in granted else "not granted"
        print(f"  {feature:20} {'compiled in' if feature in compiled else 'not compiled in'}, {here}")
    if reason:
        print(f"What the kernel grants is unknown: {reason}")
    return 0


def _print_json(libfuse: str, kernel: str, compiled: frozenset[str]) -> int:
    """`granted` is null where it cannot be found out, for the reason `unknown`."""
    import json

    granted, reason = _granted()
    told = {"version": __version__, "libfuse": libfuse, "kernel": kernel, "compiled_in": sorted(compiled)}
    print(json.dumps({**told, "granted": None if reason else sorted(granted), "unknown": reason or None}))
    return 0


def _granted() -> tuple[frozenset[str], str]:
    """The features that a mount gets here, or the reason why that cannot be found out."""
    import tempfile

    from alluxio_jnifuse._core import Core
    from alluxio_jnifuse.config.values import Config
    from alluxio_jnifuse.daemon.serve import captured_stderr
    from alluxio_jnifuse.errors import AlluxioFuseError
    from alluxio_jnifuse.mounts import privileges

    try:
        privileges.check(privileges.look(), others=False)
    except AlluxioFuseError as error:
        return frozenset(), str(error)
    config = Config.load(options=["io_uring", "stack_depth=1"], environ={})
    directory = tempfile.mkdtemp(prefix="alluxio-jnifuse-")
    core = Core(config.core_options())
    try:
        with captured_stderr() as said, privileges.system_path():
            core.mount(os.fsencode(directory), config.mount_options())
            core.start(_INIT_TIMEOUT_S)
        return core.features(), ""
    except OSError as error:
        return frozenset(), said[0] or str(error.strerror)
    finally:
        with privileges.system_path():
            core.stop()
        os.rmdir(directory)
