"""Settings are merged by rank, checked, and become the numbers and words that the core takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from alluxio_jnifuse.config import document
from alluxio_jnifuse.config.merge import PARSERS
from alluxio_jnifuse.config.options import OPTIONS
from alluxio_jnifuse.config.values import Config
from alluxio_jnifuse.errors import ConfigError

ROOT = Path(__file__).parents[2]

CACHE = "alluxio.user.client.cache."
UFS = "alluxio.master.mount.table.root.ufs"


def load(*options: str, environ: Mapping[str, str] | None = None, **others: object) -> Config:
    """Loads with nothing but what is given: no variable and no site file of this machine."""
    environ = {"ALLUXIO_CONF_DIR": "/nonexistent", "HOME": "/nonexistent", **(environ or {})}
    return Config.load(options=options, environ=environ, **others)  # type: ignore[arg-type]


def site(directory: Path, text: str) -> dict[str, str]:
    """Writes a site file; returns the environment that leads to it."""
    (directory / "alluxio-site.properties").write_text(text)
    return {"ALLUXIO_CONF_DIR": str(directory)}


def test_every_field_of_the_core_is_set() -> None:
    """The core gets one number for each field of struct ajf_options, and no other."""
    header = (ROOT / "csrc" / "base" / "options.h").read_text()
    struct = header[header.index("struct ajf_options {") :]
    fields = re.findall(r"^\s*(?:int|bool|u?int\d+_t)\s+(\w+);", struct, re.MULTILINE)
    numbers = load().core_options()
    assert set(numbers) == set(fields)
    assert all(type(number) is int for number in numbers.values())


def test_every_row_is_complete() -> None:
    """Each option has a notation, a reason and, if it does anything, help; its default is within its range."""
    assert len({row.name for row in OPTIONS}) == len(OPTIONS)
    for row in OPTIONS:
        assert row.why, row.name
        if row.kind == "accepted":
            continue
        assert row.help, row.name
        assert row.kind in PARSERS, row.name
        assert row.default or row.kind in ("text", "address", "addresses", "count", "octal"), row.name
        assert row.default in row.choices or row.kind not in ("choice", "class"), row.name


def test_documentation_is_that_of_the_table() -> None:
    """docs/CONFIGURATION.md is what config/document.py writes."""
    assert (ROOT / "docs" / "CONFIGURATION.md").read_text() == document.render(), "run make docs"


def test_defaults() -> None:
    """Without any setting the mount is read-only, trusts attributes for a minute and caches nothing itself."""
    numbers = load().core_options()
    assert numbers["cache_mode"] == 0
    assert numbers["attr_timeout_ns"] == numbers["entry_timeout_ns"] == 60 * 10**9
    assert numbers["negative_timeout_ns"] == 0
    assert numbers["passthrough"] == 1
    assert numbers["io_uring"] == numbers["cache_enabled"] == 0
    assert numbers["uid"] == numbers["gid"] == numbers["umask"] == -1
    assert (numbers["read_timeout_ms"], numbers["metadata_timeout_ms"], numbers["slow_ms"]) == (
        180_000,
        120_000,
        10_000,
    )
    assert load().mount_options() == "fsname=alluxio-fuse,subtype=alluxio-fuse,ro,nosuid,nodev"


def test_the_options_of_the_recipe() -> None:
    """The option string of the tuning recipe sets what it says."""
    config = load("kernel_cache,ro,max_read=131072,attr_timeout=7200,entry_timeout=7200")
    numbers = config.core_options()
    assert numbers["cache_mode"] == 1
    assert numbers["max_read"] == 131072
    assert numbers["attr_timeout_ns"] == numbers["entry_timeout_ns"] == 7200 * 10**9
    assert config.mount_options().endswith(",ro,nosuid,nodev,max_read=131072")


def test_notes_keep_secrets() -> None:
    """The value of a property without effect is not repeated in the log: it may be a password."""
    config = load(properties=["fs.oss.accessKeySecret=hunter2"])
    assert "fs.oss.accessKeySecret" in config.notes[0]
    assert "hunter2" not in "".join(config.notes)


def test_duplicates_last_wins(tmp_path: Path) -> None:
    """Of two equal keys in a file, of two -D and of two -o the last one counts."""
    environ = site(tmp_path, f"{CACHE}size=1GB\n{CACHE}size=2GB\n")
    assert load(environ=environ).number(f"{CACHE}size") == 2 << 30
    assert load(properties=[f"{CACHE}size=1GB", f"{CACHE}size=3GB"]).number(f"{CACHE}size") == 3 << 30
    assert load("attr_timeout=1,rw", "attr_timeout=2,ro").core_options()["attr_timeout_ns"] == 2 * 10**9
    assert "ro" in load("rw,ro").mount_options().split(",")


def test_precedence_of_properties(tmp_path: Path) -> None:
    """-o beats -D beats *_JAVA_OPTS beats the site file beats the default, and the origin is remembered."""
    key = f"{CACHE}size"
    environ = site(tmp_path, f"{key}=1MB")
    assert load().origin(key) == "default"
    found = load(environ=environ)
    assert (found.number(key), found.origin(key)) == (1 << 20, f"{tmp_path}/alluxio-site.properties")
    environ["ALLUXIO_JAVA_OPTS"] = f"-D{key}=2MB"
    assert load(environ=environ).origin(key) == "$ALLUXIO_JAVA_OPTS"
    environ["ALLUXIO_FUSE_JAVA_OPTS"] = f"-D{key}=3MB"
    assert load(environ=environ).number(key) == 3 << 20
    found = load(environ=environ, properties=[f"{key}=4MB"])
    assert (found.number(key), found.origin(key)) == (4 << 20, "-D")
    found = load(f"alluxio.user.client.cache.enabled=true,{key}=5MB", environ=environ, properties=[f"{key}=4MB"])
    assert (found.number(key), found.origin(key)) == (5 << 20, "-o")


def test_a_site_file_in_the_environment(tmp_path: Path) -> None:
    """$ALLUXIO_SITE_PROPERTIES has the contents of the site file, which is not looked for then."""
    key = f"{CACHE}size"
    environ = {**site(tmp_path, f"{key}=1MB"), "ALLUXIO_SITE_PROPERTIES": f"# ours\n{key} = 2MB\nalluxio.x=y\n"}
    found = load(environ=environ)
    assert (found.number(key), found.origin(key)) == (2 << 20, "$ALLUXIO_SITE_PROPERTIES")
    environ["ALLUXIO_JAVA_OPTS"] = f"-D{key}=3MB"
    assert load(environ=environ).number(key) == 3 << 20


def test_precedence_of_mount_options(tmp_path: Path) -> None:
    """-o beats alluxio.fuse.mount.options, which adds to it; MAX_IDLE_THREADS beats the site file."""
    environ = site(tmp_path, "alluxio.fuse.mount.options=direct_io,attr_timeout=7,max_idle_threads=5,allow_other")
    found = load(environ=environ)
    assert found.core_options()["cache_mode"] == 2
    assert found.number("max_idle_threads") == 5
    environ["MAX_IDLE_THREADS"] = "64"
    found = load("kernel_cache", environ=environ)
    numbers = found.core_options()
    assert numbers["cache_mode"] == 1
    assert numbers["attr_timeout_ns"] == 7 * 10**9
    assert numbers["max_idle_threads"] == numbers["max_threads"] == 64
    assert found.flag("allow_other")
    assert load("max_idle_threads=3", environ=environ).number("max_idle_threads") == 3


def test_cache_modes() -> None:
    """Of several modes in one place direct_io wins over kernel_cache, and that over auto_cache."""
    assert load("kernel_cache,auto_cache").core_options()["cache_mode"] == 1
    assert load("direct_io,kernel_cache").core_options()["cache_mode"] == 2
    assert load("auto_cache").core_options()["cache_mode"] == 0


def test_aliases() -> None:
    """Older names and variables set the same thing."""
    assert load(properties=["alluxio.underfs.address=/a"]).ufs == "/a"
    assert load(properties=["alluxio.fuse.fs.name=x,y"]).mount_options().startswith("fsname=x\\,y,subtype=alluxio-fuse")
    found = load(properties=["alluxio.user.streaming.data.timeout=5s"])
    assert found.core_options()["read_timeout_ms"] == 5000
    assert load(environ={"SPENT_TIME": "1000"}).core_options()["slow_ms"] == 1000
    assert load(environ={"SPENT_TIME": "", "MAX_IDLE_THREADS": ""}).core_options()["slow_ms"] == 10_000


@pytest.mark.parametrize(
    ("options", "checked"),
    [
        ("", False),
        ("allow_other", True),
        ("allow_root", True),
        ("no_default_permissions,allow_other", False),
        ("default_permissions,allow_other,no_default_permissions", False),
        ("default_permissions", True),
    ],
)
def test_whoever_is_let_in_is_checked(options: str, checked: bool) -> None:
    """With allow_other and allow_root the kernel checks modes, unless the opposite is said."""
    written = {"alluxio.fuse.mount.options": options}
    java = {"ALLUXIO_FUSE_JAVA_OPTS": f"-Dalluxio.fuse.mount.options={options}"}
    for found in (load(options), load(properties=[f"{k}={v}" for k, v in written.items()]), load(environ=java)):
        assert ("default_permissions" in found.mount_options().split(",")) == checked
        assert "no_default_permissions" not in found.mount_options()


def test_opposites_and_switches() -> None:
    """Opposites undo defaults; a switch is on by its name alone."""
    words = load("rw,suid,dev,noexec,noatime,default_permissions").mount_options().split(",")
    assert words[2:] == ["rw", "default_permissions", "suid", "dev", "noexec", "noatime"]
    numbers = load("passthrough=off,io_uring,clone_fd,sync_read,uid=1000,gid=0,umask=022").core_options()
    assert (numbers["passthrough"], numbers["io_uring"], numbers["clone_fd"], numbers["sync_read"]) == (0, 1, 1, 1)
    assert (numbers["uid"], numbers["gid"], numbers["umask"]) == (1000, 0, 0o22)


def test_derived_values() -> None:
    """Dependent values follow: threads, congestion threshold, page size; long durations are cut, negative ones off."""
    assert load("max_threads=4,max_idle_threads=20").core_options()["max_threads"] == 20
    assert load("max_background=64").core_options()["congestion_threshold"] == 48
    assert load("max_background=64,congestion_threshold=60").core_options()["congestion_threshold"] == 60
    found = load(properties=[f"{CACHE}page.size=3MB"])
    assert found.core_options()["page_bytes"] == 4 << 20
    assert any("rounded up to 4194304" in note for note in found.notes)
    assert load(properties=[f"{CACHE}page.size=1KB"]).core_options()["page_bytes"] == 64 << 10
    found = load(properties=["alluxio.fuse.logging.threshold=-1", "alluxio.user.rpc.retry.max.duration=365d"])
    assert found.core_options()["slow_ms"] == 0
    assert found.core_options()["metadata_timeout_ms"] == 2**32 - 1


def test_accepted_options() -> None:
    """Options of other libfuse releases are accepted and named in the log."""
    found = load("big_writes,_netdev,nonempty")
    assert [note.split()[1] for note in found.notes] == ["big_writes", "_netdev"]
    assert found.flag("nonempty")


def test_unknown_options_are_refused_by_name() -> None:
    """All unknown mount options are named at once."""
    with pytest.raises(ConfigError, match="unknown mount option: foo, local_other_cache"):
        load("foo,ro,local_other_cache=/x", "foo=2")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("attr_timeout=x", r"attr_timeout=x \(-o\): expected a number of seconds, such as 60 or 1.5"),
        ("attr_timeout", r"attr_timeout \(-o\): expected attr_timeout=VALUE"),
        ("ro=1", r"ro=1 \(-o\): ro takes no value"),
        ("max_read=17MB", r"max_read=17MB \(-o\): expected a value from 0 to 16MB"),
        ("max_idle_threads=0", r"expected a value from 1 to 4096"),
        ("umask=1777", r"umask=1777 \(-o\): expected a value from 0 to 777"),
        ("passthrough=maybe", r"expected on or off"),
        (f"{CACHE}store.type=DISK", r"expected one of MEM, MEMORY, LOCAL, ROCKS"),
        (f"{CACHE}size=lots", rf"{CACHE}size=lots \(-o\): expected a size such as 512MB"),
        ("alluxio.fuse.mount.point=${nowhere}", r"expected \$\{nowhere\} to be set somewhere"),
        ("allow_other,allow_root", "exclude each other"),
        (f"{CACHE}enabled=true,{CACHE}size=1MB,{CACHE}page.size=2MB", "must hold at least one page"),
    ],
)
def test_bad_values(option: str, message: str) -> None:
    """A bad value is refused with option, value, origin and the form that was expected."""
    with pytest.raises(ConfigError, match=message):
        load(option)


def test_all_errors_at_once() -> None:
    """Several mistakes are told in one go, one on a line."""
    with pytest.raises(ConfigError) as caught:
        load("nope,attr_timeout=x", properties=[f"{CACHE}enabled=perhaps"])
    assert len(str(caught.value).splitlines()) == 3


def test_overruled_mistakes_do_no_harm() -> None:
    """A bad value that a better place overrules is not an error, nor is one of a key without effect."""
    found = load("max_idle_threads=3", environ={"MAX_IDLE_THREADS": "many"}, properties=["alluxio.worker.x=${y}"])
    assert found.number("max_idle_threads") == 3


def test_java_flags_are_named_once() -> None:
    """Flags for a Java machine are accepted in one line."""
    environ = {"ALLUXIO_JAVA_OPTS": "-Xmx16G -XX:+UseG1GC", "ALLUXIO_FUSE_JAVA_OPTS": "-Xmx16G"}
    assert load(environ=environ).notes == ["ignored: there is no Java machine here to take -Xmx16G -XX:+UseG1GC"]


def test_substitution_between_properties() -> None:
    """A property may refer to another one, to its default, and to a variable's."""
    found = load(environ={"ALLUXIO_HOME": "/opt/a"}, properties=[f"{UFS}=${{alluxio.work.dir}}/underFSStorage"])
    assert found.ufs == "/opt/a/underFSStorage"


@pytest.mark.parametrize(
    ("ufs", "path", "joined"),
    [
        ("/data", None, "/data"),
        ("/data/", "/train/../val", "/data/val"),
        ("/", "/", "/"),
        ("/", "/x", "/x"),
        ("file:///data", "/a b", "file:///data/a%20b"),
        ("/data", "/../../etc", "/data/etc"),
    ],
)
def test_sub_path(ufs: str, path: str | None, joined: str) -> None:
    """ALLUXIO_PATH is a directory within the storage, and never leads out of it."""
    assert load(ufs=ufs, alluxio_path=path).ufs == joined


def test_relative_storage_is_of_this_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative directory is made absolute when it is read, because the daemon changes its own."""
    monkeypatch.chdir(tmp_path)
    config = load(ufs="data")
    monkeypatch.chdir("/")
    assert config.ufs == f"{tmp_path}/data"


def test_lending() -> None:
    """A local source lends its files unless the client cache is on."""
    assert load().lend
    assert load().cache_bytes == 0
    cached = load(properties=[f"{CACHE}enabled=true", f"{CACHE}size=1GB,2GB"])
    assert not cached.lend
    assert cached.cache_bytes == 3 << 30


def test_the_store_of_the_client_cache() -> None:
    """The core keeps what it fetched where the store is memory; directories without a store mean LOCAL, as Alluxio."""
    enabled = f"{CACHE}enabled=true"

    def store(*properties: str) -> tuple[str, int]:
        found = load(properties=[enabled, *properties])
        return found.cache_store, found.core_options()["cache_enabled"]

    assert store() == store(f"{CACHE}store.type=MEMORY", f"{CACHE}dir=/c") == ("MEM", 1)
    assert store(f"{CACHE}store.type=local") == store(f"{CACHE}dir=/c") == ("LOCAL", 0)
    assert store(f"{CACHE}store.type=ROCKS", f"{CACHE}dirs=/c") == ("ROCKS", 0)
    assert load().core_options()["cache_enabled"] == 0


def test_directories_of_the_client_cache() -> None:
    """One size for each directory, or one in all; anything else is an error that says so."""
    local = [f"{CACHE}enabled=true", f"{CACHE}store.type=LOCAL"]

    def directories(paths: str, sizes: str) -> list[tuple[str, int]]:
        return load(properties=[*local, f"{CACHE}dirs={paths}", f"{CACHE}size={sizes}"]).cache_directories()

    assert directories("/a", "1GB") == [("/a", 1 << 30)]
    assert directories("/a, /b/", "1GB,2GB") == [("/a", 1 << 30), ("/b", 2 << 30)]
    assert directories("/a,/b", "2GB") == [("/a", 1 << 30), ("/b", 1 << 30)]
    for paths, sizes in (("/a,/b,/c", "1GB,1GB"), ("/a,/a", "1GB"), (",", "1GB")):
        with pytest.raises(ConfigError, match=r"cache\.(dirs|size)"):
            directories(paths, sizes)


def test_the_default_directory_of_the_client_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else can have taken its name, unlike that of a directory in /tmp; which one may still be asked for."""
    local = [f"{CACHE}enabled=true", f"{CACHE}store.type=LOCAL"]
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert load(properties=local).cache_directories()[0][0] == "/var/cache/alluxio-jnifuse"
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CACHE_HOME", "/his/cache")
    assert load(properties=local).cache_directories()[0][0] == "/his/cache/alluxio-jnifuse"
    asked = [*local, f"{CACHE}dirs=/tmp/alluxio_cache"]
    assert load(properties=asked).cache_directories()[0][0] == "/tmp/alluxio_cache"


def test_the_evictor_of_the_client_cache() -> None:
    """Alluxio's classes with or without their package; one of somebody's own is the default, and the log says so."""

    def evictor(*properties: str) -> tuple[str, int]:
        found = load(properties=list(properties))
        return found.cache_evictor, found.core_options()["evictor"]

    package = "alluxio.client.file.cache.evictor."
    assert evictor() == ("LRUCacheEvictor", 0)
    assert evictor(f"{CACHE}evictor.class={package}LFUCacheEvictor") == ("LFUCacheEvictor", 1)
    assert evictor(f"{CACHE}evictor.class=FIFOCacheEvictor") == ("FIFOCacheEvictor", 2)
    assert evictor(f"{CACHE}evictor.nondeterministic.enabled=true") == ("NondeterministicLRUCacheEvictor", 3)
    assert evictor(f"{CACHE}evictor.class=com.example.Mine") == ("LRUCacheEvictor", 0)


def test_the_second_binding_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the C core takes its place, so its settings count, and it is lent files."""
    words = {"options": ["busy_poll=5"], "properties": ["alluxio.fuse.jnifuse.enabled=false"], "environ": {}}
    there = Config.load(ufs="/data", **words)
    assert not there.by_core
    assert not there.lend
    assert any("busy_poll" in note for note in there.notes)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    absent = Config.load(ufs="/data", **words)
    assert absent.by_core
    assert absent.lend
    assert not any("busy_poll" in note for note in absent.notes)
