"""Checks of one mount: of its place, of its daemon if it runs, and of how its files reach their readers."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from shlex import quote

from alluxio_jnifuse.config import limits
from alluxio_jnifuse.config.secrets import masked_text
from alluxio_jnifuse.doctor import machine
from alluxio_jnifuse.doctor.container import is_container
from alluxio_jnifuse.doctor.finding import ERROR, NOTE, OK, WARNING, Finding, of_error
from alluxio_jnifuse.doctor.subject import Subject
from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts import alive, privileges, stats, table
from alluxio_jnifuse.mounts.registry import Record

_BINDING = "alluxio.fuse.jnifuse.enabled"
_ANSWER_S = 10.0
_LOG_BYTES = 256 << 10  # of the end of a log
_FAILURE = re.compile(r"^\S+ \S+ (?:ERROR|FATAL) +(.*)$", re.MULTILINE)
_FILES = re.compile(r"^Max open files +\S+ +(\d+|unlimited) ", re.MULTILINE)


def place(subject: Subject) -> Iterator[Finding]:
    """Whether something can be mounted there: what `mount` would find, without making or removing anything."""
    path, config = subject.mountpoint, subject.config
    entry = table.top_at(path)
    if entry is not None:
        yield from _occupied(path, entry)
        return
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        yield _missing(path)
        return
    except OSError as error:
        yield Finding(
            ERROR,
            f"cannot be mounted on: {error.strerror}",
            path,
            "choose another mount point",
            f"ls -ld {quote(path)}",
        )
        return
    if not stat.S_ISDIR(status.st_mode):
        yield Finding(
            ERROR, "is a file, not a directory", path, "name a directory to mount on", f"ls -ld {quote(path)}"
        )
        return
    names = os.listdir(path)
    if names and not (config is not None and config.flag("nonempty")):
        what = f"is not empty (it holds {names[0]!r}): its files would be hidden"
        yield Finding(ERROR, what, path, "choose an empty directory, or mount all the same", "-o nonempty")
    elif os.geteuid() != 0 and (status.st_uid != os.geteuid() or not os.access(path, os.W_OK)):
        what = "an ordinary user can mount only on a directory that the user owns and may write to"
        yield Finding(ERROR, what, path, "change its owner, as root", f"chown {os.geteuid()} {quote(path)}")
    else:
        yield Finding(OK, "can be mounted on", path)


def _occupied(path: str, entry: table.MountEntry) -> Iterator[Finding]:
    if entry.fstype == table.FSTYPE and table.probe(path, _ANSWER_S, os.statvfs) in alive.DEAD:
        yield Finding(OK, "a mount is left here whose process has died; the next mount removes it", path)
    elif entry.fstype == table.FSTYPE:
        what = f"is mounted already: {alive.why_not_ours(path)}"
        yield Finding(ERROR, what, path, "unmount it, or choose another mount point", f"umount {quote(path)}")
    else:
        what = f"{entry.source} ({entry.fstype}) is mounted here already"
        yield Finding(ERROR, what, path, "unmount it, or choose another mount point", f"umount {quote(path)}")


def _missing(path: str) -> Finding:
    parent = os.path.dirname(path)
    while not os.path.lexists(parent):
        parent = os.path.dirname(parent)
    if os.access(parent, os.W_OK | os.X_OK):
        return Finding(OK, "is not there; `mount` makes it", path)
    what = f"is not there, and this user may not make it in {parent}"
    return Finding(ERROR, what, path, "make it as root, for this user", f"install -d -o {os.geteuid()} {quote(path)}")


def others(subject: Subject) -> Iterator[Finding]:
    """Whether allow_other and allow_root are permitted."""
    config = subject.config
    if config is None or not (config.flag("allow_other") or config.flag("allow_root")):
        return
    now = privileges.look()
    if now.privileged or now.root or now.others_permitted:
        yield Finding(OK, "allow_other and allow_root are permitted")
        return
    yield Finding(
        ERROR,
        "allow_other and allow_root are not permitted to ordinary users",
        now.conf,
        "add the line user_allow_other to it, as root",
        f"echo user_allow_other >> {now.conf}",
    )


def propagation(subject: Subject) -> Iterator[Finding]:
    """Whether a mount in a container is seen outside of it."""
    if not is_container():
        return
    ground = table.ground(subject.mountpoint)
    if ground is not None and ground.shared:
        yield Finding(OK, "the mount is seen outside of this container, too", subject.mountpoint)
        return
    above = os.path.dirname(subject.mountpoint)
    yield Finding(
        NOTE,
        "the mount is seen in this container only: its directory is not shared with the host",
        subject.mountpoint,
        "if others are to read it, share the directory above it (Kubernetes: mountPropagation: Bidirectional)",
        f"docker run -v {quote(f'{above}:{above}:rshared')} ...",
    )


def answers(subject: Subject) -> Iterator[Finding]:
    """Whether a running mount answers; whether its daemon does."""
    path = subject.mountpoint
    code = table.probe(path, _ANSWER_S, os.statvfs)
    if code in alive.DEAD:
        return  # that is said of the machine
    if code:
        yield Finding(ERROR, f"answers with an error: {os.strerror(code)}", path, *_look_at_log(subject.record))
        return
    try:
        stats.request(path, _ANSWER_S)
    except MountError as error:
        if not _is_of_another(subject.record):
            yield of_error(error)._replace(line=_look_at_log(subject.record)[1])
            return
    if code is None:
        what = f"does not answer within {_ANSWER_S:g} s: its storage hangs"
        yield Finding(ERROR, what, path, *_look_at_log(subject.record))
    else:
        yield Finding(OK, "answers", path)


def _is_of_another(record: Record | None) -> bool:
    """Whether the daemon cannot be asked because it is another user's."""
    return record is not None and os.geteuid() not in (0, os.stat(f"/proc/{record.pid}").st_uid)


def _look_at_log(record: Record | None) -> tuple[str, str]:
    if record is None or not record.log:
        return "look into its log", ""
    return "look into its log", f"tail -n 50 {quote(record.log)}"


def read_ahead(subject: Subject) -> Iterator[Finding]:
    """Whether the kernel reads as far ahead of a running mount as it should."""
    entry, config = table.top_at(subject.mountpoint), subject.config
    if entry is None or config is None:
        return
    path = f"/sys/class/bdi/{entry.major}:{entry.minor}/read_ahead_kb"
    wanted = config.number("max_readahead") >> 10
    try:
        with open(path, encoding="ascii") as file:
            found = int(file.read())
    except (OSError, ValueError):
        return
    if found >= wanted:
        yield Finding(OK, f"the kernel reads {found} KiB ahead", subject.mountpoint)
        return
    yield Finding(
        WARNING if os.geteuid() == 0 else NOTE,
        f"the kernel reads {found} KiB ahead, not {wanted}: sequential reads are slower",
        subject.mountpoint,
        "set it, as root, outside of a container whose /sys is read-only",
        f"echo {wanted} > {path}",
    )


def passthrough(subject: Subject) -> Iterator[Finding]:
    """Whether the kernel reads files of this machine by itself, where a mount has such files."""
    config = subject.config
    if config is None or not _has_local_bytes(subject):
        return
    if not config.flag(_BINDING):
        what = "the binding is llfuse, with Python on every request: slow, and without passthrough"
        where, line = f"{_BINDING} ({config.origin(_BINDING)})", f"alluxio-jnifuse getConf --source {_BINDING}"
        yield Finding(
            NOTE, what, where, "mount without the property, which is set there or in the mount's command", line
        )
        return
    if not config.flag("passthrough") or config.flag("direct_io"):
        chosen = "direct_io" if config.flag("direct_io") else "passthrough"
        what = "passthrough is off: bytes of this machine are read through the daemon"
        yield Finding(NOTE, what, f"{chosen} ({config.origin(chosen)})", "remove the option")
        return
    if machine.kernel(os.uname().release) < machine.PASSTHROUGH_KERNEL:
        return  # that is said of the machine
    if subject.record is None:
        granted = privileges.look().privileged
    else:
        try:
            granted = "passthrough" in stats.request(subject.mountpoint, _ANSWER_S).features
        except MountError:
            return  # `answers` says so
    if granted:
        yield Finding(OK, "the kernel reads bytes of this machine by itself", subject.mountpoint)
    else:
        what = "no passthrough, which needs CAP_SYS_ADMIN: bytes of this machine are read through the daemon"
        yield Finding(NOTE, what, subject.mountpoint, "mount as root", "sudo alluxio-jnifuse mount ...")


def _has_local_bytes(subject: Subject) -> bool:
    config = subject.config
    if config is None:
        return False
    if config.caching:
        return config.cache_store in ("MEM", "LOCAL")
    return subject.of_directory or (subject.of_cluster and config.flag("alluxio.user.short.circuit.enabled"))


def daemon_limits(subject: Subject) -> Iterator[Finding]:
    """The limits of a running daemon."""
    record = subject.record
    if record is None:
        return
    try:
        with open(f"/proc/{record.pid}/limits", encoding="ascii") as file:
            found = _FILES.search(file.read())
    except OSError:
        return  # another user's, or it has just ended
    if found:
        hard = -1 if found[1] == "unlimited" else int(found[1])
        yield from machine.few_files(hard, f"process {record.pid}")
    limit = limits.memory(membership=f"/proc/{record.pid}/cgroup")
    yield from machine.little_memory(limit, f"process {record.pid}")


def log(subject: Subject) -> Iterator[Finding]:
    """Errors in the log of a running mount."""
    record = subject.record
    if record is None or not record.log:
        return
    text = end_of_log(record, _LOG_BYTES)
    if text is None:
        return
    failures = _FAILURE.findall(text)
    if not failures:
        yield Finding(OK, "the end of the log tells of no errors", record.log)
        return
    what = f"{len(failures)} errors at the end of the log; the last: {masked_text(failures[-1])}"
    yield Finding(NOTE, what, record.log, "read what came before", f"grep -n ERROR {quote(record.log)}")


def end_of_log(record: Record, size: int) -> str | None:
    """The last `size` bytes of the log of a mount, in whole lines; None where it cannot be read, or is none of ours."""
    try:
        owner = os.stat(f"/proc/{record.pid}").st_uid
        fd = os.open(record.log, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(fd, "rb") as file:
        status = os.fstat(fd)
        # Root reads no file for another user that the user may not read.
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in (os.geteuid(), owner):
            return None
        begin = max(0, status.st_size - size)
        file.seek(begin)
        text = file.read(size).decode("utf-8", "replace")
    return text.partition("\n")[2] if begin else text
