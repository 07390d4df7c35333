"""A mount that was told secrets shows them to nobody: not in `ps`, its log, its record, `stat` or `getConf`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness.mounting import COMMAND, Mounts, run
from oss.bucket import SECRET, Bucket

from alluxio_jnifuse.config.options import OPTIONS
from alluxio_jnifuse.config.secrets import NAMES, hide_arguments, is_secret, masked
from alluxio_jnifuse.mounts.registry import candidates

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(600)]


def shown_by(pid: int) -> str:
    """What others see of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def records() -> str:
    """All records of running mounts."""
    found = [path for directory in candidates(os.geteuid()) for path in Path(directory).glob("*.json")]
    return "".join(path.read_text() for path in found)


@pytest.mark.parametrize("place", ["-D", "-o", "mount options", "JAVA_OPTS", "site"])
def test_wherever_it_was_said(bucket: Bucket, mounts: Mounts, private: Path, place: str) -> None:
    """On the command line, in the environment or in a file."""
    bucket.put("file", b"contents")
    name = "fs.oss.accessKeySecret"
    others = {key: value for key, value in bucket.properties().items() if key != name}
    words, environ, site = [], {}, ""
    if place in ("-D", "-o"):
        words = [place, f"{name}={SECRET}"]
    elif place == "mount options":
        site = f"alluxio.fuse.mount.options=ro,{name}={SECRET},attr_timeout=3\n"
    elif place == "JAVA_OPTS":
        environ = {"ALLUXIO_JAVA_OPTS": f"-D{name}={SECRET}"}
    else:
        site = f"{name}={SECRET}\n"
    (private / "alluxio-site.properties").write_text(site + "".join(f"{k}={v}\n" for k, v in others.items()))
    path = str(private / "mnt")
    mounted = mounts.mount_with([*words, "-u", bucket.uri, path], path, environ=environ)
    assert Path(mounted.join("file")).read_bytes() == b"contents"
    conf = run([*COMMAND, "getConf"], mounted.environ).stdout
    one = run([*COMMAND, "getConf", name], mounted.environ).stdout
    stat = run([*COMMAND, "stat"], mounted.environ).stdout
    log = mounted.log.read_text()
    everything = [shown_by(mounted.pid), log, records(), conf, one, stat]
    assert [SECRET in text for text in everything] == [False] * len(everything)
    assert "mount" in everything[0]  # the rest of it is there
    assert "******" in log
    if site:
        assert "******" in conf


def test_told_by_the_api(bucket: Bucket, mounts: Mounts, private: Path) -> None:
    """Not even for a moment: properties that are secret take another way than the others."""
    bucket.put("file", b"contents")
    path = str(private / "mnt")
    seen = private / "seen"
    program = (
        "import subprocess, sys, alluxio_jnifuse\n"
        "run = subprocess.run\n"
        "def watched(command, **more):\n"
        "    open(sys.argv[3], 'w').write(repr(command))\n"
        "    return run(command, **more)\n"
        "subprocess.run = watched\n"
        "told = dict(line.split('=', 1) for line in sys.stdin.read().splitlines())\n"
        "mounted = alluxio_jnifuse.mount(sys.argv[1], sys.argv[2], properties=told)\n"
        "print(open(mounted.mountpoint + '/file').read(), mounted.pid, open(mounted.log).read())\n"
        "print(open(f'/proc/{mounted.pid}/cmdline').read())\n"
        "mounted.unmount()\n"
    )
    given = "".join(f"{key}={value}\n" for key, value in bucket.properties().items())
    done = subprocess.run(
        [sys.executable, "-c", program, bucket.uri, path, str(seen)],
        input=given,
        env=mounts.environ(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("contents")
    assert SECRET not in done.stdout + seen.read_text()


def test_the_command_line_before_anything_else() -> None:
    """A command that ends for whatever reason, long before it mounts, has hidden what it was given."""
    program = (
        "import sys; from alluxio_jnifuse import cli; cli.importlib = None\n"
        f"sys.argv = ['x', 'mount', '-D', 'fs.oss.accessKeySecret={SECRET}']\n"
        "try: cli.main()\nexcept AttributeError: pass\n"
        "print(open('/proc/self/cmdline').read())\n"
    )
    words = [sys.executable, "-c", program, "mount", "-D", f"fs.oss.accessKeySecret={SECRET}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    assert "mount" in done.stdout
    assert SECRET not in done.stdout


def test_what_refers_to_a_secret(private: Path, mounts: Mounts) -> None:
    """Is one, however far away that is."""
    site = f"fs.oss.accessKeySecret={SECRET}\nmy.one=${{fs.oss.accessKeySecret}}\nmy.two=http://h/?k=${{my.one}}\n"
    (private / "alluxio-site.properties").write_text(
        f"{site}alluxio.user.hostname=${{my.two}}\nmy.own=${{user.home}}\n"
    )
    for key in ("", "my.one", "my.two", "alluxio.user.hostname", "fs.oss.accessKeySecret"):
        done = run([*COMMAND, "getConf", *filter(None, [key])], {**mounts.environ(), "ALLUXIO_CONF_DIR": str(private)})
        assert done.returncode == 0, done.stderr
        assert SECRET not in done.stdout
        assert not key or done.stdout == "******\n"
    done = run([*COMMAND, "getConf", "my.own"], {**mounts.environ(), "ALLUXIO_CONF_DIR": str(private)})
    assert done.stdout.startswith("/")


def test_what_is_masked() -> None:
    """By its name, or where it is one of several values in one."""
    assert masked("fs.oss.accessKeySecret", "x") == masked("a.b.security-token", "x") == "******"
    assert masked("fs.oss.accessKeySecret", "") == ""
    options = "ro,fs.oss.accessKeySecret=a\\,b,attr_timeout=3,fs.oss.securityToken=t"
    assert masked("alluxio.fuse.mount.options", options) == (
        "ro,fs.oss.accessKeySecret=******,attr_timeout=3,fs.oss.securityToken=******"
    )
    assert masked("alluxio.user.hostname", "h") == "h"
    assert masked("alluxio.underfs.oss.proxy", "http://u:p@h:1") == "http://u:******@h:1"


@pytest.mark.parametrize(
    "name",
    [
        "fs.oss.accessKeyId",
        "fs.s3a.secret.key",
        "s3a.accessKeyId",
        "fs.azure.account.key.name.blob.core.windows.net",
        "fs.azure.sas.container.name.blob.core.windows.net",
        "fs.gcs.private.key",
        "fs.gcs.private.key.id",
        "fs.obs.sk",
        "fs.cos.secret.key",
        "fs.swift.password",
        "alluxio.network.tls.keystore.key.password",
        "alluxio.underfs.web.passphrase",
        "my.api.key",
        "my.api-key",
        "my.apikey",
        "my.pwd",
        "my.userPwd",
        "my.pass",
        "MY_DB_PASS",
        "my.Password",
        "fs.obs.ak",
        "fs.x.sharedKey",
        "fs.s3a.server-side-encryption.key",
        "my.signing-key",
        "my.storage_key",
        "fs.x.sas",
        "a.b.security-token",
        "fs.oss.credential.process",
    ],
)
def test_names_of_secrets(name: str) -> None:
    """Of every storage that Alluxio knows: ours are not the only properties that are handed to us."""
    assert masked(name, "x") == "******"
    assert masked("alluxio.fuse.mount.options", f"ro,{name}=x,b=c") == f"ro,{name}=******,b=c"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("part", ["a", "secret.", "-key", "a=", "secret=", "\\", "://a:", "x,"])
def test_masking_a_long_text(part: str) -> None:
    """A master may tell a value of any length; a mount must not take for ever to show it."""
    text = part * 200_000
    assert len(masked("alluxio.user.hostname", text)) <= len(text) + len("******")


def test_names_of_no_secrets() -> None:
    """Which are needed to find out what is wrong."""
    for name in (
        *("fs.obs.skip", "alluxio.user.key", "alluxio.user.metrics.passive", "alluxio.user.task.size"),
        *(
            "my.bypass",
            "my.passthrough",
            "alluxio.security.authentication.type",
            "fs.s3a.server-side-encryption-algorithm",
        ),
    ):
        assert masked(name, "x") == "x"
    oss = ["accessKeyId", "accessKeySecret", "securityToken", "credential.process"]
    assert [row.name for row in OPTIONS if is_secret(row.name)] == [f"fs.oss.{name}" for name in oss]


def test_the_chart_has_the_same_names() -> None:
    """What it puts into Secrets is what is masked here."""
    templates = Path(__file__).parents[2] / "charts" / "alluxio" / "templates"
    for name in ("_options.tpl", "_check.tpl"):
        assert NAMES.replace("\\", "\\\\") in (templates / name).read_text()


def test_a_command_line_is_cleaned_in_place() -> None:
    """The other words stay as they are."""
    program = (
        "from alluxio_jnifuse.config.secrets import hide_arguments; hide_arguments()\n"
        "print(open('/proc/self/cmdline').read().split('\\0')[3:-1])"
    )
    words = ["-D", "a.secret=x1", "-ofs.oss.securityToken=y=2,ro", "plain=z", "--", "accessKey"]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == repr(
        ["-D", "a.secret=**", "-ofs.oss.securityToken=******", "plain=z", "--", "accessKey"]
    )
    hide_arguments()  # nothing of ours is secret
