"""mount(8), umount(8) and /etc/fstab: with the helper in /sbin, and through mount.fuse3 without it.

In a mount namespace with an /sbin of its own. mount(8) gives its helpers no environment: settings are in the options.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.children import until
from harness.mounting import COMMAND, as_if_quick, is_running
from oss.bucket import Bucket

from alluxio_jnifuse.cli.fstab import is_called_by_mount, split
from alluxio_jnifuse.config.values import Config
from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.mounts.registry import Registry

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can have a mount namespace with another /sbin"),
]

BIN = Path(sys.executable).parent
UNIT = Path(__file__).parents[2] / "docs" / "examples" / "systemd" / "alluxio-jnifuse@.service"
# The original /sbin stays reachable through links; the new one is empty otherwise.
SETUP = """
sbin=$(realpath /sbin)
mkdir "$1/sbin"
mount --bind "$sbin" "$1/sbin"
mount -t tmpfs sbin "$sbin"
ln -s "$1"/sbin/* "$sbin"
ln -s "$2"/alluxio-fuse "$sbin"
echo
exec cat
"""

# An ordinary user may open /dev/fuse, and enter the directories that this Python lies in.
LET_USERS_IN = """
mkdir "$1/devices"
mount -t tmpfs -o mode=755 devices "$1/devices"
mknod -m 666 "$1/devices/fuse" c 10 229
mount --bind "$1/devices/fuse" /dev/fuse
touch /etc/fstab
mount --bind "$2" /etc/fstab
shift 2
for directory; do
    case $directory in /root/*) ;; *) continue ;; esac
    kept=$(mktemp -d)
    mount --bind "$directory" "$kept"
    [ "$(stat -c %a /root)" = 755 ] || mount -t tmpfs -o mode=755 root /root
    mkdir -p "$directory"
    mount --bind "$kept" "$directory"
done
"""
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


class Host:
    """A mount namespace, a storage and an fstab."""

    def __init__(self, root: Path, *, helper: bool) -> None:
        self.root = root
        self.data = root / "data"
        self.data.mkdir()
        (self.data / "file").write_text("contents\n")
        self.fstab = root / "fstab"
        words = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", SETUP, "sh", str(root), str(BIN)]
        self._init = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._init.stdout is not None
        assert self._init.stdout.readline() == "\n"
        if helper:  # as docs/FSTAB.md has it
            assert self.run("sh", "-c", f"ln -s {BIN}/mount.*alluxio* /sbin/").returncode == 0
        # What the environment would say otherwise.
        self.options = f"alluxio.logs.dir={root}/logs,alluxio.site.conf.dir={root}"

    def run(self, *words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a program there."""
        enter = ["nsenter", f"--mount=/proc/{self._init.pid}/ns/mnt", f"--wd={cwd or self.root}"]
        done = subprocess.run(
            [*enter, *map(str, words)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={"PATH": os.environ["PATH"]},
        )
        return as_if_quick(done)

    def ours(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a command of ours there."""
        return self.run(sys.executable, "-m", "alluxio_jnifuse", *words)

    def write_fstab(self, *lines: tuple[str, str, str]) -> None:
        """An fstab of sources, mount points and options."""
        text = ""
        for source, path, options in lines:
            more = ",".join(word for word in (options, self.options) if word)
            text += f"{fstab_word(source)} {fstab_word(path)} fuse.alluxio-fuse {fstab_word(more)} 0 0\n"
        self.fstab.write_text(text)

    def at(self, path: str) -> list[table.MountEntry]:
        """What is mounted there."""
        entries = table.parse(Path(f"/proc/{self._init.pid}/mountinfo").read_bytes())
        return [entry for entry in entries if entry.mountpoint == path]

    def read(self, path: str) -> str:
        """The file of the mount."""
        return self.run("cat", f"{path}/file").stdout

    def unmounted(self, pid: int, path: str) -> None:
        """Waits for the end of a mount and its daemon."""
        until(lambda: not is_running(pid), "the daemon to end")
        assert self.at(path) == []

    def close(self) -> None:
        """Ends everything; the mounts go with their namespace."""
        for pid in processes_of(f"{self.root}/"):
            os.kill(pid, signal.SIGKILL)
        self._init.communicate()


def fstab_word(text: str) -> str:
    """As fstab(5) writes it."""
    return "".join(f"\\{ord(letter):03o}" if letter in " \t\n\\#" else letter for letter in text)


def pid_of(path: str) -> int:
    """The daemon of a mount."""
    record = Registry().find(path)
    assert record is not None
    return record.pid


@pytest.fixture(params=[True, False], ids=["helper", "mount.fuse3"])
def host(private: Path, request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host with our helper, and one without."""
    if not request.param and not shutil.which("mount.fuse3", path="/sbin:/usr/sbin"):
        pytest.skip("there is no mount.fuse3")
    made = Host(private, helper=request.param)
    yield made
    made.close()


@pytest.fixture
def helped(private: Path) -> Iterator[Host]:
    """A host with our helper."""
    made = Host(private, helper=True)
    yield made
    made.close()


NAMES = (
    *("plain", "with space", "a,b", "quo'te\"s", "back\\slash\\040", "new\nline\ttab", "挂载点", "-o", "#1", "100%"),
    "$HOME`x`",
)


@pytest.mark.parametrize("name", NAMES)
def test_fstab(host: Host, name: str) -> None:
    """A line of fstab mounts once, is found by its names, and is unmounted as it was mounted, whatever the path is."""
    path = f"{host.root}/{name}"
    os.mkdir(path)
    source = str(host.data)
    words = "defaults,_netdev,nofail,user,noexec,async,relatime,x-systemd.automount,X-foo=1,comment=a,attr_timeout=3"
    host.write_fstab((source, path, words))
    for command in (["-a"], ["-a"], [f"{path}/."] if name == "plain" else ["-a"]):  # the second time nothing happens
        if command != ["-a"] and host.at(path):
            assert host.run("umount", path).returncode == 0
            until(lambda: Registry().find(path) is None, "the daemon to end")
        done = host.run("mount", "-T", host.fstab, *command)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert len(host.at(path)) == 1
    entry = host.at(path)[0]
    assert (entry.fstype, entry.source) == ("fuse.alluxio-fuse", source)
    assert host.read(path) == "contents\n"
    found = host.run("findmnt", "--noheadings", "--raw", "--output", "SOURCE,FSTYPE,OPTIONS", "--mountpoint", path)
    assert found.stdout.startswith(f"{source} fuse.alluxio-fuse ro,nosuid,nodev")
    assert host.ours("health", path).returncode == 0
    pid = pid_of(path)
    assert host.run("umount", path).returncode == 0
    host.unmounted(pid, path)
    assert host.run("mount", "-T", host.fstab, path).returncode == 0
    pid = pid_of(path)
    assert host.ours("umount", path).returncode == 0
    host.unmounted(pid, path)


def test_by_every_name(helped: Host) -> None:
    """mount(8) and umount(8) find a mount under each way to write its path, and by its source."""
    root = helped.root
    (root / "place" / "mnt").mkdir(parents=True)
    (root / "link").symlink_to("place/mnt")
    (root / "parent").symlink_to("place")
    path = f"{root}/place/mnt"
    names = ["place/mnt", "place/mnt/", "place//mnt", "./place/./mnt/.", "link", "parent/mnt", "link/", path]
    for name in names:
        for end in [["umount"]] if "link" in name else [["umount"], ["fusermount3", "-u"]]:  # which follows no link
            done = helped.run("mount", "-t", "alluxio-jnifuse", "-o", helped.options, helped.data, name)
            assert (done.returncode, done.stderr) == (0, ""), name
            pid = pid_of(path)
            assert helped.run(*end, name).returncode == 0, (end, name)
            helped.unmounted(pid, path)
    uri = f"file://{helped.data}"
    done = helped.run("mount", "-t", "fuse.alluxio-jnifuse", "-o", helped.options, uri, path)
    assert done.returncode == 0
    pid = pid_of(path)
    assert helped.run("umount", uri).returncode == 0
    helped.unmounted(pid, path)


@pytest.mark.parametrize("name", NAMES)
def test_a_source_of_any_name(host: Host, name: str) -> None:
    """A storage is found, and known again by `mount -a`, whatever it is called."""
    path = f"{host.root}/mnt"
    os.mkdir(path)
    source = host.root / name
    source.mkdir()
    (source / "file").write_text("of any name\n")
    host.write_fstab((str(source), path, ""))
    for _ in range(2):
        done = host.run("mount", "-a", "-T", host.fstab)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [entry.source for entry in host.at(path)] == [str(source)]
    assert host.read(path) == "of any name\n"


@pytest.mark.parametrize("kind", ["directory", "file", "link", "configured", "named", "oss"])
def test_sources(host: Host, kind: str, bucket: Bucket) -> None:
    """Whatever `mount --ufs` takes is a source, and a word without a slash is the storage that is configured."""
    path = f"{host.root}/mnt"
    os.mkdir(path)
    (host.root / "link").symlink_to(host.data)
    options = ""
    if kind == "oss":
        bucket.put("d/file", b"contents\n")
        options = ",".join(f"{key}={value}" for key, value in bucket.properties().items())
    if kind == "configured":
        options = f"alluxio.master.mount.table.root.ufs={host.data}"
    if kind == "named":
        options = 'fsname="my, name",attr_timeout=1'
    source = {
        "file": f"file://{host.data}",
        "link": f"{host.root}/link",
        "configured": "none",
        "oss": f"{bucket.uri}d/",
    }
    host.write_fstab((source.get(kind, str(host.data)), path, options))
    for _ in range(2):
        done = host.run("mount", "-a", "-T", host.fstab)
        if kind != "named" or not host.at(path):  # mount(8) does not know it again by another name
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert host.read(path) == "contents\n"
    assert len(host.at(path)) == 1


def test_failures(host: Host) -> None:
    """What goes wrong is on stderr, with the exit code of mount(8): 1 for what was written, 32 for what happened."""
    path = f"{host.root}/mnt"
    os.mkdir(path)

    def attempt(source: str, options: str, *words: str) -> tuple[int, str]:
        done = host.run("mount", "-t", "fuse.alluxio-fuse", *words, "-o", f"{options},{host.options}", source, path)
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    code, said = attempt("/no/such/directory", "ro")
    assert code == 32
    assert "no such directory" in said
    code, said = attempt(str(host.data), "foo,bar=1,attr_timeout=x")
    assert code == 1
    assert "unknown mount option: foo, bar" in said
    assert "attr_timeout=x" in said
    code, said = attempt("alluxio:///", "ro")
    assert code == 1
    assert "names no master" in said
    code, said = attempt("alluxio://127.0.0.1:1,127.0.0.1:2/", "alluxio.user.rpc.retry.max.duration=1s")
    assert code == 32
    assert "127.0.0.1:2" in said
    assert host.at(path) == []
    assert os.path.isdir(path)


def test_flags(helped: Host) -> None:
    """-f checks and mounts nothing, -s forgives unknown options, -n and -v are accepted; nothing is mounted twice."""
    path = f"{helped.root}/mnt"
    os.mkdir(path)

    def attempt(*words: str) -> subprocess.CompletedProcess[str]:
        return helped.run("mount", "-t", "alluxio-fuse", *words, helped.data, path)

    assert attempt("-f", "-o", helped.options).returncode == 0
    assert attempt("-f", "-o", "foo").returncode == 1
    assert helped.at(path) == []
    assert attempt("-s", "-n", "-v", "-o", f"foo,x-bar,ro,{helped.options}").returncode == 0
    done = attempt("-o", helped.options)
    assert done.returncode == 32
    assert "already mounted" in done.stderr
    done = helped.run("/sbin/mount.alluxio-fuse", helped.data, path, "-o", "remount,ro")
    assert done.returncode == 32
    assert "unmount it, then mount it again" in done.stderr
    assert helped.run("/sbin/mount.alluxio-fuse").returncode == 1
    assert helped.run("/sbin/mount.alluxio-fuse", helped.data, path, "-N", "/proc/1/ns/mnt").returncode == 1
    assert helped.run("/sbin/mount.alluxio-fuse", "--help").stdout.startswith("Usage: mount.alluxio-jnifuse SOURCE")
    assert len(helped.at(path)) == 1


def test_whoever_is_let_in_is_checked(helped: Host) -> None:
    """allow_other has the kernel check modes, unless the line says otherwise."""
    for number, (words, checked) in enumerate((("allow_other", True), ("allow_other,no_default_permissions", False))):
        path = f"{helped.root}/mnt{number}"
        os.mkdir(path)
        done = helped.run("mount", "-t", "alluxio-fuse", "-o", f"{words},{helped.options}", helped.data, path)
        assert done.returncode == 0, done.stderr
        (line,) = (each for each in helped.run("cat", "/proc/mounts").stdout.splitlines() if f" {path} " in each)
        assert ("default_permissions" in line) == checked


@pytest.mark.skipif(not shutil.which("fusermount3"), reason="fusermount3 is not installed")
def test_ordinary_users(helped: Host) -> None:
    """A user whom fstab lets mounts and unmounts; root's mount belongs to the user of setuid=."""
    path = helped.root / "mnt"
    path.mkdir()
    (helped.root / "logs").mkdir()
    for directory in (path, helped.root / "logs"):
        os.chown(directory, 65534, 65534)
    helped.write_fstab((str(helped.data), str(path), "user,noauto"))
    checkout = UNIT.parents[3]
    words = ["sh", "-euc", LET_USERS_IN, "sh", helped.root, helped.fstab, sys.base_prefix, checkout]
    done = helped.run(*words)
    assert done.returncode == 0, done.stderr
    if helped.run(*NOBODY, sys.executable, "-c", "import alluxio_jnifuse._core").returncode:
        pytest.skip("there is no Python that an ordinary user may run")
    done = helped.run(*NOBODY, "mount", path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for who in (NOBODY, []):
        found = helped.run("findmnt", "--noheadings", "--output", "OPTIONS", path).stdout
        assert "user_id=65534," in found
        done = helped.run(*NOBODY, "cat", path / "file")
        assert (done.stdout, done.stderr) == ("contents\n", "")
        assert helped.run(*who, "umount", path).returncode == 0
        until(lambda: not processes_of(str(path)), "the daemon to end")
        done = helped.run("mount", "-t", "alluxio-fuse", "-o", f"setuid=nobody,{helped.options}", helped.data, path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = helped.run("mount", "-t", "alluxio-fuse", "-o", f"setuid=no-such-user,{helped.options}", helped.data, path)
    assert (done.returncode, "there is no such user" in done.stderr) == (1, True)


def processes_of(path: str) -> list[int]:
    """The processes that were told of a path, our daemons among them."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if path.encode() in Path(f"/proc/{name}/cmdline").read_bytes():
                found.append(int(name))
        except OSError:
            pass  # it has ended
    return found


def test_what_mount_hands_over() -> None:
    """Commas within quotes and behind backslashes do not part options; a typed command is none of mount.fuse3's."""
    assert split('a,b=c\\,d,,e="f,g",h="') == ["a", "b=c\\,d", 'e="f,g"', 'h="']
    assert is_called_by_mount(["oss://b/", "/m", "-o", "rw"])
    assert is_called_by_mount(["/m", "-o", "rw"])
    for words in ([], ["oss://b/"], ["oss://b/", "/m"], ["x", "m", "-o", "rw"], ["a", "b", "/m", "-o", "rw"]):
        assert not is_called_by_mount(words)


def test_an_empty_name_is_the_default() -> None:
    """`fsname=` is no name, and the mount has the usual one."""
    for text in ("fsname=", "alluxio.fuse.fs.name="):
        assert "fsname=alluxio-fuse," in Config.load(options=[text], environ={}).mount_options()


@pytest.mark.parametrize("abstract", [False, True])
def test_a_service(private: Path, abstract: bool) -> None:
    """A mount in the foreground tells systemd when it answers, and not before."""
    (private / "data").mkdir()
    address = f"\0{private}" if abstract else str(private / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(30)
        environ = {**os.environ, "NOTIFY_SOCKET": address.replace("\0", "@")}
        words = [*COMMAND, "mount", "-n", "-u", str(private / "data"), str(private / "mnt")]
        environ["AJF_TEST_FINAL_STATS"] = str(private / "final")
        with subprocess.Popen(words, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            heard = [listener.recv(4096).decode()]
            while "READY=1" not in heard[-1]:
                assert heard[-1].startswith("STATUS=waiting for ")
                heard.append(listener.recv(4096).decode())
            assert os.path.ismount(private / "mnt")
            process.terminate()
            assert process.wait(120) == 0


def test_the_unit(private: Path) -> None:
    """systemd understands the unit."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze")
    unit = private / "alluxio-jnifuse@mnt-imagenet.service"
    unit.write_text(UNIT.read_text().replace("ExecStart=alluxio-jnifuse ", f"ExecStart={BIN}/alluxio-jnifuse "))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
