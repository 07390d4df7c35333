"""A bucket of Aliyun OSS as a source: its objects are asked of OSS itself.

    source.py   the Source: what the core asks, from what is remembered or from the bucket
    objects/    directories, look-ups, and the bytes of an object
    requests/   one request: sent, understood, sent again      counters.py   what was sent and received
    auth/       whose requests they are, and signatures        settings.py, from_config.py   what may be set
    http/       connections, and the way to the endpoint       endpoint.py, dates.py   where a bucket is; times

Each imports only what stands below it: source, objects, requests, auth, http.

Threads: fetchers call the source from many threads; each sends its requests itself, on a connection that is its own
until the answer has been read. `close` ends what is under way.

oss2 (the SDK) has the last word about a signature that OSS refuses, and is not loaded before (auth/sdk.py,
docs/decisions/0013). An idle mount loads no TLS, no proxies and no parsers of dates unless its settings ask for them:
tests/sources/test_weight.py names what it may load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alluxio_jnifuse.config.values import Config
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
