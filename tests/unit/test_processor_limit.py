"""The processor limit of a container is found, and nobody polls where it is small."""

from __future__ import annotations

from pathlib import Path

import pytest

from alluxio_jnifuse.config import limits
from alluxio_jnifuse.config.values import Config


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/pod/c\n", {"pod/cpu.max": "50000 100000\n", "pod/c/cpu.max": "400000 100000\n"}, 0.5),
        ("3:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "200000\n", "cpu/a/cpu.cfs_period_us": "50000\n"}, 4.0),
        ("3:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, None),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "100000\n"}, None),
        ("0::/\n", {"cpu.max": "1 0\n"}, None),
        ("0::/\n", {}, None),
    ],
    ids=["v2 without", "v2", "v2 from above", "v1", "v1 without", "v1 without a period", "nonsense", "no file"],
)
def test_finding_it(tmp_path: Path, membership: str, files: dict[str, str], expected: float | None) -> None:
    """The smallest quota on the way up counts, in both versions."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "membership").write_text(membership)
    assert limits.processors(str(tmp_path), str(tmp_path / "membership")) == expected


@pytest.mark.parametrize(
    ("quota", "options", "expected"),
    [(None, "", 100), (2.0, "", 100), (1.9, "", 0), (0.3, "busy_poll=20", 20)],
)
def test_polling(monkeypatch: pytest.MonkeyPatch, quota: float | None, options: str, expected: int) -> None:
    """Below two processors it is off, which is told, unless somebody chose it."""
    monkeypatch.setattr(limits, "processors", lambda: quota)
    environ = {"ALLUXIO_CONF_DIR": "/nonexistent", "HOME": "/nonexistent"}
    config = Config.load(options=[options], environ=environ)
    assert config.core_options()["busy_poll_us"] == expected
    assert any(note.startswith("busy_poll: 0") for note in config.notes) == (expected == 0)
