"""Manual pages, and completion for shells, made of what `--help` prints and of OPTIONS: `python -m …cli.manual DIR`.

    man/alluxio-jnifuse.1, man/alluxio-jnifuse-COMMAND.1     troff, for man(1)
    completion/bash, completion/zsh, completion/fish         words of the command line

They are files of the package; `make docs` writes them.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from alluxio_jnifuse import cli
from alluxio_jnifuse.cli.words import PROGRAM
from alluxio_jnifuse.config.options import OPTIONS, is_property

_TERM = re.compile(r"  (\S.*?)(?:  +(\S.*))?")  # of a list: a term, and what is said of it
_MORE = re.compile(r" {20,}(\S.*)")  # and its next line
_FLAG = re.compile(r"(?:^|[\s,(])(--?[A-Za-z0-9][\w-]*)")
_OF_MOUNT = ("mount", "doctor")  # they take mount options and properties
_PATHS = ("load", "refresh")  # they take paths


class Term(NamedTuple):
    """One entry of a list of `--help`: options or an argument, and the text about it."""

    name: str
    text: str

    @property
    def flags(self) -> list[str]:
        """The options that it describes; none for an argument."""
        return _FLAG.findall(self.name) if self.name.startswith("-") else []

    @property
    def argument(self) -> str:
        """The name of the value that the option takes; "" where it takes none."""
        last = self.name.split()[-1]
        return last if last.isupper() or "=" in last else ""


class Command(NamedTuple):
    """The help of one command, in parts. `text`: paragraphs; lines of an example begin with a space."""

    name: str
    usage: list[str]
    terms: list[Term]
    text: list[str]


def commands() -> list[Command]:
    """All of them, without second names."""
    found = []
    for name, module in cli.COMMANDS.items():
        if name == module or name == "getConf":
            found.append(_parsed(name, importlib.import_module(f"{cli.__name__}.{module}").USAGE))
    return found


def _parsed(name: str, usage: str) -> Command:
    head, _, rest = usage.partition("\n\n")
    terms: list[Term] = []
    text: list[str] = []
    for paragraph in rest.strip("\n").split("\n\n"):
        lines = paragraph.split("\n")
        if not lines[0].startswith("  "):
            text.append(paragraph)
            continue
        for line in lines:
            more, term = _MORE.fullmatch(line), _TERM.fullmatch(line)
            if more and terms:
                terms[-1] = Term(terms[-1].name, f"{terms[-1].text} {more[1]}".strip())
            elif term:
                terms.append(Term(term[1], term[2] or ""))
    synopsis = re.sub(r"\n {20,}", " ", head).split("\n")
    return Command(name, [re.sub(r"^(?:Usage:| *) *", "", line) for line in synopsis], terms, text)


# ---------------------------------------------------------------------------------------------------- manual pages


def page(command: Command) -> str:
    """The manual page of one command, in the macros of man(7)."""
    lines = _head(f"{PROGRAM}-{command.name}", _summary(command.name))
    lines += [".SH SYNOPSIS", *_unfilled(command.usage)]
    if command.terms:
        lines.append(".SH OPTIONS")
    for term in command.terms:
        lines += [".TP", f".B {_escaped(term.name)}", _escaped(term.text)]
    if command.text:
        lines.append(".SH DESCRIPTION")
    for paragraph in command.text:
        first, *others = paragraph.split("\n")
        if others and all(line.startswith("  ") for line in others):
            lines += [".PP", _escaped(first), *_unfilled(line.strip() for line in others)]
        else:
            lines += [".PP", _escaped(" ".join([first, *others]))]
    pages = ", ".join(f"{PROGRAM}-{other.name}(1)" for other in commands() if other.name != command.name)
    return _finished([*lines, ".SH SEE ALSO", f"{PROGRAM}(1), {pages}", *_documents(command.name)])


def main_page() -> str:
    """alluxio-jnifuse(1)."""
    lines = _head(PROGRAM, "mount Alluxio clusters, buckets and directories, and look into the mounts")
    lines += [".SH SYNOPSIS", *_unfilled([f"{PROGRAM} COMMAND ..."]), ".SH COMMANDS"]
    for command in commands():
        lines += [".TP", f".BR {PROGRAM}-{command.name} (1)", _escaped(_summary(command.name))]
    return _finished([*lines, *_documents("")])


def _head(name: str, summary: str) -> list[str]:
    title = f'.TH {name.upper()} 1 "" "{PROGRAM}" "User Commands"'
    return [title, ".SH NAME", f"{name} \\- {_escaped(summary)}"]


def _summary(name: str) -> str:
    """Returns the words about a command in the list of all commands."""
    said: list[str] = []
    within = False
    for line in cli.USAGE.split("\n"):
        more = _MORE.fullmatch(line)
        if within and not more:
            if said:
                break
        elif within and more:
            said.append(more[1])
        if re.match(rf"  {name}\b", line):
            within = True
            term = _TERM.fullmatch(line)
            said += [term[2]] if term and term[2] else []
    return re.sub(r" \(also: \w+\)", "", " ".join(said))


def _unfilled(lines: Iterable[str]) -> list[str]:
    return [".nf", *map(_escaped, lines), ".fi"]


def _documents(name: str) -> list[str]:
    pages = [page if page in ("README", "CHANGELOG") else f"docs/{page}" for page in cli.PAGES.get(name, ("README",))]
    return [".PP", _escaped(f"Documents in share/doc/{PROGRAM}: {', '.join(f'{page}.md' for page in pages)}")]


def _escaped(text: str) -> str:
    """Plain text for troff."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...")
    return f"\\&{text}" if text.startswith((".", "'")) else text


def _finished(lines: list[str]) -> str:
    return "\n".join([*lines, ""])


# ------------------------------------------------------------------------------------------------------ completion


def _mount_options() -> list[str]:
    return sorted(name for row in OPTIONS for name in (row.name, row.off) if name and not is_property(name))


def _properties() -> list[str]:
    return sorted(name for row in OPTIONS for name in (row.name, *row.aliases) if is_property(name))


def bash() -> str:
    """For bash-completion, which loads it by the name of the program."""
    cases = "\n".join(f"    {each.name}) words='{' '.join(_words(each))}' ;;" for each in commands())
    takes = "|".join(
        sorted({flag for each in commands() for term in each.terms for flag in term.flags if term.argument})
    )
    return f"""\
# Completion of {PROGRAM} for bash; made by `make docs`.
_alluxio_jnifuse_mounts() {{
    awk '$3 == "fuse.alluxio-fuse" {{ print $2 }}' /proc/self/mounts
}}

_alluxio_jnifuse() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}} words=
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W '{" ".join(each.name for each in commands())}' -- "$cur")
        return
    fi
    case ${{COMP_WORDS[1]}} in
{cases}
    esac
    case $prev in
    -o | --options)
        local last=${{cur##*,}} before=
        [[ $cur == *,* ]] && before=${{cur%,*}},
        mapfile -t COMPREPLY < <(compgen -P "$before" -W '{" ".join(_mount_options())}' -- "$last")
        compopt -o nospace 2> /dev/null
        return
        ;;
    -D | --define)
        mapfile -t COMPREPLY < <(compgen -S = -W '{" ".join(_properties())}' -- "$cur")
        compopt -o nospace 2> /dev/null
        return
        ;;
    {takes})
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
        return
    fi
    case ${{COMP_WORDS[1]}} in
    {" | ".join((*_OF_MOUNT, *_PATHS))})
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        compopt -o filenames 2> /dev/null
        ;;
    getConf) mapfile -t COMPREPLY < <(compgen -W '{" ".join(_properties())}' -- "$cur") ;;
    options) mapfile -t COMPREPLY < <(compgen -W '{" ".join([*_mount_options(), *_properties()])}' -- "$cur") ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$(_alluxio_jnifuse_mounts)" -- "$cur") ;;
    esac
}}

complete -F _alluxio_jnifuse {PROGRAM} alluxio-fuse
"""


def _words(command: Command) -> list[str]:
    return [flag for term in command.terms for flag in term.flags] + ["--help"]


def zsh() -> str:
    """For a directory of $fpath."""
    listed = "\n".join(f"    '{each.name}:{_quoted(_summary(each.name))}'" for each in commands())
    cases = []
    for each in commands():
        specs = [
            f"'{flag}[{_bracketed(term.text)}]{f':{term.argument}:_files' if term.argument else ''}'"
            for term in each.terms
            for flag in term.flags
        ]
        rest = "'*:path:_files'" if each.name in (*_OF_MOUNT, *_PATHS) else "'*:mount point:_alluxio_jnifuse_mounts'"
        cases.append(f"    {each.name}) _arguments -s {' '.join([*specs, rest])} ;;")
    body = "\n".join(cases)
    return f"""\
#compdef {PROGRAM} alluxio-fuse
# Completion of {PROGRAM} for zsh; made by `make docs`.
_alluxio_jnifuse_mounts() {{
    compadd -- ${{(f)"$(awk '$3 == "fuse.alluxio-fuse" {{ print $2 }}' /proc/self/mounts)"}}
}}

_alluxio_jnifuse() {{
    local -a commands
    commands=(
{listed}
    )
    if ((CURRENT == 2)); then
        _describe command commands
        return
    fi
    shift words
    ((CURRENT--))
    case $words[1] in
{body}
    esac
}}

_alluxio_jnifuse "$@"
"""


def fish() -> str:
    """For a directory of vendor_completions.d."""
    lines = [f"# Completion of {PROGRAM} for fish; made by `make docs`."]
    for program in (PROGRAM, "alluxio-fuse"):
        lines.append(f"complete -c {program} -f")
        for each in commands():
            of_it = f"complete -c {program} -n '__fish_seen_subcommand_from {each.name}'"
            lines.append(
                f"complete -c {program} -n __fish_use_subcommand -a {each.name} -d '{_quoted(_summary(each.name))}'"
            )
            for term in each.terms:
                if term.flags:
                    names = " ".join(
                        f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in term.flags
                    )
                    lines.append(f"{of_it} {names}{' -r' if term.argument else ''} -d '{_quoted(term.text)}'")
            if each.name in (*_OF_MOUNT, *_PATHS):
                lines.append(f"{of_it} -F")
            else:
                mounts = """(awk '$3 == "fuse.alluxio-fuse" { print $2 }' /proc/self/mounts)"""
                lines.append(f'{of_it} -a "{mounts.replace("$", chr(92) + "$").replace(chr(34), chr(92) + chr(34))}"')
    return _finished(lines)


def _quoted(text: str) -> str:
    """Within single quotes of a shell."""
    return text.replace("\\", "").replace("'", "")


def _bracketed(text: str) -> str:
    """Within brackets and single quotes of zsh's _arguments."""
    return re.sub(r"([\[\]:])", r"\\\1", _quoted(text))


def files() -> dict[str, str]:
    """All of them, by their paths below a directory."""
    found = {f"man/{PROGRAM}.1": main_page()}
    found |= {f"man/{PROGRAM}-{command.name}.1": page(command) for command in commands()}
    names = {f"completion/{PROGRAM}": bash(), f"completion/_{PROGRAM}": zsh(), f"completion/{PROGRAM}.fish": fish()}
    return {**found, **names}


def main() -> None:
    """Writes them below the directory that is named."""
    for name, text in files().items():
        path = Path(sys.argv[1], name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
