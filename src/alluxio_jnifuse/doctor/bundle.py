"""The archive that belongs to a bug report: versions, settings, counters, the end of logs, and what was found.

Only its owner may read it. Secrets are masked; names of hosts, buckets, directories and files are in it.
"""

from __future__ import annotations

import errno
import io
import json
import os
import platform
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata

from alluxio_jnifuse import __version__
from alluxio_jnifuse.config.merge import SITE_PROPERTIES
from alluxio_jnifuse.config.options import BY_ENV
from alluxio_jnifuse.config.secrets import masked
from alluxio_jnifuse.doctor import report
from alluxio_jnifuse.doctor.finding import Examined
from alluxio_jnifuse.doctor.masking import Masker
from alluxio_jnifuse.doctor.mounts import end_of_log
from alluxio_jnifuse.doctor.subject import Subject, is_of_way
from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts import stats, table
from alluxio_jnifuse.mounts.registry import file_stem

_LOG_BYTES = 1 << 20
_ANSWER_S = 5.0
_PACKAGES = ("numpy", "grpcio", "protobuf", "oss2", "rocksdict")
_FILES = ("/etc/os-release", "/proc/version", "/proc/meminfo", "/proc/self/limits", "/proc/self/cgroup")
_VARIABLES = ("ALLUXIO_", "ALIBABA_CLOUD_", "KUBERNETES_SERVICE_HOST", "LANG", "LC_", "OSS_", "PATH", "XDG_")
_OF_PROCESS = ("status", "limits", "cgroup")

_READ_ME = """\
Made by `alluxio-jnifuse doctor --bundle`, to be attached to a bug report.

Passwords, keys and tokens are masked. Names of hosts, buckets, directories and files are not: look through it before
you send it to somebody.
"""


class Bundle:
    """A new archive at `path`; removed again unless `write` has been called. Raises MountError if there is something.

    A context manager.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._written = False
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._fd = os.open(path, flags, 0o600)
        except OSError as error:
            remedy = "name a file that is not there yet" if error.errno == errno.EEXIST else "name another file"
            raise MountError(f"cannot be made: {error.strerror}", where=path, remedy=remedy) from None

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
        if not self._written:
            os.unlink(self._path)

    def write(self, contents: Mapping[str, str]) -> None:
        """Writes all of it: texts by their paths in the archive. Raises OSError."""
        top = os.path.basename(self._path).partition(".")[0] or "bundle"
        with open(self._fd, "wb", closefd=False) as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, text in contents.items():
                data = text.encode("utf-8", "backslashreplace")
                member = tarfile.TarInfo(f"{top}/{name}")
                member.size, member.mode, member.mtime = len(data), 0o600, int(time.time())
                archive.addfile(member, io.BytesIO(data))
        self._written = True


def contents(examined: Sequence[Examined], subjects: Sequence[Subject], masker: Masker) -> dict[str, str]:
    """Everything that goes into the archive, masked, by its path there; the first subject is the machine."""
    found = {
        "README": _READ_ME,
        "report.txt": report.as_text(examined, verbose=True),
        "report.json": report.as_json(examined),
        "versions.txt": _versions(),
        "machine.txt": "".join(f"==> {path}\n{_text_of(path)}\n" for path in _FILES),
        "mounts.txt": "".join(
            f"{entry.mountpoint}\t{entry.fstype}\t{entry.source}\t{'shared' if entry.shared else 'private'}\n"
            for entry in table.read()
        ),
        "environment.txt": "".join(_variables(subjects[0].environ)),
    }
    for subject in subjects:
        name = file_stem(subject.mountpoint) if subject.mountpoint else "configured"
        found.update((f"{name}/{part}", text) for part, text in _of_subject(subject))
    return {name: masker.mask(text) for name, text in found.items()}


def _versions() -> str:
    from alluxio_jnifuse import _core

    lines = [f"alluxio-jnifuse {__version__}", f"libfuse {_core.libfuse_version()}", " ".join(os.uname())]
    lines.append(f"{platform.python_implementation()} {platform.python_version()}")
    for name in _PACKAGES:
        try:
            lines.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{name} is not installed")
    return "\n".join(lines) + "\n"


def _of_subject(subject: Subject) -> Iterator[tuple[str, str]]:
    if subject.config is not None:
        rows = sorted(subject.config.settings.items())
        lines = [f"{name}={setting.shown(name)} ({setting.origin})" for name, setting in rows]
        yield "settings.txt", "\n".join([*lines, *subject.config.notes]) + "\n"
    if subject.environ and subject.record is not None:
        yield "environment.txt", "".join(_variables(subject.environ))
    if subject.record is None:
        return
    yield "mount.json", json.dumps(subject.record._asdict(), indent=2)
    try:
        yield "counters.json", json.dumps(stats.request(subject.mountpoint, _ANSWER_S)._asdict(), indent=2)
    except MountError as error:
        yield "counters.txt", f"{error}\n"
    process = f"/proc/{subject.record.pid}"
    yield "process.txt", "".join(f"==> {name}\n{_text_of(f'{process}/{name}')}\n" for name in _OF_PROCESS)
    log = end_of_log(subject.record, _LOG_BYTES)
    if log is not None:
        yield "log.txt", log


def _variables(environ: Mapping[str, str]) -> Iterator[str]:
    """The variables that are settings; of a whole file of properties, that it is there."""
    for name, value in sorted(environ.items()):
        if name == SITE_PROPERTIES:
            yield f"{name}=({len(value)} characters)\n"
        elif name in BY_ENV or name.startswith(_VARIABLES) or is_of_way(name):
            yield f"{name}={masked(name, value)}\n"


def _text_of(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError as error:
        return f"{error.strerror}\n"
