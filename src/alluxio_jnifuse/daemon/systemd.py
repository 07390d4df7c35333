"""Messages of a service to systemd, if systemd listens (sd_notify(3))."""

from __future__ import annotations

import os
import socket


def notify(*lines: str) -> None:
    """Sends lines as `READY=1`, `STATUS=...`; nothing happens where nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    name = os.fsencode(address)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
            connection.connect(b"\0" + name[1:] if name.startswith(b"@") else name)
            connection.send(os.fsencode("\n".join(line.replace("\n", " ") for line in lines)))
    except OSError:
        pass  # systemd will say that nothing came
