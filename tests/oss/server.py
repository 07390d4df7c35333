"""OssServer: a server in a process of its own, which is given its objects and asked what it did without HTTP."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Mapping
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import cast

from oss import certificate
from oss.access import Token
from oss.log import Entry
from oss.process import Settings
from oss.rules import Rule
from oss.store import PRIVATE

__all__ = ["OssServer", "Rule", "Token"]

_TESTS = Path(__file__).parents[1]
_END_S = 100.0


class OssServer:
    """A context manager: listening on loopback from the beginning, gone at the end, and with this process.

    root    where the bytes of objects lie while it runs, in a directory of their own; /dev/shm for measurements
    keys    secrets by access key id
    tokens  temporary credentials by security token
    region  of signatures of version 4
    https   with a certificate that no authority has signed: `ca_file`
    port    default: a free one
    """

    def __init__(
        self,
        root: Path,
        keys: Mapping[str, str],
        tokens: Mapping[str, Token] | None = None,
        *,
        region: str = "cn-hangzhou",
        https: bool = False,
        port: int = 0,
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.region = region
        self._directory = Path(tempfile.mkdtemp(prefix="oss-", dir=root))
        self._settings = Settings(self._directory.absolute(), dict(keys), dict(tokens or {}), region, https, port)
        self._lock = threading.Lock()  # one command at a time
        self.ca_file = self._directory / "ca.pem"
        if https:
            self.ca_file.write_bytes(certificate.CERTIFICATE)
        self.port = 0

    def __enter__(self) -> OssServer:
        self._pipe, theirs = Pipe()
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "oss.process", str(number)],
                pass_fds=[number],
                env={**os.environ, "PYTHONPATH": str(_TESTS)},
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for us
            )
        self._pipe.send(self._settings)
        self.port = self._pipe.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.wait(_END_S)
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def endpoint(self) -> str:
        """The URL, by address: bucket and key are in the path."""
        return f"{'https' if self._settings.https else 'http'}://127.0.0.1:{self.port}"

    def properties(self, key_id: str) -> dict[str, str]:
        """Of a client that shows buckets with one of the keys, be it ours or Alluxio."""
        return {
            "fs.oss.endpoint": self.endpoint,
            "fs.oss.accessKeyId": key_id,
            "fs.oss.accessKeySecret": self._settings.keys[key_id],
        }

    # ------------------------------------------------------------------------------------------------------ objects

    def create_bucket(self, name: str, acl: str = PRIVATE) -> None:
        """Makes a bucket; `acl`: "public-read" is for anybody."""
        self._call("create_bucket", name, acl)

    def put(
        self,
        bucket: str,
        key: str,
        body: bytes | Path,
        *,
        headers: Mapping[str, str] | None = None,
        modified: float | None = None,
        etag: str = "",
        crc64: int | None = None,
        kind: str = "Normal",
    ) -> None:
        """An object. A file is shown in place: it is not copied, and must not be changed.

        headers   that come with it: Content-Type, x-oss-meta-...
        modified  s since 1970; default: now
        etag      default: the MD5, at some 0.7 GB/s
        crc64     default: computed when first asked for, at some 8 GB/s
        kind      x-oss-object-type
        """
        about: dict[str, object] = {"headers": dict(headers or {}), "etag": etag, "crc64": crc64, "kind": kind}
        if modified is not None:
            about["modified"] = modified
        self._call("put", bucket, {key: body}, about)

    def put_many(self, bucket: str, bodies: Mapping[str, bytes | Path]) -> None:
        """Many objects at once, by their keys."""
        self._call("put", bucket, dict(bodies), {})

    def put_tree(self, bucket: str, directory: Path, prefix: str = "") -> None:
        """The files below a directory, in place; `prefix`: of their keys. Their ETags are no MD5s: nothing is read."""
        self._call("put_tree", bucket, directory, prefix)

    def get(self, bucket: str, key: str) -> bytes:
        """What an object holds."""
        return cast(bytes, self._call("get", bucket, key))

    def keys(self, bucket: str) -> list[str]:
        """All keys of a bucket, in order."""
        return cast("list[str]", self._call("keys", bucket))

    def delete(self, bucket: str, *keys: str) -> None:
        """Removes objects."""
        self._call("delete", bucket, *keys)

    # ----------------------------------------------------------------------------------------------------- what it did

    def counts(self) -> Counter[str]:
        """Requests by operation, `connections`, and `bytes_sent` of objects; since the last reset."""
        return cast("Counter[str]", self._call("counts"))

    def requests(self) -> list[Entry]:
        """What was asked, in order; since the last reset."""
        return cast("list[Entry]", self._call("requests"))

    def reset(self) -> None:
        """Counts from 0 again."""
        self._call("reset")

    # ----------------------------------------------------------------------------------------- what is to go wrong

    def add_rule(self, rule: Rule) -> None:
        """From now on some requests meet a fault; the first rule that strikes counts."""
        self._call("add_rule", rule)

    def clear_rules(self) -> None:
        """No more of that."""
        self._call("clear_rules")

    def set_token(self, token: str, value: Token | None) -> None:
        """A token is good, until another time, or (None) unknown from now on."""
        self._call("set_token", token, value)

    def set_keys(self, keys: Mapping[str, str]) -> None:
        """Other keys are good from now on."""
        self._call("set_keys", dict(keys))

    def set_clock(self, offset: float) -> None:
        """The server's clock is fast from now on, s."""
        self._call("set_clock", offset)

    def _call(self, name: str, *arguments: object) -> object:
        with self._lock:
            self._pipe.send((name, arguments))
            result = self._pipe.recv()
        if isinstance(result, Exception):
            raise result
        return result
