"""`alluxio-jnifuse load` reads files through their mounts, so that they are cached when they are wanted.

 targets.py    a PATH that was typed → the running mount that it lies on
 links.py      where a path on it leads to
 walk.py       the files beneath it, one after the other
 order.py      or those that a file lists, in its order
 journal.py    which of them an interrupted run of the same command has read
 progress.py   how far it has got
 reading.py    the threads that read
 following.py  those that read ahead of a program, which follows the order
 places.py     how far that is: which files it has not opened yet
 display.py    what a person is shown meanwhile, and at the end

 recording.py  not of the command: what a mount tells of its files becomes an order or a list of uses, for `trace`
 ahead.py      nor this: files read ahead of a program in Python that tells their order

Threads: the main thread never touches a mount, because a request may wait for a storage that hangs, and a signal with
a handler does not end such a wait (docs/decisions/0003). It waits for signals and shows how far the others are.
"""
