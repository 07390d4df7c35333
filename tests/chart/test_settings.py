"""Single settings, and what they change."""

from __future__ import annotations

import json

import pytest
from helm import render

pytestmark = pytest.mark.chart


def checksums(values: str) -> dict[str, str]:
    """The annotation by which pods are replaced."""
    return {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        for each in render(values)
        if each["kind"] in ("DaemonSet", "StatefulSet")
    }


@pytest.mark.parametrize("owner", ["master", "jobMaster", "worker", "jobWorker", "fuse"])
def test_java_options_as_text_or_list(owner: str) -> None:
    """Both generations of charts are understood."""
    text, words = (
        render(json.dumps({owner: {"jvmOptions": given}})) for given in (" -Xmx1G  -Xms1G ", ["-Xmx1G", "-Xms1G"])
    )
    assert text.text == words.text
    assert "-Xmx1G -Xms1G" in text.text


def test_both_names_of_the_mount_point() -> None:
    """mountPath was its name before 2.9."""
    old, new = (render(json.dumps({"fuse": {name: "/data/set/"}})) for name in ("mountPath", "mountPoint"))
    assert old.text == new.text
    assert old.fuse()["args"] == ["fuse", "--fuse-opts=allow_other", "/data/set", "/"]


def test_both_names_of_the_short_circuit() -> None:
    """And it is local where all tiers are directories of the host, else through a socket."""
    level = "tieredstore: {levels: [{level: 0, alias: MEM, path: /ram, type: hostPath}]}\n"
    assert "/opt/domain" in render().text
    assert "/opt/domain" not in render(level).text
    old, new = render(level + "fuse: {shortCircuitPolicy: uuid}"), render(level + "shortCircuit: {policy: uuid}")
    assert old.text == new.text
    assert "domain.socket.as.uuid=true" in old.options("ALLUXIO_FUSE_JAVA_OPTS")
    assert "domain.socket.as.uuid=true" in old.options("ALLUXIO_WORKER_JAVA_OPTS")
    off = render("shortCircuit: {enabled: false}")
    assert "alluxio.user.short.circuit.enabled=false" in off.options("ALLUXIO_FUSE_JAVA_OPTS")


def test_pods_are_replaced_when_their_options_change() -> None:
    """Those of the component that has changed, and no others: a mount is not ended for the master's sake."""
    before = checksums("")
    for owner, changed in (("fuse", "alluxio-fuse"), ("jobWorker", "alluxio-worker"), ("jobMaster", "alluxio-master")):
        after = checksums(json.dumps({owner: {"jvmOptions": "-Da=b"}}))
        assert {name for name in after if after[name] != before[name]} == {changed}
    key = checksums("properties: {fs.oss.accessKeyId: a}")
    assert {name for name in key if key[name] != before[name]} == {"alluxio-master", "alluxio-worker"}
    assert all(before[name] != value for name, value in checksums("properties: {a: b}").items())


def test_several_masters() -> None:
    """They elect one of them; clients know all."""
    release = render("{master: {count: 3}, journal: {type: EMBEDDED}}")
    assert release.get("StatefulSet", "alluxio-master")["spec"]["replicas"] == 3
    assert {name for kind, name in release.names() if kind == "Service"} == {f"alluxio-master-{i}" for i in range(3)}
    options = release.options("ALLUXIO_JAVA_OPTS").split()
    assert (
        "-Dalluxio.master.rpc.addresses=alluxio-master-0:19998,alluxio-master-1:19998,alluxio-master-2:19998" in options
    )
    assert not any(word.startswith("-Dalluxio.master.hostname=") for word in options)
    assert "initContainers" not in release.pod("alluxio-master")


def test_addresses_of_workers() -> None:
    """On the host's network it is the node's, else the pod's."""
    for network, path in (("true", "status.hostIP"), ("false", "status.podIP")):
        (container, _) = render(f"worker: {{hostNetwork: {network}}}").pod("alluxio-worker")["containers"]
        sources = {each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"] for each in container["env"]}
        assert sources["ALLUXIO_WORKER_HOSTNAME"] == path


def test_useHostNetwork_is_for_all() -> None:
    """The name of older charts, in both directions."""
    for value in (True, False):
        release = render(json.dumps({"useHostNetwork": value, "useHostPID": value}))
        for name in ("alluxio-master", "alluxio-worker", "alluxio-fuse"):
            assert release.pod(name).get("hostNetwork", False) is value
            assert release.pod(name).get("hostPID", False) is value


def test_names() -> None:
    """No name is too long for what Kubernetes puts behind it."""
    names = {name for _, name in render(f"fullnameOverride: {'a' * 53}").names()}
    assert all(name.startswith("a" * 35 + "-") and len(name) <= 52 for name in names)


def annotations(values: str) -> dict[str, dict[str, str]]:
    """Those for Prometheus, of each set of pods."""
    return {
        each["metadata"]["name"]: {
            name: value
            for name, value in each["spec"]["template"]["metadata"]["annotations"].items()
            if name.startswith("prometheus.io/")
        }
        for each in render(values)
        if each["kind"] in ("DaemonSet", "StatefulSet")
    }


@pytest.mark.parametrize("owner", ["fuse", ""])
def test_mounts_that_show_their_counters_are_scraped(owner: str) -> None:
    """By annotations, which others may replace; of mounts alone, and not if only their own machine can read them."""
    assert not any(annotations("").values())
    web: dict[str, object] = {"alluxio.fuse.web.enabled": True}
    assert not any(annotations(json.dumps({owner: {"properties": web}} if owner else {"properties": web})).values())
    web |= {"alluxio.fuse.web.bind.host": "0.0.0.0", "alluxio.fuse.web.port": 50000}
    found = annotations(json.dumps({owner: {"properties": web}} if owner else {"properties": web}))
    told = {"scrape": "true", "port": "50000", "path": "/metrics/prometheus"}
    expected = {f"prometheus.io/{name}": value for name, value in told.items()}
    assert [each for each in found.values() if each] == [expected]
    assert [name for name, each in found.items() if each and name.endswith("fuse")]
    off = {"fuse": {"properties": web, "podAnnotations": {"prometheus.io/scrape": "false"}}}
    assert "false" in [each.get("prometheus.io/scrape") for each in annotations(json.dumps(off)).values()]
