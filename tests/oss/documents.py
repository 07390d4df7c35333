"""The XML of OSS: documents that answer, and those that are sent.

The Java client takes it ill when <Owner>, <Grant>, <MaxKeys> or <IsTruncated> is missing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from oss.errors import OssError
from oss.store import Bucket, Object

_BEGIN = '<?xml version="1.0" encoding="UTF-8"?>\n'
OWNER = "<Owner><ID>1234567890</ID><DisplayName>1234567890</DisplayName></Owner>"

Item = tuple[str, object]  # a tag, and a text or the items within


def document(tag: str, *items: Item | str) -> str:
    """A whole one; an item that is a text is XML already."""
    return _BEGIN + element(tag, *items)


def element(tag: str, *items: Item | str) -> str:
    """A part of one."""
    inner = "".join(item if isinstance(item, str) else f"<{item[0]}>{_text(item[1])}</{item[0]}>" for item in items)
    return f"<{tag}>{inner}</{tag}>"


def error(failure: OssError, request_id: str, host: str) -> str:
    """A refusal."""
    known: list[Item] = [("Code", failure.code), ("Message", failure.message)]
    return document("Error", *known, ("RequestId", request_id), ("HostId", host), *failure.details.items())


def entry(key: str, found: Object, owner: bool) -> str:
    """An object in a listing."""
    return element(
        "Contents",
        ("Key", key),
        ("LastModified", iso(found.modified)),
        ("ETag", f'"{found.etag}"'),
        ("Type", found.kind),
        ("Size", found.content.size),
        ("StorageClass", "Standard"),
        OWNER if owner else "",
    )


def bucket(found: Bucket, region: str, *more: Item | str) -> str:
    """A bucket, in a listing or alone."""
    return element(
        "Bucket",
        ("Name", found.name),
        ("Location", f"oss-{region}"),
        ("Region", region),
        ("CreationDate", iso(found.created)),
        ("ExtranetEndpoint", f"oss-{region}.aliyuncs.com"),
        ("IntranetEndpoint", f"oss-{region}-internal.aliyuncs.com"),
        ("StorageClass", "Standard"),
        *more,
    )


def url_encoded(text: str) -> str:
    """As encoding-type=url has it."""
    return quote(text, safe="")


def iso(when: float) -> str:
    """A time (s since 1970) as documents have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(when))


def parse(body: bytes) -> ElementTree.Element:
    """A document that was sent, its tags without their namespaces. Raises OssError."""
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        raise OssError("MalformedXML") from None
    for node in root.iter():
        node.tag = node.tag.rpartition("}")[2]
    return root


def texts(root: ElementTree.Element, path: str) -> Iterable[str]:
    """What the elements at a path hold."""
    return (node.text or "" for node in root.iterfind(path))


def _text(value: object) -> str:
    return escape(("true" if value else "false") if isinstance(value, bool) else str(value))
