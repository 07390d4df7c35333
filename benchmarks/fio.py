"""fio on the job files in jobs/; the same job for directory and mount."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from benchmarks.bench import Skip

_JOBS = Path(__file__).with_name("jobs")
_TIMEOUT_S = 300


class Speed(NamedTuple):
    """The figures of fio, of all its jobs together."""

    bytes: int
    reads: int
    seconds: float
    cpu_s: float


def run(job: str, directory: Path, **variables: object) -> Speed:
    """Runs jobs/JOB.fio; `variables` are what it calls ${NAME}."""
    if shutil.which("fio") is None:
        raise Skip("fio is not installed")
    environment = {**os.environ, "DIRECTORY": str(directory), **{k: str(v) for k, v in variables.items()}}
    done = subprocess.run(
        ["fio", "--readonly", "--output-format=json", str(_JOBS / f"{job}.fio")],
        env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, cwd="/tmp",
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"fio {job}: {done.stderr.strip() or done.stdout.strip()}")
    report = json.loads(done.stdout[done.stdout.index("{") :])
    failed = [job["error"] for job in report["jobs"] if job["error"]]
    if failed:
        raise RuntimeError(f"fio {job}: {os.strerror(failed[0])}")
    reads = [job["read"] for job in report["jobs"]]
    return Speed(
        bytes=sum(read["io_bytes"] for read in reads),
        reads=sum(read["total_ios"] for read in reads),
        seconds=max(read["runtime"] for read in reads) / 1e3,
        cpu_s=sum((job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] / 1e3 for job in report["jobs"]),
    )
