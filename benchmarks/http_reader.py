"""A bare HTTP client: ranged GETs received into one buffer, and nothing done with the bytes.

`python -m benchmarks.http_reader HOST PORT STREAMS PATH SIZE [PATH SIZE]...` reads objects that anybody may read,
STREAMS at once, and prints bytes, seconds and CPU seconds.
"""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.measure import Outcome

_ROOT = Path(__file__).parents[1]
_TIMEOUT_S = 300
_RANGE_BYTES = 64 << 20
_STEP_BYTES = 1 << 20


def read(host: str, port: int, streams: int, objects: Sequence[tuple[str, int]]) -> Outcome:
    """Runs the program on objects, each a path and its bytes; the count is in GB."""
    words = [word for path, size in objects for word in (path, str(size))]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.http_reader", host, str(port), str(streams), *words],
        capture_output=True, timeout=_TIMEOUT_S, check=False, cwd=_ROOT,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"http_reader: {done.stderr.decode().strip()}")
    count, seconds, cpu_s = (float(word) for word in done.stdout.split())
    return Outcome(count / 1e9, seconds, cpu_s)


def _main(host: str, port: str, streams: str, *words: str) -> None:
    objects = list(zip(words[::2], map(int, words[1::2])))
    with ThreadPoolExecutor(int(streams)) as threads:
        start, cpu = time.perf_counter(), time.process_time()
        count = sum(threads.map(lambda named: _read(host, int(port), *named), objects))
        print(count, time.perf_counter() - start, time.process_time() - cpu, flush=True)


def _read(host: str, port: int, path: str, size: int) -> int:
    buffer = memoryview(bytearray(_STEP_BYTES))
    connection = http.client.HTTPConnection(host, port)
    count = 0
    for start in range(0, size, _RANGE_BYTES):
        end = min(start + _RANGE_BYTES, size) - 1
        connection.request("GET", path, headers={"Range": f"bytes={start}-{end}"})
        response = connection.getresponse()
        assert response.status == 206, response.status
        while n := response.readinto(buffer):
            count += n
    connection.close()
    return count


if __name__ == "__main__":
    _main(*sys.argv[1:])
