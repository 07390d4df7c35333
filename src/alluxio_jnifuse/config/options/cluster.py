"""Properties of the engine that reads through an Alluxio cluster: names, notations and defaults are Alluxio's."""

from __future__ import annotations

from typing import Any

from alluxio_jnifuse.config.options.option import MIB, UINT32_MAX, Option

_ALLUXIO = "Alluxio's"
_INT32_MAX = (1 << 31) - 1  # Java's int
_LARGEST = 1 << 50  # of a size


def _row(name: str, kind: str, default: str, help: str, why: str = _ALLUXIO, **rest: Any) -> Option:
    return Option(name, kind, default, help, why, cluster=True, **rest)


def _duration(name: str, default: str, help: str, why: str = _ALLUXIO, **rest: Any) -> Option:
    return _row(name, "duration", default, help, why, low=0, high=UINT32_MAX, **rest)


CLUSTER_PROPERTIES = (
    # The address of the cluster. The first of addresses, journal addresses and hostname that is set counts.
    _row(
        "alluxio.master.hostname", "address", "",
        "the cluster's master; with it the mount shows the cluster, unless `--ufs` names something else",
        "no cluster would suit everybody",
        env="ALLUXIO_MASTER_HOSTNAME", here=True,
    ),
    _row(
        "alluxio.master.rpc.port", "count", "19998", "port of a master that is named without one",
        low=1, high=65535, aliases=("alluxio.master.port",), here=True,
    ),
    _row(
        "alluxio.master.rpc.addresses", "addresses", "",
        "all masters of a cluster that has several, `host:port,host:port`", "none",
        here=True,
    ),
    _row(
        "alluxio.master.embedded.journal.addresses", "addresses", "",
        "the hosts of several masters; their port is `alluxio.master.rpc.port`", "none",
        here=True,
    ),
    _row(
        "alluxio.user.conf.cluster.default.enabled", "bool", "true",
        "take what the cluster's own configuration says of this client where nothing here does",
        here=True,
    ),
    # The identity of the client.
    _row(
        "alluxio.security.authentication.type", "choice", "SIMPLE", "how to log in",
        choices=("SIMPLE", "CUSTOM", "NOSASL"), here=True,
    ),
    _row(
        "alluxio.security.login.username", "text", "", "user name to log in with", "that of this process",
        here=True,
    ),
    _row(
        "alluxio.security.login.impersonation.username", "text", "_HDFS_USER_",
        "user to act as; with `_HDFS_USER_` and `_NONE_` that is the user who logs in",
        here=True,
    ),
    _row("alluxio.network.tls.enabled", "bool", "false", "encrypt the connections", here=True),
    _row(
        "alluxio.network.tls.ca.path", "text", "",
        "file of the certificates (PEM) that servers are checked against; Alluxio has no such key",
        "the system's",
        here=True,
    ),
    _row(
        "alluxio.fuse.auth.policy.class", "class", "LaunchUserGroupAuthPolicy",
        "the owners that are shown: the user who mounted, the local users with the cluster's names, or "
        "`...policy.custom.user` and `.group`",
        "Alluxio's since 2.9",
        choices=("LaunchUserGroupAuthPolicy", "SystemUserGroupAuthPolicy", "CustomAuthPolicy"),
    ),
    _row("alluxio.fuse.auth.policy.custom.user", "text", "", "owner for CustomAuthPolicy, name or number", "none"),
    _row("alluxio.fuse.auth.policy.custom.group", "text", "", "group for CustomAuthPolicy, name or number", "none"),
    _row(
        "alluxio.fuse.user.group.translation.enabled", "bool", "false",
        "same as SystemUserGroupAuthPolicy, where no policy is set",
    ),
    # Patience with masters; alluxio.user.rpc.retry.max.duration is the limit of it all.
    _duration("alluxio.network.connection.auth.timeout", "30sec", "how long a log-in may take", here=True),
    _duration("alluxio.user.master.polling.timeout", "30sec", "how long a master may take to say whether it leads"),
    _duration(
        "alluxio.user.rpc.retry.base.sleep", "50ms", "pause before the first repetition of a call, doubled each time",
        aliases=("alluxio.user.rpc.retry.base.sleep.ms",),
    ),
    _duration(
        "alluxio.user.rpc.retry.max.sleep", "3sec", "longest pause between repetitions",
        aliases=("alluxio.user.rpc.retry.max.sleep.ms",),
    ),
    _duration("alluxio.user.logging.threshold", "10s", "warn of calls slower than this; 0 or less = never"),
    _row(
        "alluxio.user.network.rpc.max.inbound.message.size", "size", "100MB",
        "the largest message that is taken of a server: a larger one is an error",
        low=MIB, high=_INT32_MAX, here=True,
    ),
    # Patience with workers; alluxio.user.streaming.data.read.timeout is for one of them.
    _duration(
        "alluxio.user.block.read.retry.max.duration", "2min",
        "how long a read goes on with other workers after one has failed; 0 or less = for ever",
        "Alluxio's 5min is longer than people wait",
    ),
    _duration(
        "alluxio.user.block.read.retry.sleep.base", "250ms", "pause before the first repetition, doubled each time",
    ),
    _duration("alluxio.user.block.read.retry.sleep.max", "2sec", "longest pause between repetitions"),
    _duration(
        "alluxio.user.worker.list.refresh.interval", "2min", "how long the list of workers is believed",
    ),
    # Metadata.
    _row(
        "alluxio.user.file.metadata.sync.interval", "duration", "-1",
        "how old the cluster's knowledge of its storage may be when it answers; 0 = look each time, -1 = never look",
    ),
    _row(
        "alluxio.user.file.metadata.load.type", "choice", "ONCE",
        "when the cluster looks into its storage for names it does not know", choices=("ONCE", "ALWAYS", "NEVER"),
    ),
    _row(
        "alluxio.user.metadata.cache.enabled", "bool", "false",
        "keep attributes, listings and missing names beyond the kernel's timeouts; changes behind the mount are not "
        "seen until they expire",
    ),
    _duration("alluxio.user.metadata.cache.expiration.time", "10min", "how long that is kept"),
    _row(
        "alluxio.user.metadata.cache.max.size", "count", "100000", "of how many paths it is kept",
        low=0, high=_INT32_MAX,
    ),
    # Reading.
    _row(
        "alluxio.user.file.readtype.default", "choice", "CACHE",
        "what a worker does with what it reads from the storage",
        choices=("CACHE", "CACHE_PROMOTE", "NO_CACHE"),
    ),
    _row(
        "alluxio.user.streaming.reader.chunk.size.bytes", "size", "1MB",
        "bytes of one message of a worker, which sends 2MB at most",
        low=1, high=_LARGEST, aliases=("alluxio.user.network.reader.chunk.size.bytes",),
    ),
    _row(
        "alluxio.user.file.sequential.pread.threshold", "size", "2MB",
        "shorter reads that continue nothing make the worker read only them from the storage", low=0, high=_LARGEST,
    ),
    _row(
        "alluxio.user.file.passive.cache.enabled", "bool", "true",
        "a block that came from another machine is cached by this machine's worker too",
    ),
    _row(
        "alluxio.user.ufs.block.read.location.policy", "class", "LocalFirstPolicy",
        "which worker reads a block that none has cached",
        choices=(
            "LocalFirstPolicy", "LocalFirstAvoidEvictionPolicy", "MostAvailableFirstPolicy", "RoundRobinPolicy",
            "SpecificHostPolicy", "DeterministicHashPolicy", "CapacityBaseRandomPolicy",
            "CapacityBasedDeterministicHashPolicy",
        ),
    ),
    _row(
        "alluxio.user.ufs.block.read.location.policy.deterministic.hash.shards", "count", "1",
        "workers among which DeterministicHashPolicy spreads one block", low=1, high=_INT32_MAX,
    ),
    _row(
        "alluxio.worker.hostname", "text", "", "the worker of SpecificHostPolicy", "none", here=True,
    ),
    _row(
        "alluxio.user.block.avoid.eviction.policy.reserved.size.bytes", "size", "0MB",
        "what LocalFirstAvoidEvictionPolicy leaves free on a worker", low=0, high=_LARGEST,
    ),
    _row(
        "alluxio.user.ufs.block.read.concurrency.max", "count", "2147483647",
        "readers of one block of the storage on one worker", low=1, high=_INT32_MAX,
    ),
    # The workers of this machine.
    _row(
        "alluxio.user.hostname", "text", "", "this machine's name, as its worker is called", "found out",
        here=True,
    ),
    _row(
        "alluxio.locality.order", "text", "node,rack",
        "tiers of distance, nearest first; `alluxio.locality.TIER` says where in a tier this machine is",
    ),
    _row("alluxio.locality.node", "text", "", "this machine", "alluxio.user.hostname", here=True),
    _row("alluxio.locality.rack", "text", "", "this machine's rack", "none", here=True),
    _row("alluxio.user.short.circuit.enabled", "bool", "true", "read the block files of this machine's worker"),
    _row(
        "alluxio.user.short.circuit.preferred", "bool", "false", "also where the worker has a domain socket",
    ),
    _row(
        "alluxio.worker.data.server.domain.socket.as.uuid", "bool", "false",
        "a worker is on this machine when its domain socket is, whatever it is called",
    ),
    _row(
        "alluxio.user.unsafe.direct.local.io.enabled", "bool", "false",
        "open block files without asking the worker; only where blocks are never evicted",
        aliases=("alluxio.user.direct.memory.io.enabled",), here=True,
    ),
    _row(
        "alluxio.worker.tieredstore.level0.dirs.path", "text", "/mnt/ramdisk",
        "where workers of this machine have their block files, a comma list; given, none that lies elsewhere is "
        "opened. Without it, any is that lies in a data folder",
        env="ALLUXIO_RAM_FOLDER", here=True,
    ),
    _row("alluxio.worker.tieredstore.level1.dirs.path", "text", "", "those of the second tier", here=True),
    _row("alluxio.worker.tieredstore.level2.dirs.path", "text", "", "those of the third tier", here=True),
    _row("alluxio.worker.data.folder", "text", "/alluxioworker/", "the directory of the block files within", here=True),
)  # fmt: skip
