"""What is fetched to build and to test is what it was: jars by their sums, Python packages by their versions."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
MAVEN = """#!/bin/sh
# Instead of Maven: copies the jars of JARS.
for word; do case $word in -DoutputDirectory=*) to=${word#*=} ;; esac; done
mkdir -p "$to"
cp "$JARS"/*.jar "$to"
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The script beside a list of two jars, and a Maven that brings those of `jars`."""
    for name, text in (("bin/mvn", MAVEN), ("bin/javac", "#!/bin/sh\n")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts/ensure-alluxio"
    script.write_text((PROJECT / "scripts/ensure-alluxio").read_text())
    script.chmod(0o755)
    jars = tmp_path / "jars"
    jars.mkdir()
    for name in ("a", "b"):
        (jars / f"{name}.jar").write_text(name)
    cluster = tmp_path / "tests/cluster"
    cluster.mkdir(parents=True)
    (cluster / "pom-2.9.6.xml").write_text("<project/>")
    sums = subprocess.run("sha256sum -- *.jar", shell=True, cwd=jars, capture_output=True, text=True, check=True)
    (cluster / "jars-2.9.6.sha256").write_text(sums.stdout)
    return tmp_path


def fetch(tree: Path) -> subprocess.CompletedProcess[str]:
    """Runs the script."""
    path = f"{tree / 'bin'}:{os.environ['PATH']}"
    environ = {"PATH": path, "XDG_CACHE_HOME": str(tree / "cache"), "JARS": str(tree / "jars")}
    return subprocess.run([tree / "scripts/ensure-alluxio"], env=environ, capture_output=True, text=True)


def test_jars_that_are_what_they_were(tree: Path) -> None:
    """They are kept, and their directory is printed."""
    done = fetch(tree)
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(done.stdout.strip())) == ["a.jar", "b.jar"]


@pytest.mark.parametrize("name", ["a.jar", "c.jar"])
def test_other_jars(tree: Path, name: str) -> None:
    """One that was changed, or that came besides, is refused, and nothing of it is kept."""
    (tree / "jars" / name).write_text("something else")
    done = fetch(tree)
    assert done.returncode == 1
    assert name in done.stderr
    assert "the jars that came" in done.stderr
    assert not list((tree / "cache").rglob("*.jar"))


def test_a_jar_that_is_missing(tree: Path) -> None:
    """One that did not come is named."""
    (tree / "jars/b.jar").unlink()
    assert "b.jar" in fetch(tree).stderr


@pytest.mark.parametrize("pom", sorted((PROJECT / "tests/cluster").glob("pom-*.xml")), ids=lambda path: path.stem)
def test_each_version_has_its_list(pom: Path) -> None:
    """With one sum for each jar."""
    lines = pom.with_name(pom.stem.replace("pom-", "jars-") + ".sha256").read_text().splitlines()
    assert all(re.fullmatch(r"[0-9a-f]{64}  [\w.+-]+\.jar", line) for line in lines)
    assert len({line.split()[1] for line in lines}) == len(lines) > 100


def test_packages_of_the_image() -> None:
    """Each that pyproject.toml names for the build or the image has one version, and pip knows them before it runs."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = [
        *project["dependency-groups"]["build"],
        *project["project"]["dependencies"],
        *extras["alluxio"],
        *extras["oss"],
    ]
    lines = (PROJECT / "docker/constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0] for line in lines if re.fullmatch(r"[a-z0-9-]+==[\w.]+", line)}
    assert {re.split(r"[^\w-]", name)[0].lower() for name in wanted} <= pinned
    assert all(line.startswith("#") or line.partition("==")[0] in pinned for line in lines)
    dockerfile = (PROJECT / "docker/Dockerfile").read_text()
    assert dockerfile.index("ENV PIP_CONSTRAINT=") < dockerfile.index("pip -q install")
    assert "!docker/constraints.txt" in (PROJECT / ".dockerignore").read_text().splitlines()
