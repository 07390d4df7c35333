"""The program that mount(8) calls for /etc/fstab: `mount.TYPE SOURCE MOUNT_POINT [-sfnv] [-o OPTIONS] [-t TYPE]`.

It ends when the mount is there, says nothing unless it fails, and its exit codes are those of mount(8). If it is not
linked to /sbin, mount.fuse3(8) is called in its place for the types fuse.alluxio-fuse and fuse.alluxio-jnifuse, and
runs `alluxio-fuse SOURCE MOUNT_POINT -o OPTIONS`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence

from alluxio_jnifuse.cli import mount
from alluxio_jnifuse.cli.words import UsageError, options_of
from alluxio_jnifuse.config import secrets
from alluxio_jnifuse.config.options import BY_NAME, is_property
from alluxio_jnifuse.errors import AlluxioFuseError, ConfigError, MountError
from alluxio_jnifuse.system import locales

USAGE = """\
Usage: mount.alluxio-jnifuse SOURCE MOUNT_POINT [-sfnv] [-o OPTIONS]

  SOURCE                    a directory, file:///directory, oss://BUCKET/DIRECTORY, alluxio://HOST:PORT/PATH,
                            alluxio:///PATH for the cluster that is configured, or any word without a slash for the
                            storage that is configured
  -o OPTIONS                mount options, and alluxio.KEY=VALUE
  -s                        ignore unknown mount options
  -f                        check everything, and do not mount

mount(8) calls it; docs/FSTAB.md says how to set it up.
"""

_SHORT = "sfnvo:t:N:h"
_MISTAKE, _INTERNAL, _INTERRUPTED, _FAILED = 1, 4, 8, 32  # mount(8)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# mount(8) says rw where nobody says ro, and mount.fuse3 says suid and dev: they are nobody's wish.
_SAID_ALWAYS = ("rw", "suid", "dev")
_WORDS = re.compile(r'(?:\\.|"[^"]*"|[^,"\\]|["\\])+', re.DOTALL)  # a comma counts in quotes and after a backslash


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    if argv is None:
        locales.use_utf8()
    locales.print_everything()
    return run(sys.argv[1:] if argv is None else argv)


def is_called_by_mount(arguments: Sequence[str]) -> bool:
    """Whether the command line of `alluxio-fuse` is one of mount.fuse3(8), which always has options for the end."""
    paths = arguments[:-2]
    return len(paths) in (1, 2) and arguments[-2] == "-o" and paths[-1].startswith("/")


def run(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    os.environ.setdefault("PATH", _PATH)  # mount(8) leaves nothing of the environment
    secrets.hide_arguments()
    name = os.path.basename(sys.argv[0])
    try:
        return _run(arguments)
    except UsageError as error:
        print(f"{name}: {error}\n{USAGE}", end="", file=sys.stderr)
        return _MISTAKE
    except ConfigError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return _MISTAKE
    except (AlluxioFuseError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception:
        import traceback

        traceback.print_exc()
        return _INTERNAL


def _run(arguments: Sequence[str]) -> int:
    given, positional = options_of(arguments, _SHORT, ["help"])
    flags = {name for name, _ in given}
    if flags & {"-h", "--help"}:
        print(USAGE, end="")
        return 0
    if "-N" in flags:
        raise UsageError("-N is for nsenter(1): nsenter --mount=NAMESPACE mount ...")
    if len(positional) not in (1, 2):
        raise UsageError("expected SOURCE MOUNT_POINT")
    words = [word for name, text in given if name == "-o" for word in split(text)]
    if "remount" in words:
        raise MountError(
            "the options of a mount cannot be changed", where=positional[-1], remedy="unmount it, then mount it again"
        )
    _become(words)
    config = mount.parse(_as_of_mount(positional[:-1], positional[-1], words, sloppy="-s" in flags))[1]
    if "-f" in flags:
        return 0
    return mount.place(config, mount.in_background)


def split(text: str) -> list[str]:
    """The options of a comma list, as mount(8) writes it; quotes and backslashes stay."""
    return _WORDS.findall(text)


def mount_words(arguments: Sequence[str]) -> list[str]:
    """The arguments of mount(8) as those of `mount`. Raises UsageError."""
    given, positional = options_of(arguments, _SHORT, ["help"])
    if len(positional) not in (1, 2):
        raise UsageError("expected SOURCE MOUNT_POINT")
    words = [word for name, text in given if name == "-o" for word in split(text) if not word.startswith("setuid=")]
    return _as_of_mount(positional[:-1], positional[-1], words, sloppy=("-s", "") in given)


def _as_of_mount(source: Sequence[str], mountpoint: str, words: Iterable[str], *, sloppy: bool) -> list[str]:
    chosen = [word for word in words if word not in _SAID_ALWAYS]
    if sloppy:
        chosen = [word for word in chosen if _is_known(word.partition("=")[0])]
    arguments: list[str] = []
    if source:
        # `mount -a` and umount(8) compare it with /etc/fstab; an fsname of the user comes later, and counts.
        arguments += ["-o", f"fsname={_escaped(source[0])}"]
        if "/" in source[0]:
            arguments += ["-u", source[0]]
    for word in chosen:
        name, equals, value = word.partition("=")
        quoted = len(value) > 1 and value[0] == value[-1] == '"'
        arguments += ["-o", f"{name}={_escaped(value[1:-1])}" if equals and quoted else word]
    return [*arguments, "--", mountpoint]


def _escaped(text: str) -> str:
    return text.replace(",", "\\,")


def _is_known(name: str) -> bool:
    return name in BY_NAME or is_property(name) or name.startswith(("x-", "X-"))


def _become(words: list[str]) -> None:
    """Takes `setuid=USER` out of the options and becomes that user. Raises ConfigError, OSError."""
    names = [word for word in words if word.startswith("setuid=")]
    for word in names:
        words.remove(word)
    if not names:
        return
    import pwd

    name = names[-1].partition("=")[2]
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise ConfigError("there is no such user", where=f"setuid={name}") from None
    os.initgroups(user.pw_name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.environ.update(HOME=user.pw_dir, USER=user.pw_name, LOGNAME=user.pw_name)
    os.environ.pop("XDG_RUNTIME_DIR", None)
