"""The ROCKS store: a RocksDB.

store.py      what is stored, and what is held         file.py       one file
log.py        a log of segments                        database.py   RocksDB as the log uses it
catalogue.py  which pages a segment has                pages.py      where the bytes of a page lie
run.py        one value: granules behind their sums
"""
