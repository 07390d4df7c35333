"""Images and containers, with a real daemon.

    host.py     a host of its own in namespaces of this machine, and docker on it
    images.py   the images, built from this tree and loaded there
    client.py   one container of the client

The host has mounts that are shared, as on a machine that systemd has started, a network and process ids of its own,
an empty /mnt, and goes with its last process. So nothing that a test mounts, starts or listens on is seen outside.
"""
