"""Finds the master that serves: of several, one does at a time, and says so when it is asked for its version.

All are asked at once, so one that does not answer costs nothing as long as another does; each is asked again, less
and less often, for as long as the search lasts. The question needs no authentication, which standby masters grant as
well as the primary. Every attempt has a connection of its own: an old one may lead to where nobody is any more.

Threads: a search belongs to the thread that runs it; `cancel` may be called from any. Answers arrive in threads of
gRPC, which only put them into a queue.
"""

from __future__ import annotations

import logging
import queue
import time
from typing import TYPE_CHECKING

from alluxio_jnifuse.errors import SourceError, Unreachable
from alluxio_jnifuse.sources.alluxio.proto import version_pb2
from alluxio_jnifuse.sources.alluxio.rpc import requests
from alluxio_jnifuse.sources.alluxio.rpc.channel import Channel
from alluxio_jnifuse.sources.alluxio.rpc.errors import CallError, Closed, Status, TimedOut, diagnose, is_retryable
from alluxio_jnifuse.sources.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from alluxio_jnifuse.sources.alluxio.rpc.calls import Calls
    from alluxio_jnifuse.sources.alluxio.settings import Settings

    Outcome = version_pb2.GetServiceVersionPResponse | CallError

log = logging.getLogger(__name__)

METHOD = "/alluxio.grpc.version.ServiceVersionClientService/getServiceVersion"
_VERSION = 2  # of the service, in every release of Alluxio 2
_SHORTEST_PAUSE_S = 0.01


class NoPrimary(CallError):
    """No master said that it serves; `answers` are their last ones."""

    def __init__(self, answers: Mapping[str, CallError]) -> None:
        self.answers = dict(answers)
        said = "; ".join(f"{master}: {diagnose(error).what}" for master, error in self.answers.items())
        super().__init__(Status.UNAVAILABLE, "search for the primary master", said)

    @property
    def is_silence(self) -> bool:
        """Whether none of them said anything."""
        return all(isinstance(answer, TimedOut) for answer in self.answers.values())

    def again(self) -> NoPrimary:
        return NoPrimary(self.answers)


class Search:
    """See the module's docstring. Runs once."""

    def __init__(self, settings: Settings, calls: Calls) -> None:
        self._settings = settings
        self._calls = calls
        self._answers: dict[str, CallError] = {}
        self._asked: dict[str, Channel] = {}  # who has not answered yet
        self._events: queue.SimpleQueue[tuple[str, Channel, Outcome] | None] = queue.SimpleQueue()

    def run(self, timeout: float, *, hopeful: bool) -> Channel:
        """A channel to the primary, not authenticated yet. Raises NoPrimary after `timeout` seconds, Closed.

        Unless `hopeful` it gives up as soon as waiting is of no use with any of the masters.
        """
        deadline = time.monotonic() + timeout
        try:
            for master, channel, outcome in self._conversation(deadline):
                if not isinstance(outcome, CallError):
                    if outcome.version != _VERSION:
                        log.warning("%s: version %d of the service instead of %d", master, outcome.version, _VERSION)
                    return channel
                channel.close()
                if not isinstance(outcome, TimedOut) or master not in self._answers:  # words say more than silence
                    self._answers[master] = outcome
                if not hopeful and all(self._is_hopeless(each) for each in self._settings.masters):
                    break
            raise NoPrimary({each: self._answer(each, timeout) for each in self._settings.masters})
        finally:
            for channel in self._asked.values():
                channel.close()

    def cancel(self) -> None:
        """Makes `run` raise Closed."""
        self._events.put(None)

    def _conversation(self, deadline: float) -> Iterator[tuple[str, Channel, Outcome]]:
        """Asks all masters over and over; yields their answers until the deadline."""
        due = dict.fromkeys(self._settings.masters, 0.0)
        first, longest = (
            max(pause, _SHORTEST_PAUSE_S)
            for pause in (self._settings.rpc_retry_base_s, self._settings.rpc_retry_max_sleep_s)
        )
        pauses = {master: Backoff(first, longest, least=0.5) for master in self._settings.masters}
        while True:
            now = time.monotonic()
            if now >= deadline:
                return
            for master in [each for each, at in due.items() if at <= now]:
                del due[master]
                self._ask(master, deadline - now)
            try:
                event = self._events.get(timeout=max(0.0, min([*due.values(), deadline]) - now))
            except queue.Empty:
                continue
            if event is None:
                raise Closed(Status.CANCELLED, "search for the primary master", "closed")
            master = event[0]
            del self._asked[master]
            yield event
            due[master] = time.monotonic() + pauses[master].next()

    def _ask(self, master: str, timeout: float) -> None:
        channel = self._asked[master] = Channel(master, self._settings, self._calls)
        channel.begin(
            METHOD,
            requests.service_version(version_pb2.META_MASTER_CLIENT_SERVICE),
            version_pb2.GetServiceVersionPResponse,
            min(timeout, self._settings.polling_timeout_s),
            lambda outcome: self._events.put((master, channel, outcome)),
        )

    def _is_hopeless(self, master: str) -> bool:
        answer = self._answers.get(master)
        return answer is not None and diagnose(answer).hopeless

    def _answer(self, master: str, timeout: float) -> CallError:
        """Returns what a master said last; one that is still to answer the first time said nothing."""
        silence = TimedOut(Status.DEADLINE_EXCEEDED, master, f"no answer within {timeout:.3g} s")
        return self._answers.get(master, silence)


def explain(masters: Sequence[str], error: CallError) -> SourceError:
    """Why there is no cluster to work with: which masters were asked, what each said, and what to do.

    Unreachable where a master may only have to be waited for.
    """
    where = f"alluxio://{','.join(masters)}"
    if not isinstance(error, NoPrimary):
        said = diagnose(error)
        kind = Unreachable if is_retryable(error) and not said.hopeless else SourceError
        return kind(f"{error.where}: {said.what}", where=where, remedy=said.remedy)
    answers = {who: diagnose(answer) for who, answer in error.answers.items()}
    kind = SourceError if all(said.hopeless for said in answers.values()) else Unreachable
    if len(answers) == 1:
        (said,) = answers.values()
        return kind(said.what, where=where, remedy=said.remedy)
    listed = (f"{who}: {said.what}{f' ({said.remedy})' if said.remedy else ''}" for who, said in answers.items())
    return kind(f"none of the masters serves: {'; '.join(listed)}", where=where)
