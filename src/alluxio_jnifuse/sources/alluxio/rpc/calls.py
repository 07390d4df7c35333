"""How often a mount called the servers of its cluster, for `stat --stats`.

The sender of a call counts it: channel.py those over gRPC, link.py and shortcircuit.py those over connections of ours.
A repetition is a call. Bytes are in the counters of the core.
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
    "OpenLocalBlock": "where the file of one block lies, which keeps it there (worker of this machine)",
    "Cache": "copies of one block, asked for (workers)",
    "AsyncCache": "the same of a worker that does not know Cache (workers)",
}


class Calls(Tally):
    """Counts by the names of CALLS. Any thread."""

    def __init__(self) -> None:
        super().__init__(CALLS)

    def count(self, method: str) -> None:
        """`method`: as "/package.Service/Method"."""
        self.add(method.rpartition("/")[2])
