"""`alluxio-jnifuse load` reads files through their mounts, so that they are cached when they are wanted.

 targets.py    a PATH that was typed → the running mount that it lies on
 walk.py       the files beneath it, one after the other
 journal.py    which of them an interrupted run of the same command has read
 progress.py   how far it has got
 reading.py    the threads that read
 display.py    what a person is shown meanwhile, and at the end

 ahead.py      not of the command: files read ahead of a program that tells their order

Threads: the main thread never touches a mount, because a request may wait for a storage that hangs, and a signal with
a handler does not end such a wait (docs/decisions/0003). It waits for signals and shows how far the others are.
"""
