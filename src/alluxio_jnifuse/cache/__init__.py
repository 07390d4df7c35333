"""The client cache on disk: what a source gave is kept in a directory, across restarts, checked before it is used.

The MEMORY store is the core's page cache and not here. For LOCAL and ROCKS the core keeps a transient window only, and
`CachedSource` stands between it and the source:

```
 core ◄── fetcher ── CachedSource (source.py) ──miss──► the source itself
                        │  place.py: never fails · guard.py: a disk that hangs is given up
                        ▼
                     Store, StoredFile (store.py) ── local/: a file for each file
                        │                            rocks/: a RocksDB
                        │                            directory.py: whose directory this is
                        ▼
                     PageIndex (pages.py): budget ── evictors.py: which page goes
```

Identity. A stored file is named by a digest of source, path and version; a file that changed is another one, and
nothing is ever renamed. Every 4 KiB have a sum begun with that digest and their place (csrc/wire/sums.h): what a crash
tore, a disk flipped or somebody mixed up is a miss, is counted, and is fetched again.

Threads. Everything is called from many fetchers. A StoredFile is shared by all who have the file open; its lock is held
for writing and evicting, not for reading. Lock order: the thread that makes room, file, table of held files, index.

Errors. The cache never fails a read: whatever goes wrong with it is a miss, is counted, and is told in the log once in
a while; a store that keeps failing, or hangs, is left alone for a time. Only at the mount is a directory that cannot be
used an error.
"""
