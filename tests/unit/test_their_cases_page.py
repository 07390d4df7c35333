"""docs/CASES.md is what tests/their_cases.py makes of the cases, and names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import their_cases

PROJECT = Path(__file__).resolve().parents[2]


def test_the_page() -> None:
    """`make docs` writes it."""
    assert (PROJECT / "docs/CASES.md").read_text() == their_cases.page(), "run make docs"


def test_other_tests_are_there() -> None:
    for _, test in their_cases.ELSEWHERE.values():
        path, _, function = test.rpartition("::")
        assert re.search(rf"^def {function}\(", (PROJECT / path).read_text(), re.MULTILINE), test
