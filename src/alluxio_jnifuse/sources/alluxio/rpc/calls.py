"""How often a mount called the servers of its cluster, and with what success, for `stat --stats`.

The sender of a call counts it: channel.py those over gRPC, link.py and locks.py those over connections of ours.
A repetition is a call. A server goes by the name under which it is called: "host:port" or "unix:/path".
"""

from __future__ import annotations

from alluxio_jnifuse.sources.tally import Tally

# The purpose of each call; docs/METRICS.md has the same words.
CALLS = {
    "GetStatus": "attributes of one path (master)",
    "ListStatus": "listings of one directory (master)",
    "Exists": "whether a path exists (master)",
    "CheckAccess": "whether a path may be read (master)",
    "GetMountTable": "the under-stores (master)",
    "GetBlockInfo": "where one block is (master)",
    "GetWorkerInfoList": "the workers (master)",
    "GetBlockMasterInfo": "capacity and use of the cluster, for `df` (master)",
    "GetConfiguration": "the cluster's configuration, not counting that before the mount (master)",
    "GetConfigHash": "the version of that (master)",
    "GetMasterInfo": "the cluster's release (master)",
    "getServiceVersion": "which master serves (masters)",
    "authenticate": "log-ins (masters, workers)",
    "ReadBlock": "bytes of one block (workers)",
    "OpenLocalBlock": "uses of one block, whose file is opened here, perhaps a little before (worker of this machine)",
    "Cache": "copies of one block, asked for (workers)",
    "AsyncCache": "the same of a worker that does not know Cache (workers)",
}
# The outcomes of these calls; the same page has these words, too.
OUTCOMES = {
    "failures": "calls that failed, but for questions about what is not there (masters, workers)",
    "retries": "calls made again, there or elsewhere, after one failed (masters, workers)",
    "paused_ms": "milliseconds that were let pass before these, over all of them (masters, workers)",
    "bytes": "bytes of blocks that were sent (workers)",
}


class Calls(Tally):
    """Counts by the names of CALLS, with `rpc_` before them, and of OUTCOMES, with `cluster_`. Any thread."""

    def __init__(self) -> None:
        super().__init__([*(f"rpc_{name}" for name in CALLS), *(f"cluster_{name}" for name in OUTCOMES)])

    def count(self, method: str, server: str) -> None:
        """A call; `method`: as "/package.Service/Method"."""
        self.add(f"rpc_{method.rpartition('/')[2]}", server=server)

    def failed(self, server: str) -> None:
        self.add("cluster_failures", server=server)

    def repeated(self, server: str) -> None:
        """A call to `server` failed, and another one follows."""
        self.add("cluster_retries", server=server)

    def paused(self, server: str, seconds: float) -> None:
        """That much was let pass before a repetition."""
        self.add("cluster_paused_ms", round(seconds * 1000), server)

    def received(self, number: int, server: str) -> None:
        """Bytes of blocks."""
        if number > 0:
            self.add("cluster_bytes", number, server)
