"""zip:///path/to/archive.zip shows the members of a zip file."""

import os
import threading
import time
import zipfile
from urllib.parse import unquote, urlsplit

from alluxio_jnifuse import OpenFile, Source, StaleVersion, build_listing, directory_attr, file_attr


def open_uri(uri, config):
    return ZipSource(unquote(urlsplit(uri).path))


class ZipSource(Source):
    def __init__(self, path):
        self._zip, self._lock = zipfile.ZipFile(path), threading.Lock()  # a ZipFile is not for several threads
        members = {os.path.normpath(b"/" + os.fsencode(i.filename).lstrip(b"/")): i for i in self._zip.infolist()}
        self._files = {path: info for path, info in members.items() if not info.is_dir()}
        self._below = {path: set() for path in {b"/", *(members.keys() - self._files)}}  # the paths in a directory
        for path in members:
            while path != b"/":
                path, child = os.path.dirname(path), path
                self._below.setdefault(path, set()).add(child)

    def stat(self, path):
        if path in self._below:
            return directory_attr()
        if path not in self._files:
            raise FileNotFoundError(path)
        info = self._files[path]
        when = int(time.mktime((*info.date_time, 0, 0, -1)))
        return file_attr(info.file_size, version=info.CRC, mtime_ns=when * 10**9)

    def list(self, path):
        self.stat(path)
        if path in self._files:
            raise NotADirectoryError(path)
        return build_listing((os.path.basename(child), self.stat(child)) for child in self._below[path])

    def open(self, path, version):
        if self.stat(path).version != version or path not in self._files:
            raise StaleVersion(repr(path))
        with self._lock:
            content = self._zip.read(self._files[path])  # compressed bytes can be read from their start only
        return OpenFile(content, version, len(content))

    def read_into(self, handle, offset, buffer, progress):
        filled = 0
        while piece := handle[offset + filled : offset + min(filled + 2**20, len(buffer))]:
            buffer[filled : filled + len(piece)] = piece
            filled += len(piece)
            progress(filled)  # these bytes can be read already
        return filled
