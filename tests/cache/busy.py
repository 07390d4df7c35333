"""Processes that use a store until they are killed: python busy.py KIND DIRECTORY, and a seed in a line for each."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from stores import MIB, PAGE, digest, open_store, right_bytes, write

from alluxio_jnifuse._wire import SUM_BYTES

FILES = {name: (1, 5000, PAGE, 3 * PAGE + 1, MIB)[name % 5] for name in range(70)}


def use(kind: str, directory: Path, seed: int) -> None:
    rng = random.Random(seed)
    store = open_store(kind, directory)
    print(os.getpid(), flush=True)
    while True:
        name = rng.randrange(len(FILES))
        size = FILES[name]
        action = rng.randrange(40)
        if action == 0:
            store.disown(digest(name))
            store.drop_disowned(digest(name))
        elif action < 10:
            right_bytes(store, name, size)
        else:
            write(store, name, size, rng.randrange(size) // SUM_BYTES * SUM_BYTES, rng.choice((SUM_BYTES, PAGE, MIB)))


def main() -> None:
    """Forks for each seed: importing everything takes longer than what is to be done. Says pids, and how they ended."""
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            use(sys.argv[1], Path(sys.argv[2]), int(line))
        print("ended by", os.waitpid(pid, 0)[1], flush=True)


if __name__ == "__main__":
    main()
