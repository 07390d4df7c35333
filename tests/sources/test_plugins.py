"""Sources of other packages are found by their scheme, and what is wrong with one is told with its package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from alluxio_jnifuse.errors import AlluxioFuseError, ConfigError, SourceError
from alluxio_jnifuse.sources import open_source
from alluxio_jnifuse.testing import MemorySource

MODULE = """
from alluxio_jnifuse.errors import ConfigError
from alluxio_jnifuse.testing import MemorySource

def tree(uri, config):
    made = MemorySource({})
    made.asked = (uri, config)
    return made

def garbage(uri, config):
    return "garbage"

def failing(uri, config):
    raise KeyError("planted")

def refusing(uri, config):
    raise ConfigError("names no tree", where=uri)

number = 42
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a package: its name, which is that of its module too, and its entry points by scheme."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, points: dict[str, str], module: str = MODULE, version: str = "1.0", at: str = "") -> None:
        information = tmp_path / at / f"{name}-{version}.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = [f"{scheme} = {name}:{attribute}" for scheme, attribute in points.items()]
        (information / "entry_points.txt").write_text("\n".join(["[alluxio_jnifuse.sources]", *lines, ""]))
        (tmp_path / at / f"{name}.py").write_text(module)

    return make


def refusal(uri: str, kind: type[AlluxioFuseError] = ConfigError) -> str:
    """The message with which a URI is refused."""
    with pytest.raises(AlluxioFuseError) as caught:
        open_source(uri, {})
    assert type(caught.value) is kind
    return str(caught.value)


def test_a_plugin_is_found_by_its_scheme(install: Install) -> None:
    """In any case; its factory gets the URI and the settings as they are."""
    install("forest_a", {"Forest": "tree"})
    config = {"key": "value"}
    for uri in ("forest://some/where?x", "FOREST://"):
        source = open_source(uri, config)
        assert isinstance(source, MemorySource)
        assert source.asked == (uri, config)  # type: ignore[attr-defined]
    assert "forest://" in refusal("other://somewhere")


def test_a_plugin_that_cannot_be_imported(install: Install) -> None:
    """Neither for want of another module, nor of the factory, nor because its own code fails."""
    install("lacking_b", {"lacking": "tree"}, "import no_such_module")
    install("torn_b", {"torn": "tree"}, "raise OSError('planted')")
    install("empty_b", {"empty": "tree"}, "")
    assert refusal("lacking://").startswith(
        "package lacking_b 1.0: its source cannot be imported: ModuleNotFoundError: No module named 'no_such_module'; "
    )
    assert "package torn_b 1.0: its source cannot be imported: OSError: planted" in refusal("torn://")
    assert "package empty_b 1.0: its source cannot be imported: AttributeError: " in refusal("empty://")


def test_a_factory_that_fails(install: Install) -> None:
    """It raises, is none, or returns something else; an error that was meant for a person is left as it is."""
    install("bad_c", {name: name for name in ("garbage", "failing", "refusing", "number")})
    where = "package bad_c 1.0: "
    assert refusal("garbage://x", SourceError) == f"{where}'garbage://x': its factory returned 'garbage', not a Source"
    assert refusal("failing://x", SourceError) == f"{where}'failing://x' cannot be opened: KeyError: 'planted'"
    assert "'int' object is not callable" in refusal("number://x", SourceError)
    assert refusal("refusing://x") == "refusing://x: names no tree"


@pytest.mark.parametrize("scheme", ["file", "alluxio", "FILE"])
def test_built_in_schemes_are_not_for_others(install: Install, tmp_path: Path, scheme: str) -> None:
    """A package that claims one is refused by name where plugins are looked for; ours serve as before."""
    install("greedy_d", {scheme: "tree"})
    install("forest_d", {"forest": "tree"})
    message = refusal("forest://")
    assert message.startswith(f"package greedy_d 1.0: claims the scheme {scheme.lower()}://, which is built in; ")
    open_source(f"file://{tmp_path}", {}).close()


def test_two_packages_with_one_scheme(install: Install) -> None:
    """Both are named, and only where the scheme is used."""
    install("forest_e", {"forest": "tree", "alone": "tree"})
    install("wood_e", {"forest": "tree"})
    message = refusal("forest://x")
    assert "forest_e 1.0" in message
    assert "wood_e 1.0" in message
    open_source("alone://", {}).close()


def test_a_package_that_is_there_twice(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one on the path counts, as for an import."""
    install("forest_f", {"forest": "tree"})
    install("forest_f", {"forest": "missing"}, version="2.0", at="newer")
    monkeypatch.syspath_prepend(str(tmp_path / "newer"))
    assert "package forest_f 2.0: " in refusal("forest://")
