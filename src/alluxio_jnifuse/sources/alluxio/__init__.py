"""An Alluxio cluster as a source.

    source.py   the Source: what the core asks, from what is remembered or from the cluster
    data/       the bytes of open files       workers/   the workers, and the ways to them
    metadata/   what the masters tell         rpc/       calls, over gRPC
    proto/      the messages                  settings.py, from_config.py   what may be set

Each imports only what stands below it: source, data, workers, metadata, rpc.

Threads: fetchers call the source from many threads; each makes its calls itself. gRPC has threads of its own once the
first call is made, never before, so nothing here may be used in a process that forks afterwards. `close` ends what is
under way.

This module imports nothing of gRPC: a mount without a cluster does not need it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alluxio_jnifuse.config.values import Config
    from alluxio_jnifuse.sources.alluxio.metadata.master import MasterClient
    from alluxio_jnifuse.sources.alluxio.source import AlluxioSource


def open_uri(uri: str, config: Config) -> AlluxioSource:
    """The cluster directory `alluxio://host:port,host:port/path`, which has answered.

    Raises ConfigError, SourceError.
    """
    from alluxio_jnifuse.sources.alluxio import from_config

    return _open(uri, config, from_config.master_client(config))


def open_asked(config: Config) -> tuple[Config, AlluxioSource]:
    """The directory `config.ufs`, and the settings of its mount: with what the cluster's own configuration says.

    Raises ConfigError, SourceError.
    """
    from alluxio_jnifuse.sources.alluxio import from_config

    asked, client = from_config.ask_cluster(config)
    return asked, _open(asked.ufs, asked, client)


def _open(uri: str, config: Config, client: MasterClient) -> AlluxioSource:
    """The source is connected, and closes the client in its end."""
    from alluxio_jnifuse.sources.alluxio import from_config

    try:
        from alluxio_jnifuse.sources.alluxio.source import AlluxioSource

        masters, root = from_config.split_uri(uri)
        source = AlluxioSource(from_config.settings(config, masters), client, root)
    except BaseException:
        client.close()
        raise
    try:
        source.connect()
    except BaseException:
        source.close()
        raise
    return source
