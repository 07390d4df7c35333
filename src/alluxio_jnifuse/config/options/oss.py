"""Properties of the engine that reads a bucket of Aliyun OSS: the names are Alluxio's where it has one."""

from __future__ import annotations

from typing import Any

from alluxio_jnifuse.config.options.option import UINT32_MAX, Option


def _row(name: str, kind: str, default: str, help: str, why: str, **rest: Any) -> Option:
    return Option(name, kind, default, help, why, oss=True, here=True, **rest)


OSS_PROPERTIES = (
    # The address of the bucket.
    _row(
        "fs.oss.endpoint", "text", "",
        "where OSS is asked, `[https://]HOST[:PORT]` without the bucket; without a scheme it is http",
        "no region would suit everybody; the Java SDK takes http, too",
    ),
    _row(
        "fs.oss.region", "text", "", "the region, for signatures of version 4",
        "that of an endpoint such as `oss-cn-hangzhou.aliyuncs.com`",
    ),
    _row(
        "fs.oss.path.style.access", "choice", "AUTO",
        "name the bucket in the path (true) or in front of the host (false)",
        "true where the endpoint is an address or localhost, as with oss2",
        choices=("AUTO", "TRUE", "FALSE"),
    ),
    # The identity of the client. The first of these that is set counts.
    _row(
        "fs.oss.accessKeyId", "text", "",
        "access key ID; a complete key in `$OSS_ACCESS_KEY_ID`, `$OSS_ACCESS_KEY_SECRET` and `$OSS_SESSION_TOKEN`, or "
        "`$ALIBABA_CLOUD_ACCESS_KEY_ID`, `..._SECRET` and `$ALIBABA_CLOUD_SECURITY_TOKEN` counts more than one in "
        "alluxio-site.properties",
        "none",
    ),
    _row("fs.oss.accessKeySecret", "text", "", "secret of that key; never shown, and removed from what `ps` shows",
         "none"),
    _row("fs.oss.securityToken", "text", "", "security token of a key of STS", "none"),
    _row(
        "fs.oss.credential.process", "text", "",
        "a command (absolute path) that prints a key as JSON: `AccessKeyId`, `AccessKeySecret`, `SecurityToken`, "
        "`Expiration`; it is run again before that time, and when the key is refused",
        "none",
    ),
    _row(
        "alluxio.underfs.oss.sts.enabled", "bool", "false",
        "use the RAM role of this ECS instance", "Alluxio's",
    ),
    _row("alluxio.underfs.oss.ecs.ram.role", "text", "", "the role", "the one that the instance has"),
    _row(
        "alluxio.underfs.oss.sts.ecs.metadata.service.endpoint", "text",
        "http://100.100.100.200/latest/meta-data/ram/security-credentials/", "where roles are asked for", "Alluxio's",
    ),
    _row(
        "fs.oss.anonymous", "bool", "false", "sign nothing; for buckets that everybody may read",
        "a key that was forgotten should be noticed",
    ),
    _row(
        "fs.oss.signature.version", "choice", "AUTO", "how requests are signed",
        "V4 where the region is known, else V1",
        choices=("AUTO", "V1", "V4"),
    ),
    # Patience; alluxio.user.streaming.data.read.timeout and alluxio.user.rpc.retry.max.duration limit it all.
    _row(
        "alluxio.underfs.oss.socket.timeout", "duration", "10s",
        "a request that brought not a byte for so long, or less than 4 KiB, is sent again, for what has not come yet; "
        "the head of an answer has twice, a listing six times as long to come in",
        "Alluxio's 50sec is longer than people wait", low=1000, high=UINT32_MAX,
    ),
    _row(
        "alluxio.underfs.oss.connection.timeout", "duration", "5s", "how long one attempt to connect may take",
        "Alluxio's 50sec is longer than people wait", low=1, high=UINT32_MAX,
    ),
)  # fmt: skip
