"""The doctor: looks for what keeps a mount from working or from being fast, and says what to type.

    finding.py   what was found, and how bad it is     subject.py    what is examined
    examine.py   runs the checks side by side          checks.py     the table of all checks
    report.py    findings for a person, and as JSON    container.py  whether this is a container
    bundle.py    an archive for a bug report           masking.py    no secret is in it

A check is a function that gets a subject and yields findings:

    machine.py   kernel, /dev/fuse, rights, limits      cluster.py   masters and workers
    mounts.py    a mount, be it there or not            blocks.py     their blocks, on this machine and in all
    cache.py     directories of the client cache        bucket.py    endpoint, clock, key and rights
    storage.py   directories, and storages of plugins   names.py     names of hosts
    settings.py  what is configured

A check changes nothing, and leaves nothing behind. It may raise, and it may hang: that is a finding, too.
"""
