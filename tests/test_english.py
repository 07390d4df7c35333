"""The mechanical part of the style that CONTRIBUTING.md describes: subject, verb, condition."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "csrc/*.md", "docs/*.md", "docs/decisions/*.md", "docker/*.md")
    for path in PROJECT.glob(pattern)
    if path.name != "README.zh-CN.md"
)
PYTHON = sorted(
    path for ending in ("py", "pyi") for path in (PROJECT / "src").rglob(f"*.{ending}") if path.stem[-4:] != "_pb2"
)
CYTHON = sorted(path for ending in ("pyx", "pxi", "pxd") for path in (PROJECT / "src").rglob(f"*.{ending}"))
CORE = sorted(path for ending in ("c", "h", "def") for path in (PROJECT / "csrc").rglob(f"*.{ending}"))
LONGEST = 120

# The first words of a clause that stands for its subject: "Who reads a directory ..." is "A reader of a directory ...".
HEADLESS = re.compile(
    r"(?:^|(?<=[.:;] ))(?:Who|Whoever|Whom|Whose|What|Whatever|Where|As)\b[^.?!\n]*+(?!\?)", re.MULTILINE
)
# The same inside of a sentence: "seen by who polls for it".
INNER = re.compile(
    r"\b(?:whoever|whomever)\b|\b(?:and|but|by|for|from|of|or|than|that|to|while|with) who\b", re.IGNORECASE
)
# How the project came about is nobody's business but its own.
TRACES = re.compile(r"\bthe seed\b|\bseed document|\b(?:the|this|an) issue\b(?! tracker)|\bissue #?\d", re.IGNORECASE)


def sentences(page: str) -> str:
    """The prose of a page, a paragraph, item or cell on a line; without code, headings, links' targets and comments."""
    text = re.sub(r"<!--.*?-->|^```.*?^```|^    .*?$|^#.*?$", "\n", page, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    text = re.sub(r"`[^`]*`", "`code`", text)
    text = re.sub(r"\n(?=\s*(?:[-*|]|\d+\.) ?)", "\n\n", text)
    paragraphs = [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text)]
    cells = [cell.strip() for paragraph in paragraphs for cell in re.split(r"\s\|\s?|^\|\s?|\s?\|$", paragraph)]
    return "\n".join(re.sub(r"^(?:[-*]|\d+\.)\s+|\*\*", "", cell) for cell in cells if cell)


def faults(page: str) -> list[str]:
    """The clauses of a page that stand for a noun."""
    text = sentences(page)
    found = [match[0] for match in HEADLESS.finditer(text)]
    return found + [text[max(0, match.start() - 40) : match.end() + 30] for match in INNER.finditer(text)]


def docstrings(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def comments(source: str) -> Iterator[str]:
    """The comments of a module; lines that follow each other are one."""
    block: list[str] = []
    last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        stands_alone = token.line.lstrip().startswith("#")
        if block and not (stands_alone and last == token.start[0] - 1):
            yield "\n".join(block)
            block = []
        block.append(token.string.lstrip("# "))
        last = token.start[0] if stands_alone else 0
    yield "\n".join(block)


def comments_of_cython(source: str) -> Iterator[str]:
    """Docstrings, and comments as `comments` gives them; Python's tokenizer does not know all of C's literals."""
    yield from re.findall(r'^\s*"""(.*?)"""', source, re.DOTALL | re.MULTILINE)
    block: list[str] = []
    for line in source.splitlines():
        code, mark, text = re.sub(r'"(?:[^"\\]|\\.)*"', "", line).partition("#")
        if block and (not mark or code.strip()):
            yield "\n".join(block)
            block = []
        if mark and code.strip():
            yield text.strip()
        elif mark:
            block.append(text.strip())
    yield "\n".join(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_sentences_have_a_subject(page: Path) -> None:
    """No sentence begins with a clause that stands for a noun, and none hides one."""
    assert not faults(page.read_text())


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(PROJECT / "src")))
def test_sentences_of_modules_have_a_subject(path: Path) -> None:
    """The same of docstrings and comments."""
    source = path.read_text()
    assert not [fault for text in (*docstrings(source), *comments(source)) for fault in faults(text)]


@pytest.mark.parametrize("path", CYTHON, ids=lambda path: path.name)
def test_sentences_of_the_glue_have_a_subject(path: Path) -> None:
    """The same of docstrings and comments in Cython."""
    assert not [fault for text in comments_of_cython(path.read_text()) for fault in faults(text)]


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(PROJECT)))
def test_sentences_of_the_core_have_a_subject(path: Path) -> None:
    """The same of its comments."""
    found = re.findall(r"/\*(.*?)\*/|//([^\n]*)", path.read_text(), re.DOTALL)
    texts = [re.sub(r"^\s*\* ?", "", block or line, flags=re.MULTILINE).strip() for block, line in found]
    assert not [fault for text in texts for fault in faults(text)]


@pytest.mark.parametrize("page", PAGES + CYTHON, ids=lambda path: str(path.relative_to(PROJECT)))
def test_lines_fit(page: Path) -> None:
    """Prose is wrapped, but for rows of tables; formatters see to other code than Cython."""
    lines = page.read_text().splitlines()
    assert not [number for number, line in enumerate(lines, 1) if len(line) > LONGEST and not line.startswith("|")]


def test_nothing_tells_how_it_came_about() -> None:
    """Not the pages, and not the code, tests and scripts either."""
    endings = {".c", ".h", ".md", ".py", ".pyi", ".pyx", ".pxd", ".pxi", ".sh", ".toml", ".yaml", ""}
    places = [PROJECT / name for name in ("benchmarks", "charts", "csrc", "docker", "docs", "scripts", "src", "tests")]
    files = [path for place in places for path in place.rglob("*") if path.suffix in endings and path.is_file()]
    files += [path for path in PROJECT.iterdir() if path.suffix in endings and path.is_file()]
    assert len(files) > 400
    assert not [path for path in files if path != Path(__file__) and TRACES.search(path.read_text(errors="replace"))]


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("Who reads a directory finds the next files.", True),
        ("A file is read. What is\ncached stays.", True),
        ("- **Cure:** Where it fails, mount again.", True),
        ("| a | As the cluster says. |", True),
        ("It is seen by who polls for it.", True),
        ("It belongs to whoever made it.", True),
        ("What happens when it dies?", False),
        ("# What it is not for", False),
        ("A reader, who may wait, asks who leads.", False),
        ("```\nWhat a program prints.\n```", False),
    ],
)
def test_the_alarm_rings(text: str, is_found: bool) -> None:
    assert bool(faults(text)) == is_found


def test_comments_of_cython_are_found() -> None:
    """Above the code, behind it, and in docstrings; not in strings."""
    source = '"""Who\nreads."""\nf(a, "# b", 0UL)  # As before.\n# One.\n    # Two.\nx = 1\n# Three.\n'
    assert list(comments_of_cython(source)) == ["Who\nreads.", "As before.", "One.\nTwo.", "Three."]
