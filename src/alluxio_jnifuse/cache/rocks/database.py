"""RocksDB as the ROCKS store uses it: filled in order, read by exact keys, its oldest file dropped when it is full.

Compaction is FIFO: every flush makes one file, nothing is ever rewritten, and what exceeds the limit is unlinked at the
oldest end. So the space is exact, and a damaged file harms nobody but those who read it. docs/decisions/ has what was
measured of the other kinds.

The interpreter's lock. rocksdict holds it in `get(key)`, in `put`, while opening and in its iterators, and lets it go
in `get([key])`, `flush` and `close`. A disk that hangs must not hang everybody, so values are read by lists of keys,
nothing is iterated, and a put is no more than a copy into memory: there is no log (WAL) on disk, and nothing that would
stall a writer. Before it is opened again while the cache is in use, the disk must have answered (log.py).

Memory: what was put and not flushed; BLOCK_CACHE_BYTES; 2 KiB and a descriptor for each file.
"""

from __future__ import annotations

import errno
import importlib
import os
from collections.abc import Callable
from typing import Any, TypeVar

from alluxio_jnifuse.errors import MountError

T = TypeVar("T")

# Indexes of files, some 100 bytes for each value of 64 KiB: enough for a store of 1 TiB that holds large files. Values
# are not cached: the kernel does that, and the core.
BLOCK_CACHE_BYTES = 16 << 20
# LOG, MANIFEST, OPTIONS and what they are replaced with, at most; measured are 300 KiB.
FILES_BESIDE_BYTES = 1 << 20
# RocksDB's own log, which cannot be switched off: a few hundred flushes.
_LOG_BYTES = 64 << 10
# The list of files is written anew from this size on. Allocated ahead it would take 4 MiB.
_MANIFEST_BYTES = 256 << 10
_MANIFEST_AHEAD_BYTES = 64 << 10


class Database:
    """The database in the directory `path`. Any thread. Raises OSError, with what RocksDB says.

    `limit`: bytes of its files. `unflushed`: bytes that are put between two flushes, at most; it would flush itself
    only beyond them.
    """

    def __init__(self, path: str, limit: int, unflushed: int) -> None:
        self._path = path
        self._unflushed = unflushed
        rocksdict = library()
        options = _options(rocksdict, limit, unflushed)
        # Without column_families it would take the options that it finds in the directory.
        self._db = self._call(lambda: rocksdict.Rdict(path, options, column_families={"default": options}))
        try:
            # By default what is 30 days old is dropped.
            self._call(lambda: self._db.set_options({"ttl": "0"}))
            self._db.set_write_options(_write_options(rocksdict))
            self._call(lambda: self._db.set_read_options(_read_options(rocksdict)))
        except BaseException:
            self.close()
            raise

    def get(self, keys: list[bytes]) -> list[bytes | None]:
        """The value of each key. When any of them is damaged, OSError."""
        found: list[bytes | None] = self._call(lambda: self._db.get(keys))
        return found

    def put(self, key: bytes, value: bytes) -> None:
        """Has it in memory: the next process finds it after a flush. Fails once a flush has failed."""
        self._call(lambda: self._db.put(key, value))

    def flush(self) -> None:
        """Makes a file of what was put, and drops the oldest ones beyond the limit. After a failure only reading works.

        All that is done when it returns: dropping alone would come some time, on a busy machine dozens of files later.
        """
        self._call(lambda: self._db.flush(True))
        self._call(lambda: self._db.compact_range(None, None))

    def files(self) -> list[tuple[bytes, int]]:
        """(smallest key, bytes) of each file."""
        files = self._call(lambda: self._db.live_files())
        return [(file["start_key"], file["size"]) for file in files]

    def close(self) -> None:
        """Flushes and closes it, or leaves closing to the threads that read at the moment. Never fails."""
        try:
            self._db.close()
        except Exception:  # what could not be flushed is lost; RuntimeError: it is being read
            pass
        del self._db

    def _call(self, function: Callable[[], T]) -> T:
        try:
            return function()
        except Exception as error:  # rocksdict raises nothing more special; AttributeError: it is closed
            free = self._free_bytes()
            number = errno.ENOSPC if free is not None and free < self._unflushed else errno.EIO
            raise OSError(number, f"{error}", self._path) from error

    def _free_bytes(self) -> int | None:
        """Returns the bytes that are free, which tell a full disk from a broken one: RocksDB has only words for it."""
        try:
            status = os.statvfs(self._path)
        except OSError:
            return None
        return status.f_bavail * status.f_frsize


def library() -> Any:
    """The module rocksdict. Raises MountError."""
    try:
        return importlib.import_module("rocksdict")
    except ImportError as error:
        raise MountError(
            f"the store ROCKS needs rocksdict: {error}", remedy="pip install 'alluxio-jnifuse[rocks]'"
        ) from error


def _options(rocksdict: Any, limit: int, unflushed: int) -> Any:
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_num_levels(1)
    options.set_compaction_style(rocksdict.DBCompactionStyle.fifo())
    fifo = rocksdict.FifoCompactOptions()
    fifo.max_table_files_size = limit
    options.set_fifo_compaction_options(fifo)
    options.set_max_open_files(-1)  # FIFO wants it
    # Twice what is put, so that it is us who flush.
    options.set_write_buffer_size(2 * unflushed + (1 << 20))
    options.set_compression_type(rocksdict.DBCompressionType.none())
    # A reader who is the last user of a file that was dropped does not unlink it himself.
    options.set_avoid_unnecessary_blocking_io(True)
    options.set_max_log_file_size(_LOG_BYTES)
    options.set_keep_log_file_num(2)
    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    options.set_max_manifest_file_size(_MANIFEST_BYTES)
    options.set_manifest_preallocation_size(_MANIFEST_AHEAD_BYTES)
    tables = rocksdict.BlockBasedOptions()
    tables.set_format_version(5)
    tables.set_checksum_type(rocksdict.ChecksumType.xxh3())
    tables.set_block_cache(rocksdict.Cache(BLOCK_CACHE_BYTES))
    # An index in parts of 4 KiB, in the cache and nowhere else: a file of small values would have 1 MiB in one part.
    # No filters: it is known what there is, and where.
    tables.set_index_type(rocksdict.BlockBasedIndexType.two_level_index_search())
    tables.set_cache_index_and_filter_blocks(True)
    options.set_block_based_table_factory(tables)
    return options


def _write_options(rocksdict: Any) -> Any:
    options = rocksdict.WriteOptions()
    options.disable_wal = True
    return options


def _read_options(rocksdict: Any) -> Any:
    """Checksums stay on: RocksDB is not made for blocks that are wrong."""
    options = rocksdict.ReadOptions()
    options.fill_cache(False)
    return options
