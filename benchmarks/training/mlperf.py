"""How many simulated accelerators of MLPerf Storage a rate of samples feeds.

MLPerf Storage trains on accelerators that only sleep: each takes `batch_size` samples and then "computes" for
`computation_time` s. A result counts when the accelerators compute for `au` of the time at least. N accelerators that
share a rate of R samples/s wait batch_size * N / R s for each batch at best, so they keep that bound up to

    N = R * computation_time / (batch_size * au)

Source: mlcommons/storage, configs/dlio/workload/retinanet_b200.yaml (RetinaNet on B200, release 3.0).
"""

from __future__ import annotations

from typing import NamedTuple


class Workload(NamedTuple):
    """`sample_bytes`: of one file, which is one sample; `computation_s`: of a batch; `utilization`: the least."""

    sample_bytes: int
    batch: int
    computation_s: float
    utilization: float


RETINANET = Workload(sample_bytes=322_957, batch=24, computation_s=0.04755, utilization=0.85)


def accelerators(rate: float, workload: Workload = RETINANET) -> float:
    """How many accelerators a rate of samples/s keeps busy enough; parts of one count."""
    return rate * workload.computation_s / (workload.batch * workload.utilization)
