"""The rules that no compiler checks: what csrc/ may not contain, sizes of files, tables that must agree."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from alluxio_jnifuse import _core, _wire
from alluxio_jnifuse.config.options import OPTIONS
from alluxio_jnifuse.config.values import Config
from alluxio_jnifuse.sources.base import ATTR_DTYPE, ENTRY_DTYPE

ROOT = Path(__file__).parents[1]
CSRC = ROOT / "csrc"
PACKAGE = ROOT / "src" / "alluxio_jnifuse"

MOST_LINES_OF_C, MOST_LINES_OF_PYTHON, MOST_LINES_OF_GLUE = 600, 400, 400
MOST_COLUMNS = 120

C_FILES = sorted([*CSRC.rglob("*.c"), *CSRC.rglob("*.h"), *CSRC.rglob("*.def")])
C_TESTS = sorted((ROOT / "tests/c").rglob("*.[ch]"))
PYTHON_FILES = sorted(path for ending in ("py", "pyi", "pyx", "pxd", "pxi") for path in PACKAGE.rglob(f"*.{ending}"))
GLUE = sorted(path for path in PYTHON_FILES if path.suffix not in (".py", ".pyi"))
TEXT_ENDINGS = (
    "",
    ".c",
    ".def",
    ".h",
    ".json",
    ".md",
    ".py",
    ".pyi",
    ".pyx",
    ".pxd",
    ".pxi",
    ".sh",
    ".toml",
    ".tpl",
    ".txt",
    ".yaml",
    ".yml",
)
extensions = pytest.mark.parametrize("extension", [_core, _wire], ids=lambda module: module.__name__)
# What a build or a tool leaves in a working tree.
NOT_OURS = re.compile(r"(^|/)(\.git|\.venv|build|dist|__pycache__|[^/]*\.egg-info|\.[a-z_]*cache|\.hypothesis)(/|$)")

# A letter is data or code that others see (capital) or not; of the kinds that can be written to:
WRITABLE = set("DdBbCcGgSs")  # .data, .bss, common, and both for small objects


def code_of(path: Path) -> str:
    """The text of a C file without comments and the contents of strings."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.DOTALL)
    return re.sub(r'"(?:[^"\\\n]|\\.)*"', '""', text)


def all_code() -> str:
    """All C files of csrc/ as one text."""
    return "\n".join(code_of(path) for path in sorted(CSRC.rglob("*.c")))


def struct_fields(path: Path, name: str) -> list[tuple[str, str]]:
    """(type, name) of every field of a C struct of plain fields, in order."""
    match = re.search(rf"struct {name} \{{(.*?)\}}", code_of(path), flags=re.DOTALL)
    assert match, f"{path.name} has no struct {name}"
    fields = []
    for declaration in filter(None, map(str.strip, match[1].split(";"))):
        kind, names = re.fullmatch(r"([\w ]+?)\s+(\w+(?:\s*,\s*\w+)*)", declaration, flags=re.DOTALL).groups()
        fields += [(kind, field.strip()) for field in names.split(",")]
    return fields


def text_files() -> list[Path]:
    """Every file of the project that is text."""
    found = []
    for directory, below, names in os.walk(ROOT):
        below[:] = [name for name in below if not NOT_OURS.search(os.path.relpath(os.path.join(directory, name), ROOT))]
        found += [Path(directory, name) for name in names if Path(name).suffix in TEXT_ENDINGS and name != ".git"]
    return sorted(found)


# ---------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("path", C_FILES, ids=lambda path: path.name)
def test_size_of_a_c_file(path: Path) -> None:
    """A longer file of C usually has two subjects."""
    assert len(path.read_text().splitlines()) <= MOST_LINES_OF_C


@pytest.mark.parametrize("path", [*C_FILES, *C_TESTS, *GLUE], ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_of_c_fit(path: Path) -> None:
    """Those of glue, too. ruff looks at Python, tests/test_english.py at the pages."""
    lines = path.read_text().splitlines()
    assert not [f"{number}: {line}" for number, line in enumerate(lines, 1) if len(line) > MOST_COLUMNS]


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_size_of_a_python_file(path: Path) -> None:
    """A longer file of Python usually has two subjects."""
    assert len(path.read_text().splitlines()) <= MOST_LINES_OF_PYTHON


def test_there_is_no_room_for_leftovers() -> None:
    """Nothing is called utils, and nothing is a copy or a scrap of something else."""
    bad = re.compile(r"^(utils?|helpers?|misc|tmp.*)\.(py|pyx|c|h)$")
    files = set(text_files())
    assert not [path for path in files if bad.match(path.name)]
    copies = [path for path in files if path.stem.endswith("2")]
    assert not [path for path in copies if path.with_name(path.stem.rstrip("_2") + path.suffix) in files]


def test_no_path_of_somebodys_machine() -> None:
    """Nothing depends on, or shows, where somebody works."""
    home = re.compile(r"(?<![\w$}.*])/(?:" + "|".join(("work", "home", "root", "Users")) + r")/(?!u/|u\b)\w[\w.-]*")
    found = []
    for path in text_files():
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if match := home.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {match[0]}")
    assert not found


@pytest.mark.parametrize("path", sorted(CSRC.rglob("*.h")), ids=lambda path: path.name)
def test_a_header_begins_with_its_contract(path: Path) -> None:
    """Licence, then what the module is, before any code."""
    first, second, third = path.read_text().splitlines()[:3]
    assert first == "/* SPDX-License-Identifier: Apache-2.0 */"
    assert second == "/*"
    assert third.startswith(f" * {path.name} - ")


# ----------------------------------------------------------------------------------------------------------- glue


@pytest.mark.parametrize("path", GLUE, ids=lambda path: path.name)
def test_the_glue_is_thin(path: Path) -> None:
    """It converts and calls; C never calls Python, so nothing takes the interpreter's lock."""
    text = path.read_text()
    assert len(text.splitlines()) < MOST_LINES_OF_GLUE
    assert not re.search(r"\bwith\s+gil\b", text)


@extensions
def test_an_extension_shows_nothing_but_itself(extension: ModuleType) -> None:
    """Another extension of the process may bring a libfuse of its own."""
    name = extension.__name__.rpartition(".")[2]
    assert defined(Path(extension.__file__), "--dynamic", "--extern-only") == {("T", f"PyInit_{name}")}


# ---------------------------------------------------------------------------------------------------------- csrc/


@pytest.mark.parametrize("path", C_FILES, ids=lambda path: path.name)
def test_the_core_knows_neither_python_nor_the_environment(path: Path) -> None:
    """csrc/ runs as a plain program, and is told everything by struct ajf_options."""
    text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
    assert "Python.h" not in text
    assert not re.search(r"\b(secure_)?getenv\b|\b(set|put|unset)env\b", text)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The C files, compiled with their own flags; -fno-pie, or constant tables of pointers would be relocated data."""
    to = tmp_path_factory.mktemp("objects")
    command = ["gcc", f"@{CSRC / 'cflags'}", "-O0", "-g0", "-w", "-fno-pie", *libfuse_flags(), f"-I{CSRC}"]

    def build(source: Path) -> Path:
        made = to / f"{source.stem}.o"
        subprocess.run([*command, "-c", str(source), "-o", str(made)], check=True)
        return made

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(build, sorted(CSRC.rglob("*.c"))))


def libfuse_flags() -> list[str]:
    """As setup.py: our static libfuse where there is one, else the system's."""
    static = subprocess.run([ROOT / "scripts/ensure-libfuse", "--print"], capture_output=True, text=True, check=False)
    if static.returncode == 0:
        return ["-DAJF_LIBFUSE_STATIC=1", f"-I{static.stdout.strip()}/include/fuse3"]
    system = subprocess.run(["pkg-config", "--cflags", "fuse3"], capture_output=True, text=True, check=True)
    return shlex.split(system.stdout)


def defined(path: Path, *options: str) -> set[tuple[str, str]]:
    """(kind, name) of the symbols that an object file defines, as nm says."""
    done = subprocess.run(
        ["nm", "--defined-only", "--format=posix", *options, str(path)], capture_output=True, text=True, check=True
    )
    return {(kind, name) for name, kind, *_ in (line.split() for line in done.stdout.splitlines())}


def test_the_core_has_no_globals(objects: list[Path]) -> None:
    """Everything hangs off one mount; a process may hold several."""
    found = {path.stem: [name for kind, name in defined(path) if kind in WRITABLE] for path in objects}
    assert not {stem: names for stem, names in found.items() if names}


@extensions
def test_an_extension_is_hardened(extension: ModuleType) -> None:
    """Its relocations are read-only once it is loaded, and functions of libc that write check the size."""

    def told(*words: str) -> str:
        return subprocess.run([*words, extension.__file__], capture_output=True, text=True, check=True).stdout

    assert re.search(r"FLAGS_1.*\bNOW\b", told("readelf", "-d"))
    assert "GNU_RELRO" in told("readelf", "-l")
    imported = told("nm", "-D", "-u")
    assert "__stack_chk_fail" in imported
    assert re.search(r"__\w+_chk\b", imported)


def test_the_core_has_names_of_its_own(objects: list[Path]) -> None:
    """Linkage is visible in the name: what is not static is ajf_."""
    found = {name for path in objects for _, name in defined(path, "--extern-only")}
    assert len(found) > 50  # nm was understood
    assert not {name for name in found if not name.startswith("ajf_")}


# --------------------------------------------------------------------------------------------------------- tables


def test_options_are_the_same_everywhere() -> None:
    """Header, binding and OPTIONS name the same fields of struct ajf_options, with the same types."""
    header = struct_fields(CSRC / "base/options.h", "ajf_options")
    binding = (PACKAGE / "_ajf.pxd").read_text()
    declared = re.search(r"struct ajf_options:\n((?: {8}.*\n)+)", binding)
    assert declared
    mirrored = []
    for line in declared[1].splitlines():
        kind, names = line.split(maxsplit=1)
        mirrored += [(kind, name.strip()) for name in names.split(",")]
    assert mirrored == header
    names = [name for _, name in header]
    assert list(_core.option_names()) == names
    assert sorted(Config.load(environ={}).core_options()) == sorted(names)
    assert {row.field for row in OPTIONS if row.field} == set(names)


def test_attributes_and_entries_are_the_same_everywhere() -> None:
    """The NumPy types of a listing are the C structs, field by field."""
    kinds = {"uint64_t": "u8", "int64_t": "i8", "uint32_t": "u4"}
    attr = [(name, kinds[kind]) for kind, name in struct_fields(CSRC / "base/types.h", "ajf_attr")]
    assert attr == ATTR_DTYPE
    (first, *rest) = struct_fields(CSRC / "base/types.h", "ajf_entry")
    assert first == ("struct ajf_attr", "attr")
    assert [*attr, *((name, kinds[kind]) for kind, name in rest)] == ENTRY_DTYPE
    assert np.dtype(ENTRY_DTYPE).itemsize == _core.ENTRY_BYTES
    assert np.dtype(ENTRY_DTYPE, align=True) == np.dtype(ENTRY_DTYPE)  # no padding for C to add


def test_every_counter_counts() -> None:
    """A counter of stats.def that nothing counts would be a promise."""
    names = re.findall(r"^AJF_STAT\((\w+), ", (CSRC / "base/stats.def").read_text(), flags=re.MULTILINE)
    assert len(names) == len(set(names)) > 40
    counted = r"\bAJF_COUNT(?:_ADD)?\([^;]*?,\s*{0}\b|\bENTER\(\w+,\s*{0}\b|\bAJF_STAT_{0}\b"
    code = all_code()
    assert not [name for name in names if not re.search(counted.format(name), code)]
