"""How a Java program of a cluster is run: heap, compiler, class path, archives.

Starting is what costs: a server is busy for seconds loading classes and compiling them well. So the good compiler is
left out unless asked for, and classes come from archives that were dumped from a running cluster (archives.py).
Ours are a jar of their own, compiled once: a directory cannot be archived.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

from cluster import jars
from cluster.errors import ClusterError

KINDS = ("master", "worker", "jobmaster", "jobworker", "client")  # those that are started often
_HEAPS = {
    "master": ["-Xms64m", "-Xmx512m"],
    "worker": ["-Xms64m", "-Xmx512m", "-XX:MaxDirectMemorySize=512m"],
    "jobmaster": ["-Xms32m", "-Xmx256m"],
    "jobworker": ["-Xms32m", "-Xmx256m"],
    "client": ["-Xms32m", "-Xmx512m"],
}
_QUIET = ["-Xlog:disable", "-Xlog:all=warning:stderr"]  # the answers of our shell are on standard output
_SOURCES = Path(__file__).parent / "java"
_FIRST_TO_ARCHIVE = 13  # Java


class Jvm:
    """The Java of one release of Alluxio.

    optimized  with the good compiler, for measurements
    dumping    archives of classes are written, by programs that end in an orderly way
    """

    def __init__(self, version: str, *, optimized: bool = False, dumping: bool = False) -> None:
        self._jars = jars.directory(version)
        self._version = version
        self._optimized = optimized
        self._dumping = dumping
        self._made = self._directory()

    def command(self, kind: str) -> list[str]:
        """The beginning of a command."""
        words = ["java", "-XX:+UseSerialGC", "-Djava.net.preferIPv4Stack=true", *_HEAPS[kind], *_QUIET]
        if not self._optimized:
            words.append("-XX:TieredStopAtLevel=1")
        if self._dumping:
            words.append(f"-XX:ArchiveClassesAtExit={self._dumped(kind)}")
        elif self._archive(kind).exists():
            words += [f"-XX:SharedArchiveFile={self._archive(kind)}", "-Xshare:auto"]
        return words

    def environ(self, kind: str = "") -> dict[str, str]:
        """The environment of a command, with the class path; a client's has our classes too."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("ALLUXIO_", "JAVA_TOOL"))}
        ours = [str(self._classes())] if kind == "client" else []
        return {**clean, "CLASSPATH": os.pathsep.join([*ours, f"{self._jars}/*"])}

    def archived(self) -> bool:
        """Whether there are archives, or there can be none."""
        found = re.search(r'version "(\d+)', jars.java())
        can = found is not None and int(found[1]) >= _FIRST_TO_ARCHIVE
        return not can or all(self._archive(kind).exists() for kind in KINDS)

    def keep(self) -> None:
        """Puts what was dumped in use."""
        for kind in KINDS:
            if self._dumped(kind).exists():
                self._dumped(kind).replace(self._archive(kind))

    def _archive(self, kind: str) -> Path:
        return self._classes().with_suffix(".jsa") if kind == "client" else self._made / f"{kind}.jsa"

    def _dumped(self, kind: str) -> Path:
        return self._made / f"{kind}.{os.getpid()}.tmp"

    def _directory(self) -> Path:
        """Where what was made for these jars and this Java is kept."""
        digest = hashlib.sha256(f"{self._jars}\n{jars.java()}".encode()).hexdigest()
        path = jars.cache() / f"cluster-{self._version}-{digest[:12]}"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def _classes(self) -> Path:
        """Ours, compiled: what is the same for every release, and what differs."""
        sources = sorted([*_SOURCES.glob("*.java"), *(_SOURCES / self._version).glob("*.java")])
        digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
        path = self._made / f"classes-{digest[:12]}.jar"
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=self._made) as made:
                self._run("javac", "-nowarn", "-proc:none", "-d", f"{made}/classes", *map(str, sources))
                self._run("jar", "--create", "--file", f"{made}/jar", "-C", f"{made}/classes", ".")
                Path(made, "jar").replace(path)
        return path

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, env=self.environ(), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ClusterError(f"{command[0]}: {done.stdout}{done.stderr}")
