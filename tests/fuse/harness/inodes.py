"""The inode numbers of a tree, in every way that programs see them: `stat`, and listings, with ``.`` and ``..``."""

from __future__ import annotations

import ctypes
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from harness.children import Children
from harness.mounting import Mounted

DROP = "/proc/sys/vm/drop_caches"
TIMEOUT_S = 100.0


class Seen(NamedTuple):
    """What one path shows."""

    number: int
    directory: bool
    links: int


class _Dirent(ctypes.Structure):
    _fields_ = (
        ("d_ino", ctypes.c_uint64),
        ("d_off", ctypes.c_int64),
        ("d_reclen", ctypes.c_ushort),
        ("d_type", ctypes.c_ubyte),
        ("d_name", ctypes.c_char * 256),
    )


def listed(directory: str) -> dict[str, int]:
    """d_ino of each name, ``.`` and ``..`` among them."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.opendir.restype = libc.readdir64.restype = ctypes.c_void_p
    libc.readdir64.argtypes = libc.closedir.argtypes = (ctypes.c_void_p,)
    handle = libc.opendir(os.fsencode(directory))
    assert handle, f"{directory}: {os.strerror(ctypes.get_errno())}"
    found = {}
    while True:
        at = libc.readdir64(handle)
        if not at:
            libc.closedir(handle)
            return found
        entry = _Dirent.from_address(at)
        found[os.fsdecode(entry.d_name)] = entry.d_ino


def look(top: str, known: Iterable[str] = ()) -> dict[str, Seen]:
    """Everything below `top`, by path; "" is the top itself. Each number is the same wherever it is shown.

    `known`: paths that are looked at, in this order, before anything is listed.
    """
    before = {path: os.lstat(f"{top}/{path}").st_ino for path in known}
    seen: dict[str, Seen] = {}
    names: dict[str, dict[str, int]] = {}
    pending = [""]
    while pending:
        path = pending.pop()
        names[path] = listed(f"{top}/{path}")
        for name in names[path]:
            if name not in (".", ".."):
                child = f"{path}/{name}".lstrip("/")
                if _look_at(top, child, seen).directory:
                    pending.append(child)
    _look_at(top, "", seen)
    wrong = {path: (number, seen[path].number) for path, number in before.items() if seen[path].number != number}
    for path, numbers in names.items():
        for name, number in numbers.items():
            if name == "..":
                of = os.path.dirname(path)
            else:
                of = path if name == "." else f"{path}/{name}".lstrip("/")
            if seen[of].number != number:
                wrong[f"{path}/{name}"] = (number, seen[of].number)
    assert not wrong, f"{len(wrong)} of {len(seen)} differ: {dict(list(wrong.items())[:5])}"
    assert all(each.number for each in seen.values())
    return seen


def _look_at(top: str, path: str, seen: dict[str, Seen]) -> Seen:
    status = os.lstat(f"{top}/{path}")
    seen[path] = Seen(status.st_ino, stat.S_ISDIR(status.st_mode), status.st_nlink)
    return seen[path]


def shared(seen: Mapping[str, Seen]) -> list[list[str]]:
    """The groups of paths that show one number."""
    groups = defaultdict(list)
    for path, each in seen.items():
        groups[each.number].append(path)
    return sorted(sorted(paths) for paths in groups.values() if len(paths) > 1)


def drop_caches() -> None:
    """The kernel forgets names and inodes that are not in use, as far as we may ask it to."""
    try:
        with open(DROP, "w") as file:
            file.write("2")
    except OSError:
        pass


@contextmanager
def dropping(children: Children) -> Iterator[None]:
    """The kernel drops its caches again and again."""
    child = children.start(_keep_dropping)
    yield
    child.kill(TIMEOUT_S)


def _keep_dropping() -> None:
    while True:
        drop_caches()


def lasting(children: Children, mount: Callable[[], Mounted]) -> tuple[Mounted, dict[str, Seen]]:
    """Looks at a tree, once more when the kernel has dropped it, and in another mount: what it shows is the same.

    Returns the second mount, and what was seen.
    """
    mounted = mount()
    first = children.run(look, mounted.path, timeout=TIMEOUT_S)
    drop_caches()
    again = children.run(look, mounted.path, sorted(first), timeout=TIMEOUT_S)
    problems = mounted.end()
    assert not problems, problems
    mounted = mount()
    other = children.run(look, mounted.path, sorted(first, reverse=True), timeout=TIMEOUT_S)
    for each in (again, other):
        assert {path: seen.number for path, seen in each.items()} == {p: seen.number for p, seen in first.items()}
    return mounted, first
