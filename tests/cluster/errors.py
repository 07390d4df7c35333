"""What goes wrong with a cluster."""

from __future__ import annotations


class ClusterError(Exception):
    """A server does not start, answer or stop, or the shell refuses; the message ends with the server's last lines."""
