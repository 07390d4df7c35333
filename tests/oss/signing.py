"""What a client signs, for the versions 1 and 4 of OSS's signatures, in headers and in URLs.

https://help.aliyun.com/zh/oss/developer-reference/include-signatures-in-the-authorization-header and its neighbours.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import quote

V4 = "OSS4-HMAC-SHA256"

# The parameters that version 1 signs.
_SUB_RESOURCES = """
accessPoint accessPointPolicy acl append asyncFetch bucketArchiveDirectRead bucketInfo callback callback-var cname comp
continuation-token cors delete encryption endTime group httpsConfig img inventory inventoryId lifecycle link live
location logging metaQuery objectInfo objectMeta partNumber policy position processConfiguration publicAccessBlock qos
qosInfo qosRequester redundancyTransition referer regionList replication replicationLocation replicationProgress
requestPayment requesterQosInfo resourceGroup resourcePool resourcePoolBuckets resourcePoolInfo response-cache-control
response-content-disposition response-content-encoding response-content-language response-content-type response-expires
restore security-token sequential startTime stat status style styleName symlink tagging transferAcceleration uploadId
uploads versionId versioning versions vod website worm wormExtend wormId x-oss-ac-forward-allow x-oss-ac-source-ip
x-oss-ac-subnet-mask x-oss-ac-vpc-id x-oss-access-point-name x-oss-async-process x-oss-process
x-oss-redundancy-transition-taskid x-oss-request-payer x-oss-target-redundancy-type x-oss-traffic-limit
x-oss-write-get-object-response
"""
SUB_RESOURCES = frozenset(_SUB_RESOURCES.split())
_SIGNED_HEADERS = {"content-type", "content-md5"}  # by version 4, beside x-oss-* and the additional ones


def string_v1(
    method: str, bucket: str, key: str, query: Mapping[str, str], headers: Mapping[str, str], date: str
) -> str:
    """What version 1 signs; `date`: of a URL, when it expires."""
    own = sorted((name, value) for name, value in headers.items() if name.startswith("x-oss-"))
    parameters = "&".join(
        f"{name}={value}" if value else name for name, value in sorted(query.items()) if name in SUB_RESOURCES
    )
    resource = f"/{bucket}/{key}" if bucket else "/"
    return "\n".join(
        (
            method,
            headers.get("content-md5", ""),
            headers.get("content-type", ""),
            date,
            "".join(f"{name}:{value}\n" for name, value in own) + resource + (parameters and f"?{parameters}"),
        )
    )


def signature_v1(secret: str, text: str) -> str:
    """The signature of version 1."""
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), "sha1")).decode()


def string_v4(
    method: str,
    bucket: str,
    key: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    date: str,
    scope: str,
    additional: Iterable[str],
) -> str:
    """What version 4 signs; `date`: as 20231203T121212Z, `scope`: 20231203/REGION/oss/aliyun_v4_request."""
    pairs = sorted((_quote(name), _quote(value)) for name, value in query.items() if name != "x-oss-signature")
    more = sorted(additional)
    signed = sorted(
        (name, value)
        for name, value in headers.items()
        if name.startswith("x-oss-") or name in _SIGNED_HEADERS or name in more
    )
    canonical = "\n".join(
        (
            method,
            quote(f"/{bucket}/{key}" if bucket else "/", safe="/"),
            "&".join(f"{name}={value}" if value else name for name, value in pairs),
            "".join(f"{name}:{value}\n" for name, value in signed),
            ";".join(more),
            headers.get("x-oss-content-sha256", "UNSIGNED-PAYLOAD"),
        )
    )
    return "\n".join((V4, date, scope, hashlib.sha256(canonical.encode()).hexdigest()))


def signature_v4(secret: str, text: str, scope: str) -> str:
    """The signature of version 4."""
    return hmac.digest(_key_v4(secret, scope), text.encode(), "sha256").hex()


@lru_cache(maxsize=64)
def _key_v4(secret: str, scope: str) -> bytes:
    key = f"aliyun_v4{secret}".encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    return key


def _quote(text: str) -> str:
    return quote(text, safe="")
