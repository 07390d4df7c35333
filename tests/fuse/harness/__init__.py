"""What the tests on real mounts share: mounts that are always taken away, child processes, sources to command.

The process that runs the tests never touches a mount: whatever might wait for one is done in a child (children.py),
which is killed when it takes too long. A daemon is started by command.py, which makes it leave its last counters
behind; mounting.py compares them. remote.py talks to a source inside a daemon, which factories.py made there.
"""
