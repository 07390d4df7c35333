"""The XML of OSS: a root, its children, and theirs, which hold text. Deeper elements are passed over.

Its sender is not trusted with our memory: there are no document types, so no entities; depth, elements, and the length
of one tag or text have a limit. Nothing is kept but what is handed out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.parsers import expat

if TYPE_CHECKING:
    from collections.abc import Callable

_DEEPEST = 16
_MOST_ELEMENTS = 100_000  # a page of 1,000 keys has some 13,000
_LONGEST = 32 << 10  # characters of a text, bytes of a tag: a key has 1,023, each thrice as long
_PIECE_BYTES = 32 << 10  # that are parsed together


class Unreadable(ValueError):
    """It is no XML, or none of OSS."""


def read(document: bytes, take: Callable[[str, str, dict[str, str]], None]) -> str:
    """Calls `take(name, text, {name: text})` for each child of the root, in order; returns the root's name.

    Names are without namespace, and of texts that come twice the last one counts. Raises Unreadable, and what `take`
    raises.
    """
    # Closures: a page has 30,000 events, and attributes of an object would take half as long again.
    depth = elements = 0
    root = text = ""  # text: of the element that is open, since its last child
    fields: dict[str, str] = {}

    def start(name: str, attributes: object) -> None:
        nonlocal depth, elements, root, text, fields
        depth += 1
        elements += 1
        text = ""
        if depth == 2:
            fields = {}
        elif depth == 1:
            root = _local(name)
        if depth > _DEEPEST or elements > _MOST_ELEMENTS:
            raise Unreadable("it is too deep" if depth > _DEEPEST else "it has too many elements")

    def end(name: str) -> None:
        nonlocal depth, text
        if depth == 3:
            fields[_local(name) if ":" in name else name] = text
        elif depth == 2:
            take(_local(name), text, fields)
        depth -= 1
        text = ""

    def characters(more: str) -> None:
        nonlocal text
        text = text + more if text else more
        if len(text) > _LONGEST:
            raise Unreadable("a text is too long")

    def refuse(*_: object) -> None:
        raise Unreadable("it has a document type")

    parser = expat.ParserCreate("utf-8")  # whatever it says: a name of an encoding would be one of a module of Python
    parser.buffer_text = True
    parser.ordered_attributes = True  # a list takes less than a dictionary
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = characters, refuse
    try:
        for at in range(0, len(document), _PIECE_BYTES):
            piece = document[at : at + _PIECE_BYTES]
            parser.Parse(piece, False)
            if at + len(piece) - parser.CurrentByteIndex > _LONGEST + _PIECE_BYTES:
                raise Unreadable("a tag is too long")
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise Unreadable(str(error)) from None
    return root


def _local(name: str) -> str:
    return name.rpartition(":")[2]
