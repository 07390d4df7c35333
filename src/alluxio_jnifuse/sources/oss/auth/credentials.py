"""Keys of requests: those that stay, and those that expire and are fetched anew.

Nothing here shows a secret: a Credentials has no readable form, and no message holds what was fetched.

Threads: any. One lock for a Provider, held while credentials are fetched; a caller with good ones does not wait for it.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from alluxio_jnifuse.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

_EARLY_S = 300.0  # before they expire they are fetched anew, or
_EARLY_SHARE = 0.15  # of their life, whichever is later: what oss2 and Alluxio do
_FIRST_AGAIN_S = 1.0  # while there are none yet
_AGAIN_S = 10.0  # between attempts to fetch, when one failed or brought nothing new


class CredentialsError(SourceError):
    """There are no credentials, or no new ones."""

    transient = False  # whether that may be otherwise in a moment, though nobody corrects anything


class NotYet(CredentialsError):
    """Those who give credentials cannot be asked at the moment, or do not answer."""

    transient = True


class Credentials:
    """A key; `token` is "" for one that stays. `expires_at`: s since the epoch. Immutable."""

    __slots__ = ("expires_at", "key_id", "renew_at", "secret", "token")

    def __init__(self, key_id: str, secret: str, token: str = "", expires_at: float = float("inf")) -> None:
        """Raises CredentialsError for what cannot be put into a header."""
        parts = (key_id, secret, token)
        if not key_id or not secret or any(not part.isascii() or not part.isprintable() for part in parts):
            raise CredentialsError("the access key ID, its secret or its token is empty, or holds what none can hold")
        self.key_id = key_id
        self.secret = secret
        self.token = token
        self.expires_at = expires_at
        self.renew_at = expires_at
        if expires_at != float("inf"):
            self.renew_at -= min(_EARLY_S, _EARLY_SHARE * max(0.0, expires_at - time.time()))

    def __repr__(self) -> str:
        return f"<access key {self.shown}>"

    @property
    def shown(self) -> str:
        """Enough of the key ID to tell it from another."""
        return f"...{self.key_id[-4:]}"

    def same_as(self, other: Credentials) -> bool:
        mine, theirs = (self.key_id, self.secret, self.token), (other.key_id, other.secret, other.token)
        return mine == theirs and self.expires_at == other.expires_at


class Provider:
    """Credentials, fetched by `fetch` when there are none, before they expire, and when they are refused.

    `name` says for people where they come from. `lasting`: fetching again brings the same.
    """

    def __init__(self, fetch: Callable[[], Credentials], name: str, *, lasting: bool = False) -> None:
        self.name = name
        self._fetch = fetch
        self._lasting = lasting
        self._lock = threading.Lock()  # guards what follows; reading `_current` alone needs none
        self._current: Credentials | None = None
        self._not_before = 0.0  # of time.monotonic(): when to fetch again
        self._problem = ""  # why the last attempt to fetch brought nothing new,
        self._failed: type[CredentialsError] | None = None  # and how it failed, if it did

    def get(self) -> Credentials:
        """Credentials that are good for now. Raises CredentialsError."""
        current = self._current
        now = time.time()
        if current is not None and now < current.renew_at:
            return current
        usable = current is not None and now < current.expires_at
        if not self._lock.acquire(blocking=not usable):
            assert current is not None  # else it is not usable
            return current
        try:
            if self._current is not current and self._current is not None:
                return self._current
            if self._fetch_locked():
                assert self._current is not None  # fetched
                return self._current
            if current is None or (not usable and self._failed):
                raise (self._failed or CredentialsError)(self._problem, where=self.name)
            return current  # if they have expired by the clock of this machine, OSS shall say whether that is right
        finally:
            self._lock.release()

    def renew(self, refused: Credentials) -> bool:
        """Whether there are other credentials than those that were refused, now or by now.

        Raises CredentialsError when that cannot be said for now.
        """
        if self._lasting:
            return False
        with self._lock:
            if self._current is not refused:
                return True
            if self._fetch_locked():
                return True
            if self._failed:
                raise self._failed(self._problem, where=self.name)
            return False

    def _fetch_locked(self) -> bool:
        """Fetches new ones, unless that was tried in vain a moment ago; whether there are new ones."""
        if time.monotonic() < self._not_before:
            return False
        try:
            fetched = self._fetch()
        except CredentialsError as error:
            self._problem, self._failed = error.what, type(error)
            again = _AGAIN_S if self._current is not None else _FIRST_AGAIN_S
            self._not_before = time.monotonic() + again  # others that waited meanwhile do not wait again
            log.warning("no new credentials from %s: %s", self.name, error.what)
            return False
        if self._current is not None and fetched.same_as(self._current):
            self._problem, self._failed = "they are the same again", None
            self._not_before = time.monotonic() + _AGAIN_S
            return False
        self._current = fetched
        return True
