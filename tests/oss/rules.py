"""Which requests meet a fault."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from oss.faults import Fault

if TYPE_CHECKING:
    from oss.wire import Request

_SEED = 1


@dataclass(frozen=True)
class Rule:
    """`fault` happens to some of the requests that match.

    operation    as counted: GET, HEAD, LIST, PUT ...; default: any
    bucket, prefix  of the key
    nth          the first of them that it may happen to, counted from 1
    count        how many times it happens; default: again and again
    probability  with which it happens to each; the sequence is the same in every run
    """

    fault: Fault
    operation: str = ""
    bucket: str = ""
    prefix: str = ""
    nth: int = 1
    count: int | None = None
    probability: float = 1.0

    def matches(self, request: Request) -> bool:
        """Whether it is one of them."""
        return (
            self.operation in ("", request.operation)
            and self.bucket in ("", request.bucket)
            and request.key.startswith(self.prefix)
        )


@dataclass
class _State:
    rule: Rule
    seen: int = 0
    done: int = 0
    chance: random.Random = field(default_factory=lambda: random.Random(_SEED))


class Rules:
    """Any thread. Of several rules for a request the first that strikes counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._states: list[_State] = []

    def add(self, rule: Rule) -> None:
        """From now on."""
        with self._lock:
            self._states = [*self._states, _State(rule)]

    def clear(self) -> None:
        """Nothing happens any more."""
        with self._lock:
            self._states = []

    def fault_of(self, request: Request) -> Fault:
        """What happens to a request."""
        if self._states:
            with self._lock:
                for state in self._states:
                    if state.rule.matches(request) and _strikes(state):
                        return state.rule.fault
        return Fault()


def _strikes(state: _State) -> bool:
    rule = state.rule
    state.seen += 1
    if state.seen < rule.nth or state.done == rule.count or state.chance.random() >= rule.probability:
        return False
    state.done += 1
    return True
