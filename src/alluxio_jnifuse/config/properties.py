"""Properties as they reach us: alluxio-site.properties, the *_JAVA_OPTS variables, and keys we do not act on."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from typing import NamedTuple

SITE_FILE = "alluxio-site.properties"
# alluxio-config.sh puts the variable of the process behind the general one, so the later of these wins.
JAVA_OPTS_VARIABLES = ("ALLUXIO_JAVA_OPTS", "ALLUXIO_USER_JAVA_OPTS", "ALLUXIO_FUSE_JAVA_OPTS")

_READ_ONLY = "this release does not write"
_STREAMS = "one connection carries all calls to a server"
_GRPC = "the network library has its own"
_STORAGE = "it is for the cluster's own way to that storage"

# Why a key has no effect; the first row that the key starts with counts.
IGNORED: tuple[tuple[str, str], ...] = (
    ("alluxio.fuse.jnifuse.", "there is one binding, this one"),
    ("alluxio.fuse.cached.paths.max", "no cache of path objects is needed"),
    ("alluxio.fuse.cachedpaths.max", "no cache of path objects is needed"),
    ("alluxio.fuse.maxwrite.bytes", "use the mount option max_write"),
    ("alluxio.fuse.shared.caching.reader.enabled", "readers of one file share what was fetched in any case"),
    ("alluxio.fuse.stat.cache.refresh.interval", "the source is asked each time"),
    ("alluxio.fuse.", "this client has no such feature"),
    ("alluxio.user.client.cache.local.store.file.buckets", "there are 256"),
    ("alluxio.user.client.cache.quota.", "files of a mount have no scopes"),
    ("alluxio.user.client.cache.shadow.", "alluxio-jnifuse stat --stats shows hits and misses"),
    ("alluxio.user.client.cache.include.mtime", "pages always belong to one version of a file"),
    ("alluxio.user.client.cache.", "the client cache needs no such setting"),
    ("alluxio.user.update.file.accesstime.disabled", "access times are never written"),
    ("alluxio.user.metrics.", "nothing is sent to a cluster"),
    ("alluxio.user.block.worker.client.pool.", _STREAMS),
    ("alluxio.user.block.master.client.", _STREAMS),
    ("alluxio.user.file.master.client.", f"{_STREAMS}; metadata_fetchers says how many are under way at once"),
    ("alluxio.user.local.reader.chunk.size.bytes", "block files of this machine are not read in chunks"),
    ("alluxio.user.block.size.bytes.default", f"{_READ_ONLY}, and a file has the block size it was made with"),
    ("alluxio.user.block.write.", _READ_ONLY),
    ("alluxio.user.file.writetype.", _READ_ONLY),
    ("alluxio.user.file.write.", _READ_ONLY),
    ("alluxio.user.file.create.", _READ_ONLY),
    ("alluxio.user.file.replication.", _READ_ONLY),
    ("alluxio.user.file.persist", _READ_ONLY),
    ("alluxio.user.file.reserved.bytes", _READ_ONLY),
    ("alluxio.user.local.writer.", _READ_ONLY),
    ("alluxio.user.streaming.writer.", _READ_ONLY),
    ("alluxio.user.streaming.data.write.", _READ_ONLY),
    ("alluxio.user.network.", _GRPC),
    ("alluxio.user.conf.sync.interval", "the cluster's configuration is asked once, when mounting"),
    ("alluxio.user.", "this client does not need it"),
    ("alluxio.master.", "it is a setting of the Alluxio master"),
    ("alluxio.worker.", "it is a setting of the Alluxio worker"),
    ("alluxio.job.", "it is a setting of the Alluxio job service"),
    ("alluxio.proxy.", "it is a setting of the Alluxio proxy"),
    ("alluxio.web.", "it is a setting of Alluxio's web pages"),
    ("alluxio.security.stale.channel.purge.interval", "this client logs in again when a server has forgotten it"),
    ("alluxio.security.", "it is a setting of the Alluxio servers"),
    ("alluxio.network.tls.", "certificates are those of alluxio.network.tls.ca.path"),
    ("alluxio.network.", _GRPC),
    ("alluxio.zookeeper.", "the masters themselves say which one leads: name all in alluxio.master.rpc.addresses"),
    ("alluxio.locality.", "the tiers are those of alluxio.locality.order"),
    ("alluxio.standalone.", "there is no Java machine here"),
    ("alluxio.underfs.oss.default.mode", "use the mount options umask, uid and gid"),
    ("alluxio.underfs.oss.", "it is for Alluxio's own way to OSS"),
    ("alluxio.underfs.", _STORAGE),
    ("alluxio.", "this client does not know it"),
    ("fs.", _STORAGE),
    ("", "it is not a property of Alluxio"),
)  # fmt: skip

_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPED = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
# A key ends at the first =, : or white space that no backslash stands before.
_KEY_VALUE = re.compile(r"((?:[^\\=:\s]|\\.)*)[ \t\f]*[=:]?[ \t\f]*(.*)", re.DOTALL)


class JavaOpts(NamedTuple):
    """The words of a *_JAVA_OPTS variable: properties in order, and the tokens that are for a Java machine."""

    properties: list[tuple[str, str]]
    flags: list[str]


def ignored_reason(key: str) -> str:
    """Why the property `key`, which is not in OPTIONS, has no effect; the end of a sentence."""
    return next(reason for prefix, reason in IGNORED if key.startswith(prefix))


def define(text: str) -> tuple[str, str]:
    """Key and value of `-D KEY=VALUE`; a key alone is `true`, as an empty Java property would be of no use."""
    key, equals, value = text.partition("=")
    return key.strip(), value if equals else "true"


def parse_java_opts(text: str, environ: Mapping[str, str]) -> JavaOpts:
    """Splits `text` into words as a shell does and expands `$VAR` and `${VAR}`, unset ones to nothing.

    `${a.dotted.key}` is left to property substitution. Raises ValueError for an unclosed quote.
    """
    import shlex

    def expand(match: re.Match[str]) -> str:
        return environ.get(match[1] or match[2], "")

    found = JavaOpts([], [])
    for word in shlex.split(text):
        word = _VARIABLE.sub(expand, word)
        if word.startswith("-D") and len(word) > 2:
            found.properties.append(define(word[2:]))
        else:
            found.flags.append(word)
    return found


def read_site_file(path: str) -> list[tuple[str, str]]:
    """Keys and values of a file in Java's properties format, in order, duplicates included. Raises OSError.

    Format: java.util.Properties.load; UTF-8 is read too, because a path may be written that way.
    """
    with open(path, "rb") as file:
        raw = file.read()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return parse_properties(text)


def parse_properties(text: str) -> list[tuple[str, str]]:
    """Keys and values of `text` in Java's properties format, in order, duplicates included."""
    pairs = []
    parts: list[str] = []  # of a line that goes on, none of them empty
    for raw in re.split(r"\r\n|\n|\r", text):
        raw = raw.lstrip(" \t\f")
        if not parts and (not raw or raw[0] in "#!"):
            continue
        goes_on = (len(raw) - len(raw.rstrip("\\"))) % 2  # by an odd number of backslashes; before there are even ones
        if part := raw[:-1] if goes_on else raw:
            parts.append(part)
        if not goes_on:
            pairs.append(_key_value("".join(parts)))
            parts.clear()
    if parts:
        pairs.append(_key_value("".join(parts)))
    return pairs


def _key_value(line: str) -> tuple[str, str]:
    match = _KEY_VALUE.fullmatch(line)
    assert match is not None, line  # every line matches
    return _unescape(match[1]), _unescape(match[2]).rstrip()


def _unescape(text: str) -> str:
    def replace(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPED.get(code, code)

    return _ESCAPE.sub(replace, text)


def find_site_file(directories: str) -> str | None:
    """The first alluxio-site.properties that exists in a comma list of directories.

    Raises IsADirectoryError for a directory of that name, as Docker makes it for a volume whose source is missing.
    """
    for directory in directories.split(","):
        path = os.path.join(directory.strip(), SITE_FILE)
        if directory.strip() and os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, "is a directory; put the file in its place, or remove it", path)
        if directory.strip() and os.path.isfile(path):
            return path
    return None
