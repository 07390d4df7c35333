"""zip:///path/to/archive.zip shows the members of a zip file."""

import errno
import os
import stat
import threading
import time
import zipfile
from urllib.parse import unquote, urlsplit

from alluxio_jnifuse.sources.base import BLOCKS_FROM_SIZE, Attr, OpenFile, Source, StaleVersion, StatFs, build_listing


def open_uri(uri, config):
    return ZipSource(unquote(urlsplit(uri).path))


class ZipSource(Source):
    def __init__(self, path):
        self._zip = zipfile.ZipFile(path)
        self._lock = threading.Lock()  # a ZipFile is not for several threads
        self._infos = {b"/": None}  # by path; None for a directory
        self._below = {b"/": []}  # the paths in each directory
        for info in self._zip.infolist():
            path = os.path.normpath(b"/" + os.fsencode(info.filename).lstrip(b"/"))
            node = None if info.is_dir() else info
            while path not in self._infos:  # archives need not have members for directories
                self._infos[path] = node
                path, child, node = os.path.dirname(path), path, None
                self._below.setdefault(path, []).append(child)

    def stat(self, path):
        if path not in self._infos:
            raise FileNotFoundError(path)
        info = self._infos[path]
        if info is None:
            return Attr(0, 0, BLOCKS_FROM_SIZE, 0, 0, 0, 0, stat.S_IFDIR | 0o555, 2, os.getuid(), os.getgid())
        version = info.CRC << 32 | info.file_size & 0xFFFFFFFF
        when = int(time.mktime((*info.date_time, 0, 0, -1))) * 10**9
        mode = stat.S_IFREG | 0o444
        return Attr(0, info.file_size, BLOCKS_FROM_SIZE, version, when, when, when, mode, 1, os.getuid(), os.getgid())

    def list(self, path):
        if not stat.S_ISDIR(self.stat(path).mode):
            raise NotADirectoryError(path)
        return build_listing((os.path.basename(child), self.stat(child)) for child in self._below.get(path, ()))

    def readlink(self, path):
        raise OSError(errno.EINVAL, "there are no links")

    def statfs(self):
        return StatFs(4096, 0, 0, 0, len(self._infos), 0, 255)

    def open(self, path, version):
        info = self._infos.get(path)
        if info is None or self.stat(path).version != version:
            raise StaleVersion(repr(path))
        with self._lock:
            content = self._zip.read(info)  # compressed bytes can be read from their start only
        return OpenFile(content, version, len(content))

    def read_into(self, handle, offset, buffer, progress):
        piece = handle[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        progress(len(piece))
        return len(piece)

    def close_file(self, handle):
        pass  # the content goes with the last reference to it

    def close(self):
        self._zip.close()
