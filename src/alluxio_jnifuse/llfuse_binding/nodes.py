"""The nodes: one for each file, directory or link that the kernel knows.

libfuse 2 shows a node's number to applications, so it is the source's inode number wherever that is free. A version
is a node, as in the C core: a file with other contents gets another number while the kernel remembers the old one, and
so pages of two versions never mix. All calls under llfuse's lock.
"""

from __future__ import annotations

import hashlib
import os
import stat

from alluxio_jnifuse.sources.base import Attr

ROOT = 1
_UNKNOWN = 0xFFFFFFFF  # FUSE_UNKNOWN_INO: libfuse 2 writes it where it knows no number


class Node:
    """`attr`: what the source said last of this version; `opens`: how many handles it has. `proven`: it was read.

    `path`: where it was found last; `others`: further names of it, which are hard links.
    """

    __slots__ = ("attr", "lookups", "number", "opens", "others", "path", "proven")

    def __init__(self, number: int, path: bytes, attr: Attr) -> None:
        self.number = number
        self.path = path
        self.others: list[bytes] = []
        self.attr = attr
        self.lookups = 0
        self.opens = 0
        self.proven = False

    def is_still(self, attr: Attr) -> bool:
        """Whether these are attributes of the same thing in the same version."""
        own = self.attr
        if stat.S_IFMT(own.mode) != stat.S_IFMT(attr.mode) or own.ino != attr.ino:
            return False
        return not stat.S_ISREG(attr.mode) or (own.version, own.size) == (attr.version, attr.size)


class Nodes:
    """All nodes of a mount, by number and by path. `born`: how many there have been."""

    def __init__(self, root: Attr) -> None:
        top = Node(ROOT, b"/", root)
        top.lookups = 1  # the kernel never forgets it
        self._by_number = {ROOT: top}
        self._by_path = {b"/": top}
        self.born = 1

    def __len__(self) -> int:
        return len(self._by_number)

    def get(self, number: int) -> Node | None:
        """Returns the node, if the kernel has not forgotten it."""
        return self._by_number.get(number)

    def at(self, path: bytes) -> Node | None:
        """Returns the node that was last found at a path."""
        return self._by_path.get(path)

    def below(self, path: bytes) -> list[Node]:
        """Returns the nodes at `path` and below it."""
        start = path.rstrip(b"/") + b"/"
        return [node for node in self._by_number.values() if node.path == path or node.path.startswith(start)]

    def names_below(self, path: bytes) -> list[tuple[int, bytes]]:
        """Returns the names at `path` and below it: the number of the directory, and the name in it."""
        start = path.rstrip(b"/") + b"/"
        found = []
        for each in self._by_path:
            if each != b"/" and (each == path or each.startswith(start)):
                parent = self._by_path.get(os.path.dirname(each))
                if parent is not None:
                    found.append((parent.number, os.path.basename(each)))
        return found

    def found(self, path: bytes, attr: Attr) -> Node:
        """Returns the node of what is at `path` now: one lookup more."""
        node = self._by_path.get(path)
        if node is None or not node.is_still(attr):
            node = self._linked(attr)
            if node is None:
                node = Node(self.free_number(path, attr), path, attr)
                self._by_number[node.number] = node
                self.born += 1
            self._by_path[path] = node
        if node.path != path:
            node.others = [name for name in (*node.others, node.path) if name != path]
            node.path = path
        node.attr = attr
        node.lookups += 1
        return node

    def forget(self, number: int, lookups: int) -> None:
        """The kernel has given back some lookups of a node."""
        node = self._by_number.get(number)
        if node is None or number == ROOT:
            return
        node.lookups -= lookups
        if node.lookups <= 0:
            del self._by_number[number]
            for path in (node.path, *node.others):
                if self._by_path.get(path) is node:
                    del self._by_path[path]

    def _linked(self, attr: Attr) -> Node | None:
        """Returns the node of a file that has been found by another of its names."""
        node = self._by_number.get(attr.ino) if attr.ino and attr.nlink > 1 and stat.S_ISREG(attr.mode) else None
        return node if node is not None and node.is_still(attr) else None

    def free_number(self, path: bytes, attr: Attr) -> int:
        """Returns the number that a new node of what is at `path` has."""
        number = attr.ino
        tries = 0
        while number in (0, ROOT, _UNKNOWN) or number in self._by_number:
            text = b"%d %d %d %s" % (tries, attr.version, attr.size, path)
            number = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
            tries += 1
        return number
