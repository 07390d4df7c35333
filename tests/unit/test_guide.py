"""The table of the guide's settings is complete, names tests that there are, and is what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import guide
import pytest
from recipe import RECIPE

from alluxio_jnifuse.config.options import BY_NAME
from alluxio_jnifuse.config.values import Config

PROJECT = Path(__file__).resolve().parents[2]
SETTINGS = guide.settings()
PROPERTIES = {name: value for name, value in SETTINGS.items() if name.startswith(("alluxio.", "fs."))}


def test_the_guide_is_read_to_its_end() -> None:
    """Both lists of properties, both tables, the options and the variables; 48 properties are in the longer list."""
    recipe = dict(re.findall(r"^ {4}((?:alluxio|fs)\.[\w.]+): (.*)$", RECIPE, re.MULTILINE))
    assert recipe.keys() <= SETTINGS.keys()
    assert {"direct_io", "kernel_cache", "max_read", "attr_timeout", "entry_timeout", "max_idle_threads"} <= set(
        SETTINGS
    )
    assert {"MAX_IDLE_THREADS", "SPENT_TIME", "ALLUXIO_RAM_FOLDER", "ALLUXIO_JAVA_OPTS", "ro"} <= set(SETTINGS)
    assert {"alluxio.worker.ramdisk.size", "alluxio.worker.hostname", "fuse.jvmOptions"} <= set(SETTINGS)


def test_every_effect_is_of_a_setting() -> None:
    assert guide.EFFECTS.keys() <= SETTINGS.keys()


@pytest.mark.parametrize("name", [name for name in SETTINGS if name not in PROPERTIES])
def test_what_is_no_property_has_an_effect(name: str) -> None:
    assert name in guide.EFFECTS


@pytest.mark.parametrize("name", PROPERTIES)
def test_a_property_acts_or_the_log_says_why_not(name: str) -> None:
    """As the table has it, for a mount of a cluster."""
    config = Config.load(
        properties=[f"{name}={PROPERTIES[name]}", "alluxio.master.hostname=localhost"],
        environ={"ALLUXIO_CONF_DIR": "/nonexistent", "HOME": "/nonexistent"},
    )
    notes = [note for note in config.notes if note.startswith(f"ignored: {name} ")]
    if name in guide.EFFECTS:
        assert name in BY_NAME
    else:
        assert len(notes) == 1


@pytest.mark.parametrize("test", sorted({effect.test for effect in guide.EFFECTS.values()}))
def test_what_shows_it_is_there(test: str) -> None:
    """A function of that file."""
    path, _, function = test.rpartition("::")
    assert re.search(rf"^def {function}\(", (PROJECT / path).read_text(), re.MULTILINE)


def test_the_page() -> None:
    """`make docs` writes it."""
    assert (PROJECT / "docs/GUIDE.md").read_text() == guide.page(), "run make docs"
