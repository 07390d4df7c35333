"""Values are read as Alluxio's FormatUtils reads them."""

from __future__ import annotations

import pytest

from alluxio_jnifuse.config import units


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("32MB", 32 << 20),
        ("320mb", 320 << 20),
        ("2GB", 2 << 30),
        ("1G", 1 << 30),
        ("1.5GB", 3 << 29),
        (".5k", 512),
        ("1.1GB", 1181116006),
        ("4KiB", 4096),
        ("1Ti", 1 << 40),
        ("2pb", 2 << 50),
        ("7B", 7),
        ("131072", 131072),
        ('"1000000"', 1000000),
        (" '8MB' ", 8 << 20),
        ("1e3", 1000),
        ("512MB,1GB", (512 << 20) + (1 << 30)),
    ],
)
def test_size(text: str, size: int) -> None:
    """A size is a number and an optional unit of powers of 1024, in any case, quoted or not, or a list of them."""
    assert units.parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "MB", "abc", "1 GB", "1.GB", "1XB", "inf", "nan", "1_000", "1e400", "1e300PB", "12MB,", "-1"]
)
def test_bad_size(text: str) -> None:
    """What is no size is refused with an example of one."""
    with pytest.raises(ValueError, match="a size such as 512MB"):
        units.parse_size(text)


def test_size_as_text() -> None:
    """Sizes are written with three digits, in the notation in which they are read."""
    sizes = (0, 1023, 1024, 1536, 12.3 * (1 << 30), 831 << 20, 5 << 50)
    texts = [units.format_size(size) for size in sizes]
    assert texts == ["0B", "1023B", "1.00KB", "1.50KB", "12.3GB", "831MB", "5120TB"]
    assert units.parse_size(texts[3]) == 1536


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1000ms", 1000),
        ("1000", 1000),
        ("1000millisecond", 1000),
        ("10s", 10_000),
        ("10sec", 10_000),
        ("3min", 180_000),
        ("3M", 180_000),
        ("2hr", 7_200_000),
        ("2day", 172_800_000),
        ("365d", 31_536_000_000),
        ('"2min"', 120_000),
        ("-1", -1),
    ],
)
def test_duration(text: str, ms: int) -> None:
    """A duration is a whole number with an optional unit, milliseconds without one."""
    assert units.parse_duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "ms", "1.5s", "2days", "1 s", "1w"])
def test_bad_duration(text: str) -> None:
    """Fractions, plurals and unknown units are refused, as in Alluxio."""
    with pytest.raises(ValueError, match="a whole number with ms, s, min, h or day"):
        units.parse_duration_ms(text)


def test_seconds() -> None:
    """FUSE timeouts are seconds, with fractions, and become nanoseconds."""
    assert [units.parse_seconds_ns(text) for text in ("7200", "1.0", ".25", "0")] == [
        7200 * 10**9,
        10**9,
        250 * 10**6,
        0,
    ]
    for text in ("", "-1", "1s", "1e3", ".", "9" * 400):
        with pytest.raises(ValueError, match="a number of seconds"):
            units.parse_seconds_ns(text)


def test_words() -> None:
    """Booleans are true and false, switches also on and off, in any case, quoted or not."""
    assert [units.parse_bool(text) for text in ("true", "TRUE", '"false"')] == [True, True, False]
    assert [units.parse_switch(text) for text in ("on", "true", "Off")] == [True, True, False]
    with pytest.raises(ValueError, match="true or false"):
        units.parse_bool("on")
    with pytest.raises(ValueError, match="on or off"):
        units.parse_switch("yes")


def test_numbers() -> None:
    """Counts are decimal, masks octal."""
    assert units.parse_count('"1000000"') == 1000000
    assert units.parse_octal("022") == units.parse_octal("22") == 0o22
    with pytest.raises(ValueError, match="a whole number"):
        units.parse_count("1.5")
    with pytest.raises(ValueError, match="in octal"):
        units.parse_octal("9")


def test_substitution() -> None:
    """A reference is replaced by the value of its key, and so are the references in that value."""
    values = {"a": "1", "b": "${a}${a}", "c": "x${b}y"}
    assert units.substitute("<${c}>", values.get) == "<x11y>"
    assert units.substitute("$a ${} is not $(b)", {"": "e"}.get) == "$a e is not $(b)"


def test_substitution_without_end() -> None:
    """A reference that leads back to itself, or to nothing, is an error that names the keys."""
    values = {"a": "${b}", "b": "${a}"}
    with pytest.raises(ValueError, match="a -> b -> a"):
        units.substitute("${a}", values.get)
    with pytest.raises(ValueError, match=r"\$\{missing\} to be set somewhere"):
        units.substitute("${missing}", values.get)
