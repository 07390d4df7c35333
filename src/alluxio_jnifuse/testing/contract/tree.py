"""The trees that a source shows while its contract is tested."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from alluxio_jnifuse.testing.memory import Link

Tree = Mapping[bytes, Any]  # by name: bytes are a file, a mapping is a directory, a Link is a symbolic link

LARGE = b"".join(i.to_bytes(4, "little") for i in range(700_000))  # 2.8 MB: several pieces, no two words alike

# Of a storage whose names are UTF-8, and that knows neither links nor empty directories.
PLAIN_TREE: Tree = {
    b"small": b"hello",
    b"empty": b"",
    b"large": LARGE,
    b"d": {b"inner": b"inside", b"deep": {b"er": b"bottom"}},
    b"n" * 255: b"long name",
    "café \n".encode(): b"name with a control character",
}

TREE: Tree = {
    **PLAIN_TREE,
    b"link": Link(b"small"),
    b"nowhere": Link(b"not/there"),
    b"void": {},
    b"caf\xe9 \xff\n": b"name that is no UTF-8",
}


def walk(tree: Tree, path: bytes = b"") -> Iterator[tuple[bytes, Any]]:
    """Everything in a tree by its path, the root too, a directory before what it holds."""
    yield path or b"/", tree
    for name, node in tree.items():
        below = path + b"/" + name
        if isinstance(node, Mapping):
            yield from walk(node, below)
        else:
            yield below, node


def files_of(tree: Tree) -> Iterator[tuple[bytes, bytes]]:
    """The files of a tree: path from its root, which begins with a slash, and contents."""
    for path, node in walk(tree):
        if isinstance(node, bytes):
            yield path, node


def write_tree(directory: str | os.PathLike[str], tree: Tree) -> None:
    """Writes a tree into a directory of this machine, which is made."""
    root = os.fsencode(Path(directory))
    for path, node in walk(tree):
        if isinstance(node, Mapping):
            os.makedirs(root + path, exist_ok=True)
        elif isinstance(node, Link):
            os.symlink(node.target, root + path)
        else:
            with open(root + path, "wb") as file:
                file.write(node)


def check_bytes(found: bytes | bytearray, expected: bytes, what: object) -> None:
    """Raises AssertionError that names the first difference: to show all of them, pytest would take minutes."""
    if found == expected:
        return
    common = min(len(found), len(expected))
    at = next((i for i in range(common) if found[i] != expected[i]), common)
    raise AssertionError(f"{what}: {len(found)} bytes, {len(expected)} were expected; they differ from byte {at} on")
