"""The corpus, replayed; and that the harness finds what it is there for."""

from __future__ import annotations

import faulthandler
import mmap
import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from fuzz import trial
from fuzz.parser import MIB, Parser
from fuzz.parsers import PARSERS

FEW = 20


def run(name: str, inputs: int = FEW) -> trial.Trial:
    made = trial.Trial(name, 1, trial.Limits(1e6, inputs))
    while not made.ended():
        time.sleep(0.01)
    return made


@pytest.mark.parametrize("name", PARSERS)
def test_the_corpus(name: str) -> None:
    """Inputs that once broke something are among them; some mutations, too."""
    made = run(name)
    assert not made.failure, f"input {made.number}: {made.input!r}"
    assert made.inputs == len(trial.corpus(name)) + FEW


def crash(data: bytes) -> None:
    os.kill(os.getpid(), signal.SIGBUS)


def surprise(data: bytes) -> None:
    raise KeyError(data)


def hang(data: bytes) -> None:
    while True:
        pass


def devour(data: bytes) -> None:
    bytes(4096 * MIB)  # more than the process that this one was forked from has at hand


KEPT: list[mmap.mmap] = []


def keep(data: bytes) -> None:
    KEPT.append(mmap.mmap(-1, 16 * 1024))  # not of what that process has at hand, either
    KEPT[-1].write(bytes(16 * 1024))


@pytest.mark.parametrize("mistake", [crash, surprise, hang, devour, keep])
def test_mistakes_are_found(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], mistake: Callable[[bytes], None]
) -> None:
    """Whatever a parser does to its process; the input is known."""
    monkeypatch.setitem(PARSERS, "planted", Parser(lambda: mistake, room=1000 * MIB if mistake is keep else 64 * MIB))
    monkeypatch.setattr(trial, "corpus", lambda name: [] if mistake is devour else [b"seed"])
    monkeypatch.setattr(trial, "made", lambda *_: b"made")
    monkeypatch.setattr(trial, "INPUT_S", 0.5)
    monkeypatch.setattr(trial.faulthandler, "enable", faulthandler.disable)
    made = run("planted", 20_000)
    said = {
        crash: "SIGBUS",
        surprise: "KeyError",
        hang: "TooSlow",
        devour: "MemoryError",
        keep: "Grown",
    }
    assert made.failure
    assert said[mistake] in made.failure + capfd.readouterr().err
    assert made.input == (b"made" if mistake in (devour, keep) else b"seed")


def test_a_seed_makes_the_same_inputs_again() -> None:
    seeds = trial.corpus("http")
    first, again = ([trial.made(PARSERS["http"], seeds, random.Random(), 5, n) for n in range(50)] for _ in range(2))
    assert first == again
    assert len(set(first)) > 40
