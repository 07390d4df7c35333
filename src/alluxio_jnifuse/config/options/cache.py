"""Properties of the client cache."""

from __future__ import annotations

from alluxio_jnifuse.config.options.option import GIB, MIB, UINT32_MAX, Option

CACHE_PROPERTIES = (
    Option(
        "alluxio.user.client.cache.enabled", "bool", "false",
        "keep what is read, for the second epoch: in memory, or on a disk of this machine",
        "Alluxio's; a local directory is read at its own speed without",
        "cache_enabled",
    ),
    Option(
        "alluxio.user.client.cache.store.type", "choice", "MEM",
        "MEM or MEMORY: in memory; LOCAL: files in the cache directories; ROCKS: a RocksDB there (extra `rocks`), of "
        "16MB at least; the last two survive a restart",
        "memory is the fastest; LOCAL where cache directories are given, as Alluxio has it",
        choices=("MEM", "MEMORY", "LOCAL", "ROCKS"),
    ),
    Option(
        "alluxio.user.client.cache.dirs", "text", "/tmp/alluxio_cache",
        "directories of LOCAL and ROCKS, a comma list; each is used by one mount at a time, and nobody but root and "
        "the mounting user may be able to change what its path means",
        "Alluxio's, in name only: anybody can take a name in /tmp first. Unless it is set, it is "
        "/var/cache/alluxio-jnifuse for root and ~/.cache/alluxio-jnifuse for others",
        aliases=("alluxio.user.client.cache.dir",), here=True,
    ),
    Option(
        "alluxio.user.client.cache.size", "size", "512MB",
        "budget of the client cache: one size for each directory, or one in all; with MEM several are added up",
        "Alluxio's",
        "cache_bytes", MIB, 1 << 50,
    ),
    Option(
        "alluxio.user.client.cache.page.size", "size", "1MB",
        "what is evicted at once; rounded up to a power of two of at least 64KB", "Alluxio's",
        "page_bytes", 1, GIB,
    ),
    Option(
        "alluxio.user.client.cache.evictor.class", "class", "LRUCacheEvictor",
        "which page goes when room is needed", "Alluxio's",
        "evictor",
        choices=("LRUCacheEvictor", "LFUCacheEvictor", "FIFOCacheEvictor", "NondeterministicLRUCacheEvictor"),
    ),
    Option(
        "alluxio.user.client.cache.evictor.nondeterministic.enabled", "bool", "false",
        "LRUCacheEvictor means NondeterministicLRUCacheEvictor", "Alluxio's",
    ),
    Option(
        "alluxio.user.client.cache.async.restore.enabled", "bool", "true",
        "LOCAL and ROCKS: the mount answers while what an earlier one left is looked through; nothing new is stored "
        "before that is done", "Alluxio's",
    ),
    Option(
        "alluxio.user.client.cache.async.write.enabled", "bool", "false",
        "LOCAL and ROCKS: the fetching thread does not wait until a page is stored; readers never wait for that",
        "Alluxio's since 2.9",
    ),
    Option(
        "alluxio.user.client.cache.async.write.threads", "count", "16",
        "how many threads store pages then", "Alluxio's", low=1, high=1024,
    ),
    Option(
        "alluxio.user.client.cache.timeout.duration", "duration", "10s",
        "LOCAL and ROCKS: a disk that takes longer is left alone for a while, and the storage read; 0 or less = never",
        "a disk that hangs must not hang readers; Alluxio has it off",
        low=0, high=UINT32_MAX,
    ),
    Option(
        "alluxio.user.client.cache.timeout.threads", "count", "32",
        "LOCAL and ROCKS: how many threads wait for each directory's disk", "Alluxio's",
        low=1, high=1024,
    ),
    Option(
        "alluxio.user.client.cache.ttl.enabled", "bool", "false",
        "drop pages that were fetched longer than ttl.threshold.seconds ago", "Alluxio's",
    ),
    Option(
        "alluxio.user.client.cache.ttl.check.interval.seconds", "count", "3600",
        "s between two looks for such pages", "Alluxio's", low=1, high=UINT32_MAX,
    ),
    Option(
        "alluxio.user.client.cache.ttl.threshold.seconds", "count", "10800",
        "s after which a page is dropped", "Alluxio's", low=1, high=UINT32_MAX,
    ),
)  # fmt: skip
