"""The documents tell the truth where that can be compared."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from alluxio_jnifuse import __version__
from alluxio_jnifuse.cache.source import COUNTERS
from alluxio_jnifuse.sources.alluxio.rpc.calls import CALLS, OUTCOMES
from alluxio_jnifuse.sources.oss.counters import COUNTERS as OSS

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path for pattern in ("*.md", "docs/**/*.md", "csrc/*.md", "docker/*.md") for path in PROJECT.glob(pattern)
)


def test_metrics_are_those_of_the_code() -> None:
    """docs/METRICS.md has every counter of the core and of the sources, each with its meaning, in order."""
    rows = (PROJECT / "csrc/base/stats.def").read_text()
    declared = re.findall(r'^AJF_(?:STAT|TIMED)\((\w+), "(.*)"\)$', rows, re.MULTILINE)
    documented = re.findall(r"^\| `(\w+)` \| (.*) \|$", (PROJECT / "docs/METRICS.md").read_text(), re.MULTILINE)
    calls = [(f"rpc_{name}", meaning) for name, meaning in CALLS.items()]
    calls += [(f"cluster_{name}", meaning) for name, meaning in OUTCOMES.items()]
    requests = [(f"oss_{name}", meaning) for name, meaning in OSS.items()]
    assert documented == declared + calls + requests + list(COUNTERS.items())
    errnos = ", ".join(re.findall(r"^AJF_ERRNO\((\w+)\)$", rows, re.MULTILINE))
    assert errnos in " ".join((PROJECT / "docs/METRICS.md").read_text().split()).replace(" and ", ", ")


def anchors_of(document: Path) -> set[str]:
    """The names by which the headings of a document can be linked."""
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_links_lead_somewhere(document: Path) -> None:
    """Relative links name files of the tree, and headings that these have."""
    targets = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", document.read_text())
    assert not [path for path, _ in targets if not (document.parent / path).exists()]
    headings = [(document.parent / path if path else document, anchor) for path, anchor in targets if anchor]
    assert not [anchor for path, anchor in headings if anchor not in anchors_of(path)]


def test_the_index_names_every_page() -> None:
    """docs/README.md links all pages of docs/."""
    index = (PROJECT / "docs" / "README.md").read_text()
    assert not [
        page.name
        for page in (PROJECT / "docs").glob("*.md")
        if f"]({page.name})" not in index and page.name != "README.md"
    ]


def test_documents_travel() -> None:
    """Documents and pictures are in the sdist, and below share/doc/alluxio-jnifuse of the wheel as links expect."""
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    below = "share/doc/alluxio-jnifuse"
    shipped = {
        path
        for place, patterns in settings["tool"]["setuptools"]["data-files"].items()
        for pattern in patterns
        for path in PROJECT.glob(pattern)
        if place == str(Path(below, path.relative_to(PROJECT).parent))
    }
    assert not {*DOCUMENTS, *(PROJECT / "docs/images").iterdir()} - shipped
    manifest = (PROJECT / "MANIFEST.in").read_text()
    assert "\ngraft docs\n" in manifest
    assert "\ninclude *.md benchmarks/RESULTS.md docker/README.md\n" in manifest


def test_what_the_image_lacks_fails_no_build() -> None:
    """The build of the image has no pages: a path that is no pattern fails there."""
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    named = {
        pattern
        for patterns in settings["tool"]["setuptools"]["data-files"].values()
        for pattern in patterns
        if "*" not in pattern
    }
    kept = [line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert not [path for path in named if not path.startswith(tuple(kept))]


def test_every_promise_has_its_test() -> None:
    """docs/SECURITY.md names tests that exist, at least one in each line of its promises."""
    text = (PROJECT / "docs/SECURITY.md").read_text()
    promises = text.partition("\n## What is promised\n")[2].partition("\n## ")[0]
    lines = [line for line in promises.splitlines() if line.startswith("| ") and "tested by" not in line]
    assert len(lines) > 15
    assert not [line for line in lines if not re.search(r"`tests/[^`]+`", line)]
    for name in re.findall(r"`(tests/[^`]+)`", text):
        path, _, test = name.partition("::")
        assert (PROJECT / path).exists(), name
        assert not test or f"\ndef {test}(" in (PROJECT / path).read_text(), name


def test_quoted_files_are_those_of_the_tree() -> None:
    """A file that a document links to, with a colon and a block of code behind it, is quoted as it is."""
    quote = re.compile(r"\]\(([^)]+)\):\n\n```\w+\n(.*?)```", re.DOTALL)
    quoted = [(path, *found.groups()) for path in DOCUMENTS for found in quote.finditer(path.read_text())]
    assert len(quoted) >= 2
    assert not [name for path, name, text in quoted if (path.parent / name).read_text() != text]


def test_urls_are_absolute() -> None:
    """An index refuses relative ones; the chart names the same home."""
    urls = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["urls"]
    assert urls
    assert all(url.startswith("https://") for url in urls.values())
    assert f"\nhome: {urls['Alluxio']}\n" in (PROJECT / "charts/alluxio/Chart.yaml").read_text()


def test_images_are_of_this_version() -> None:
    """The compose file and docker/README.md name the image that `make image` makes."""
    for name in ("compose.yaml", "README.md"):
        text = (PROJECT / "docker" / name).read_text()
        assert set(re.findall(r"alluxio-jnifuse:(\d[\w.]*)", text)) == {__version__}


# Messages that other programs and the kernel print.
NOT_OURS = {
    "/dev/fuse",
    "/etc/mtab",
    "File too large",
    "Input/output error",
    "Permission denied",
    "Read-only file system",
    "Stale file handle",
    "Too many open files",
    "Transport endpoint is not connected",
    "allow_other",
    "fusermount3: failed to open /etc/mtab",
    "git status",
    "ls",
    "ls -l",
    "path /mnt is mounted on / but it is not a shared mount",
    "tail -f",
}


def test_troubleshooting_has_the_messages_of_the_code() -> None:
    """What is quoted in its headings and its lines of the log can be found in the sources, piece by piece."""
    text = (PROJECT / "docs" / "TROUBLESHOOTING.md").read_text()
    sources = [path for end in ("py", "pyx", "pxi") for path in (PROJECT / "src").rglob(f"*.{end}")]
    sources += (PROJECT / "csrc").rglob("*.c")
    code = " ".join(re.sub(r'"\s*\n\s*f?"', "", path.read_text()) for path in sources)
    headings = re.findall(r"`([^`]+)`", " ".join(re.findall(r"^### (.*)$", text, re.MULTILINE)))
    logged = re.findall(r"\*\*Log:\*\* `([^`]+)`", text)
    messages = {" ".join(message.split()) for message in headings + logged} - NOT_OURS
    assert len(messages) > 40
    for message in messages:
        for piece in re.split(r"\s*…[….:;\s]*", message):
            assert len(piece) < 8 or piece in code, f"{message!r}: {piece!r}"


def test_the_architecture_names_what_there_is() -> None:
    """Modules of the core, and files and directories of the package, that docs/ARCHITECTURE.md names exist."""
    names = set(re.findall(r"`([a-z_]+(?:/[a-z_]+)*/?(?:\.py)?)`", (PROJECT / "docs" / "ARCHITECTURE.md").read_text()))
    paths = {name for name in names if "/" in name or name.endswith(".py")}
    assert len(paths) > 15
    package = {str(path) for path in (PROJECT / "src" / "alluxio_jnifuse").rglob("*")} | {str(PROJECT / "csrc")}
    core = {str(path.with_suffix("")) for path in (PROJECT / "csrc").rglob("*.[ch]")}
    everything = "\n".join(f"{path}\n" for path in sorted(package | core))
    missing = {path for path in paths if f"/{path.rstrip('/')}\n" not in everything}
    assert not {path for path in missing if not (PROJECT / path).exists()}
