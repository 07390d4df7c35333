"""What a master tells of the cluster's configuration opens nothing on this machine, and takes no memory of it.

Nobody has to be the master for that: without TLS, whoever is on the network may answer in its place.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from fake_server import FakeServer
from harness.children import Children, as_user
from harness.mounting import COMMAND, Mounted, Mounts, run

from alluxio_jnifuse.config import limits
from alluxio_jnifuse.config.values import Config
from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.sources.alluxio.proto import file_pb2, meta_pb2

OPTIONS = "alluxio.fuse.mount.options"
CACHE = "alluxio.user.client.cache."
SECRET = "0123456789-the-key"
STRANGER = 65534
MASTER = ["alluxio.master.hostname=m"]


@pytest.fixture
def master() -> Iterator[FakeServer]:
    """One with a directory, and what `tell` has it tell."""
    made = FakeServer()
    made.files["/"] = file_pb2.FileInfo(
        fileId=1, path="/", folder=True, completed=True, owner="root", group="root", mode=0o777, mountId=1
    )
    yield made
    made.close()


def tell(master: FakeServer, pairs: dict[str, str]) -> None:
    properties = [meta_pb2.ConfigProperty(name=name, value=value, source="RUNTIME") for name, value in pairs.items()]
    answer = meta_pb2.GetConfigurationPResponse(clusterConfigs=properties)
    master.on("GetConfiguration", lambda _request, _context: answer)


def mount(mounts: Mounts, master: FakeServer, options: str = "") -> Mounted:
    return mounts.mount(f"alluxio://{master.target}/", options, {"alluxio.user.rpc.retry.max.duration": "20s"})


def told(*pairs: tuple[str, str], given: list[str] = MASTER) -> Config:
    return Config.load(properties=given, environ={}).with_cluster_defaults(pairs)


# ------------------------------------------------------------------------------------------------ who gets in


@pytest.mark.fuse
def test_it_lets_nobody_in(master: FakeServer, mounts: Mounts, children: Children) -> None:
    """Who sees the mount, and what set-user-id bits and devices in it mean, is said by who mounts."""
    tell(master, {OPTIONS: "allow_other,no_default_permissions,suid,dev,nonempty,attr_timeout=7"})
    mounted = mount(mounts, master)

    def look() -> int:
        with as_user(STRANGER):
            try:
                return len(os.listdir(mounted.path))
            except OSError as error:
                return -(error.errno or 0)

    if os.geteuid() == 0:
        assert children.run(look) < 0
    entry = next(line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {mounted.path} " in line)
    assert {"nosuid", "nodev"} <= set(entry.split()[5].split(","))
    assert not {"allow_other"} & set(entry.rpartition(" ")[2].split(","))
    (line,) = mounted.lines("ignored: allow_other (")
    assert "cluster default" in line
    (settings,) = mounted.lines("settings: ")
    assert "attr_timeout=7" in settings  # what harms nobody is taken


def test_what_was_given_here_counts() -> None:
    """Whatever the master says besides."""
    config = Config.load(properties=MASTER, options=["allow_other"], environ={})
    config = config.with_cluster_defaults([(OPTIONS, "no_default_permissions,allow_root")])
    words = config.mount_options().split(",")
    assert {"allow_other", "default_permissions"} <= set(words)
    assert "allow_root" not in words


# ------------------------------------------------------------------------------------------------ what it learns


@pytest.mark.fuse
def test_no_secret_becomes_a_name(master: FakeServer, mounts: Mounts) -> None:
    """A reference to a key that is set here would show it to all in /proc/mounts, where the master names the mount."""
    (mounts.root / "alluxio-site.properties").write_text(f"fs.oss.accessKeySecret={SECRET}\n")
    (mounts.root / "alluxio-site.properties").chmod(0o600)
    tell(master, {OPTIONS: "fsname=${fs.oss.accessKeySecret},attr_timeout=7"})
    mounted = mount(mounts, master)
    found = table.top_at(mounted.path)
    assert found is not None
    assert found.source == "alluxio-fuse"
    assert SECRET not in Path("/proc/self/mountinfo").read_text()
    assert SECRET not in mounted.log.read_text()


@pytest.mark.parametrize("key", ["my.url", "fs.oss.accessKeySecret", "my.own"])
def test_what_it_may_refer_to(key: str) -> None:
    """To what it says itself, and to defaults; not to what is set here, which may hold a secret anywhere."""
    given = [*MASTER, "my.url=http://u:p@h/", f"fs.oss.accessKeySecret={SECRET}", "my.own=${fs.oss.accessKeySecret}"]
    assert told(("alluxio.fuse.fs.name", f"<${{{key}}}>"), given=given).text("fsname") == "alluxio-fuse"
    config = told(
        (f"{CACHE}size", "3MB"), ("alluxio.fuse.fs.name", f"<${{{CACHE}size}} ${{alluxio.fuse.mount.point}}>")
    )
    assert config.text("fsname") == "<3MB /mnt/alluxio-fuse>"


# ------------------------------------------------------------------------------------------------ what is said of it


@pytest.mark.fuse
def test_it_moves_no_terminal(master: FakeServer, mounts: Mounts) -> None:
    """Its words are shown to whoever mounts, and may be commands for the terminal."""
    words = "\x1b]0;owned\x07 \x1b[2J \x9b1A \r\nSuccessfully mounted"
    master.fail("GetStatus", grpc.StatusCode.PERMISSION_DENIED, words, times=1000)
    done = run([*COMMAND, "mount", "-u", f"alluxio://{master.target}/", str(mounts.root / "mnt")], mounts.environ())
    assert done.returncode == 1
    assert "owned" in done.stderr
    assert not set(done.stderr) & set("\x1b\x07\x9b\r")
    assert done.stderr.count("\n") == 1

    tell(master, {"alluxio.x": words})
    host, _, port = master.target.rpartition(":")
    environ = mounts.environ(ALLUXIO_MASTER_HOSTNAME=host, ALLUXIO_JAVA_OPTS=f"-Dalluxio.master.rpc.port={port}")
    done = run([*COMMAND, "getConf", "--master"], environ)
    assert done.returncode == 0, done.stderr
    assert "owned" in done.stdout
    assert not set(done.stdout) & set("\x1b\x07\x9b\r")


# ------------------------------------------------------------------------------------------------ files


def test_it_says_nothing_of_files_of_this_machine() -> None:
    """Where block files lie is what is set here: in another folder a file with a number for its name is somebody's."""
    before = Config.load(properties=MASTER, environ={})
    config = told(
        ("alluxio.worker.data.folder", "Mail/inbox"),
        ("alluxio.worker.tieredstore.level0.dirs.path", "/root"),
        ("alluxio.worker.tieredstore.level1.dirs.path", "/root"),
        ("alluxio.worker.tieredstore.level2.dirs.path", "/root"),
        ("alluxio.user.unsafe.direct.local.io.enabled", "true"),
        ("alluxio.user.direct.memory.io.enabled", "true"),
    )
    assert config.settings == before.settings


# ------------------------------------------------------------------------------------------------ memory


def test_references_that_multiply() -> None:
    """Ten references to ten references to ...: 10^30 characters, or as many steps without a character."""
    keys = [
        "alluxio.fuse.fs.name",
        "alluxio.fuse.auth.policy.custom.user",
        "alluxio.fuse.auth.policy.custom.group",
        "alluxio.locality.order",
        *(f"alluxio.user.{name}" for name in ("file.readtype.default", "file.metadata.load.type")),
        *(f"{CACHE}{name}" for name in ("store.type", "evictor.class", "size", "page.size", "timeout.duration")),
    ]
    for last in ("x", ""):
        pairs = [(key, f"${{{after}}}" * 10) for key, after in zip(keys, iter(keys[1:]))]
        began = time.process_time()
        config = told(*pairs, (keys[-1], last))
        assert config.text("fsname") == "alluxio-fuse"
        assert time.process_time() - began < 60  # it took days


@pytest.mark.parametrize("limit", [None, 1 << 30])
def test_sizes_of_the_cluster_fit_into_memory(monkeypatch: pytest.MonkeyPatch, limit: int | None) -> None:
    """As a default does, and without a limit into half of the machine's."""
    monkeypatch.setattr(limits, "memory", lambda: limit)
    config = told(
        (f"{CACHE}enabled", "true"),
        (f"{CACHE}size", "900TB"),
        ("alluxio.user.metadata.cache.max.size", "2147483647"),
        (OPTIONS, "transient_window=1TB,listing_limit=1TB"),
    )
    budget = limits.budget(limit or limits.installed())
    assert config.cache_bytes <= budget.cache
    assert config.number("alluxio.user.metadata.cache.max.size") << 10 <= budget.cache
    ours = Config.load(properties=MASTER, environ={})
    for name in ("transient_window", "listing_limit"):
        assert config.number(name) == ours.number(name)
    assert any("900TB" in note or f"{CACHE}size" in note for note in config.notes)


def test_small_sizes_of_the_cluster_are_taken() -> None:
    config = told((f"{CACHE}enabled", "true"), (f"{CACHE}size", "9MB"))
    assert config.cache_bytes == 9 << 20
