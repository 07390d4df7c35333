"""Settings: files of properties, what a cluster says that its own are, and the kernel's list of mounts."""

from __future__ import annotations

import os
from collections.abc import Callable

from alluxio_jnifuse.config.properties import parse_java_opts, parse_properties, read_site_file
from alluxio_jnifuse.config.values import Config
from alluxio_jnifuse.mounts import table
from fuzz.parser import Parser

_PROPERTY_WORDS = (
    *(
        b"\\",
        b"\\\n",
        b"\\u0000",
        b"\\ud800",
        b"\\u12",
        b"=",
        b":",
        b"#",
        b"!",
        b"\r\n",
        b"\f",
        b"\t",
        b" ",
        b"\xc2\x85",
    ),
    *(b"alluxio.user.client.cache.size", b"alluxio.fuse.mount.options", b"${", b"}", b"alluxio.master.hostname"),
    *(b"1GB", b"2day", b"-1", b"true", b"1e400MB", b"0.0000001", b"'", b'"', b"-D", b"$HOME", b"\xe2\x80\xa8", b"\x85"),
)
_MOUNT_WORDS = (
    b"\\040",
    b"\\777",
    b"\\134",
    b" - ",
    b" ",
    b"\n",
    b"shared:1",
    b":",
    b"fuse.alluxio-fuse",
    b"\r",
    b"\xff",
    b"0:",
)


def _properties() -> Callable[[bytes], object]:
    fd = os.memfd_create("properties")
    path = f"/proc/self/fd/{fd}"

    def take(data: bytes) -> None:
        os.ftruncate(fd, 0)
        os.pwrite(fd, data, 0)
        pairs = read_site_file(path)
        assert sum(len(key) + len(value) for key, value in pairs) <= len(data)
        try:
            parse_java_opts(data.decode("latin-1"), {"HOME": "x"})
        except ValueError:
            pass  # an unclosed quote

    return take


def _configuration() -> Callable[[bytes], object]:
    """The cluster's own, which never makes a mount fail."""
    config = Config.load(environ={})
    notes = list(config.notes)

    def take(data: bytes) -> None:
        config.notes = list(notes)
        config.with_cluster_defaults(parse_properties(data.decode("utf-8", "replace")))

    return take


def _mounts() -> Callable[[bytes], object]:
    def take(data: bytes) -> None:
        for entry in table.parse(data):
            assert "\n" not in entry.mountpoint or b"\\012" in data
            os.fsencode(entry.source)

    return take


PARSERS = {
    "properties": Parser(_properties, (), _PROPERTY_WORDS, most=2048),
    "configuration": Parser(_configuration, (), _PROPERTY_WORDS, most=2048),
    "mounts": Parser(_mounts, (), _MOUNT_WORDS, most=4096),
}
