"""The mounts of this machine, and how one begins and ends.

table.py      what is mounted where, from mountinfo      registry.py    which of it is ours, and its process
point.py      a directory made ready to be mounted on    alive.py       whether what is mounted answers
unmount.py    the end of a mount                         holders.py     who keeps it busy
stats.py      the counters of a running mount            refresh.py     a running mount asks its storage again
rates.py      its work between two moments               why.py        what its readers wait for
readers.py    what programs that use it do               trace.py       a running mount tells of its files
uses.py       how one was read while it was open         trace_report.py  all that a recording told, added up
stacking.py   how deep file systems lie on each other    privileges.py  what this process may do about mounting
"""
