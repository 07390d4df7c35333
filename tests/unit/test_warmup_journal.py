"""The journal of a load knows the files that were read, as they were, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from alluxio_jnifuse.load.journal import Journal, journal_path, remove_stale
from alluxio_jnifuse.load.targets import Target
from alluxio_jnifuse.load.walk import File
from alluxio_jnifuse.mounts.registry import Record, record_of_this_process, start_time

RECORD = record_of_this_process("/mnt/x", "/", "/data", "")
TARGET = Target("/mnt/x", "/mnt/x", 1, RECORD)


def file(number: int, size: int = 5, mtime_ns: int = 10, ctime_ns: int = 10) -> File:
    """One of many files."""
    return File(f"/mnt/x/{number}", size, mtime_ns, ctime_ns, TARGET)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where the journal of a test lies."""
    return journal_path(str(tmp_path), RECORD, ["/mnt/x"])


def test_what_was_added_is_known_the_next_time(path: str) -> None:
    """Files that were added are in the journal once it is opened again; one that changed is not."""
    journal = Journal(path)
    for number in range(0, 100, 2):
        journal.add(file(number))
    assert file(0) not in journal  # what this run reads is of no interest to it
    again = Journal(path)
    assert [number for number in range(100) if file(number) in again] == list(range(0, 100, 2))
    for changed in (file(0, size=6), file(0, mtime_ns=11), file(0, ctime_ns=11)):
        assert changed not in again


def test_restart_and_removal(path: str) -> None:
    """With restart nothing is known; a journal is removed once, whoever does it."""
    Journal(path).add(file(1))
    journal = Journal(path, restart=True)
    assert file(1) not in journal
    assert os.path.getsize(path) == 0
    journal.remove()
    journal.remove()
    assert not os.path.exists(path)
    journal.add(file(2))  # of another process, which goes on
    assert not os.path.exists(path)


def test_many_write_at_once(path: str) -> None:
    """Threads of several processes lose nothing of each other's."""
    journals = [Journal(path) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: journals[number % 4].add(file(number)), range(2000)))
    known = Journal(path)
    assert all(file(number) in known for number in range(2000))
    assert os.path.getsize(path) == 8 * 2000


def test_a_torn_record_is_left_out(path: str) -> None:
    """What is not a whole record says nothing."""
    Journal(path).add(file(1))
    with open(path, "ab") as journal:
        journal.write(b"torn")
    assert file(1) in Journal(path)


def test_jobs_have_journals_of_their_own(tmp_path: Path) -> None:
    """The same paths of the same process are the same job, in whatever order they were typed."""

    def at(record: Record, *paths: str) -> str:
        return journal_path(str(tmp_path), record, paths)

    assert at(RECORD, "/mnt/x/a", "/mnt/x/b") == at(RECORD, "/mnt/x/b", "/mnt/x/a", "/mnt/x/a")
    others = [at(RECORD, "/mnt/x/a"), at(RECORD, "/mnt/x/b"), at(RECORD._replace(start_time=1), "/mnt/x/a")]
    assert len(set(others)) == 3


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until it is killed."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_journals_of_dead_mounts_are_removed(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    """Those of mounts that run stay, and those of other containers, whose pids mean nothing here."""
    alive = RECORD._replace(pid=sleeper.pid, start_time=start_time(sleeper.pid) or 0)
    reused = alive._replace(start_time=alive.start_time - 1)
    foreign = reused._replace(pid_namespace=1)
    paths = [journal_path(str(tmp_path), record, ["/x"]) for record in (alive, reused, foreign)]
    for path in paths:
        Path(path).touch()
    (tmp_path / "mnt-x.json").touch()
    remove_stale(str(tmp_path))
    assert [os.path.exists(path) for path in paths] == [True, False, True]
    sleeper.kill()
    sleeper.wait()
    remove_stale(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == sorted([os.path.basename(paths[2]), "mnt-x.json"])
