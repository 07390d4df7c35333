"""Buckets mounted by the command: the bytes of the objects, in as few requests as that takes, whatever happens."""

from __future__ import annotations

import errno
import mmap
import os
import random
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from cluster import dataset
from harness.children import Children, results, until
from harness.datasets import check, check_mapped, check_ranges, walk
from harness.mounting import COMMAND, Mounted, Mounts, beneath, run
from oss.bucket import KEY_ID, SECRET, Bucket
from oss.faults import (
    CloseIdle,
    Delay,
    Fault,
    Foreign,
    IgnoreRange,
    Reset,
    Slow,
    Stall,
    Status,
    Truncate,
    WrongBytes,
    WrongRange,
)
from oss.server import OssServer, Rule, Token

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(600)]

MIB = 1 << 20
EDGES = [0, 1, 4095, 4096, 4097, 65_536, 131_071, 131_072, 131_073, MIB - 1, MIB, MIB + 1, 3 * MIB + 5, 9 * MIB]
TREE = {f"sizes/{size}": size for size in EDGES} | dataset.small(300)
READERS = 4
V4 = {"fs.oss.region": "cn-hangzhou"}


def fill(bucket: Bucket, directory: Path, files: Mapping[str, int]) -> None:
    """Puts files of cluster.dataset into the directory that is shown."""
    dataset.make(directory, files)
    bucket.server.put_tree(bucket.name, directory, "dir/")
    bucket.server.reset()


def mount(mounts: Mounts, bucket: Bucket, options: str = "", properties: Mapping[str, str] | None = None) -> Mounted:
    """Mounts it with nothing said but what must be, and `properties`."""
    return mounts.mount(bucket.uri, options, {**bucket.properties(), **(properties or {})})


def read_all(top: str, files: Mapping[str, int], number: int) -> None:
    """One of several readers: each file once, in ways that alternate."""
    names = sorted(files)
    random.Random(number).shuffle(names)
    for index, name in enumerate(names):
        path, size = f"{top}/{name}", files[name]
        way = (index + number) % READERS
        if way == 0 and size:
            check_mapped(path, name, size)
        elif way == 1:
            check_ranges(path, name, size, 5, max(1, size // 2), index)
        else:
            check(path, name, size, 4096 if way == 2 else MIB)


# ------------------------------------------------------------------------------------------------------- the bytes


@pytest.mark.parametrize("properties", [{}, V4], ids=["V1", "V4"])
def test_a_tree(
    bucket: Bucket, mounts: Mounts, children: Children, private: Path, properties: Mapping[str, str]
) -> None:
    """Names of all kinds and sizes around every border there is, read in every way, by several readers."""
    fill(bucket, private / "tree", TREE)
    mounted = mount(mounts, bucket, "", properties)
    listed = children.run(walk, mounted.path, timeout=120)
    assert {name: size for name, (kind, size) in listed.items() if kind == 0o100000} == TREE
    assert {name for name, (kind, _) in listed.items() if kind == 0o040000} == dataset.directories(TREE)
    results([children.start(read_all, mounted.path, TREE, number) for number in range(READERS)], 100.0)
    signatures = {entry.signature for entry in bucket.server.requests()}
    assert signatures == {"V4" if properties else "V1"}
    assert mounted.stats()["oss_damaged"] == 0


@pytest.mark.parametrize("store", ["MEM", "LOCAL"])
def test_with_the_client_cache(bucket: Bucket, mounts: Mounts, children: Children, private: Path, store: str) -> None:
    """What was read is not asked for again, be it kept in memory or on disk."""
    fill(bucket, private / "tree", TREE)
    cache = {"enabled": "true", "size": "256MB", "store.type": store, "dirs": str(private / "cache")}
    mounted = mount(mounts, bucket, "", {f"alluxio.user.client.cache.{name}": value for name, value in cache.items()})
    children.run(read_all, mounted.path, TREE, 2, timeout=120)
    children.run(read_all, mounted.path, TREE, 3, timeout=120)
    before = bucket.counts()["GET"]
    children.run(read_all, mounted.path, TREE, 3, timeout=120)
    assert bucket.counts()["GET"] == before


def test_as_it_is_typed_for_the_fuse_sdk(bucket: Bucket, mounts: Mounts, children: Children, private: Path) -> None:
    """`mount URI MOUNT_POINT -o local_data_cache=DIRECTORY`: files are kept there."""
    fill(bucket, private / "tree", {"file": 3 * MIB})
    path = str(mounts.root / "sdk")
    words = [word for key, value in bucket.properties().items() for word in ("-o", f"{key}={value}")]
    words += ["-o", f"local_data_cache={private}/cache,local_data_cache_size=64MB", bucket.uri, path]
    mounted = mounts.mount_with(words, path)
    children.run(read_all, mounted.path, {"file": 3 * MIB}, 2)
    mounted.closed()
    assert mounted.stats()["cache_pages"] == 3
    assert list((private / "cache").iterdir())


def test_twenty_thousand_small_objects(bucket: Bucket, mounts: Mounts, children: Children) -> None:
    """No more requests than objects and pages of listings."""
    files = {f"{number // 2500}/{number:05}": 100 + number % 900 for number in range(20_000)}
    bucket.put_many({path: text_of(path, size) for path, size in files.items()})
    bucket.server.reset()
    mounted = mount(mounts, bucket)
    children.run(read_in_order, mounted.path, files, timeout=120)
    counts = bucket.counts()
    print(f"\n20,000 objects: {counts['GET']} GET, {counts['LIST']} LIST, {counts['connections']} connections")
    assert counts["GET"] == len(files)
    assert counts["LIST"] <= 8 * 3 + 2  # 2,500 names are three pages, and the root was looked at
    assert counts["bytes_sent"] == sum(files.values())


def text_of(path: str, size: int) -> bytes:
    """What a small object holds; no two of them the same."""
    return (path.encode() * (size // len(path) + 1))[:size]


def read_in_order(top: str, files: Mapping[str, int]) -> None:
    """As `cp -r` does."""
    seen = 0
    for directory, _, names in os.walk(top):
        for name in sorted(names):
            path = os.path.relpath(f"{directory}/{name}", top)
            with open(f"{top}/{path}", "rb", buffering=0) as file:
                assert file.read() == text_of(path, files[path])
            seen += 1
    assert seen == len(files)


def test_an_object_of_more_than_two_gib(bucket: Bucket, mounts: Mounts, children: Children, private: Path) -> None:
    """Offsets beyond 32 bits, and its checksum of 800 ranges."""
    path = private / "huge"
    size = (2 << 30) + 12_345
    with open(path, "wb") as file:
        for offset in (0, 1 << 30, (2 << 30) - 1000, size - 4096):
            file.seek(offset)
            file.write(random.Random(offset).randbytes(4096))
    bucket.put("huge", path, etag="E" * 32)
    mounted = mount(mounts, bucket)
    children.run(compare, mounted.join("huge"), str(path), timeout=120)
    stats = mounted.closed()
    assert stats["oss_checked"] >= 1
    assert stats["oss_damaged"] == 0


def compare(path: str, original: str) -> None:
    """Both from start to end."""
    with open(path, "rb", buffering=0) as ours, open(original, "rb", buffering=0) as theirs:
        while data := ours.read(8 * MIB):
            assert data == theirs.read(len(data))
        assert not theirs.read(1)


# --------------------------------------------------------------------------------------------------------- changes


def test_an_object_that_is_replaced(bucket: Bucket, mounts: Mounts, children: Children) -> None:
    """An open file is one version; the next open is the new one, also when the kernel trusts what it knows."""
    old, new = random.Random(1).randbytes(24 * MIB), random.Random(2).randbytes(24 * MIB)
    bucket.put("file", old)
    mounted = mount(mounts, bucket, "prefetch_window=0")
    assert children.run(read_across, mounted.join("file"), bucket, old, new, timeout=120)


def read_across(path: str, bucket: Bucket, old: bytes, new: bytes) -> bool:
    with open(path, "rb", buffering=0) as file:
        assert file.read(MIB) == old[:MIB]
        bucket.put("file", new)
        rest = b""
        try:
            while data := os.pread(file.fileno(), MIB, len(rest) + MIB):
                rest += data
        except OSError:
            pass  # the rest of the old version is nowhere
        assert rest == old[MIB : MIB + len(rest)]
        assert len(rest) < len(old) - MIB
    with open(path, "rb", buffering=0) as file:
        assert file.read(MIB) == new[:MIB]
    return True


# ---------------------------------------------------------------------------------------------------------- faults


FAULTS = (
    Rule(Status("InternalError"), "GET", probability=0.03),
    Rule(Status("ServerBusy"), "GET", probability=0.03),
    Rule(Reset(50_000), "GET", probability=0.03),
    Rule(Truncate(70_000), "GET", probability=0.03),
    Rule(Stall(90_000), "GET", probability=0.01),
    Rule(IgnoreRange(), "GET", probability=0.03),
    Rule(WrongRange(), "GET", probability=0.03),
    Rule(CloseIdle(), "GET", probability=0.1),
    Rule(Delay(0.02), probability=0.05),
    Rule(Slow(2e7), "GET", probability=0.03),
    Rule(Status("InternalError"), "LIST", probability=0.1),
)


def test_readers_while_everything_goes_wrong(bucket: Bucket, mounts: Mounts, children: Children, private: Path) -> None:
    """Not one wrong byte, and not one failed read: all of it passes."""
    files = {f"f{number}": size for number, size in enumerate([*EDGES, 40 * MIB, 25 * MIB + 1, *range(1000, 9000, 99)])}
    fill(bucket, private / "tree", files)
    mounted = mount(mounts, bucket, "", {"alluxio.underfs.oss.socket.timeout": "1s"})
    for rule in FAULTS:
        bucket.server.add_rule(rule)
    outcomes: Counter[str] = Counter()
    for found in results(
        [children.start(read_and_count, mounted.path, files, number) for number in range(READERS)], 100.0
    ):
        outcomes.update(found)
    stats = mounted.stats()
    bucket.server.clear_rules()
    struck = Counter(entry.fault for entry in bucket.server.requests() if entry.fault)
    failed = {name: number for name, number in outcomes.items() if name.startswith("errno")}
    print(f"\nfaults: {sum(struck.values())} {dict(struck)}")
    print(f"reads: {outcomes['reads']}, wrong: {outcomes['wrong']}, failed: {failed or 0}")
    print({name: value for name, value in stats.items() if name.startswith("oss_")})
    assert sum(struck.values()) > 50
    assert outcomes["reads"] > 1000
    assert not failed
    assert not outcomes["wrong"]


def read_and_count(top: str, files: Mapping[str, int], number: int) -> Counter[str]:
    """Reads with pread and compares; counts what happened instead of failing."""
    found: Counter[str] = Counter()
    chance = random.Random(number)
    for _ in range(3):
        names = sorted(files)
        chance.shuffle(names)
        for name in names:
            size = files[name]
            with open(f"{top}/{name}", "rb", buffering=0) as file:
                for offset in range(0, max(1, size), MIB):
                    found["reads"] += 1
                    try:
                        data = os.pread(file.fileno(), MIB, offset)
                    except OSError as error:
                        found[f"errno {error.errno}"] += 1
                        continue
                    if data != dataset.content(name, offset, max(0, min(MIB, size - offset))):
                        found["wrong"] += 1
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return found


@pytest.mark.parametrize("fault", [Status("NoSuchBucket"), Foreign(404)])
def test_a_bucket_that_is_not_there_for_a_moment(
    bucket: Bucket, mounts: Mounts, children: Children, private: Path, fault: Fault
) -> None:
    """What exists is never said to be missing: whoever asks is told of an error, of which the log has a line."""
    fill(bucket, private / "tree", {"file": 1000})
    mounted = mount(mounts, bucket, "attr_timeout=0,entry_timeout=0", {"alluxio.user.rpc.retry.max.duration": "2s"})
    bucket.server.add_rule(Rule(fault, "LIST"))
    assert children.run(errno_of_reading, mounted.join("file"), timeout=120) == errno.EIO
    assert children.run(errno_of_listing, mounted.path, timeout=120) == errno.EIO
    for operation in ("stat '/file'", "list '/'"):
        until(lambda words=operation: mounted.lines("ERROR", words, "404"), "a line in the log")
    bucket.server.clear_rules()
    children.run(check, mounted.join("file"), "file", 1000, timeout=120)


def errno_of_listing(path: str) -> int:
    try:
        os.listdir(path)
    except OSError as error:
        return error.errno or 0
    return 0


@pytest.mark.parametrize("size", [100_000, 9 * MIB])
def test_an_object_that_is_damaged_on_the_way(
    bucket: Bucket, mounts: Mounts, children: Children, private: Path, size: int
) -> None:
    """It is never read to its end while it is damaged; a moment after it is not, all of it is right."""
    fill(bucket, private / "tree", {"file": size})
    mounted = mount(mounts, bucket)
    bucket.server.add_rule(Rule(WrongBytes(77), "GET"))
    assert children.run(errno_of_reading, mounted.join("file"), timeout=120) == errno.EIO
    assert mounted.lines("ERROR", "CRC-64", "and OSS says")
    assert children.run(errno_of_reading, mounted.join("file"), timeout=120) == errno.EIO
    bucket.server.clear_rules()
    until(lambda: not children.run(errno_of_reading, mounted.join("file"), timeout=120), "it to be right")
    children.run(check, mounted.join("file"), "file", size, timeout=120)


def test_the_kernel_forgets_what_was_damaged(bucket: Bucket, mounts: Mounts, children: Children, private: Path) -> None:
    """Who keeps the file open after the error, or has mapped it, gets the right bytes as well."""
    fill(bucket, private / "tree", {"file": 9 * MIB})
    mounted = mount(mounts, bucket, "kernel_cache")
    bucket.server.add_rule(Rule(WrongBytes(77), "GET"))
    seen = private / "seen"
    child = children.start(see_damage, mounted.join("file"), dataset.content("file", 0, 4096), seen)
    until(seen.exists, "the first bytes to be read")
    assert children.run(errno_of_reading, mounted.join("file"), timeout=120) == errno.EIO
    bucket.server.clear_rules()
    assert child.result(120) == [77]


def see_damage(path: str, right: bytes, seen: Path) -> list[int]:
    """Where the first bytes are wrong; returns when, in the same descriptor and map, they are not any more."""
    with open(path, "rb", buffering=0) as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        first = mapped[: len(right)]
        seen.touch()
        until(lambda: begins(file.fileno(), right), "it to be right")
        assert mapped[: len(right)] == right
    return [at for at in range(len(right)) if first[at] != right[at]]


def begins(fd: int, right: bytes) -> bool:
    """Whether a file begins so; a moment after the damage it is an error."""
    try:
        return os.pread(fd, len(right), 0) == right
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return False


def errno_of_reading(path: str) -> int:
    """The errno that reading a file to its end fails with; 0 when it does not."""
    try:
        with open(path, "rb", buffering=0) as file:
            while file.read(MIB):
                pass
    except OSError as error:
        return error.errno or 0
    return 0


# ------------------------------------------------------------------------------------------------------ ways there


@pytest.mark.skipif(os.getuid() != 0, reason="needs a mount namespace of its own")
@pytest.mark.parametrize("properties", [{}, V4], ids=["V1", "V4"])
def test_a_bucket_in_front_of_the_host(bucket: Bucket, private: Path, properties: Mapping[str, str]) -> None:
    """Virtual-hosted style, with names that only this namespace resolves."""
    bucket.put("file", b"contents")
    host = "oss-test.example"
    hosts = private / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n127.0.0.1 {bucket.name}.{host}\n")
    path = private / "mnt"
    given = {**bucket.properties(), **properties, "fs.oss.endpoint": f"http://{host}:{bucket.server.port}"}
    words = [word for key, value in given.items() for word in ("-D", f"{key}={value}")]
    command = [*COMMAND, "mount", *words, "-u", bucket.uri, str(path)]
    script = 'mount --bind "$0" /etc/hosts && "$@" >&2 && cat "$MOUNT/file" && umount "$MOUNT"'
    done = run(
        ["unshare", "-m", "sh", "-c", script, str(hosts), *command], {**Mounts(private).environ(), "MOUNT": str(path)}
    )
    assert (done.returncode, done.stdout) == (0, "contents"), done.stderr
    assert {entry.host for entry in bucket.server.requests()} == {f"{bucket.name}.{host}:{bucket.server.port}"}


def test_https(mounts: Mounts, private: Path, children: Children) -> None:
    """With an authority that SSL_CERT_FILE names; without, it is not trusted, and the command says so."""
    with OssServer(private / "store", keys={KEY_ID: SECRET}, https=True) as server:
        bucket = Bucket(server, "secure")
        files = {"small": 1000, "large": 5 * MIB + 1}
        fill(bucket, private / "tree", files)
        words = [word for key, value in bucket.properties().items() for word in ("-D", f"{key}={value}")]
        done = run([*COMMAND, "mount", *words, "-u", bucket.uri, str(private / "untrusted")], mounts.environ())
        assert done.returncode == 1
        assert "its certificate is not trusted" in done.stderr
        assert "SSL_CERT_FILE" in done.stderr
        mounted = mounts.mount(bucket.uri, "", bucket.properties(), environ={"SSL_CERT_FILE": str(server.ca_file)})
        children.run(read_all, mounted.path, files, 3, timeout=120)


def test_a_bucket_of_the_properties(bucket: Bucket, mounts: Mounts, private: Path) -> None:
    """As Alluxio's own configuration names it, with everything in alluxio-site.properties."""
    bucket.put("file", b"contents")
    site = {"alluxio.master.mount.table.root.ufs": bucket.uri, **bucket.properties()}
    (private / "alluxio-site.properties").write_text("".join(f"{key}={value}\n" for key, value in site.items()))
    path = str(private / "mnt")
    mounted = mounts.mount_with([path, "/"], path)
    assert subprocess.run(["cat", mounted.join("file")], capture_output=True, timeout=120, check=True).stdout == (
        b"contents"
    )
    assert not mounted.lines("ignored")


@pytest.fixture
def sts(private: Path) -> Iterator[OssServer]:
    """A server that knows temporary credentials only."""
    with OssServer(private / "store", keys={}, tokens={"token-1": Token("STS.1", "secret-1")}) as server:
        yield server


def test_credentials_that_expire_while_a_file_is_read(
    sts: OssServer, mounts: Mounts, private: Path, children: Children
) -> None:
    """A command is asked for new ones, and nobody notices."""
    sts.create_bucket("bucket")
    dataset.make(private / "tree", {"large": 30 * MIB})
    sts.put_tree("bucket", private / "tree", "dir/")
    answer = private / "answer"
    answer.write_text('{"AccessKeyId": "STS.1", "AccessKeySecret": "secret-1", "SecurityToken": "token-1"}')
    properties = {"fs.oss.endpoint": sts.endpoint, "fs.oss.credential.process": f"/bin/cat '{answer}'"}
    mounted = mounts.mount("oss://bucket/dir", "prefetch_window=0", properties)
    with open(mounted.join("large"), "rb", buffering=0) as file:
        assert file.read(4096) == dataset.content("large", 0, 4096)
    answer.write_text('{"AccessKeyId": "STS.2", "AccessKeySecret": "secret-2", "SecurityToken": "token-2"}')
    sts.set_token("token-2", Token("STS.2", "secret-2"))
    sts.set_token("token-1", Token("STS.1", "secret-1", 0.0))
    children.run(check, mounted.join("large"), "large", 30 * MIB, timeout=120)
    assert mounted.stats()["oss_renewals"] >= 1


# ------------------------------------------------------------------------------------------------------ not at all


@pytest.mark.parametrize(
    ("properties", "uri", "sentence"),
    [
        ({"fs.oss.endpoint": ""}, "", "fs.oss.endpoint is not set"),
        ({"fs.oss.endpoint": "no-such-host.invalid"}, "", "its name has no address"),
        ({"fs.oss.accessKeyId": "nobody"}, "", "the access key ID is not known"),
        ({"fs.oss.accessKeySecret": "wrong"}, "", "the access key secret is not the one"),
        ({"fs.oss.accessKeyId": "", "fs.oss.accessKeySecret": ""}, "", "there are no credentials"),
        ({"fs.oss.accessKeySecret": ""}, "", "is set, and fs.oss.accessKeySecret is not; set both"),
        ({}, "oss://no-such-bucket/", "no such bucket"),
        ({}, "oss://{bucket}/no/such/directory", "no key of the bucket begins with 'no/such/directory/'"),
        ({}, "oss://{bucket}.oss-cn-hangzhou.aliyuncs.com/", "the name of a bucket has no dots"),
        ({}, "oss://b/", "'b': no bucket has such a name; use 3 to 63 characters"),
        ({}, "oss:///dir/", "names no bucket; use oss://BUCKET/DIRECTORY/"),
        ({}, "oss://user:hidden@{bucket}/", "a bucket has no user, password or port"),
    ],
)
def test_a_mount_that_does_not_come_about(
    bucket: Bucket, mounts: Mounts, properties: Mapping[str, str], uri: str, sentence: str
) -> None:
    """Says in one line what is wrong, where, and what to do; at once, and no secret in it."""
    given = {**bucket.properties(), **properties}
    words = [word for key, value in given.items() if value for word in ("-D", f"{key}={value}")]
    path = str(mounts.root / "mnt")
    chosen = (uri or bucket.uri).format(bucket=bucket.name)
    done = run([*COMMAND, "mount", *words, "-u", chosen, path], mounts.environ(), timeout=120)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not any(secret in done.stderr for secret in (SECRET, "hidden", "=wrong"))
    assert beneath(str(mounts.root)) == []
