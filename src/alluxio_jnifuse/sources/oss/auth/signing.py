"""Signs requests, and learns from the refusal of a signature.

The time in a signature is that of this machine's clock; errors.py says by how much it is wrong when OSS refuses it.
The first signature that OSS does not find right is compared with the one of oss2. When they are the same the secret is
wrong, as OSS says; else oss2 signs from then on.

Threads: any. Each field that changes is replaced as a whole.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from alluxio_jnifuse.sources.oss import dates
from alluxio_jnifuse.sources.oss.auth import sdk, signatures
from alluxio_jnifuse.sources.oss.auth.signatures import Scope, Unsigned

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alluxio_jnifuse.sources.oss.auth.credentials import Credentials, Provider
    from alluxio_jnifuse.sources.oss.settings import Settings

log = logging.getLogger(__name__)


class Signed(NamedTuple):
    """The headers of a request, and whose credentials are in them."""

    headers: Mapping[str, str]
    credentials: Credentials | None


class Signer:
    """Signs for one bucket. `provider` None: not at all. Raises ConfigError when oss2 is missing."""

    def __init__(self, settings: Settings, provider: Provider | None) -> None:
        self._bucket = settings.endpoint.bucket
        self._region = settings.endpoint.region
        self._version = settings.signature
        self._provider = provider
        self._scope: Scope | None = None
        self._compared = False
        self._by_sdk = False
        if provider is not None:
            sdk.check_installed()

    def sign(self, method: str, key: str, params: Mapping[str, str], headers: Mapping[str, str]) -> Signed:
        """Returns the headers, names in lower case, with what proves who asks. Raises CredentialsError."""
        if self._provider is None:
            return Signed(headers, None)
        credentials = self._provider.get()
        request = Unsigned(method, self._bucket, key, params, headers)
        if self._by_sdk:
            return Signed(sdk.signed(request, credentials, self._version, self._region), credentials)
        return Signed(self._signed(request, credentials, time.time()), credentials)

    def renew(self, refused: Credentials | None) -> bool:
        """Whether it makes sense to sign anew what was refused: there are other credentials."""
        return self._provider is not None and refused is not None and self._provider.renew(refused)

    def corrected(
        self, refused: Credentials | None, method: str, key: str, params: Mapping[str, str], headers: Mapping[str, str]
    ) -> bool:
        """Whether it makes sense to sign anew a request whose signature is not right: oss2 signs it otherwise."""
        if self._compared or refused is None:
            return False
        self._compared = True
        request = Unsigned(method, self._bucket, key, params, headers)
        try:
            theirs = sdk.signed(request, refused, self._version, self._region)
        except Exception as error:  # it is not ours, and may not fit this Python
            log.warning("oss2 cannot be asked about a signature that OSS refuses: %s", error)
            return False
        if self._version == "V4":
            now = dates.of_compact(theirs["x-oss-date"])
        else:
            now = dates.of_http(theirs["date"])
        self._by_sdk = theirs["authorization"] != self._signed(request, refused, now)["authorization"]
        if self._by_sdk:
            log.warning("OSS refuses a signature that oss2 makes in another way: from now on oss2 makes them all")
        return self._by_sdk

    def _signed(self, request: Unsigned, credentials: Credentials, now: float) -> dict[str, str]:
        if self._version != "V4":
            return signatures.v1(request, credentials, now)
        scope = self._scope
        if scope is None or not scope.fits(credentials, now):
            scope = self._scope = Scope(credentials, self._region, now)
        return signatures.v4(request, scope, now)
