"""The command of the package, whose daemon also leaves its last counters behind.

Births can equal deaths only after the core was stopped and every fetcher has given its fetch back, when nobody can
ask the daemon any more. So this wraps the last step of its end.
"""

from __future__ import annotations

import json
import os
import sys

FINAL_STATS = "AJF_TEST_FINAL_STATS"  # environment: where they go


def main() -> int:
    from alluxio_jnifuse import cli
    from alluxio_jnifuse.daemon.fetcher import Fetchers

    stop = Fetchers.stop

    def stop_and_tell(self: Fetchers, timeout: float) -> int:
        hanging = stop(self, timeout)
        told = {"stats": self._core.stats(), "hanging": hanging, "open_handles": self.open_handles}
        with open(os.environ[FINAL_STATS], "w", encoding="ascii") as file:
            json.dump(told, file)
        return hanging

    Fetchers.stop = stop_and_tell
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
