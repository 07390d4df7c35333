"""An Alluxio cluster as a source.

    source.py    the Source: what the core asks, from what is remembered or from the cluster
    metadata.py  what the masters told        listing.py, status.py, owners.py   what is kept of it
    master.py    the masters as one server    primary.py   which of them answers
    reader.py    one open file                attempts.py  its blocks, until somebody gives them
    workers.py   who is asked for a block     link.py      the ways to one worker
    streams.py, shortcircuit.py, watchdog.py  block data, block files, silence
    placement.py, locality.py                 who is nearest, whom a policy picks
    channel.py, session.py, connection.py, errors.py, flight.py             calls
    requests.py, proto/                       every message that is sent
    settings.py, from_config.py               what may be set

Threads: fetchers call the source from many threads; each makes its calls itself. gRPC has threads of its own once the
first call is made, never before, so nothing here may be used in a process that forks afterwards. `close` ends what is
under way.

This module imports nothing of gRPC: a mount without a cluster does not need it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alluxio_jnifuse.config import Config
    from alluxio_jnifuse.sources.alluxio.source import AlluxioSource


def open_uri(uri: str, config: Config) -> AlluxioSource:
    """The cluster directory `alluxio://host:port,host:port/path`, which has answered.

    Raises ConfigError, SourceError.
    """
    from alluxio_jnifuse.sources.alluxio import from_config

    masters, root = from_config.split_uri(uri)
    client = from_config.master_client(config)
    from alluxio_jnifuse.sources.alluxio.source import AlluxioSource

    source = AlluxioSource(from_config.settings(config, masters), client, root)
    try:
        source.connect()
    except BaseException:
        source.close()
        raise
    return source
