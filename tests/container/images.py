"""The images, built from this tree as `make image` does, and loaded into the daemon of a host."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from container.host import Host

FUSE, ALLUXIO = "fuse", "alluxio"
_SCRIPT = Path(__file__).parents[2] / "scripts" / "build-image"
# No registry is needed for `packages`.
_BASE = os.environ.get("AJF_IMAGE_BASE", "packages")
_BUILD_S = 1800.0
_LOAD_S = 400.0


def provide(host: Host, which: str) -> str:
    """Builds an image, loads it unless it is there, and returns its name."""
    environ = {**os.environ, "CONTAINER_BUILDER": "buildah"}
    with tempfile.TemporaryDirectory(prefix="ajf-image-") as made:
        name = _run([str(_SCRIPT), "--base", _BASE, which], environ)
        identity = _run(["buildah", "inspect", "--type", "image", "--format", "{{.FromImageID}}", name], environ)
        if host.docker("image", "inspect", "--format", "{{.Id}}", name, check=False) != f"sha256:{identity}":
            archive = f"{made}/{which}.tar"
            _run(["buildah", "push", "--quiet", name, f"docker-archive:{archive}:{name}"], environ)
            host.docker("load", "--quiet", "--input", archive, timeout=_LOAD_S)
            host.docker("image", "prune", "--force", timeout=_LOAD_S)
    return name


def _run(command: list[str], environ: dict[str, str]) -> str:
    done = subprocess.run(
        command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_BUILD_S, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr[-4000:]}"
    return done.stdout.strip()
