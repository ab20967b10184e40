"""What PowerShell writes to its standard error when nobody is at the screen: objects as XML, taken apart into streams.

This is no XML parser, on purpose: the text comes from a host, and may have been cut anywhere. It looks for the few elements
that matter, in one pass, knows no entities but the five of XML and characters by number, and expands nothing. [MS-PSRP] 2.2.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from attrs import define, field

HEADER: Final = "#< CLIXML"
#: Longest document that is taken apart; a longer one is shown as it is.
LONGEST: Final = 8 << 20
STREAMS: Final = ("error", "warning", "verbose", "debug", "information")
#: Most of the texts of one stream, in characters, that `Told.streams` keeps.
KEPT: Final = 64 << 10

# Texts hold no "<": it is written as an entity.
_TEXT = re.compile(
    r'<S S="(\w+)">([^<]*)</S>|<Obj S="([Ii]nformation)"[^>]*>|<ToString>([^<]*)</ToString>|</Obj>|<Obj\b'
)
_ENTITY = re.compile(r"&(?:(lt|gt|amp|quot|apos)|#(\d{1,7})|#x([0-9A-Fa-f]{1,6}));")
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")


@define
class Told:
    """`text` is what a person at the screen would have seen on standard error; `streams` has every stream's own text."""

    text: str = ""
    streams: dict[str, str] = field(factory=dict)


def decode(raw: str) -> Told:
    """Take standard error of PowerShell apart. What is no CLIXML in it stands as it is, in its place."""
    if HEADER not in raw or len(raw) > LONGEST:
        return Told(raw)
    texts: list[str] = []
    streams: dict[str, list[str]] = {}
    for part in _parts(raw):
        if isinstance(part, str):
            texts.append(part)
            continue
        stream, text = part
        streams.setdefault(stream, []).append(text)
        if stream == "error":
            texts.append(text)
        elif stream == "warning":
            texts.append(f"WARNING: {text}")
    kept = {name: "".join(said)[:KEPT] for name, said in streams.items() if name in STREAMS}
    return Told("".join(texts), kept)


def _parts(raw: str) -> Iterator[str | tuple[str, str]]:
    """Texts that are no CLIXML, and records of (stream, text)."""
    before, *documents = re.split(r"#< CLIXML\r?\n", raw)
    if before:
        yield before
    for document in documents:
        end = document.rfind("</Objs>")
        inner, after = (document, "") if end < 0 else (document[:end], document[end + len("</Objs>") :])
        if not inner.startswith("<Objs"):
            yield document
            continue
        yield from _records(inner)
        if after.strip():
            yield after


def _records(document: str) -> Iterator[tuple[str, str]]:
    waits_for_information = False
    for found in _TEXT.finditer(document):
        stream, text, information, shown = found.groups()
        if stream is not None:
            name, said = stream.casefold(), unescaped(text)
            # Errors hold their line breaks, and may come in pieces; a record of another stream is a message without one.
            yield name, said if name == "error" or said.endswith("\n") else said + "\n"
        elif information:
            waits_for_information = True
        elif shown is not None and waits_for_information:
            waits_for_information = False
            yield "information", unescaped(shown) + "\n"


def unescaped(text: str) -> str:
    """The text that was meant: entities and ``_x000A_`` replaced, once."""
    plain = _ENTITY.sub(_entity, text)
    plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), plain)
    # Characters beyond U+FFFF are written as two escapes.
    return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\r\n", "\n")


def _entity(found: re.Match[str]) -> str:
    if found[1]:
        return _NAMED[found[1]]
    number = int(found[2]) if found[2] else int(found[3], 16)
    return chr(number) if number < 0x110000 else "\ufffd"
