"""Ways in which programs read large files: run in children, on a mount."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PAGE = 4096


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
