"""The layers of csrc/: a module uses what lies below it or beside it, and no modules use each other in a circle.

A module is a header with its source; `inode_path.c` belongs to `inode`. A module uses another one when it includes a
header of it, names one of its functions, constants or types, or reaches it through the mount (`m->queue`). The mount
itself (mount.h), which holds all of them, counts for no module: what is taken out of it does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
CSRC = ROOT / "csrc"
README = (CSRC / "README.md").read_text()

# From below. The facade is what lies in csrc/ itself; wire/ is beside the mount, in an extension of its own.
LAYERS = ("base", "memory", "names", "source", "kernel", "files", "ops", "")
BESIDE = "wire"
COMPOSITION = "mount.h"


def code_of(path: Path) -> str:
    """The text of a C file without comments; of strings only the names of included files are left."""
    token = r'(?P<include>^#include[^\n]*)|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)+\'|/\*.*?\*/|//[^\n]*'
    return re.sub(
        token,
        lambda m: m["include"] or ("" if m[0][0] == "/" else '""'),
        path.read_text(),
        flags=re.DOTALL | re.MULTILINE,
    )


FILES = {str(path.relative_to(CSRC)): code_of(path) for path in sorted(CSRC.rglob("*.[ch]"))}


def module_of(name: str) -> str:
    """The module that a file belongs to: names/inode for names/inode_path.c."""
    stem = name.rpartition(".")[0]
    directory, _, base = stem.rpartition("/")
    parts = base.split("_")
    for n in range(1, len(parts)):
        shorter = "/".join(filter(None, (directory, "_".join(parts[:n]))))
        if f"{shorter}.h" in FILES:
            return shorter
    return stem


def layer_of(module: str) -> str:
    """The directory of a module."""
    return module.rpartition("/")[0]


def definitions(name: str, text: str) -> Iterator[str]:
    """Names that a file defines for others: functions, constants, macros, and `struct x` or `enum x`."""
    yield from re.findall(r"^(?!static)[a-z][\w *]*?\b(ajf_\w+)\([^;{]*\)\s*\{", text, re.MULTILINE)
    yield from re.findall(r"^const struct \w+ (ajf_\w+)\b", text, re.MULTILINE)
    if not name.endswith(".h"):
        return
    yield from re.findall(r"^static inline [\w *]*?\b(ajf_\w+)\(", text, re.MULTILINE)
    yield from (found for found in re.findall(r"^#define (\w+)", text, re.MULTILINE) if not found.endswith("_H"))
    yield from re.findall(r"^(struct ajf_\w+) \{", text, re.MULTILINE)
    yield from re.findall(r"^typedef .*?\(\*(ajf_\w+)\)", text, re.MULTILINE)
    for kind, constants in re.findall(r"^(enum \w+) \{(.*?)\}", text, re.MULTILINE | re.DOTALL):
        yield kind
        yield from re.findall(r"\bAJF_\w+", constants)


def uses(name: str, text: str) -> Iterator[str]:
    """Names that a file uses; pointers to a type that it has only declared do not count."""
    declared = set(re.findall(r"^(struct ajf_\w+);", text, re.MULTILINE))
    for header in (other for other in FILES if other.endswith(".h") and module_of(other) == module_of(name)):
        declared |= set(re.findall(r"^(struct ajf_\w+);", FILES[header], re.MULTILINE))
    for kind, pointer in re.findall(r"\b((?:struct|enum) ajf_\w+)\b(\s*\*)?", text):
        if not (pointer and kind in declared):
            yield kind
    yield from re.findall(r"(?<!struct )(?<!enum )\b(?:ajf|AJF)_\w+", text)


def defined_in() -> dict[str, str]:
    """The module of everything that is defined."""
    return {what: module_of(name) for name, text in FILES.items() for what in definitions(name, text)}


def fields_of_the_mount(owner: dict[str, str]) -> dict[str, str]:
    """The module of each part of `struct ajf`."""
    (body,) = re.findall(r"^struct ajf \{(.*?)^\}", FILES[COMPOSITION], re.MULTILINE | re.DOTALL)
    parts = re.findall(r"(struct ajf_\w+) (\w+);", body)
    assert len(parts) > 8
    return {field: owner[kind] for kind, field in parts}


def arrows() -> dict[tuple[str, str], set[str]]:
    """Which module uses which other one, and what of it."""
    owner = defined_in()
    fields = fields_of_the_mount(owner)
    found: dict[tuple[str, str], set[str]] = {}
    for name, text in FILES.items():
        if name == COMPOSITION:
            continue
        included = [path for mark, path in re.findall(r'#include ([<"])(.+)[>"]', text) if path in FILES or mark == '"']
        used = [(module_of(path), path) for path in included if path != COMPOSITION and not path.endswith(".def")]
        used += [(owner[what], what) for what in uses(name, text) if what in owner]
        mounts = "|".join({"m", *re.findall(r"\bstruct ajf \*(?:const )?(\w+)", text)})
        used += [
            (fields[field], f"m->{field}") for field in re.findall(rf"\b(?:{mounts})->(\w+)", text) if field in fields
        ]
        for module, what in used:
            if module != module_of(name):
                found.setdefault((module_of(name), module), set()).add(what)
    return found


ARROWS = arrows()


def runs_up(user: str, used: str) -> bool:
    """Whether a module uses one of a layer above its own, or something beside."""
    if BESIDE in (layer_of(user), layer_of(used)):
        return layer_of(used) not in (BESIDE, "base") or layer_of(user) != BESIDE
    return LAYERS.index(layer_of(user)) < LAYERS.index(layer_of(used))


def circles() -> list[set[str]]:
    """The modules that use each other, directly or through others."""
    modules = {module for arrow in ARROWS for module in arrow}
    reached = {module: {used for user, used in ARROWS if user == module} for module in modules}
    for middle in modules:
        for module in modules:
            if middle in reached[module]:
                reached[module] |= reached[middle]
    found = [{other for other in modules if other in reached[m] and m in reached[other]} for m in sorted(modules)]
    return [circle for i, circle in enumerate(found) if circle and circle not in found[:i]]


def test_every_module_lies_in_a_layer() -> None:
    """There is no other directory."""
    assert {layer_of(module_of(name)) for name in FILES} == {*LAYERS, BESIDE}
    assert len(ARROWS) > 100  # the sources were understood


def test_no_arrow_runs_up() -> None:
    """A layer knows nothing of those above it."""
    assert not {f"{user} -> {used}": sorted(what) for (user, used), what in ARROWS.items() if runs_up(user, used)}


def test_no_modules_go_round_in_a_circle() -> None:
    """Also within a layer: each can be read with what it uses, and without what uses it."""
    assert not circles()


def test_each_extension_binds_its_own_part() -> None:
    """_core knows the mount, _wire what is beside it."""
    for mirror, beside in (("_ajf", False), ("_ajf_wire", True)):
        text = (ROOT / f"src/alluxio_jnifuse/{mirror}.pxd").read_text()
        headers = re.findall(r'^cdef extern from "(.+)\.h"', text, re.MULTILINE)
        assert headers
        assert {layer_of(header) == BESIDE for header in headers} == {beside}


def test_the_picture_shows_every_module() -> None:
    """That of the layers in csrc/README.md."""
    lines = re.findall(r"^ (\w+)/ +(\w+(?: · \w+)+)  ", README, re.MULTILINE)
    shown = {"" if layer == CSRC.name else layer: set(modules.split(" · ")) for layer, modules in lines}
    there = {module_of(name) for name in FILES}
    assert shown == {
        layer: {module.rpartition("/")[2] for module in there if layer_of(module) == layer}
        for layer in (*LAYERS, BESIDE)
    }


def test_the_table_says_of_every_file_what_it_is() -> None:
    """In csrc/README.md, once, below the name of its directory."""
    directory, named = "", []
    table = README.partition("\n| file | subject |\n|---|---|\n")[2].partition("\n\n")[0]
    for files, subject in re.findall(r"^\| (.+?) \|(.*)\|$", table, re.MULTILINE):
        if files.startswith("**"):
            directory = files.strip("*")
        else:
            assert subject.strip(), files
            named += [f"{directory}{name}" for name in re.findall(r"`([\w.]+)`", files)]
    written = {name.rpartition(".")[0] for name in FILES} | {str(p.relative_to(CSRC)) for p in CSRC.rglob("*.def")}
    assert sorted(named) == sorted(written)


def test_there_is_one_way_out() -> None:
    """Each answer to the kernel is timed, and taken back if it is not taken, in one place."""
    assert {name for name, text in FILES.items() if re.search(r"\bfuse_reply_\w+\(", text)} == {"kernel/reply.c"}
