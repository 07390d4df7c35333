"""The second binding: llfuse and libfuse 2, with Python on every request (`alluxio.fuse.jnifuse.enabled=false`).

`core`: the life of a mount, with the methods of `_core.Core` that daemon/ calls. `operations`: the answers to the
kernel. `nodes`: what the kernel has looked up. `reading`: files that are open. It shows the same trees as the C core,
with the same numbers, errors and versions; it has no cache in memory, no passthrough and no readers that wait without
a thread. It is there to compare with, and for machines whose libfuse is 2.

Threads: llfuse calls the operations from its workers, one at a time, under its global lock. They give that lock back
while they ask the source, and hold it whenever they touch nodes or files; nothing else guards these.
"""
