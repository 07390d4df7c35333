"""Signs requests with oss2, the SDK of Aliyun, which is imported here and nowhere else.

oss2 takes the time from this machine's clock and writes it into the headers it signs; errors.py says by how much that
clock is wrong when the server refuses it. Its logger would write down what it signs, tokens included: it is silenced.

Threads: any. An auth object of oss2 has no state but its credentials; a pair of both is replaced as a whole.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from alluxio_jnifuse.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alluxio_jnifuse.sources.oss.auth.credentials import Credentials, Provider
    from alluxio_jnifuse.sources.oss.settings import Settings


class _Request:
    """The part of oss2.http.Request that its auth objects read and write."""

    __slots__ = ("cloudbox_id", "headers", "method", "params", "product", "region")

    def __init__(self, method: str, params: Mapping[str, str], headers: dict[str, str], region: str) -> None:
        self.method = method
        self.params = params
        self.headers = headers
        self.region = region
        self.product = "oss"
        self.cloudbox_id = None


class _Holder:
    """A provider in the sense of oss2."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def get_credentials(self) -> Credentials:
        return self._credentials


class Signer:
    """Signs for one bucket. `provider` None: not at all. Raises ConfigError when oss2 is missing."""

    def __init__(self, settings: Settings, provider: Provider | None) -> None:
        self._bucket = settings.endpoint.bucket
        self._region = settings.endpoint.region
        self._provider = provider
        self._make = _maker(settings.signature) if provider is not None else None
        self._auth: tuple[Credentials, Any] | None = None

    def sign(self, method: str, key: str, params: Mapping[str, str], headers: dict[str, str]) -> Credentials | None:
        """Adds to `headers`, whose names are in lower case, what proves who asks; returns whose credentials it used.

        Raises CredentialsError.
        """
        if self._provider is None or self._make is None:
            return None
        credentials = self._provider.get()
        known = self._auth
        if known is None or known[0] is not credentials:
            known = self._auth = credentials, self._make(_Holder(credentials))
        known[1]._sign_request(_Request(method, params, headers, self._region), self._bucket, key)
        return credentials

    def renew(self, refused: Credentials | None) -> bool:
        """Whether it makes sense to sign anew what was refused."""
        return self._provider is not None and refused is not None and self._provider.renew(refused)


def _maker(version: str) -> Callable[[_Holder], Any]:
    """The class of auth objects for V1 or V4."""
    try:
        auth = importlib.import_module("oss2").auth
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"reading from OSS needs {error.name}", remedy="pip install 'alluxio-jnifuse[oss]'"
        ) from error
    logger = logging.getLogger("oss2")
    logger.setLevel(logging.CRITICAL)
    logger.propagate = False
    return auth.ProviderAuthV4 if version == "V4" else auth.ProviderAuth  # type: ignore[no-any-return]
