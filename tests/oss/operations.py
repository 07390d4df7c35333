"""Which operation a request is, and what does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from oss import buckets, objects, uploads
from oss.answers import Answer
from oss.errors import OssError
from oss.signing import SUB_RESOURCES

if TYPE_CHECKING:
    from oss.site import Site
    from oss.wire import Request

UNKNOWN = "UNKNOWN"

# By whether there is a key, method and sub-resource: the name under which it is counted, and what does it.
_OPERATIONS: dict[tuple[bool, str, str], tuple[str, Callable[[Site, Request], Answer]]] = {
    (False, "GET", ""): ("LIST", buckets.list_objects),
    (False, "GET", "bucketInfo"): ("BUCKET_INFO", buckets.info),
    (False, "GET", "acl"): ("BUCKET_ACL", buckets.acl),
    (False, "GET", "location"): ("BUCKET_LOCATION", buckets.location),
    (False, "GET", "uploads"): ("LIST_UPLOADS", uploads.list_uploads),
    (False, "PUT", ""): ("CREATE_BUCKET", buckets.create),
    (False, "DELETE", ""): ("DELETE_BUCKET", buckets.delete),
    (False, "POST", "delete"): ("DELETE_MANY", buckets.delete_objects),
    (True, "GET", ""): ("GET", objects.get),
    (True, "HEAD", ""): ("HEAD", objects.head),
    (True, "HEAD", "objectMeta"): ("HEAD", objects.head),
    (True, "PUT", ""): ("PUT", objects.put),
    (True, "PUT", "copy"): ("COPY", objects.copy),
    (True, "POST", "append"): ("APPEND", objects.append),
    (True, "DELETE", ""): ("DELETE", objects.delete),
    (True, "POST", "uploads"): ("INITIATE", uploads.initiate),
    (True, "PUT", "uploadId"): ("UPLOAD_PART", uploads.put_part),
    (True, "PUT", "uploadId copy"): ("UPLOAD_PART_COPY", uploads.copy_part),
    (True, "GET", "uploadId"): ("LIST_PARTS", uploads.list_parts),
    (True, "POST", "uploadId"): ("COMPLETE", uploads.complete),
    (True, "DELETE", "uploadId"): ("ABORT", uploads.abort),
}
_NAMED = {"partNumber", "position", "continuation-token", "security-token"}  # parameters, of no operation of their own


def find(request: Request) -> tuple[str, Callable[[Site, Request], Answer]]:
    """Name and function of an operation; the function of UNKNOWN refuses."""
    if not request.bucket:
        return ("LIST_BUCKETS", buckets.list_buckets) if request.method == "GET" else (UNKNOWN, _refuse)
    words = sorted(n for n in request.query if n in SUB_RESOURCES and n not in _NAMED and not _shapes_answer(n))
    if "x-oss-copy-source" in request.headers:
        words.append("copy")
    return _OPERATIONS.get((bool(request.key), request.method, " ".join(words)), (UNKNOWN, _refuse))


def _shapes_answer(name: str) -> bool:
    return name.startswith(("response-", "x-oss-traffic"))


def _refuse(_site: Site, request: Request) -> Answer:
    raise OssError("NotImplemented", details={"Method": request.method, "Query": "&".join(request.query)})
