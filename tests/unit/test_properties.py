"""Properties files and *_JAVA_OPTS are taken apart as Java and the shell do it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from alluxio_jnifuse.config.properties import (
    find_site_file,
    ignored_reason,
    parse_java_opts,
    parse_properties,
    read_site_file,
)


def test_properties_format() -> None:
    """Separators, comments, continuation lines and escapes are those of java.util.Properties."""
    text = (
        "# comment\n! comment\n\n"
        "a=1\n  b : 2\nc 3\nd\ne=\n"
        "f=one,\\\n    two\n"
        "g\\=h\\ i=x=y:z\n"
        "j=caf\\u00e9\\tend\\\\\n"
        "k=  spaces around  \r\n"
        "l=last\\"
    )
    assert parse_properties(text) == [
        ("a", "1"),
        ("b", "2"),
        ("c", "3"),
        ("d", ""),
        ("e", ""),
        ("f", "one,two"),
        ("g=h i", "x=y:z"),
        ("j", "café\tend\\"),
        ("k", "spaces around"),
        ("l", "last"),
    ]


def work_of(text: str) -> int:
    """How much text the methods of strings look at while it is parsed, in characters."""
    seen = 0

    def note(_: FrameType, event: str, called: Any) -> None:
        nonlocal seen
        if event == "c_call" and isinstance(called.__self__, str):
            seen += len(called.__self__)

    sys.setprofile(note)
    try:
        parse_properties(text)
    finally:
        sys.setprofile(None)
    return seen


@pytest.mark.parametrize("line", ["x\\\n", "\\\n", "\\\\\\\n", " \\\n", "a=b\n", " #\n"])
def test_the_work_grows_as_the_text(line: str) -> None:
    """Not as its square, however many lines continue one."""
    few, many = (work_of(line * count) for count in (300, 3000))
    assert 0 < few * 5 <= many <= few * 20


def test_site_file_encodings(tmp_path: Path) -> None:
    """A site file is UTF-8, or Latin-1 as Java reads it."""
    site = tmp_path / "alluxio-site.properties"
    site.write_bytes("a=/data/训练".encode())
    assert read_site_file(str(site)) == [("a", "/data/训练")]
    site.write_bytes("a=/données".encode("latin-1"))
    assert read_site_file(str(site)) == [("a", "/données")]


def test_first_site_file_counts(tmp_path: Path) -> None:
    """The first directory of the list that holds a site file is used."""
    for name in ("b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "alluxio-site.properties").touch()
    listed = f"{tmp_path}/a/, {tmp_path}/b/,{tmp_path}/c/"
    assert find_site_file(listed) == f"{tmp_path}/b/alluxio-site.properties"
    assert find_site_file("") is None


def test_java_opts() -> None:
    """Words are quoted as in a shell, variables expanded, and Java's own flags kept apart."""
    environ = {"ALLUXIO_CLIENT_HOSTNAME": "10.0.0.7", "DIR": "/a b"}
    text = (
        "-Xmx16G -Dalluxio.user.hostname=${ALLUXIO_CLIENT_HOSTNAME} -Da.b='x y' -Dc.d=$DIR/z "
        "-De.f=${alluxio.work.dir} -Dg.h=$UNSET -Di.j -XX:+UseG1GC"
    )
    found = parse_java_opts(text, environ)
    assert found.properties == [
        ("alluxio.user.hostname", "10.0.0.7"),
        ("a.b", "x y"),
        ("c.d", "/a b/z"),
        ("e.f", "${alluxio.work.dir}"),
        ("g.h", ""),
        ("i.j", "true"),
    ]
    assert found.flags == ["-Xmx16G", "-XX:+UseG1GC"]
    with pytest.raises(ValueError, match="No closing quotation"):
        parse_java_opts("-Da='b", {})


def test_every_key_has_a_reason() -> None:
    """Whatever key somebody sets, there is a reason why it has no effect."""
    assert "master" in ignored_reason("alluxio.master.journal.type")
    assert "does not know" in ignored_reason("alluxio.nonsense")
    assert "not a property of Alluxio" in ignored_reason("java.net.preferIPv4Stack")
