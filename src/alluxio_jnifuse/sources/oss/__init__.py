"""A bucket of Aliyun OSS as a source: its objects are asked of OSS itself.

    source.py      the Source: what the core asks, from what is remembered or from the bucket
    lookup.py      what there is at a path       remembered.py  what look-ups and listings told
    listing.py     a directory made of keys      pages.py       the XML that keys come in
    reader.py      bytes of one object           checksum.py    whether they are those that were written
    documents.py   XML, with limits
    client.py      requests, and their repetition               patience.py, errors.py   for how long, and why not
    signing.py     signatures                    credentials.py, providers.py            whose
    connection.py, pool.py, route.py             HTTP/1.1: one connection, all of them, the way there
    endpoint.py    where a bucket is             counters.py    what was sent and received
    settings.py, from_config.py                  what may be set

Threads: fetchers call the source from many threads; each sends its requests itself, on a connection that is its own
until the answer has been read. `close` ends what is under way.

oss2 (the SDK) makes the signatures and nothing else. It is imported when a bucket is mounted, by signing.py alone: it
takes a quarter of a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alluxio_jnifuse.config import Config
    from alluxio_jnifuse.sources.oss.source import OssSource


def open_uri(uri: str, config: Config) -> OssSource:
    """The directory `oss://bucket/directory/` (percent-encoded), which has answered.

    Raises ConfigError, SourceError.
    """
    from alluxio_jnifuse.sources.oss import from_config
    from alluxio_jnifuse.sources.oss.source import OssSource

    source = OssSource(from_config.settings(uri, config), from_config.credentials(config))
    try:
        source.connect()
    except BaseException:
        source.close()
        raise
    return source
