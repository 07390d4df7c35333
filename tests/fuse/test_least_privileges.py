"""With which capabilities a root mounts and serves everything, and what is missing without each: docker/README.md."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
import yaml
from harness.children import Children, as_user
from harness.mounting import CACHE, COMMAND, Mounted, Mounts, run
from harness.readers import errno_of

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root, and setpriv"),
]

OWNER, SOMEBODY = 65533, 65534
LEAST = ("sys_admin", "dac_read_search")


def with_only(*capabilities: str) -> list[str]:
    """The words before a command that let it, and all that it starts, have these and never any other."""
    kept = "".join(f",+{name}" for name in capabilities)
    return ["setpriv", "--bounding-set", f"-all{kept}", "--inh-caps", "-all", "--no-new-privs"]


@pytest.fixture
def source(private: Path) -> Path:
    """Files of another user, some of them for him alone, in a directory that is for him alone too."""
    root = private / "source"
    (root / "his").mkdir(parents=True)
    for name, mode in (("public", 0o644), ("his/own", 0o600)):
        (root / name).write_text(name)
        (root / name).chmod(mode)
        os.chown(root / name, OWNER, OWNER)
    (root / "his").chmod(0o700)
    os.chown(root / "his", OWNER, OWNER)
    return root


def read(path: str) -> str:
    """The contents of a file."""
    with open(path) as file:
        return file.read()


def owner_reads(mounted: Mounted) -> str:
    """What the owner reads in his own file, in a child."""
    with as_user(OWNER):
        return read(mounted.join("his/own"))


def test_the_compose_file_gives_these() -> None:
    """And no others, now or later."""
    text = (Path(__file__).parents[2] / "docker" / "compose.yaml").read_text()
    client = yaml.safe_load(text)["services"]["alluxio-fuse"]
    assert client["cap_drop"] == ["ALL"]
    assert sorted(client["cap_add"]) == sorted(name.upper() for name in LEAST)
    assert "no-new-privileges:true" in client["security_opt"]
    assert not client.get("privileged")


def capabilities_of(pid: int) -> tuple[int, int, str]:
    """Those that a process has, those that it may ever have, and whether that may grow."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["CapPrm"], 16), int(fields["CapBnd"], 16), fields["NoNewPrivs"].strip()


@pytest.mark.parametrize("properties", [{}, CACHE], ids=["lent", "copied"])
def test_two_capabilities_are_enough(
    source: Path, mounts: Mounts, children: Children, properties: dict[str, str]
) -> None:
    """With SYS_ADMIN and DAC_READ_SEARCH, and none to gain: mount, reads for everybody, passthrough, umount."""
    mounted = mounts.mount(source, "allow_other,auto_unmount", properties, wrapper=with_only(*LEAST))
    least = 1 << 21 | 1 << 2  # linux/capability.h
    assert capabilities_of(mounted.pid) == (least, least, "1")
    assert children.run(read, mounted.join("his/own")) == "his/own"
    assert children.run(owner_reads, mounted) == "his/own"

    def stranger() -> int:
        with as_user(SOMEBODY):
            assert read(mounted.join("public")) == "public"
            return errno_of(read, mounted.join("his/own"))

    assert children.run(stranger) == errno.EACCES
    if mounted.has("passthrough") and properties is not CACHE:  # which keeps small files itself
        assert mounted.stats()["open_passthrough"] > 0
    assert not mounted.lines("read-ahead stays")
    done = run([*with_only(*LEAST), *COMMAND, "umount", mounted.path], mounted.environ)
    assert done.returncode == 0, done.stderr
    assert mounted.gone()


def test_what_each_is_for(source: Path, mounts: Mounts, children: Children) -> None:
    """Without DAC_READ_SEARCH only what modes permit is read; without SYS_ADMIN nothing is mounted."""
    mounted = mounts.mount(source, "allow_other", wrapper=with_only("sys_admin"))
    assert children.run(read, mounted.join("public")) == "public"
    assert children.run(errno_of, read, mounted.join("his/own")) == errno.EACCES
    with pytest.raises(AssertionError, match=r"Failed to mount"):
        mounts.mount(source, "allow_other", wrapper=with_only("dac_read_search"))
