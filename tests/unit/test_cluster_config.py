"""Settings of an Alluxio cluster: where it is, what the engine is told, what the cluster itself adds."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from alluxio_jnifuse.config.merge import DEFAULT
from alluxio_jnifuse.config.values import Config
from alluxio_jnifuse.errors import ConfigError, SourceError
from alluxio_jnifuse.sources.alluxio import from_config
from alluxio_jnifuse.sources.alluxio.settings import Settings

MASTER = "alluxio.master.hostname=m"
UFS = "alluxio.master.mount.table.root.ufs"
CACHE = "alluxio.user.client.cache."
POLICY = "alluxio.user.ufs.block.read.location.policy"


def load(*properties: str, environ: Mapping[str, str] | None = None, **others: object) -> Config:
    """Loads with nothing but what is given: no variable and no site file of this machine."""
    environ = {"ALLUXIO_CONF_DIR": "/nonexistent", "HOME": "/nonexistent", **(environ or {})}
    return Config.load(properties=properties, environ=environ, **others)  # type: ignore[arg-type]


def settings(*properties: str, **others: object) -> Settings:
    """What the engine is told."""
    config = load(MASTER, *properties, **others)  # type: ignore[arg-type]
    return from_config.settings(config, config.cluster.split(","))


def ignored(config: Config, key: str) -> list[str]:
    """The lines of the log that say why `key` has no effect."""
    return [note for note in config.notes if note.startswith(f"ignored: {key} ")]


# -------------------------------------------------------------------------------------------------- which storage


@pytest.mark.parametrize(
    ("properties", "masters"),
    [
        ([], ""),
        (["hostname=m"], "m:19998"),
        (["hostname=m:1"], "m:1"),
        (["hostname=m", "rpc.port=20000"], "m:20000"),
        (["hostname=[::1]", "rpc.port=1"], "[::1]:1"),
        (["hostname=m", "rpc.addresses=a:1, b,c:3"], "a:1,b:19998,c:3"),
        (["hostname=m", "embedded.journal.addresses=a:19200,b:19200", "port=5"], "a:5,b:5"),
        (["embedded.journal.addresses=a:19200", "rpc.addresses=c:1"], "c:1"),
    ],
)
def test_where_the_masters_are(properties: list[str], masters: str) -> None:
    """Listed addresses count before those of the journal, and these before the one hostname; a port can be left out."""
    config = load(*(f"alluxio.master.{text}" for text in properties))
    assert config.cluster == masters
    assert config.ufs == (f"alluxio://{masters}/" if masters else "")


@pytest.mark.parametrize("text", ["a b", "a:0", "a:65536", "::1", "a:b", "a/b", "a,b"])
def test_bad_master(text: str) -> None:
    """A name that is none is refused with its origin."""
    with pytest.raises(ConfigError, match=r"alluxio\.master\.hostname=.* \(-D\): expected (one )?host or host:port"):
        load(f"alluxio.master.hostname={text}")


def test_the_variable_for_the_master() -> None:
    """ALLUXIO_MASTER_HOSTNAME is that of alluxio-env.sh."""
    assert load(environ={"ALLUXIO_MASTER_HOSTNAME": "m"}).ufs == "alluxio://m:19998/"


@pytest.mark.parametrize(
    ("ufs", "path", "joined"),
    [
        (None, None, "alluxio://m:19998/"),
        (None, "/a b/c", "alluxio://m:19998/a%20b/c"),
        ("/local", None, "/local"),
        ("alluxio://other", None, "alluxio://other:19998/"),
        ("alluxio://other:1/x", "/y", "alluxio://other:1/x/y"),
        ("ALLUXIO://a:1;b:2+c/x", None, "alluxio://a:1,b:2,c:19998/x"),
        ("alluxio:///x", None, "alluxio://m:19998/x"),
    ],
)
def test_which_storage_is_shown(ufs: str | None, path: str | None, joined: str) -> None:
    """The configured cluster, unless --ufs names a storage; its masters, unless --ufs names others."""
    assert load(MASTER, ufs=ufs, alluxio_path=path).ufs == joined


def test_the_storage_of_the_cluster_is_not_mounted_past_it() -> None:
    """What the properties name as root storage is the cluster's; the log says so."""
    config = load(MASTER, f"{UFS}=/a")
    assert config.ufs == "alluxio://m:19998/"
    assert ignored(config, UFS) == [f"ignored: {UFS} (-D): the cluster has it mounted"]
    assert load(f"{UFS}=/a").ufs == "/a"


def test_a_cluster_needs_a_master() -> None:
    """A URI without one, and nothing configured, is refused."""
    with pytest.raises(ConfigError, match="names no master; use alluxio://HOST:19998/"):
        load(ufs="alluxio:///x")
    with pytest.raises(ConfigError, match="expected host or host:port"):
        load(ufs="alluxio://a b/")


def test_the_uri_comes_apart_again() -> None:
    """Into masters and the bytes of the path."""
    assert from_config.split_uri(load(ufs="alluxio://a,b:2").ufs) == (("a:19998", "b:2"), b"/")
    path = "/sp ace/\udcff%25"
    assert from_config.split_uri(load(MASTER, alluxio_path=path).ufs) == (("m:19998",), b"/sp ace/\xff%25")


# -------------------------------------------------------------------------------------------- what the engine is told


def test_defaults_of_the_engine() -> None:
    """Those of the table are those of Settings, but for who we are."""
    told = settings()
    assert told._replace(user="", uid=-1, gid=-1) == Settings(masters=("m:19998",), user="")
    assert told.user == pwd.getpwuid(os.getuid()).pw_name
    assert (told.uid, told.gid) == (os.getuid(), os.getgid())
    assert told.tier_directories == ("/mnt/ramdisk",)


def test_every_field_is_told() -> None:
    """Each property of the engine reaches its field."""
    told = settings(
        "alluxio.master.rpc.addresses=a,b:2",
        "alluxio.security.login.username=u",
        "alluxio.security.login.impersonation.username=v",
        "alluxio.security.authentication.type=nosasl",
        "alluxio.network.tls.enabled=true",
        "alluxio.network.tls.ca.path=/ca.pem",
        "alluxio.user.hostname=h",
        "alluxio.locality.order=node,zone,rack",
        "alluxio.locality.rack=r",
        "alluxio.locality.zone=z",
        "alluxio.network.connection.auth.timeout=1s",
        "alluxio.user.master.polling.timeout=2s",
        "alluxio.user.rpc.retry.base.sleep.ms=3",
        "alluxio.user.rpc.retry.max.sleep=4s",
        "alluxio.user.rpc.retry.max.duration=5s",
        "alluxio.user.block.read.retry.sleep.base=6ms",
        "alluxio.user.block.read.retry.sleep.max=7ms",
        "alluxio.user.block.read.retry.max.duration=8s",
        "alluxio.user.streaming.data.timeout=9s",
        "alluxio.user.logging.threshold=-1",
        "alluxio.user.file.metadata.sync.interval=11s",
        "alluxio.user.file.metadata.load.type=ALWAYS",
        "alluxio.user.metadata.cache.enabled=true",
        "alluxio.user.metadata.cache.expiration.time=12s",
        "alluxio.user.metadata.cache.max.size=13",
        "alluxio.user.worker.list.refresh.interval=14s",
        "alluxio.user.file.readtype.default=NO_CACHE",
        "alluxio.user.network.reader.chunk.size.bytes=15KB",
        "alluxio.user.file.sequential.pread.threshold=16KB",
        "alluxio.user.file.passive.cache.enabled=false",
        "alluxio.user.ufs.block.read.concurrency.max=17",
        f"{POLICY}=alluxio.client.block.policy.SpecificHostPolicy",
        "alluxio.worker.hostname=w",
        f"{POLICY}.deterministic.hash.shards=18",
        "alluxio.user.block.avoid.eviction.policy.reserved.size.bytes=19KB",
        "alluxio.user.short.circuit.enabled=false",
        "alluxio.user.short.circuit.preferred=true",
        "alluxio.worker.data.server.domain.socket.as.uuid=true",
        "alluxio.user.direct.memory.io.enabled=true",
        "alluxio.worker.tieredstore.level0.dirs.path=/x, /y/",
        "alluxio.worker.data.folder=/z/",
        "alluxio.fuse.auth.policy.class=alluxio.fuse.auth.CustomAuthPolicy",
        "alluxio.fuse.auth.policy.custom.user=20",
        "alluxio.fuse.auth.policy.custom.group=21",
        options=["attr_timeout=10"],
    )
    assert told == Settings(
        masters=("a:19998", "b:2"),
        user="u",
        impersonated="v",
        auth_type="NOSASL",
        tls=True,
        tls_ca_path="/ca.pem",
        hostname="h",
        tiers=(("zone", "z"), ("rack", "r")),
        uid=20,
        gid=21,
        auth_timeout_s=1,
        polling_timeout_s=2,
        rpc_retry_base_s=0.003,
        rpc_retry_max_sleep_s=4,
        rpc_retry_max_duration_s=5,
        mount_patience_s=5,
        read_retry_base_s=0.006,
        read_retry_max_sleep_s=0.007,
        read_retry_max_duration_s=8,
        read_timeout_s=9,
        slow_rpc_s=0,
        sync_interval_ms=11_000,
        load_type="ALWAYS",
        metadata_cache=True,
        metadata_expiration_s=12,
        metadata_max_entries=13,
        remembered_s=10,
        worker_refresh_s=14,
        read_type="NO_CACHE",
        chunk_bytes=15 << 10,
        positioned_bytes=16 << 10,
        passive_cache=False,
        ufs_read_concurrency=17,
        ufs_read_policy="SpecificHostPolicy",
        ufs_read_policy_host="w",
        ufs_read_policy_shards=18,
        reserved_bytes=19 << 10,
        short_circuit=False,
        short_circuit_preferred=True,
        domain_socket_as_uuid=True,
        direct_local_io=True,
        tier_directories=("/x", "/y/"),
        tiers_configured=True,
        data_folder="z",
    )


def test_no_limit_is_a_long_time() -> None:
    """Never giving up is a number that clocks and timeouts can work with."""
    told = settings("alluxio.user.rpc.retry.max.duration=0", "alluxio.user.streaming.data.read.timeout=-1")
    assert told.rpc_retry_max_duration_s == told.read_timeout_s > 10**8


@pytest.mark.parametrize("name", ["_NONE_", "_HDFS_USER_", "me", ""])
def test_nobody_is_impersonated(name: str) -> None:
    """Acting as oneself is no impersonation: masters that allow none would refuse it."""
    identity = "alluxio.security.login."
    told = settings(f"{identity}username=me", f"{identity}impersonation.username={name}")
    assert (told.user, told.impersonated) == ("me", "")


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is known by its number."""

    def nobody(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.delenv("USER", raising=False)
    assert settings().user == str(os.getuid())
    monkeypatch.setenv("USER", "someone")
    assert settings().user == "someone"


def test_owners() -> None:
    """Of who mounted, of the cluster's names, or of one named user and group of this machine."""
    policy = "alluxio.fuse.auth.policy."
    translated = "alluxio.fuse.user.group.translation.enabled=true"
    custom = f"{policy}class=CustomAuthPolicy"
    user, group = pwd.getpwall()[-1], grp.getgrall()[-1]
    for properties, owner in (
        ([f"{policy}class=alluxio.fuse.auth.SystemUserGroupAuthPolicy"], (-1, -1)),
        ([translated], (-1, -1)),
        ([translated, f"{policy}class=LaunchUserGroupAuthPolicy"], (os.getuid(), os.getgid())),
        ([custom, f"{policy}custom.user={user.pw_name}", f"{policy}custom.group={group.gr_name}"], (user[2], group[2])),
    ):
        told = settings(*properties)
        assert (told.uid, told.gid) == owner
    with pytest.raises(ConfigError, match=r"custom\.user=no-one \(-D\): expected a user of this machine"):
        settings(custom, f"{policy}custom.user=no-one")


def test_unknown_classes_are_replaced() -> None:
    """A policy of somebody's own is no reason not to mount: the default takes its place and the log says so."""
    config = load(MASTER, f"{POLICY}=com.example.MyPolicy")
    assert config.text(POLICY) == "LocalFirstPolicy"
    assert config.notes == [f"{POLICY}=com.example.MyPolicy (-D): unknown; LocalFirstPolicy is used"]


def test_settings_of_a_worker() -> None:
    """Have an effect only with the options that need them."""
    host, tier = "alluxio.worker.hostname", "alluxio.worker.tieredstore.level0.dirs.path"
    config = load(MASTER, f"{host}=w", f"{tier}=/x", "alluxio.user.short.circuit.enabled=false")
    assert [len(ignored(config, key)) for key in (host, tier)] == [1, 1]
    assert not load(MASTER, f"{host}=w", f"{tier}=/x", f"{POLICY}=SpecificHostPolicy").notes


def test_where_block_files_lie() -> None:
    """In all tiers that are configured here; what the cluster says is not to be relied on."""
    tier = "alluxio.worker.tieredstore.level{}.dirs.path"
    assert not settings(MASTER).tiers_configured
    told = settings(MASTER, f"{tier.format(0)}=/a,/b", f"{tier.format(1)}=/c", f"{tier.format(2)}=/d")
    assert told.tiers_configured
    assert told.tier_directories == ("/a", "/b", "/c", "/d")
    assert load(MASTER).with_cluster_defaults([(tier.format(0), "/x")]).settings[tier.format(0)].rank == DEFAULT


def test_tiers_that_are_not_in_the_order() -> None:
    """Are named as ignored; the others are settings like any."""
    config = load(MASTER, "alluxio.locality.order=node,zone", "alluxio.locality.zone=z", "alluxio.locality.script=x")
    assert config.text("alluxio.locality.zone") == "z"
    assert [note.split()[1] for note in config.notes] == ["alluxio.locality.script"]


def test_a_reader_waits_for_more_than_one_worker() -> None:
    """One that hangs is given up in time for the others."""
    timeout, retry = "alluxio.user.streaming.data.read.timeout", "alluxio.user.block.read.retry.max.duration"
    assert load(f"{timeout}=10s", f"{retry}=20s", ufs="/a").core_options()["read_timeout_ms"] == 10_000
    assert load(MASTER, f"{timeout}=10s", f"{retry}=20s").core_options()["read_timeout_ms"] == 30_000
    assert load(MASTER, f"{timeout}=0", f"{retry}=20s").core_options()["read_timeout_ms"] == 0
    assert load(MASTER, f"{timeout}=10s", f"{retry}=0").core_options()["read_timeout_ms"] == 0


# ------------------------------------------------------------------------------------------------ cluster defaults


def test_cluster_defaults_rank_before_the_defaults(tmp_path: Path) -> None:
    """And behind everything that was set here, under whatever name."""
    (tmp_path / "alluxio-site.properties").write_text("alluxio.user.client.cache.size=1MB\n")
    config = load(
        MASTER, "alluxio.user.direct.memory.io.enabled=false", environ={"ALLUXIO_CONF_DIR": str(tmp_path)}
    ).with_cluster_defaults(
        [
            (f"{CACHE}size", "9MB"),
            (f"{CACHE}enabled", "true"),
            ("alluxio.user.unsafe.direct.local.io.enabled", "true"),
            ("alluxio.fuse.mount.options", "kernel_cache,attr_timeout=7"),
        ]
    )
    assert (config.number(f"{CACHE}size"), config.flag(f"{CACHE}enabled")) == (1 << 20, True)
    assert not config.lend
    assert config.origin(f"{CACHE}enabled") == "cluster default"
    assert not config.flag("alluxio.user.unsafe.direct.local.io.enabled")
    numbers = config.core_options()
    assert (numbers["cache_mode"], numbers["attr_timeout_ns"]) == (1, 7 * 10**9)


def test_mount_options_of_the_cluster_rank_behind_those_of_the_user() -> None:
    """Also behind a mode that was set here."""
    config = load(MASTER, options=["direct_io,attr_timeout=3"])
    config = config.with_cluster_defaults([("alluxio.fuse.mount.options", "kernel_cache,attr_timeout=7,noexec")])
    numbers = config.core_options()
    assert (numbers["cache_mode"], numbers["attr_timeout_ns"]) == (2, 3 * 10**9)
    assert "noexec" in config.mount_options().split(",")


def test_bad_cluster_defaults_are_notes() -> None:
    """Somebody else's mistake is no reason not to mount."""
    before = load(MASTER)
    config = before.with_cluster_defaults(
        [
            (f"{CACHE}size", "lots"),
            ("alluxio.user.file.readtype.default", "SOMETIMES"),
            ("alluxio.fuse.mount.options", "foo,attr_timeout=x,uid=me,ro=1,max_read"),
        ]
    )
    assert {note.split()[1] for note in config.notes if note.startswith("ignored: ")} == {
        "foo",
        "ro=1",
        "max_read",
        "attr_timeout=x",
        "uid=me",
        f"{CACHE}size=lots",
        "alluxio.user.file.readtype.default=SOMETIMES",
    }
    assert len(config.notes) == 7
    assert config.core_options() == before.core_options()


def test_cluster_defaults_that_contradict_are_left_out() -> None:
    """All of them: there is no telling which is meant."""
    config = load(MASTER).with_cluster_defaults([(f"{CACHE}enabled", "true"), (f"{CACHE}page.size", "1GB")])
    assert not config.flag(f"{CACHE}enabled")
    assert "must hold at least one page" in config.notes[-1]


def test_what_is_not_taken_from_the_cluster() -> None:
    """What describes a machine, the mount or the way to the cluster, and what is of no use here; without a word."""
    before = load(MASTER, alluxio_path="/x")
    config = before.with_cluster_defaults(
        [
            ("alluxio.master.hostname", "elsewhere"),
            ("alluxio.master.rpc.port", "1"),
            ("alluxio.fuse.mount.point", "/elsewhere"),
            ("alluxio.fuse.mount.alluxio.path", "/elsewhere"),
            ("alluxio.fuse.mount.options", "alluxio.user.hostname=elsewhere,alluxio.worker.x=1"),
            (UFS, "oss://bucket/"),
            ("alluxio.user.hostname", "master"),
            ("alluxio.locality.node", "master"),
            ("alluxio.security.login.username", "root"),
            ("alluxio.logs.dir", "/elsewhere"),
            ("alluxio.master.journal.type", "UFS"),
            ("alluxio.worker.tieredstore.level0.dirs.path", "/dev/shm"),
        ]
    )
    assert config.ufs == before.ufs == "alluxio://m:19998/x"
    assert config.notes == []
    changed = {name for name in config.settings if config.settings[name] != before.settings[name]}
    assert changed == {"alluxio.fuse.mount.options"}


def test_notes_survive_the_cluster_defaults() -> None:
    """Those that were made before stay, once each."""
    config = load(MASTER, "alluxio.worker.ramdisk.size=1G")
    config.notes.append("something of the command line")
    again = config.with_cluster_defaults([(f"{CACHE}page.size", "3MB")])
    assert again.notes[:2] == config.notes
    assert len(again.notes) == 3
    assert "rounded up" in again.notes[2]


class FakeClient:
    """A master that tells what it is given."""

    made = 0
    closed = 0
    answer: object = ()

    def make(self, config: Config) -> FakeClient:
        self.made += 1
        return self

    def connect(self) -> None:
        if isinstance(self.answer, SourceError):
            raise self.answer

    def get_configuration(self) -> object:
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    fake = FakeClient()
    monkeypatch.setattr(from_config, "master_client", fake.make)
    return fake


def test_the_cluster_is_asked(client: FakeClient) -> None:
    """Once, unless the user does not want it; what nobody has set there is no better than the defaults here."""
    client.answer = [(f"{CACHE}enabled", "true", "SITE_PROPERTY (/a)"), (f"{CACHE}size", "1GB", "DEFAULT")]
    config, asked = from_config.ask_cluster(load(MASTER))
    assert config.flag(f"{CACHE}enabled")
    assert config.origin(f"{CACHE}size") == "default"
    assert (asked, client.made, client.closed) == (client, 1, 0)
    config = load(MASTER, "alluxio.user.conf.cluster.default.enabled=false")
    client.answer = SourceError("nobody asks")
    assert from_config.ask_cluster(config) == (config, client)


def test_a_cluster_whose_settings_need_another_client(client: FakeClient) -> None:
    """It is made with them; the one that has asked is closed."""
    client.answer = [("alluxio.user.rpc.retry.max.duration", "77s", "SITE_PROPERTY (/a)")]
    config, _ = from_config.ask_cluster(load(MASTER))
    assert from_config.settings(config, ["m:1"]).rpc_retry_max_duration_s == 77
    assert (client.made, client.closed) == (2, 1)


def test_a_cluster_that_does_not_tell(client: FakeClient) -> None:
    """Is mounted without; one that is not there is an error."""
    client.answer = PermissionError(13, "Permission denied")
    config, asked = from_config.ask_cluster(load(MASTER))
    assert config.notes == ["the cluster does not tell its configuration: Permission denied"]
    assert (asked, client.closed) == (client, 0)
    client.answer = SourceError("no master answers")
    with pytest.raises(SourceError):
        from_config.ask_cluster(load(MASTER))
    assert client.closed == 1


def test_a_missing_library_is_told() -> None:
    """With what to do about it: gRPC is an extra."""
    program = (
        "import sys; sys.modules['grpc'] = None\n"
        "from alluxio_jnifuse.config.values import Config\n"
        "from alluxio_jnifuse.sources.alluxio.from_config import master_client\n"
        f"master_client(Config.load(properties=[{MASTER!r}], environ={{}}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        "alluxio_jnifuse.errors.ConfigError: reading from an Alluxio cluster needs grpc; "
        "pip install 'alluxio-jnifuse[alluxio]'"
    )


def test_how_long_a_mount_is_tried() -> None:
    """For as long as was set; else people are told soon."""
    retry = "alluxio.user.rpc.retry.max.duration"
    assert settings().mount_patience_s == 10
    assert settings(f"{retry}=1min").mount_patience_s == 60
    assert settings(f"{retry}=1s").mount_patience_s == 1
    assert settings(f"{retry}=0").mount_patience_s > 1e8
