"""Training-shaped data sets, and the programs that read them."""

from __future__ import annotations

import os
import re
import tarfile
from pathlib import Path

import pytest

from benchmarks import order_reader, reader
from benchmarks.training import programs, reads, sets


def paths(directory: Path) -> list[str]:
    return sorted(str(path) for path in directory.rglob("*") if path.is_file())


def test_tfrecords_are_read_record_by_record(tmp_path: Path) -> None:
    sets.make_tfrecords(tmp_path, 3_000_000)
    (path,) = paths(tmp_path)
    assert abs(os.path.getsize(path) - 3_000_000) < 200_000
    data = Path(path).read_bytes()
    count = at = 0
    while at < len(data):
        at += 16 + int.from_bytes(data[at : at + 8], "little")
        count += 1
    assert at == len(data)
    assert sum(reads.tfrecords([path])) == count > 15


def test_a_torn_record_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "shard").write_bytes(sets.record(b"x" * 100)[:-1])
    with pytest.raises(ValueError, match="ends within a record"):
        list(reads.tfrecords([str(tmp_path / "shard")]))


def test_tars_hold_an_image_and_a_class_for_each_sample(tmp_path: Path) -> None:
    sets.make_tars(tmp_path, 3_000_000)
    (path,) = paths(tmp_path)
    with tarfile.open(path) as tar:
        names = tar.getnames()
    assert names[:2] == ["00000000.jpg", "00000000.cls"]
    assert sum(reads.tars([path])) == len(names) / 2 > 15


def test_safetensors_hold_all_bytes(tmp_path: Path) -> None:
    sets.make_safetensors(tmp_path, 40 << 20)
    assert sum(reads.tensors(paths(tmp_path))) == 40 << 20


def test_sets_are_the_same_in_shape_every_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        sets.make_tars(tmp_path / name, 1_000_000)
    first, second = (os.path.getsize(paths(tmp_path / name)[0]) for name in ("a", "b"))
    assert first == second


def test_an_epoch_reads_every_file_once(tmp_path: Path) -> None:
    """By processes, in pieces of which the last is shorter."""
    for number in range(103):
        (tmp_path / str(number)).write_bytes(b"x" * number)
    done = programs.epoch("files", workers=3, files=10, paths=paths(tmp_path))
    assert done.count == 103
    assert done.seconds > 0


def test_an_error_of_a_worker_ends_the_epoch(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="FileNotFoundError"):
        programs.epoch("files", workers=2, files=1, paths=[str(tmp_path / "missing")])


def test_an_interpreter_without_torch_is_noticed(tmp_path: Path) -> None:
    """The suite says so and goes on."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    assert not programs.has_torch(str(python))


def test_only_one_module_imports_torch() -> None:
    root = Path(programs.__file__).parents[1]
    imports = re.compile(r"^\s*(?:import|from) torch\b", re.MULTILINE)
    assert [path.name for path in root.rglob("*.py") if imports.search(path.read_text())] == ["torch_epoch.py"]


def test_readers_in_c_share_the_files(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / str(number)).write_bytes(b"x")
    assert reader.run("files", 8, paths=paths(tmp_path))[0] == 50
    assert reader.run("files", paths=paths(tmp_path))[0] == 50


@pytest.mark.parametrize("what", ["read", "strided", "tensors"])
def test_a_model_is_read_whole_in_each_way(what: str, tmp_path: Path) -> None:
    sets.make_safetensors(tmp_path, 20 << 20)
    (path,) = paths(tmp_path)
    count = order_reader.run(what, Path(path)).count * 1e9
    assert count == pytest.approx(20 << 20 if what == "tensors" else os.path.getsize(path), abs=1)


def test_files_are_read_in_the_order_that_is_told(tmp_path: Path) -> None:
    names = [str(number) for number in range(30)]
    for name in names:
        (tmp_path / name).write_bytes(b"x" * 1000)
    assert order_reader.run("told", tmp_path, names).count == pytest.approx(0.03)
    assert order_reader.run("files", tmp_path, names).count == pytest.approx(0.03)
