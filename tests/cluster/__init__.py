"""A real Alluxio cluster on this machine, for tests, and in the foreground with `make cluster`.

cluster.py starts and stops the servers, process.py one of them; properties.py says how they are configured, ports.py
finds ports for them, jars.py their jars. shell.py is the shell that sets files up (java/ is its other half), and
dataset.py makes files by the thousands. All a cluster leaves is beneath two directories of its own, which the next
one removes if the process that made them was killed.
"""
