"""Buckets, and the objects in them by their keys."""

from __future__ import annotations

import hashlib
import threading
import time
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from oss import crc64, listing
from oss.contents import Content
from oss.errors import OssError

PRIVATE = "private"


@dataclass
class Object:
    """An object as it was put; another one of the same key takes its place.

    etag     without quotes: the MD5 in capital letters, or of a multipart upload something else
    headers  that come back: Content-Type, x-oss-meta-* ...
    kind     x-oss-object-type
    """

    content: Content
    etag: str
    modified: float
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = "Normal"
    crc64: int | None = None  # computed when it is first asked for

    def checksum(self) -> int:
        """The CRC64 of all of it."""
        if self.crc64 is None:
            self.crc64 = crc64.of_pieces(self.content.pieces())
        return self.crc64


@dataclass
class Bucket:
    """A bucket: its objects, and their keys in order (that of code points is that of UTF-8)."""

    name: str
    acl: str
    created: float
    objects: dict[str, Object] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)


class Store:
    """All buckets. Any thread; the lock guards them. Raises OssError."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[str, Bucket] = {}

    def create(self, name: str, acl: str = PRIVATE) -> None:
        """Makes a bucket, or gives it another ACL."""
        with self._lock:
            self._buckets.setdefault(name, Bucket(name, acl, time.time())).acl = acl

    def remove(self, name: str) -> None:
        """Removes an empty bucket."""
        with self._lock:
            if self._find(name).keys:
                raise OssError("BucketNotEmpty", details={"BucketName": name})
            del self._buckets[name]

    def buckets(self) -> list[Bucket]:
        """By their names; not to be looked into."""
        with self._lock:
            return [self._buckets[name] for name in sorted(self._buckets)]

    def bucket(self, name: str) -> Bucket:
        """One; not to be looked into."""
        with self._lock:
            return self._find(name)

    def put(self, bucket: str, objects: Mapping[str, Object], *, overwrite: bool = True) -> None:
        """Objects by their keys, at once."""
        with self._lock:
            to = self._find(bucket)
            if not overwrite and not to.objects.keys().isdisjoint(objects):
                raise OssError("FileAlreadyExists")
            new = [key for key in objects if key not in to.objects]
            to.objects.update(objects)
            if len(new) == 1:
                insort(to.keys, new[0])
            else:
                to.keys.extend(new)
                to.keys.sort()

    def get(self, bucket: str, key: str) -> Object:
        """The object of a key."""
        with self._lock:
            found = self._find(bucket).objects.get(key)
        if found is None:
            raise OssError("NoSuchKey", details={"Key": key})
        return found

    def delete(self, bucket: str, keys: Iterable[str]) -> None:
        """Removes those of the keys that are there."""
        with self._lock:
            of = self._find(bucket)
            for key in keys:
                if of.objects.pop(key, None) is not None:
                    del of.keys[bisect_left(of.keys, key)]

    def page(
        self, bucket: str, prefix: str, delimiter: str, after: str, most: int
    ) -> tuple[listing.Page, list[Object]]:
        """A page of a listing, and the objects of its keys."""
        with self._lock:
            of = self._find(bucket)
            page = listing.page(of.keys, prefix, delimiter, after, most)
            return page, [of.objects[key] for key in page.keys]

    def _find(self, name: str) -> Bucket:
        found = self._buckets.get(name)
        if found is None:
            raise OssError("NoSuchBucket", details={"BucketName": name})
        return found


def etag_of(content: Content) -> str:
    """That of an object which was put at once."""
    digest = hashlib.md5()
    for piece in content.pieces():
        digest.update(piece)
    return digest.hexdigest().upper()
