"""Which module may import which: the rooms of the package stand one above the other, and no modules form a circle.

Imports within functions count, and those for type checkers too: a class that another room names in a type is known
there. Not imports, and so not seen here: `sources` finds a source by a name in a table, and `api` starts the command.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCES = Path(__file__).parents[1] / "src"
PACKAGE = "alluxio_jnifuse"

# From the top to the bottom. Rooms in one row do not know each other.
HOUSE = [
    ["__main__", ""],
    ["cli"],
    ["api", "load", "testing"],
    ["daemon"],
    ["doctor", "llfuse_binding"],
    ["cache"],
    ["sources"],
    ["config"],
    ["mounts"],
    ["system"],
    ["errors"],
    ["_core", "_wire"],
]
# Within a room, modules that are not named stand where "*" does.
INSIDE = {
    "cache": [["from_config"], ["local", "rocks", "source"], ["*"]],
    "sources": [["alluxio", "local", "oss"], ["*"]],
    "sources.alluxio": [["*"], ["data"], ["workers"], ["metadata"], ["rpc"], ["settings"], ["proto"]],
    "sources.oss": [
        ["*"],
        ["objects"],
        ["requests"],
        ["auth"],
        ["http"],
        ["settings"],
        ["counters", "dates", "endpoint"],
    ],
}


class Arrow(NamedTuple):
    """`user` imports `used`, both without the name of the package; `name`: what of it."""

    user: str
    used: str
    name: str
    line: int


def modules() -> dict[str, Path]:
    """Every module by its name within the package, "" the package itself; the generated ones are left out."""
    found = {}
    for path in (SOURCES / PACKAGE).rglob("*.py"):
        if not path.stem.endswith("_pb2"):
            *directories, name = path.relative_to(SOURCES / PACKAGE).with_suffix("").parts
            found[".".join(directories if name == "__init__" else [*directories, name])] = path
    return found


def arrows(names: dict[str, Path]) -> Iterator[Arrow]:
    """Every import of something of ours, wherever it is written."""
    for user, path in names.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}:{node.lineno}: names are written in full"
                wanted = [(node.module or "", alias.name) for alias in node.names]
            elif isinstance(node, ast.Import):
                wanted = [(alias.name, "") for alias in node.names]
            else:
                continue
            for module, name in wanted:
                root, _, used = module.partition(".")
                if root == PACKAGE:
                    inner = f"{used}.{name}".lstrip(".")
                    is_module = inner in names or name in ("_core", "_wire") or name.endswith("_pb2")
                    yield Arrow(user, inner if is_module else used, name, node.lineno)


@pytest.fixture(scope="module")
def found() -> list[Arrow]:
    """Imports of the package's own modules. Its version is a constant that stands before all imports."""
    return [arrow for arrow in arrows(modules()) if (arrow.used, arrow.name) != ("", "__version__")]


def floor(house: list[list[str]], room: str) -> int:
    """How far down a room stands."""
    (at,) = [number for number, row in enumerate(house) if room in row]
    return at


def is_upward(house: list[list[str]], user: str, used: str) -> bool:
    """Whether an import leads up, or to a neighbour."""
    named = {room for row in house for room in row}
    user, used = (name if name in named or "*" not in named else "*" for name in (user, used))
    return user != used and floor(house, user) >= floor(house, used)


def test_no_import_leads_up(found: list[Arrow]) -> None:
    """cli → api, load → daemon → doctor → cache → sources → config → mounts → system → errors."""
    bad = [arrow for arrow in found if is_upward(HOUSE, arrow.user.split(".")[0], arrow.used.split(".")[0])]
    assert not bad


@pytest.mark.parametrize("room", INSIDE)
def test_no_import_within_a_room_leads_up(found: list[Arrow], room: str) -> None:
    """A large room has rooms of its own."""
    bad = []
    for arrow in found:
        user, used = (name.removeprefix(f"{room}.") for name in (arrow.user, arrow.used))
        if user != arrow.user and used != arrow.used:
            bad += [arrow] if is_upward(INSIDE[room], user.split(".")[0], used.split(".")[0]) else []
    assert not bad


def test_no_modules_form_a_circle(found: list[Arrow]) -> None:
    """What is taken away until nothing is left imports nothing that is still there."""
    left: dict[str, set[str]] = {}
    for arrow in found:
        left.setdefault(arrow.user, set()).add(arrow.used)
    while ready := [user for user, used in left.items() if not used & left.keys()]:
        for user in ready:
            del left[user]
    assert not left


def test_pytest_is_needed_for_the_contract_alone() -> None:
    """The package runs without it, also its sources for tests."""
    needing = set()
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            needing |= {name for each in names if each.partition(".")[0] == "pytest"}
    assert needing
    assert all(name.startswith("testing.contract") for name in needing)
