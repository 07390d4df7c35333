"""The two configurations that users of AlluxioFuse on Kubernetes were told to use, as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from helm import Manifest, render
from recipe import ARGUMENTS, RECIPE

from alluxio_jnifuse.config.properties import parse_java_opts

pytestmark = pytest.mark.chart

VALUES = Path(__file__).parent / "values"
BASIC = (VALUES / "guide-basic.yaml").read_text()
ADVANCED = (VALUES / "guide-advanced.yaml").read_text()


@pytest.fixture(scope="module", params=[BASIC, ADVANCED], ids=["basic", "advanced"])
def manifest(request: pytest.FixtureRequest) -> Manifest:
    """What each of them renders."""
    return render(request.param)


def test_they_are_the_recipe() -> None:
    """The advanced properties are those that the tests of mounts use."""
    assert RECIPE.strip() in ADVANCED


def test_objects(manifest: Manifest) -> None:
    """Names and kinds that scripts know; a mount on every node although the advanced values do not ask for one."""
    client = {("Deployment", "alluxio-fuse-client")} & manifest.names()
    assert manifest.names() - client == {
        ("StatefulSet", "alluxio-master"),
        ("Service", "alluxio-master-0"),
        ("DaemonSet", "alluxio-worker"),
        ("DaemonSet", "alluxio-fuse"),
        ("ConfigMap", "alluxio-config"),
        ("Secret", "alluxio-site"),
    }


def test_ready_counts(manifest: Manifest) -> None:
    """alluxio-master-0 shows 2/2, alluxio-worker 2/2, alluxio-fuse 1/1."""
    assert manifest.get("StatefulSet", "alluxio-master")["spec"]["replicas"] == 1
    names = {name: [each["name"] for each in pod["containers"]] for name, pod in manifest.pods().items()}
    assert names["alluxio-master"] == ["alluxio-master", "alluxio-job-master"]
    assert names["alluxio-worker"] == ["alluxio-worker", "alluxio-job-worker"]
    assert names["alluxio-fuse"] == ["alluxio-fuse"]


def test_images(manifest: Manifest) -> None:
    """Each container has the image that was named for it."""
    registry, tag = "registry.cn-huhehaote.aliyuncs.com/alluxio", "2.3.0-SNAPSHOT-b7629dc"
    for name, pod in manifest.pods().items():
        image = f"{registry}/alluxio-fuse:{tag}" if "fuse" in name else f"{registry}/alluxio:{tag}"
        assert {each["image"] for each in pod["containers"]} == {image}
        assert {each["imagePullPolicy"] for each in pod["containers"]} == {"Always"}


def test_fuse_arguments() -> None:
    """The words of the container are those of the values; where to mount is in its environment."""
    for values, arguments in ((BASIC, ["--fuse-opts=kernel_cache"]), (ADVANCED, ARGUMENTS)):
        fuse = render(values).fuse()
        assert fuse["args"] == ["fuse", *arguments]
        environ = {each["name"]: each.get("value") for each in fuse["env"]}
        assert environ["MOUNT_POINT"] == "/mnt/alluxio-fuse"
        assert environ["FUSE_ALLUXIO_PATH"] == "/"
    assert (environ["MAX_IDLE_THREADS"], environ["SPENT_TIME"]) == ("64", "1000")


def test_client() -> None:
    """The demonstration pod is there when it is asked for, and sees the directory above the mount."""
    assert "alluxio-fuse-client" not in render(ADVANCED).pods()
    (container,) = render(BASIC).pod("alluxio-fuse-client")["containers"]
    (mount,) = container["volumeMounts"]
    assert (mount["mountPath"], mount["mountPropagation"]) == ("/mnt", "HostToContainer")


def test_every_property_arrives() -> None:
    """As it was written: numbers are not rounded, text is not quoted; of a key that is there twice, the last."""
    text = re.sub(r"^    fs\.oss\.accessKey.*\n", "", ADVANCED, flags=re.MULTILINE)
    written = {key: _text(value) for key, value in yaml.safe_load(text)["properties"].items()}
    arrived = dict(parse_java_opts(render(ADVANCED).options("ALLUXIO_JAVA_OPTS"), {}).properties)
    assert written.items() <= arrived.items()
    assert arrived["alluxio.job.worker.threadpool.size"] == "164"
    assert arrived["alluxio.user.metadata.cache.max.size"] == "1000000"


def test_java_options() -> None:
    """Those of each part reach that part only."""
    advanced = render(ADVANCED)
    assert "-Xmx12G" in advanced.options("ALLUXIO_WORKER_JAVA_OPTS")
    assert "-Xmx6G" in advanced.options("ALLUXIO_MASTER_JAVA_OPTS")
    assert "-XX:ActiveProcessorCount=24" in advanced.options("ALLUXIO_FUSE_JAVA_OPTS")
    assert "-Xm" not in advanced.options("ALLUXIO_JAVA_OPTS") + advanced.options("ALLUXIO_JOB_MASTER_JAVA_OPTS")


def test_tier() -> None:
    """One directory of the host, without a quota, with the given marks; the mount sees it at the same path."""
    advanced = render(ADVANCED)
    options = dict(parse_java_opts(advanced.options("ALLUXIO_WORKER_JAVA_OPTS"), {}).properties)
    prefix = "alluxio.worker.tieredstore.level"
    assert {key: value for key, value in options.items() if key.startswith(prefix)} == {
        f"{prefix}s": "1",
        f"{prefix}0.alias": "MEM",
        f"{prefix}0.dirs.mediumtype": "MEM",
        f"{prefix}0.dirs.path": "/alluxio/ram",
        f"{prefix}0.watermark.high.ratio": "0.99",
        f"{prefix}0.watermark.low.ratio": "0.8",
    }
    for name in ("alluxio-worker", "alluxio-fuse"):
        pod = advanced.pod(name)
        volumes = {each["name"]: each.get("hostPath", {}).get("path") for each in pod["volumes"]}
        mounted = {each["mountPath"]: each["name"] for each in pod["containers"][0]["volumeMounts"]}
        assert volumes[mounted["/alluxio/ram"]] == "/alluxio/ram"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
