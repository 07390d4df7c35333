"""Manual pages and completion are made of what `--help` prints, and work in the programs that read them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from alluxio_jnifuse import cli
from alluxio_jnifuse.cli import manual

DOCS = Path(__file__).resolve().parents[2] / "docs"
FILES = manual.files()
BASH = DOCS / "completion" / "alluxio-jnifuse"


@pytest.mark.parametrize("name", FILES)
def test_they_are_up_to_date(name: str) -> None:
    """`make docs` writes them."""
    assert (DOCS / name).read_text() == FILES[name], "run make docs"


def test_there_are_no_others() -> None:
    found = {str(path.relative_to(DOCS)) for top in ("man", "completion") for path in (DOCS / top).iterdir()}
    assert found == FILES.keys()


def test_every_command_has_a_page() -> None:
    """But for those that are another name of one."""
    named = {command.name for command in manual.commands()}
    assert {cli.COMMANDS[name] for name in named} == set(cli.COMMANDS.values())
    for command in manual.commands():
        assert command.usage[0].startswith(f"alluxio-jnifuse {command.name}")
        assert manual._summary(command.name)


@pytest.mark.parametrize("command", manual.commands(), ids=lambda command: command.name)
def test_options_have_long_names(command: manual.Command) -> None:
    """Each short option of a command has one."""
    for term in command.terms:
        if term.flags and not term.name.startswith("-o, -D, -u"):  # of another command
            assert any(flag.startswith("--") for flag in term.flags), term.name


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("man/")])
def test_pages_are_right_for_man(name: str) -> None:
    """Without a warning."""
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-P-cbou", DOCS / name], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "SYNOPSIS" in done.stdout


def completed(*words: str) -> list[str]:
    """What bash offers for the last word."""
    line = " ".join(f"'{word}'" for word in ("alluxio-jnifuse", *words))
    script = f"source {BASH}; COMP_WORDS=({line}); COMP_CWORD={len(words)}; _alluxio_jnifuse"
    done = subprocess.run(
        ["bash", "-c", f'{script}; printf "%s\\n" "${{COMPREPLY[@]}}"'], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash() -> None:
    """Commands, options of a command, mount options after the last comma, and properties."""
    assert completed("mo") == ["mount"]
    assert {"umount", "unmount"} & set(completed("u"))
    assert set(completed("umount", "--")) == {"--lazy", "--force", "--wait", "--help"}
    assert completed("mount", "-o", "kernel_cache,attr_") == ["kernel_cache,attr_timeout"]
    assert completed("mount", "--define", "alluxio.fuse.debug") == ["alluxio.fuse.debug.enabled="]
    assert completed("getConf", "alluxio.fuse.debug") == ["alluxio.fuse.debug.enabled"]
    assert completed("options", "log_f") == ["log_format"]
    assert completed("stats", "--w") == ["--watch"]


def test_zsh_and_fish_have_every_option() -> None:
    """Of every command."""
    zsh, fish = FILES["completion/_alluxio-jnifuse"], FILES["completion/alluxio-jnifuse.fish"]
    for command in manual.commands():
        for flag in (flag for term in command.terms for flag in term.flags):
            assert f"'{flag}[" in zsh
            assert (f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}") in fish


@pytest.mark.parametrize(("shell", "name"), [("zsh", "_alluxio-jnifuse"), ("fish", "alluxio-jnifuse.fish")])
def test_syntax(shell: str, name: str) -> None:
    """As the shell itself sees it."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "-n", DOCS / "completion" / name], check=True)
