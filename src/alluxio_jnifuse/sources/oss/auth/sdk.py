"""oss2, the SDK of Aliyun: it has the last word about a signature that OSS refuses (docs/decisions/0013).

Loading it takes 150 ms and 25 MB, so nothing of it is imported before that. Its logger would write down what it signs,
tokens included: it is silenced.
"""

from __future__ import annotations

import importlib
import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING

from alluxio_jnifuse.errors import ConfigError

if TYPE_CHECKING:
    from alluxio_jnifuse.sources.oss.auth.credentials import Credentials
    from alluxio_jnifuse.sources.oss.auth.signatures import Unsigned


def check_installed() -> None:
    """Raises ConfigError when oss2 is missing; does not load it."""
    if find_spec("oss2") is None:
        raise ConfigError("reading from OSS needs oss2", remedy="pip install 'alluxio-jnifuse[oss]'")


def signed(request: Unsigned, credentials: Credentials, version: str, region: str) -> dict[str, str]:
    """The headers of a request that oss2 signs now, in version V1 or V4. Any thread. Raises what oss2 raises."""
    auth = importlib.import_module("oss2").auth
    logger = logging.getLogger("oss2")
    logger.setLevel(logging.CRITICAL)
    logger.propagate = False
    made = (auth.ProviderAuthV4 if version == "V4" else auth.ProviderAuth)(_Holder(credentials))
    seen = _Request(request, region)
    made._sign_request(seen, request.bucket, request.key)
    return seen.headers


class _Request:
    """The part of oss2.http.Request that its auth objects read and write."""

    def __init__(self, request: Unsigned, region: str) -> None:
        self.method = request.method
        self.params = request.params
        self.headers = dict(request.headers)
        self.region = region
        self.product = "oss"
        self.cloudbox_id = None


class _Holder:
    """A provider of credentials, and these themselves, in the sense of oss2."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def get_credentials(self) -> _Holder:
        return self

    def get_access_key_id(self) -> str:
        return self._credentials.key_id

    def get_access_key_secret(self) -> str:
        return self._credentials.secret

    def get_security_token(self) -> str:
        return self._credentials.token
