"""Every setting of AlluxioFuse's guide: what it changes here, and the test that shows it; or why it changes nothing.

The guide is alluxio-fuse-on-docker.zh.md. `python -m guide` writes docs/GUIDE.md.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from alluxio_jnifuse.config.properties import ignored_reason

GUIDE = (Path(__file__).parent / "alluxio-fuse-on-docker.zh.md").read_text()

_MOUNT = "tests/fuse/test_guide_mounts.py"
_CLUSTER = "tests/alluxio/test_guide_cluster.py"
_SEED = "tests/alluxio/test_mount_seed.py"
_OSS = "tests/fuse/test_oss_mount.py"
_LOG = "tests/fuse/test_log_lines.py"
_CACHE = "alluxio.user.client.cache."


class Effect(NamedTuple):
    """`what` a setting changes; `test`: "path::function"."""

    what: str
    test: str


# By name, as the guide writes it. Every other name changes nothing, for the reason that the log gives.
EFFECTS = {
    "direct_io": Effect(
        "each read of a program is a request of its own, each time",
        "tests/fuse/test_cache.py::test_direct_io_keeps_nothing",
    ),
    "kernel_cache": Effect(
        "the kernel keeps the pages of an unchanged file from one open to the next",
        "tests/fuse/test_cache.py::test_pages_of_the_kernel_are_kept",
    ),
    "ro": Effect("a write is refused, as it is without it", "tests/fuse/test_readonly.py::test_everything_is_refused"),
    "max_read": Effect("no request for bytes is larger", "tests/fuse/test_cache.py::test_max_read"),
    "attr_timeout": Effect(
        "how long the kernel does not ask for attributes again", f"{_MOUNT}::test_what_the_kernel_remembers"
    ),
    "entry_timeout": Effect(
        "how long the kernel does not ask again what a name is", f"{_MOUNT}::test_what_the_kernel_remembers"
    ),
    "max_idle_threads": Effect(
        "how many threads stay when there is less to do", "tests/fuse/test_concurrency.py::test_limits_of_the_pool"
    ),
    "MAX_IDLE_THREADS": Effect("the same", "tests/fuse/test_concurrency.py::test_pool_of_threads"),
    "SPENT_TIME": Effect("requests that take so many ms have a line in the log", f"{_LOG}::test_a_slow_request"),
    "ALLUXIO_RAM_FOLDER": Effect(
        "where the block files of the worker on this machine are", f"{_SEED}::test_with_everything"
    ),
    "ALLUXIO_JAVA_OPTS": Effect(
        "its -D words are settings; the others are for a Java machine, and named once in the log",
        f"{_SEED}::test_with_java_options",
    ),
    "--fuse-opts": Effect("mount options", f"{_SEED}::test_with_everything"),
    "fuse.jvmOptions": Effect(
        "as ALLUXIO_JAVA_OPTS: words for a Java machine are named once in the log", f"{_SEED}::test_with_everything"
    ),
    "fuse.mountPath": Effect(
        "where the mount is on each machine", "tests/chart/test_guide_values.py::test_fuse_arguments"
    ),
    "fuse.clientEnabled": Effect("a deployment that reads the mount", "tests/chart/test_guide_values.py::test_client"),
    "tieredstore": Effect(
        "the directory of the worker's memory, in both pods", "tests/chart/test_guide_values.py::test_tier"
    ),
    "alluxio.master.hostname": Effect("which cluster is mounted", f"{_SEED}::test_with_a_site_file"),
    "alluxio.master.mount.table.root.ufs": Effect(
        "without a cluster: what is mounted. With one it is the masters' affair", f"{_MOUNT}::test_the_storage"
    ),
    "alluxio.fuse.jnifuse.enabled": Effect(
        "`false`: llfuse takes the place of the C core", "tests/fuse/test_second_binding.py::test_the_log_says_which"
    ),
    "alluxio.fuse.debug.enabled": Effect("each request has two lines in the log", f"{_LOG}::test_enter_and_exit"),
    "alluxio.fuse.logging.threshold": Effect(
        "requests that take so long have a line in the log", f"{_LOG}::test_a_slow_request"
    ),
    f"{_CACHE}enabled": Effect("what was read is not asked of the storage again", f"{_MOUNT}::test_the_client_cache"),
    f"{_CACHE}store.type": Effect("in memory, or in files", f"{_MOUNT}::test_where_the_cache_is"),
    f"{_CACHE}dir": Effect("where these files are", f"{_MOUNT}::test_where_the_cache_is"),
    f"{_CACHE}page.size": Effect("how much is kept and evicted as one", f"{_MOUNT}::test_size_of_pages"),
    f"{_CACHE}size": Effect("how much is kept", f"{_MOUNT}::test_size_of_the_cache"),
    "alluxio.user.metadata.cache.enabled": Effect(
        "the master is not asked again for the same attributes", f"{_CLUSTER}::test_metadata_is_remembered"
    ),
    "alluxio.user.metadata.cache.expiration.time": Effect("for so long", f"{_CLUSTER}::test_metadata_is_remembered"),
    "alluxio.user.metadata.cache.max.size": Effect("of so many paths", f"{_CLUSTER}::test_metadata_of_so_many_paths"),
    "alluxio.user.direct.memory.io.enabled": Effect(
        "block files are opened without asking the worker", f"{_SEED}::test_with_everything"
    ),
    "alluxio.user.streaming.reader.chunk.size.bytes": Effect(
        "how much a worker sends in one message", f"{_CLUSTER}::test_size_of_messages"
    ),
    "alluxio.user.file.passive.cache.enabled": Effect(
        "whether the worker here copies what another one sent", f"{_CLUSTER}::test_copies"
    ),
    "alluxio.user.file.readtype.default": Effect(
        "`NO_CACHE`: workers keep nothing of what is read", f"{_CLUSTER}::test_copies"
    ),
    "alluxio.user.ufs.block.read.location.policy": Effect(
        "which worker gets a block that none has", f"{_CLUSTER}::test_the_worker_that_keeps_a_block"
    ),
    "alluxio.user.block.avoid.eviction.policy.reserved.size.bytes": Effect(
        "how much a worker must have left for that", f"{_CLUSTER}::test_the_worker_that_keeps_a_block"
    ),
    "alluxio.user.worker.list.refresh.interval": Effect(
        "for how long the list of workers is believed", f"{_CLUSTER}::test_the_list_of_workers"
    ),
    "alluxio.user.logging.threshold": Effect(
        "calls to servers that take so long have a line in the log", f"{_CLUSTER}::test_slow_calls"
    ),
    "fs.oss.endpoint": Effect(
        "where a bucket is that is mounted; of a cluster, the servers' affair", f"{_OSS}::test_a_tree"
    ),
    "fs.oss.accessKeyId": Effect("who asks there", f"{_OSS}::test_a_tree"),
    "fs.oss.accessKeySecret": Effect("and what proves it", f"{_OSS}::test_a_tree"),
}

# Names of the guide that are no settings of a mount, and no properties.
_OTHERS = {
    "ALLUXIO_CLIENT_HOSTNAME", "image", "imageTag", "imagePullPolicy", "fuse.enabled", "fuse.image", "fuse.imageTag",
    "fuse.imagePullPolicy", "fuse.shortCircuitPolicy", "fuse.args", "fuse.env", "worker.jvmOptions",
    "master.jvmOptions",
}  # fmt: skip


_HEAD = """\
# Settings of the AlluxioFuse guide

The guide that introduced AlluxioFuse on Docker and Kubernetes sets what is in this table. All of it is taken. This page
is made by `make docs`; `tests/guide.py` has the rows. Each test shows the effect of a setting, and fails without it.
[TUNING](TUNING.md#the-settings-of-the-alluxiofuse-guide) says which of them you still want.

| setting | the guide | here | shown by |
|---|---|---|---|"""
_SILENT = """
## Without effect

The log names each of these once, with the reason.

| setting | the guide | why |
|---|---|---|"""


def settings() -> dict[str, str]:
    """All settings of the guide, with the value that it advises last."""
    found: dict[str, str] = {}
    for row in re.findall(r"<tr>(.*?)</tr>", GUIDE, re.DOTALL):
        cells = re.findall(r"<td>(.*?)</td>", row, re.DOTALL)
        match = re.fullmatch(r"`([\w.]+)(?:=N)?`", cells[0].strip())
        if match:
            found[match[1]] = cells[2].strip() if len(cells) == 4 else cells[1].strip()
    for text in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL):
        found |= dict(re.findall(r"^ {4}((?:alluxio|fs)\.[\w.]+): (.*)$", text, re.MULTILINE))
        found |= dict(re.findall(r"^ {4}([A-Z_]+): (.*)$", text, re.MULTILINE))
        for part in ("fuse", "worker", "master"):
            body = re.search(rf"^{part}:\n((?:  .*\n?)+)", text, re.MULTILINE)
            keys = re.findall(r"^ {2,4}([a-z]\w+):(.*)$", body[1] if body else "", re.MULTILINE)
            found |= {f"{part}.{key}": value.strip() for key, value in keys}
        found |= dict.fromkeys(re.findall(r"^(tieredstore):$", text, re.MULTILINE), "MEM, /alluxio/ram")
    found |= dict(re.findall(r"-D(alluxio[\w.]+)=(\S+?)[\s\"]", GUIDE))
    found |= {name: value.split()[0] for name, value in re.findall(r"-e (ALLUXIO_\w+)=\"?(\S+)", GUIDE)}
    found |= {word: "" for option in re.findall(r"--fuse-opts=(\S+)", GUIDE) for word in re.findall(r"\bro\b", option)}
    found["--fuse-opts"] = "kernel_cache,ro,max_read=131072,attr_timeout=7200,entry_timeout=7200"
    return {name: value.strip('" ') for name, value in found.items() if name not in _OTHERS}


def page() -> str:
    """docs/GUIDE.md."""
    lines = [_HEAD]
    silent = []
    for name, value in settings().items():
        shown = f"`{value}`" if re.fullmatch(r"[\x21-\x7b\x7d-\x7e ]+", value) else ""
        effect = EFFECTS.get(name)
        if effect is None:
            silent.append(f"| `{name}` | {shown} | {ignored_reason(name)} |")
        else:
            file, _, function = effect.test.rpartition("::")
            lines.append(f"| `{name}` | {shown} | {effect.what} | [{function}](../{file}) |")
    lines.append(_SILENT)
    return "\n".join([*lines, *silent, ""])


if __name__ == "__main__":
    print(page(), end="")
