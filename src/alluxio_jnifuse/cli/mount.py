"""`mount`: in the background, saying how it went; with -n in the foreground."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, MutableMapping, Sequence

from alluxio_jnifuse.cli.words import PROGRAM, UsageError, options_of, say
from alluxio_jnifuse.config import secrets
from alluxio_jnifuse.config.values import MOUNT_POINT, Config
from alluxio_jnifuse.daemon import systemd
from alluxio_jnifuse.daemon.signals import Ended, raised
from alluxio_jnifuse.errors import AlluxioFuseError, ConfigError, MountError
from alluxio_jnifuse.mounts import privileges, table
from alluxio_jnifuse.mounts.point import prepared

USAGE = f"""\
Usage: {PROGRAM} mount [-n] [-o OPTIONS]... [-D KEY=VALUE]... [-u URI] [MOUNT_POINT] [ALLUXIO_PATH]
       {PROGRAM} mount [-n] [-o OPTIONS]... [-D KEY=VALUE]... URI MOUNT_POINT

  -n, -f, --foreground      stay in the foreground and log to the terminal
  -o, --options OPTIONS     mount options, separated by commas; alluxio.KEY=VALUE is a property (also: --fuse-opts)
  -D, --define KEY=VALUE    a property
  -u URI, --ufs URI         the storage to mount: a directory, file:///directory, oss://BUCKET/DIRECTORY, or
                            alluxio://HOST:PORT/PATH; without it, the cluster that is configured
  MOUNT_POINT               a directory (default /mnt/alluxio-fuse); a missing one is made, is removed again if the
                            mount fails, and stays after umount
  ALLUXIO_PATH              the part of the storage to show (default /)

Without arguments, and if nothing is configured, it lists the running mounts, as {PROGRAM} stat does.

Examples:
  {PROGRAM} mount --ufs /data/imagenet /mnt/imagenet
  {PROGRAM} mount --ufs oss://bucket/imagenet/ -D fs.oss.endpoint=oss-cn-hangzhou.aliyuncs.com /mnt/imagenet
  {PROGRAM} mount -o kernel_cache -D alluxio.master.hostname=master1 /mnt/alluxio-fuse /datasets
"""

SHORT, LONG = (
    "nfo:D:u:X:",
    ("foreground", "options=", "fuse-opts=", "define=", "ufs="),
)  # the options, as getopt has them
_GRACE_S = 15.0  # for mounting itself, beside the time the storage may take


def run(arguments: Sequence[str]) -> int:
    """Returns the exit code. Raises UsageError and AlluxioFuseError."""
    secrets.hide_arguments()
    os.umask(os.umask(0o077) | 0o022)  # what is made here, directories of logs among it, nobody else may write to
    foreground, config = parse(arguments)
    if not config.ufs:
        if not arguments:
            from alluxio_jnifuse.cli import stat

            return stat.run([])
        raise ConfigError(
            "no storage is named and no cluster is configured",
            remedy="use --ufs DIRECTORY, or set alluxio.master.hostname",
        )
    try:
        return place(config, _foreground if foreground else _background)
    except AlluxioFuseError as error:
        where = config.text(MOUNT_POINT)
        try:
            where = table.resolve(where)
        except MountError:
            pass  # that may be the error
        print(f'Failed to mount Alluxio path "{config.alluxio_path}" to {where}: {error}', file=sys.stderr)
    except Ended as ended:
        ended.die()
    return 1


def place(config: Config, serve: Callable[[Config, str], int]) -> int:
    """Has `serve` mount on the directory that is configured; returns what it returns. Raises AlluxioFuseError."""
    with prepared(config.text(MOUNT_POINT), nonempty=config.flag("nonempty")) as mountpoint:
        others = config.flag("allow_other") or config.flag("allow_root")
        privileges.check(privileges.look(), others=others)
        return serve(config, mountpoint)


def parse(arguments: Sequence[str], environ: MutableMapping[str, str] | None = None) -> tuple[bool, Config]:
    """Whether -n was given, and all settings; `environ`: that of another process. Raises UsageError, ConfigError."""
    options, positional = options_of(arguments, SHORT, LONG)
    ufs = [value for name, value in options if name in ("-u", "--ufs")]
    if not ufs and len(positional) > 1 and "://" in positional[0]:
        ufs = [positional.pop(0)]
    if len(positional) > 2:
        raise UsageError(f"too many arguments: {' '.join(positional)}")
    mountpoint, alluxio_path = (*positional, None, None)[:2]
    handed = _secrets(os.environ if environ is None else environ)
    config = Config.load(
        options=[value for name, value in options if name in ("-o", "--options", "--fuse-opts")],
        properties=[*handed, *(value for name, value in options if name in ("-D", "--define"))],
        ufs=ufs[-1] if ufs else None,
        mountpoint=mountpoint,
        alluxio_path=alluxio_path,
        environ=environ,
    )
    jvm = [f"-X{value}" for name, value in options if name == "-X"]
    if jvm:
        config.notes.append(f"ignored: there is no Java machine here to take {' '.join(jvm)}")
    return any(name in ("-n", "-f", "--foreground") for name, _ in options), config


def _secrets(environ: MutableMapping[str, str]) -> list[str]:
    """Properties that were handed over by the environment, KEY=VALUE; nobody else is to find them there."""
    text = environ.pop(secrets.SECRETS_VARIABLE, "")
    if not text:
        return []
    import json

    return [f"{key}={value}" for key, value in json.loads(text).items()]


def success(config: Config, mountpoint: str) -> str:
    """The line that scripts wait for."""
    return f'Successfully mounted Alluxio path "{config.alluxio_path}" to {mountpoint}.'


def _background(config: Config, mountpoint: str) -> int:
    in_background(config, mountpoint)
    say(success(config, mountpoint))
    return 0


def in_background(config: Config, mountpoint: str) -> int:
    """Returns 0 when a daemon serves the prepared directory `mountpoint`. Raises MountError."""
    from alluxio_jnifuse.daemon import start as daemon_start

    patience = 0.0 if config.flag("wait") else config.number("alluxio.user.rpc.retry.max.duration") / 1000
    daemon_start.start(config, mountpoint, patience + _GRACE_S if patience else 0)
    return 0


def _foreground(config: Config, mountpoint: str) -> int:
    from alluxio_jnifuse.daemon import logs
    from alluxio_jnifuse.daemon.serve import Logging, serve

    handler = logs.to_terminal(**logs.settings_of(config))
    try:
        with raised((signal.SIGTERM, signal.SIGHUP)):  # until it is mounted; a Ctrl-C raises in any case
            return serve(config, mountpoint, Logging(handler, ""), _Terminal(success(config, mountpoint)))
    finally:
        handler.close()


class _Terminal:
    """The reporter of a mount in the foreground."""

    def __init__(self, success: str) -> None:
        self._success = success

    def stage(self, text: str) -> None:
        from alluxio_jnifuse.daemon.logs import LOGGER

        LOGGER.info("waiting for %s", text)
        systemd.notify(f"STATUS=waiting for {text}")

    def ready(self) -> None:
        say(self._success)
        systemd.notify("READY=1", f"STATUS={self._success}")
