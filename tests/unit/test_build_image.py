"""Which builder scripts/build-image takes: stubs on PATH fail as real ones do. Nothing is built."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "build-image"
TOOLS = ("bash", "dirname", "sed", "mkdir", "flock", "cat", "tail", "rm", "mktemp", "realpath", "env", "tee", "sh")
CRUN = "crun: cgroups in hybrid mode not supported, drop all controllers from cgroupv2"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A directory that is all of PATH, with what the script itself needs."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for tool in TOOLS:
        for place in ("/usr/bin", "/bin"):
            if os.path.exists(f"{place}/{tool}"):
                (directory / tool).symlink_to(f"{place}/{tool}")
                break
    return directory


def install(machine: Path, name: str, *fails: str, said: str = CRUN) -> None:
    """A builder that notes its calls; those that begin with one of `fails` end with `said` and 125."""
    cases = "".join(f'"{each}"*) echo "{said}" >&2; exit 125 ;;\n' for each in fails)
    path = machine / name
    path.write_text(f'#!/bin/sh\necho "{name} $*" >>"{machine}/calls"\ncase "$*" in\n{cases}esac\nexit 0\n')
    path.chmod(0o755)


def build(machine: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": str(machine), "HOME": str(machine), **environ}
    return subprocess.run([SCRIPT, *(arguments or ("fuse",))], env=env, capture_output=True, text=True, check=False)


def built_with(machine: Path) -> list[str]:
    """The builders that were told to build, in order."""
    calls = (machine / "calls").read_text().splitlines()
    return [call.split()[0] for call in calls if " build" in call and "version" not in call and "FROM" not in call]


def test_the_first_that_is_there(machine: Path) -> None:
    """Docker, then podman, then buildah."""
    for name in ("buildah", "podman", "docker"):
        install(machine, name)
        done = build(machine, "--tag", "name:tag", "fuse")
        assert (done.returncode, done.stdout) == (0, "name:tag\n")
        assert built_with(machine)[-1] == name
        (machine / "calls").unlink()


def test_a_podman_that_cannot_run_anything(machine: Path) -> None:
    """The next one builds; the reason is told."""
    install(machine, "docker", "info", said="Cannot connect to the Docker daemon")
    install(machine, "podman", "build")
    install(machine, "buildah")
    done = build(machine)
    assert done.returncode == 0, done.stderr
    assert built_with(machine)[-1] == "buildah"
    assert CRUN in done.stderr
    assert "build-image: docker does not answer: Cannot connect to the Docker daemon" in done.stderr
    assert "build-image: podman cannot build here:" in done.stderr
    assert "build-image: building with buildah" in done.stderr


def test_none_that_can(machine: Path) -> None:
    """Every reason is told."""
    install(machine, "podman", "build")
    done = build(machine)
    assert done.returncode == 1
    assert CRUN in done.stderr
    assert "scripts/ensure-system container" in done.stderr


def test_the_one_that_is_named_is_taken_as_it_is(machine: Path) -> None:
    """And no other one, whatever comes of it."""
    install(machine, "podman", "build")
    install(machine, "buildah")
    done = build(machine, CONTAINER_BUILDER="podman")
    assert done.returncode == 125
    assert CRUN in done.stderr
    assert set(built_with(machine)) == {"podman"}


def test_a_build_that_fails_is_not_tried_with_another_one(machine: Path) -> None:
    """A fault in what is built would only be met twice."""
    install(machine, "podman", "build --format docker --layers --file docker/Dockerfile", said="no such package")
    install(machine, "buildah")
    done = build(machine)
    assert done.returncode == 125
    assert set(built_with(machine)) == {"podman"}
