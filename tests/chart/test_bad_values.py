"""Values that are refused, each with a sentence that says what is wrong."""

from __future__ import annotations

import pytest
from helm import template

pytestmark = pytest.mark.chart

CACHE = "cache.enabled: true, {0}cache.store.type: MEMORY, {0}cache.size: 4GB".replace("{0}", "alluxio.user.client.")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("fuse: {mountpath: /mnt/a}", "at '/fuse': additional properties 'mountpath' not allowed"),
        ("fuze: {}", "additional properties 'fuze' not allowed"),
        ("jobMaster: {hostNetwork: true}", "at '/jobMaster': additional properties 'hostNetwork' not allowed"),
        ("imagePullPolicy: always", "at '/imagePullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'"),
        ("fuse: {args: --fuse-opts=ro}", "at '/fuse/args': got string, want null or array"),
        ("fuse: {mountPoint: mnt/a}", "at '/fuse/mountPoint'"),
        ("fuse: {mountOptions: 'ro, allow_other'}", "at '/fuse/mountOptions'"),
        ("fuse: {shortCircuitPolicy: socket}", "at '/fuse/shortCircuitPolicy'"),
        ("fuse: {resources: {limit: {}}}", "at '/fuse/resources': additional properties 'limit' not allowed"),
        ("fuse: {env: {A-B: c}}", "at '/fuse/env': additional properties 'A-B' not allowed"),
        ("master: {count: 0}", "at '/master/count': minimum: got 0, want 1"),
        ("master: {replicas: 3}", "at '/master/replicas': value must be 1"),
        ("tieredstore: {levels: []}", "at '/tieredstore/levels': minItems: got 0, want 1"),
        ("tieredstore: {levels: [{level: 0, alias: MEM, type: hostPath}]}", "missing property 'path'"),
        ("tieredstore: {levels: [{level: 0, alias: MEM, path: /a, type: hostpath}]}", "value must be one of"),
        ("properties: {a: {b: c}}", "at '/properties/a': got object"),
        ("fuse: {mountPoint: /alluxio-fuse}", "fuse.mountPoint /alluxio-fuse: its directory is shared with the host"),
        (
            "fuse: {mountPath: /a/b, mountPoint: /a/c}",
            "fuse.mountPath (/a/b) and fuse.mountPoint (/a/c) are the same setting",
        ),
        ("master: {count: 3}", "several masters (master.count) need journal.type EMBEDDED"),
        (
            "properties: {alluxio.master.journal.folder: /other}",
            "alluxio.master.journal.folder is /other, and journal.folder /journal",
        ),
        ("properties: {a: b c}", "properties: a has white space"),
        ("{existingSecret: s, properties: {fs.oss.accessKeyId: a}}", "give credentials in one place"),
        (
            f"fuse: {{properties: {{alluxio.user.client.{CACHE}}}, resources: {{limits: {{memory: 2Gi}}}}}}",
            "the pod would be killed",
        ),
        ("shortCircuit: {policy: local}", "tieredstore level 0 is of type emptyDir: use policy uuid, or type hostPath"),
        ("tieredstore: {levels: [{level: 0, path: /a, type: hostPath}]}", "neither mediumtype nor alias"),
        (
            "tieredstore: {levels: [{level: 0, alias: MEM, path: /a, type: persistentVolumeClaim}]}",
            "missing property 'name'",
        ),
        ("fuse: {mountPoint: /opt/mnt}", "/opt of the host would hide that of the container"),
        ("fuse: {mountPoint: '/mnt/a b'}", "at '/fuse/mountPoint'"),
        ("fuse: {env: {MOUNT_POINT: /mnt/b}}", "fuse.env: MOUNT_POINT is what fuse.mountPoint says"),
        ("master: {properties: {alluxio.master.journal.folder: /b}}", "folder is /b, and journal.folder /journal"),
        ("properties: {alluxio.master.rpc.port: 20000}", "rpc.port is 20000, and master.ports.rpc 19998"),
        ("journal: {folder: 'hdfs://nn/j', format: {runFormat: true}}", "this chart formats directories only"),
        ("journal: {volumeType: hostPath}", "journal.volumeType hostPath needs journal.path"),
        ("jvmOptions: -Dfs.oss.accessKeySecret=x", "jvmOptions (all) hold credentials"),
        ("fuse: {jvmOptions: [-Xmx1g, -Dfs.oss.accessKeySecret=x]}", "jvmOptions (fuse) hold credentials"),
        (
            "fuse: {properties: {alluxio.user.client.cache.enabled: true, alluxio.user.client.cache.size: 8GB},"
            " resources: {limits: {memory: 2Gi}}}",
            "the pod would be killed",
        ),
        (
            "tieredstore: {levels: [{level: 1, alias: SSD, path: /a, type: hostPath},"
            " {level: 0, alias: MEM, path: /b, type: hostPath}]}",
            "number 0 has level 1",
        ),
        ("csi: {enabled: true}", "csi.enabled: this chart has no csi"),
        ("worker: {fuseEnabled: true}", "fuse.enabled gives every node its own"),
    ],
)
def test_refused(values: str, message: str) -> None:
    """The message is on standard error, and nothing is rendered."""
    done = template(values)
    assert done.returncode != 0
    assert message in done.stderr
    assert not done.stdout
