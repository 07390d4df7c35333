"""Which modules a mount loads until it is idle, as told by an interpreter that does nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

# The imports of the daemon, in its order; only the kernel is left out.
_PROGRAM = """\
import sys
before = set(sys.modules)  # a startup file of this machine's may have loaded anything
from alluxio_jnifuse.cli import mount
_, config = mount.parse(sys.argv[1:])
from alluxio_jnifuse.daemon import fetcher, logs, serve, start, storage
logs.to_terminal(debug=False)
_, source, _ = storage.open_storage(config, lambda text: None)
try:
    attr = source.stat(b"/file")
    print(*sorted(set(sys.modules) - before))
finally:
    source.close()
"""

# Each takes a millisecond and more, or half a MB: what needs one imports it where that is.
HEAVY = {
    *("argparse", "asyncio", "calendar", "concurrent.futures", "dataclasses", "datetime", "email", "hmac", "http"),
    *("importlib.metadata", "inspect", "locale", "logging.handlers", "multiprocessing", "pathlib", "pickle"),
    *("platform", "shutil", "ssl", "subprocess", "tempfile", "unittest", "urllib.request", "uuid", "xml.etree"),
    *("zipfile",),
}


def loaded(words: Sequence[str]) -> set[str]:
    """The modules that a mount with these arguments has loaded, once it was asked about its `/file`."""
    environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *words], env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def foreign(modules: set[str]) -> set[str]:
    """The packages among them that are neither Python's nor ours, nor made up by Cython."""
    packages = {name.partition(".")[0] for name in modules if not name.startswith(("cython_", "_cython_"))}
    return packages - sys.stdlib_module_names - {"alluxio_jnifuse"}
