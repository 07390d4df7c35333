"""A mount says what the directory says, whatever happens to the directory (docs/SEMANTICS.md).

AJF_MODEL_STEPS: how many steps, of all variants together. AJF_MODEL_SEED: another sequence of them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis import Phase
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.stateful import run_state_machine_as_test
from model_machine import Machine
from model_mount import Mount

pytestmark = pytest.mark.fuse

STEPS = int(os.environ.get("AJF_MODEL_STEPS", "5000"))
SEED = int(os.environ.get("AJF_MODEL_SEED", "0"))
# Reducing a failure takes minutes: AJF_MODEL_SHRINK=0 for a first look.
PHASES = [Phase.generate, *([Phase.shrink] if os.environ.get("AJF_MODEL_SHRINK", "1") == "1" else [])]
STEPS_OF_AN_EXAMPLE = 50
EXAMPLES_OF_A_BATCH = 100  # hypothesis remembers every example of a run

_CACHE = "alluxio.user.client.cache"
# Name: arguments, whether bytes are copied, whether the mount is writable by name, share of the steps.
VARIANTS = {
    "lent": ((), False, False, 0.4),
    # The refusals of writes are the daemon's own here.
    "lent-without-passthrough": (("-o", "passthrough=off,rw"), False, True, 0.3),
    # A budget that the larger files do not fit in.
    "copied": (("-D", f"{_CACHE}.enabled=true", "-D", f"{_CACHE}.size=16MB"), True, False, 0.3),
}


@pytest.fixture(params=VARIANTS)
def machine(request: pytest.FixtureRequest, private: Path) -> Iterator[type[Machine]]:
    """The machine of a variant, on a mount of its own."""
    arguments, copies, writable, share = VARIANTS[request.param]
    mount = Mount(private, *arguments)
    members = {"mount": mount, "copies": copies, "writable": writable, "share": share}
    try:
        yield type(f"Machine_{request.param}", (Machine,), members)
    finally:
        mount.kill()


def check_counters(machine: type[Machine]) -> None:
    """The bytes went the way that the variant is about, and nothing stays behind the last close."""
    pairs = ("backing_ids", "requests") if machine.copies else ("backing_ids", "requests", "backings", "files")
    counters = machine.mount.counters(*pairs)
    if machine.copies:
        assert counters["fetch_bytes"] > 0
        assert counters["read_borrowed_bytes"] == 0
    else:
        assert counters["fetch_read"] == 0
    if machine.writable:  # and without passthrough
        assert counters["open_passthrough"] == 0
        assert counters["op_refused"] > 0
        assert counters["read_borrowed_bytes"] > 0


@pytest.mark.timeout(600 + STEPS // 10)
def test_model(machine: type[Machine], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No sequence of changes and questions makes a mount differ from its directory, or hang."""
    set_hypothesis_home_dir(tmp_path / "hypothesis")
    wanted = round(STEPS * machine.share)
    batch = 0
    start = time.monotonic()
    while machine.steps < wanted:
        missing = -(-(wanted - machine.steps) // STEPS_OF_AN_EXAMPLE)
        settings = hypothesis.settings(
            max_examples=min(missing, EXAMPLES_OF_A_BATCH),
            stateful_step_count=STEPS_OF_AN_EXAMPLE,
            database=DirectoryBasedExampleDatabase(tmp_path / "examples"),
            deadline=None,
            print_blob=True,
            report_multiple_bugs=False,
            phases=PHASES,
            # A step is a handful of system calls and now and then megabytes: slow is what it is.
            suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
        )
        run_state_machine_as_test(hypothesis.seed(SEED * 1_000_000 + batch)(machine), settings=settings)
        batch += 1
    seconds = time.monotonic() - start
    check_counters(machine)
    code = machine.mount.stop()
    log = machine.mount.log.read_text()
    assert code == 0, log
    assert not [line for line in log.splitlines() if " ERROR " in line or "Traceback" in line], log
    with capsys.disabled():
        rate = machine.steps / seconds
        print(f"\n{machine.__name__}: {machine.steps} steps without a difference, {seconds:.0f} s, {rate:.0f} steps/s")
