"""The command of our image: `python -m alluxio_jnifuse.cli.container fuse [--fuse-opts=...] [MOUNT_POINT] [PATH]`.

The arguments and variables are those of the entrypoint of Alluxio's images, and become the words of `mount -n`. Beside
that it differs from a mount on a machine by three things: a cluster that is not up yet is waited for; without any
setting the cluster is that of this host; and a mount that nobody outside of the container would see is an error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from alluxio_jnifuse import cli
from alluxio_jnifuse.cli import mount
from alluxio_jnifuse.cli.words import UsageError, options_of
from alluxio_jnifuse.config import secrets
from alluxio_jnifuse.config.values import ALLUXIO_PATH, MOUNT_POINT
from alluxio_jnifuse.errors import AlluxioFuseError, MountError
from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.system import locales

USAGE = """\
Usage: fuse [--fuse-opts=OPTIONS] [MOUNT_POINT] [ALLUXIO_PATH]
       COMMAND ...          run in the container instead: alluxio-jnifuse, sh ...

  --fuse-opts=OPTIONS       mount options, separated by commas
  MOUNT_POINT               default: $MOUNT_POINT, else /mnt/alluxio-fuse
  ALLUXIO_PATH              default: $FUSE_ALLUXIO_PATH, else /

Settings: ALLUXIO_JAVA_OPTS, ALLUXIO_FUSE_JAVA_OPTS, ALLUXIO_SITE_PROPERTIES; without any, the cluster of this host.
"""

_SERVERS = ("master", "master-only", "worker", "worker-only", "job-master", "job-worker", "proxy", "logserver")
_VARIABLES = {"MOUNT_POINT": MOUNT_POINT, "FUSE_ALLUXIO_PATH": ALLUXIO_PATH}


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code, unless another program takes over."""
    if argv is None:
        locales.use_utf8()
        secrets.hide_arguments()
    locales.print_everything()
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] == "fuse":
        return _fuse(words[1:])
    if not words or words[0] in ("-h", "--help"):
        print(USAGE, end="", file=sys.stdout if words else sys.stderr)
        return 0 if words else 1
    if words[0] in _SERVERS:
        print(f"{words[0]}: Alluxio's servers are in another image, alluxio/alluxio", file=sys.stderr)
        return 1
    try:
        os.execvp(words[0], words)
    except OSError as error:
        print(f"{words[0]}: {error.strerror}\n{USAGE}", end="", file=sys.stderr)
        return 127 if isinstance(error, FileNotFoundError) else 126


def mount_words(arguments: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """The arguments of `fuse` as those of `mount`. Raises UsageError."""
    options, positional = options_of(arguments, "", ["fuse-opts="])
    if len(positional) > len(_VARIABLES):
        raise UsageError(f"too many arguments: {' '.join(positional)}")
    words = ["-n", "-o", "wait"]
    for _, text in options:
        words += ["-o", text]
    for variable, key in _VARIABLES.items():
        if environ.get(variable):
            words += ["-D", f"{key}={environ[variable]}"]
    return [*words, *positional]


def _fuse(arguments: Sequence[str]) -> int:
    try:
        words = mount_words(arguments, os.environ)
    except UsageError as error:
        print(f"fuse: {error}\n{USAGE}", end="", file=sys.stderr)
        return 1
    try:
        config = mount.parse(words)[1]
        if not config.ufs:
            print("No cluster is configured: alluxio.master.hostname is localhost.", flush=True)
            words += ["-D", "alluxio.master.hostname=localhost"]
        check_shared(table.resolve(config.text(MOUNT_POINT)))
    except AlluxioFuseError as error:
        print(f"fuse: {error}", file=sys.stderr)
        return 1
    return cli.main(["mount", *words])


def check_shared(mountpoint: str) -> None:
    """Raises MountError where a mount on `mountpoint` would be seen within this container only."""
    ground = table.ground(mountpoint)
    if ground is not None and not ground.shared:
        raise MountError(
            "a mount here would be seen in this container only",
            where=mountpoint,
            remedy=f"share the directory above it (docker: -v {os.path.dirname(mountpoint)}:"
            f"{os.path.dirname(mountpoint)}:rshared; Kubernetes: mountPropagation: Bidirectional), or, if that is what "
            f"you want, run alluxio-jnifuse mount -n instead of fuse",
        )


if __name__ == "__main__":
    sys.exit(main())
