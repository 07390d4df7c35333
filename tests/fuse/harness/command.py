"""The command of the package, whose daemon also leaves its last counters behind.

Births can equal deaths only after the core was stopped and every fetcher has given its fetch back, when nobody can
ask the daemon any more. So this wraps the last step of its end.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

FINAL_STATS = "AJF_TEST_FINAL_STATS"  # environment: where they go


def main() -> int:
    from alluxio_jnifuse import cli
    from alluxio_jnifuse.daemon import bindings

    make = bindings.make

    def make_telling(*arguments: Any) -> tuple[bindings.Binding, bindings.Workers]:
        core, workers = make(*arguments)
        stop = workers.stop

        def stop_and_tell(timeout: float) -> int:
            hanging = stop(timeout)
            told = {"stats": core.stats(), "hanging": hanging, "open_handles": workers.open_handles}
            with open(os.environ[FINAL_STATS], "w", encoding="ascii") as file:
                json.dump(told, file)
            return hanging

        workers.stop = stop_and_tell  # type: ignore[method-assign]
        return core, workers

    bindings.make = make_telling
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
