"""Checks of this machine, and of what this process may do on it."""

from __future__ import annotations

import errno
import os
import platform
import re
import resource
import stat
from collections.abc import Iterator
from shlex import quote

from alluxio_jnifuse import __version__
from alluxio_jnifuse.config import limits
from alluxio_jnifuse.config.units import format_size
from alluxio_jnifuse.doctor.container import is_container
from alluxio_jnifuse.doctor.finding import ERROR, NOTE, OK, WARNING, Finding
from alluxio_jnifuse.doctor.subject import Subject
from alluxio_jnifuse.mounts import alive, privileges

PASSTHROUGH_KERNEL = (6, 9)
FEW_FILES = 8192  # each cached or lent file may take a descriptor; the daemon makes room for 4096 from the start
_FEW_PROCESSES = 256  # threads: workers, fetchers, those of gRPC
_LITTLE_MEMORY = 256 << 20  # the daemon with readers of a cluster takes 100 MB, beside the windows of its readers
_SHMEM = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"


def versions(_: Subject) -> Iterator[Finding]:
    """Versions, and whether this kernel is new enough to read bytes of this machine by itself."""
    from alluxio_jnifuse import _core

    release = os.uname().release
    yield Finding(
        OK,
        f"alluxio-jnifuse {__version__}, libfuse {_core.libfuse_version()}, Python {platform.python_version()}, "
        f"Linux {release}",
    )
    if kernel(release) < PASSTHROUGH_KERNEL:
        yield Finding(
            NOTE,
            f"Linux {release} has no passthrough: bytes that lie on this machine are read through the daemon",
            remedy="boot Linux 6.9 or newer",
            line="uname -r",
        )


def kernel(release: str) -> tuple[int, int]:
    """The version of a kernel; (0, 0) where it does not say one."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def device(_: Subject) -> Iterator[Finding]:
    """Whether /dev/fuse is there, and can be opened."""
    now = privileges.look()
    contained = is_container()
    in_container = "docker run --device /dev/fuse --cap-add SYS_ADMIN ..."
    if not now.device_there:
        if contained:
            yield Finding(ERROR, "there is no such device", now.device, "give it to the container", in_container)
        else:
            yield Finding(ERROR, "there is no such device", now.device, "load the kernel's module", "modprobe fuse")
        return
    try:
        os.close(os.open(now.device, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        said = f"cannot be opened: {error.strerror}"
        if error.errno in (errno.ENODEV, errno.ENXIO):
            yield Finding(ERROR, said, now.device, "load the kernel's module", "modprobe fuse")
        elif error.errno == errno.EPERM and contained:
            yield Finding(ERROR, said, now.device, "permit it to the container", in_container)
        elif not now.privileged and now.helper and not now.root:
            line = f"chmod 666 {now.device}"
            yield Finding(ERROR, said, now.device, "let every user open it, as distributions do", line)
        else:
            yield Finding(ERROR, said, now.device, "let this user open it", f"chmod 666 {now.device}")
    else:
        yield Finding(OK, "can be opened", now.device)


def rights(_: Subject) -> Iterator[Finding]:
    """Whether this user may mount, alone or by fusermount3."""
    now = privileges.look()
    if now.privileged:
        yield Finding(OK, "this process may mount (CAP_SYS_ADMIN)")
    elif now.root:
        yield Finding(
            ERROR,
            "this root has no CAP_SYS_ADMIN, and may not mount",
            remedy="give it to the container",
            line="docker run --cap-add SYS_ADMIN --device /dev/fuse ...",
        )
    elif not now.helper:
        yield Finding(
            ERROR,
            "this user may not mount, and fusermount3, which would, is not installed",
            remedy="install it, or mount as root",
            line="apt-get install fuse3",
        )
    elif not os.stat(now.helper).st_mode & stat.S_ISUID:
        yield Finding(
            ERROR,
            "is not set-user-id root, and cannot mount for this user",
            now.helper,
            "make it so, or mount as root",
            f"chmod u+s {now.helper}",
        )
    else:
        permitted = "permits" if now.others_permitted else "does not permit"
        yield Finding(OK, f"{now.helper} mounts for this user; {now.conf} {permitted} allow_other")


def own_limits(_: Subject) -> Iterator[Finding]:
    """The limits that a mount of this process would have."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    yield from few_files(hard, "a mount that is made here")
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    if 0 <= processes < _FEW_PROCESSES and os.geteuid() != 0:
        line = f"{os.geteuid()} hard nproc 4096"
        yield Finding(
            WARNING, f"this user may have {processes} processes and threads", "/etc/security/limits.conf",
            "raise the limit with this line there, and log in again", line,
        )  # fmt: skip
    space = resource.getrlimit(resource.RLIMIT_AS)[1]
    if space != resource.RLIM_INFINITY:
        yield Finding(
            WARNING,
            f"the address space is limited to {format_size(space)}, of which each thread takes some",
            remedy="lift the limit",
            line="ulimit -v unlimited",
        )


def few_files(hard: int, subject: str) -> Iterator[Finding]:
    """Whether a hard limit of open files is small."""
    if hard == resource.RLIM_INFINITY or hard >= FEW_FILES:
        yield Finding(OK, f"{subject} may have {'any number of' if hard < 0 else f'{hard:,}'} files open")
        return
    yield Finding(
        WARNING,
        f"{subject} may have {hard:,} files open: programs that open nearly as many at once get EMFILE",
        remedy="raise the hard limit before mounting (docker: --ulimit, systemd: LimitNOFILE=)",
        line="ulimit -n 1048576",
    )


def memory(_: Subject) -> Iterator[Finding]:
    """Whether the limit of a container leaves room for a mount."""
    yield from little_memory(limits.memory(), "this process")


def little_memory(limit: int | None, subject: str) -> Iterator[Finding]:
    """Whether a limit of memory is small."""
    if limit is None:
        yield Finding(OK, f"{subject} has no memory limit; this machine has {format_size(limits.installed())}")
    elif limit >= _LITTLE_MEMORY:
        yield Finding(OK, f"{subject} has a memory limit of {format_size(limit)}, to which caches are fitted")
    else:
        yield Finding(
            WARNING,
            f"{subject} has a memory limit of {format_size(limit)}: with several readers it may be killed",
            remedy="raise the limit (Kubernetes: resources.limits.memory)",
            line="docker run --memory 1g ...",
        )


def huge_pages(_: Subject) -> Iterator[Finding]:
    """Whether the kernel may put cached bytes on huge pages."""
    try:
        with open(_SHMEM, encoding="ascii") as file:
            words = file.read()
    except OSError:
        yield Finding(NOTE, "this kernel has no huge pages for files in memory", _SHMEM)
        return
    if "[deny]" in words:
        yield Finding(
            NOTE,
            "huge pages are denied to files in memory: reads of cached bytes take more of the processor",
            _SHMEM,
            "permit them where they are asked for",
            f"echo advise > {_SHMEM}",
        )
    else:
        yield Finding(OK, "the kernel has huge pages for files in memory")


def stale(_: Subject) -> Iterator[Finding]:
    """Mounts whose process has died: each access to them fails."""
    for path in alive.dead():
        yield Finding(
            ERROR,
            "its process has died: all access fails",
            path,
            "mount it again, or remove it",
            f"alluxio-jnifuse umount {quote(path)}",
        )
