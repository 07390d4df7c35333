"""A storage is opened once it can be reached, and given up at once when waiting is of no use."""

from __future__ import annotations

import pytest

from alluxio_jnifuse.config.values import Config
from alluxio_jnifuse.daemon import storage
from alluxio_jnifuse.errors import SourceError, Unreachable


class Patience:
    """A cluster that is there at the third try; pauses are taken down, not made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: SourceError) -> None:
        self.tries = 0
        self.pauses: list[float] = []
        self.told: list[str] = []
        self._error = error
        monkeypatch.setattr(storage, "_open", self._open)
        monkeypatch.setattr(storage, "_root", lambda source, ufs: "its root")
        monkeypatch.setattr(storage.time, "sleep", self.pauses.append)

    def _open(self, config: Config) -> tuple[Config, str]:
        self.tries += 1
        if self.tries < 3:
            raise self._error
        return config, "the source"

    def open(self, options: str) -> object:
        config = Config.load(options=[options], properties=["alluxio.master.hostname=m"], environ={})
        return storage.open_storage(config, self.told.append)[1]


def test_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `wait` it is tried again, with growing pauses, and said each time why."""
    cluster = Patience(monkeypatch, Unreachable("connection refused", where="alluxio://m:19998"))
    assert cluster.open("wait") == "the source"
    assert cluster.told == [
        "the storage to answer",
        *["the storage to answer: alluxio://m:19998: connection refused"] * 2,
    ]
    assert cluster.pauses == sorted(cluster.pauses)
    assert len(cluster.pauses) == 2


def test_not_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the first failure is the last."""
    cluster = Patience(monkeypatch, Unreachable("connection refused"))
    with pytest.raises(Unreachable):
        cluster.open("nowait")
    assert cluster.tries == 1


def test_of_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """What will not change by itself is not waited for."""
    cluster = Patience(monkeypatch, SourceError("has another protocol"))
    with pytest.raises(SourceError, match="another protocol"):
        cluster.open("wait")
    assert cluster.tries == 1
