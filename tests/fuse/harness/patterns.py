"""Ways in which programs read large files: run in children, on a mount."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PAGE = 4096
_PIECE = 1 << 20
_RECORD_BYTES = 100_000  # and up to 21 KB more


def scattered(number: int, length: int, within: int, seed: int = 1) -> list[int]:
    """Places for reads of `length` bytes, none at a page's start and none near another, in no order."""
    chance = random.Random(seed)
    room = within // number
    slack = room - length - (5 << 20)  # the kernel reads ahead up to 2 MiB; what is nearer may be one stream
    assert slack > 0, f"{number} reads of {length} bytes are not far apart in {within}"
    places = [i * room + (3 << 20) + chance.randrange(slack // PAGE) * PAGE + 1234 for i in range(number)]
    chance.shuffle(places)
    return places


def pages_of(places: Sequence[int], length: int) -> int:
    """The bytes of all pages under reads: less cannot be asked for."""
    return sum((at + length + PAGE - 1) // PAGE - at // PAGE for at in places) * PAGE


def preads(path: str, places: Sequence[int], length: int) -> None:
    """One pread for each place."""
    descriptor = os.open(path, os.O_RDONLY)
    for at in places:
        assert len(os.pread(descriptor, length, at)) == length, at
    os.close(descriptor)


# -------------------------------------------------------------------------------------------------------- columns


def write_columns(path: Path, columns: int, rows: int, groups: int) -> None:
    """A Parquet file of columns c0, c1 ... of float64, stored as they are."""
    chance = np.random.default_rng(1)
    names = [f"c{number}" for number in range(columns)]
    schema = pa.schema([(name, pa.float64()) for name in names])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for _ in range(groups):
            writer.write_table(pa.table({name: chance.random(rows) for name in names}), row_group_size=rows)


def bytes_of_column(path: Path, column: str) -> int:
    """What a reader of one column needs: its chunks, and the footer."""
    about = pq.read_metadata(path)
    number = about.schema.to_arrow_schema().get_field_index(column)
    groups = (about.row_group(group).column(number) for group in range(about.num_row_groups))
    return sum(chunk.total_compressed_size for chunk in groups) + about.serialized_size


def arrow_column(path: str, column: str) -> int:
    """Reads one column with PyArrow; the number of rows."""
    return pq.read_table(path, columns=[column]).num_rows


def arrow_batches(path: str, column: str) -> int:
    """As `arrow_column`, batch after batch."""
    return sum(batch.num_rows for batch in pq.ParquetFile(path).iter_batches(columns=[column]))


def duckdb_column(path: str, column: str) -> int:
    """As `arrow_column`, with DuckDB."""
    import duckdb

    query = f"select count({column}), sum({column}) from read_parquet('{path}')"
    return duckdb.connect(config={"threads": 2}).sql(query).fetchall()[0][0]


# ------------------------------------------------------------------------------------------------ from start to end


def cat(path: str, reference: str) -> None:
    """The program; so are the next ones. What it reads is compared with a file that holds the same."""
    _pipe(["cat", path], reference)


def cmp(path: str, reference: str) -> None:
    subprocess.run(["cmp", path, reference], check=True)


def md5sum(path: str, reference: str) -> None:
    sums = {subprocess.run(["md5sum", name], check=True, capture_output=True).stdout[:32] for name in (path, reference)}
    assert len(sums) == 1, path


def dd(path: str, reference: str) -> None:
    _pipe(["dd", f"if={path}", "bs=4k", "status=none"], reference)


def python_read(path: str, reference: str) -> None:
    """All of it at once."""
    with open(path, "rb") as file:
        data = file.read()
    with open(reference, "rb") as file:
        while piece := file.read(_PIECE):
            assert data[file.tell() - len(piece) : file.tell()] == piece, path


def records(path: str, reference: str) -> None:
    """As a reader of TFRecords: a header of 12 bytes, which tells the length, then the data and a sum of 4 bytes."""
    with open(path, "rb") as file, open(reference, "rb") as expected:
        at = 0
        while header := file.read(12):
            length = _RECORD_BYTES + sum(header) * 7  # whatever is in it
            data = header + file.read(length) + file.read(4)
            assert data == expected.read(len(data)), f"{path} differs in {at}+{len(data)}"
            at += len(data)


def head(path: str, reference: str) -> None:
    """The first MiB."""
    done = subprocess.run(["head", "-c", "1M", path], check=True, capture_output=True)
    with open(reference, "rb") as file:
        assert done.stdout == file.read(1 << 20), path


def _pipe(words: list[str], reference: str) -> None:
    with subprocess.Popen(words, stdout=subprocess.PIPE) as program:
        subprocess.run(["cmp", "-", reference], stdin=program.stdout, check=True)
    assert program.returncode == 0, words
