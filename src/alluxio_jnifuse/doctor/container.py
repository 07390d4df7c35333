"""Whether this process runs in a container, as far as that can be seen from within."""

from __future__ import annotations

import os

_MARKS = ("/.dockerenv", "/run/.containerenv")


def is_container() -> bool:
    """Whether Docker, Podman or Kubernetes has made what this process sees."""
    return "KUBERNETES_SERVICE_HOST" in os.environ or any(os.path.exists(mark) for mark in _MARKS)
