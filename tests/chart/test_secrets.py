"""Secrets lie in Secrets, and nothing else tells what they are: no variable, no word of a command, no annotation."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm import VERSIONS, Manifest, render, template

pytestmark = pytest.mark.chart

OWNERS = ["master", "jobMaster", "worker", "jobWorker", "fuse"]
VARIABLES = {
    "OSS_ACCESS_KEY_SECRET": "canary-1",
    "SOME_TOKEN": "canary-2",
    "ALLUXIO_SITE_PROPERTIES": "a=b\nfs.oss.accessKeySecret = canary-3\n",
    "ALLUXIO_FUSE_JAVA_OPTS": "-Da=b -Dalluxio.underfs.s3a.secretKey=canary-4",
    "https_proxy": "http://me:canary-5@proxy:3128",
}


@pytest.mark.parametrize("owner", OWNERS)
def test_variables(owner: str) -> None:
    """What looks like a secret among variables comes from a Secret; its container gets it, and the others are plain."""
    release = render(json.dumps({owner: {"env": {**VARIABLES, "PLAIN": "seen", "NUMBER": 1000000}}}))
    holders = [each for each in release if "canary-" in json.dumps(each)]
    (secret,) = holders
    assert secret["kind"] == "Secret"
    assert secret["stringData"] == VARIABLES
    taken = {
        each["name"]: each["valueFrom"]["secretKeyRef"]
        for pod in release.pods().values()
        for container in pod["containers"]
        for each in container.get("env", [])
        if "secretKeyRef" in each.get("valueFrom", {})
    }
    assert taken == {name: {"name": secret["metadata"]["name"], "key": name} for name in VARIABLES}
    assert '"PLAIN", "value": "seen"' in json.dumps(release.objects)
    assert '"NUMBER", "value": "1000000"' in json.dumps(release.objects)


@pytest.mark.parametrize("owner", ["", *OWNERS])
def test_passwords_in_uris(owner: str) -> None:
    """A property whose value is a URI with a password is a secret, whatever its name."""
    given = {"properties": {"some.proxy": "http://me:canary@proxy:3128"}}
    release = render(json.dumps({owner: given} if owner else given))
    assert [each["kind"] for each in release if "canary" in json.dumps(each)] == ["Secret"]


@pytest.mark.parametrize(
    "values",
    [
        "fuse: {mountOptions: 'allow_other,alluxio.fs.oss.accessKeySecret=x'}",
        "fuse: {args: [fuse, '--fuse-opts=alluxio.fs.oss.accessKeySecret=x']}",
        "worker: {args: [worker, -Dfs.cos.secret.key=x]}",
    ],
)
def test_words_of_commands(values: str) -> None:
    """They are shown by every list of processes, so they are refused."""
    assert "hold credentials" in template(values).stderr


def checksums(release: Manifest) -> dict[str, str]:
    """The annotation by which pods are replaced."""
    return {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        for each in release
        if each["kind"] in ("DaemonSet", "StatefulSet")
    }


def test_no_guess_can_be_tried() -> None:
    """All that everybody may see is the same, whatever the secrets are."""
    shown = []
    for guess in ("right", "wrong"):
        release = render(
            json.dumps({"properties": {"fs.oss.accessKeySecret": guess}, "fuse": {"env": {"A_TOKEN": guess}}})
        )
        shown.append([each for each in release if each["kind"] != "Secret"])
    assert shown[0] == shown[1]


class Cluster:
    """The part of a cluster that `lookup` asks: Secrets by name."""

    def __init__(self) -> None:
        self.secrets: dict[str, dict[str, Any]] = {}

    def answer(self, path: str) -> dict[str, Any] | None:
        """The object at a path of the API, if there is one."""
        fixed: dict[str, dict[str, Any]] = {
            "/version": {"major": "1", "minor": "34", "gitVersion": f"v{VERSIONS[-1]}.0"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
            "/api/v1": {
                "kind": "APIResourceList",
                "groupVersion": "v1",
                "resources": [
                    {"name": "secrets", "singularName": "", "namespaced": True, "kind": "Secret", "verbs": ["get"]}
                ],
            },
        }
        _, found, name = path.partition("/api/v1/namespaces/default/secrets/")
        return self.secrets.get(name) if found else fixed.get(path)

    def apply(self, release: Manifest) -> None:
        """Takes the Secrets of a release."""
        self.secrets = {each["metadata"]["name"]: self._stored(each) for each in release if each["kind"] == "Secret"}

    def _stored(self, secret: dict[str, Any]) -> dict[str, Any]:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in secret["stringData"].items()}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": secret["metadata"], "data": data}


@contextmanager
def served(cluster: Cluster) -> Iterator[str]:
    """The address of the cluster's API."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = cluster.answer(self.path.partition("?")[0])
            body = json.dumps(
                answer or {"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"}
            ).encode()
            self.send_response(404 if answer is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_pods_are_replaced_when_secrets_change(tmp_path: Path) -> None:
    """An upgrade with other secrets replaces the pods that have them; one with the same replaces none."""
    cluster = Cluster()
    with served(cluster) as address:
        config = tmp_path / "kubeconfig"
        context = {"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "default"}}
        clusters = [{"name": "c", "cluster": {"server": address}}]
        users = [{"name": "u", "user": {}}]
        parts = {"clusters": clusters, "users": users, "contexts": [context], "current-context": "c"}
        config.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **parts}))

        def upgrade(key: str, token: str) -> dict[str, str]:
            values = json.dumps({"properties": {"fs.oss.accessKeySecret": key}, "fuse": {"env": {"A_TOKEN": token}}})
            release = render(values, "--dry-run=server", "--kubeconfig", config, "--namespace", "default")
            cluster.apply(release)
            return checksums(release)

        first = upgrade("a", "t")
        assert upgrade("a", "t") == first
        second = upgrade("b", "t")
        assert {name for name in first if first[name] != second[name]} == {"alluxio-master", "alluxio-worker"}
        assert upgrade("b", "t") == second
        third = upgrade("b", "u")
        assert {name for name in first if second[name] != third[name]} == {"alluxio-fuse"}
        assert upgrade("c", "u")["alluxio-master"] not in (first["alluxio-master"], second["alluxio-master"])


def test_the_sockets_of_workers() -> None:
    """They lie where only root makes directories; a path that is named is taken as before."""

    def path(values: str) -> list[str]:
        pods = render(values).pods()
        volumes = [each for name in ("alluxio-worker", "alluxio-fuse") for each in pods[name]["volumes"]]
        return [each["hostPath"]["path"] for each in volumes if each["name"] == "domain"]

    assert path("") == ["/run/alluxio-domain"] * 2
    for old in ("domainHostPath: /tmp/alluxio-domain", "shortCircuit: {hostPath: /tmp/alluxio-domain}"):
        assert path(old) == ["/tmp/alluxio-domain"] * 2
