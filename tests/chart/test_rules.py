"""What holds for every release, whatever its values."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from helm import CHART, VALUES, Manifest, render

pytestmark = pytest.mark.chart

SECRET_KEYS = (
    "fs.oss.accessKeyId",
    "fs.oss.accessKeySecret",
    "aws.accessKeyId",
    "aws.secretKey",
    "s3a.secretKey",
    "fs.azure.account.key.container.blob.core.windows.net",
    "fs.cos.access.key",
    "fs.swift.password",
    "fs.gcs.secretAccessKey",
    "fs.oss.securityToken",
    "alluxio.network.tls.keystore.password",
    "alluxio.master.mount.table.root.option.fs.oss.accessKeySecret",
)


@pytest.fixture(scope="module", params=VALUES, ids=lambda path: path.stem)
def release(request: pytest.FixtureRequest) -> Manifest:
    """What each values file renders."""
    path: Path = request.param
    return render(path.read_text())


def fuse_pod(release: Manifest) -> dict:
    """The spec of the pod of the mount, whatever the release's name."""
    (name,) = (name for name in release.pods() if name.endswith("-fuse"))
    return release.pod(name)


@pytest.mark.parametrize("owner", ["", "master", "worker", "jobWorker", "fuse"])
def test_secrets(owner: str) -> None:
    """Credentials are in Secrets and nowhere else, wherever they were given; the mount does not get the servers'."""
    properties = {key: f"canary-{number}" for number, key in enumerate(SECRET_KEYS)}
    values = {owner: {"properties": properties}} if owner else {"properties": properties}
    release = render(json.dumps(values))
    for each in release:
        assert ("canary-" in json.dumps(each)) == (each["kind"] == "Secret")
    (secret,) = (each for each in release if each["kind"] == "Secret")
    lines = secret["stringData"]["alluxio-site.properties"].split()
    assert sorted(lines) == sorted(f"{key}={value}" for key, value in properties.items())

    users = {name for name, pod in release.pods().items() if secret["metadata"]["name"] in json.dumps(pod)}
    assert users == ({"alluxio-fuse"} if owner == "fuse" else {"alluxio-master", "alluxio-worker"})


def test_a_secret_of_ones_own() -> None:
    """The servers use it, and nothing else is made."""
    release = render("existingSecret: mine")
    assert not any(each["kind"] == "Secret" for each in release)
    for name in ("alluxio-master", "alluxio-worker"):
        assert {"name": "site", "secret": {"secretName": "mine"}} in release.pod(name)["volumes"]


def test_only_the_mount_is_privileged(release: Manifest) -> None:
    """Everybody else has no capability at all, and nobody a token of the API."""
    for name, pod in release.pods().items():
        assert pod["automountServiceAccountToken"] is False
        for each in (*pod["containers"], *pod.get("initContainers", [])):
            context = each.get("securityContext", {})
            if name.endswith("-fuse"):
                assert context == {"privileged": True, "readOnlyRootFilesystem": True}
            elif each["name"].startswith(("alluxio", "journal")):
                assert context["allowPrivilegeEscalation"] is False
                assert context["capabilities"] == {"drop": ["ALL"]}
                assert "privileged" not in context


def test_the_mount_reaches_the_host(release: Manifest) -> None:
    """The directory above the mount point is shared in both directions, and its end unmounts."""
    pod = fuse_pod(release)
    (container,) = pod["containers"]
    (shared,) = (each for each in container["volumeMounts"] if each.get("mountPropagation") == "Bidirectional")
    hosts = {each["name"]: each["hostPath"] for each in pod["volumes"] if "hostPath" in each}
    assert hosts[shared["name"]]["path"] == shared["mountPath"]
    assert {"path": "/dev/fuse", "type": "CharDevice"} in hosts.values()
    assert "/sys/devices/virtual/bdi" in {each["mountPath"] for each in container["volumeMounts"]}  # for read-ahead
    mount = container["readinessProbe"]["exec"]["command"][-1]
    assert str(Path(mount).parent) == shared["mountPath"]
    assert container["lifecycle"]["preStop"]["exec"]["command"][-1].endswith(f"alluxio-fuse umount -l {mount}")


def test_every_container_is_probed(release: Manifest) -> None:
    """A dead or hanging one is noticed."""
    for name, pod in release.pods().items():
        for each in pod["containers"]:
            if each["name"].startswith("alluxio-") and not name.endswith("client"):
                assert {"startupProbe", "readinessProbe"} <= each.keys()


def test_names_are_found_on_the_host_network(release: Manifest) -> None:
    """A pod there that did not ask the cluster's DNS would not find the master."""
    for pod in release.pods().values():
        assert not pod.get("hostNetwork") or pod["dnsPolicy"] == "ClusterFirstWithHostNet"


def test_every_object_is_labelled(release: Manifest) -> None:
    """`kubectl get --selector release=NAME` shows all of them."""
    for each in release:
        assert each["metadata"]["labels"]["release"] == "alluxio"


def test_schema_and_values_agree() -> None:
    """Every name in the schema is used by a template or said to be accepted only; every one in values.yaml is there."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    templates = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    for section in ("", "master", "jobMaster", "journal", "worker", "jobWorker", "shortCircuit", "fuse"):
        described = (schema["properties"][section] if section else schema)["properties"]
        for name, description in described.items():
            accepted = isinstance(description, dict) and ("description" in description or "const" in description)
            written = re.sub("^(startup|readiness|liveness)(?=Probe)", "%s", name)
            assert accepted or written in templates, f"{section}.{name}"
        assert (values[section] if section else values).keys() <= described.keys()
