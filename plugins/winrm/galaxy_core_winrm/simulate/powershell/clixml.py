"""What PowerShell writes to standard error when its output is redirected: records of its streams, as CLIXML (MS-PSRP 2.2.5)."""

from __future__ import annotations

import re
from collections.abc import Iterable

_HEAD = "#< CLIXML\r\n"
_OBJECTS = '<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">'
# Control characters, lone surrogates, and what would be read as an escape (MS-PSRP 2.2.5.3.2).
_ESCAPED = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]|_(?=x)")
_PROGRESS = (
    '<Obj S="progress" RefId="{number}"><TN RefId="{number}"><T>System.Management.Automation.PSCustomObject</T>'
    '<T>System.Object</T></TN><MS><I64 N="SourceId">1</I64><PR N="Record"><AV>{text}</AV><AI>{number}</AI><Nil />'
    "<PI>-1</PI><PC>-1</PC><T>Completed</T><SR>-1</SR><SD> </SD></PR></MS></Obj>"
)


def escaped(text: str) -> str:
    """For an element's text: characters that XML has no place for as `_xHHHH_`, in units of UTF-16."""
    text = _ESCAPED.sub(lambda found: f"_x{ord(found[0]):04X}_", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def document(records: Iterable[tuple[str, str]]) -> str:
    """`records` are (stream, text): error, warning, verbose, debug, information or progress."""
    parts = []
    for number, (stream, text) in enumerate(records):
        if stream == "progress":
            parts.append(_PROGRESS.format(number=number, text=escaped(text)))
        else:
            kind = "Error" if stream == "error" else stream
            parts.append(f'<S S="{kind}">{escaped(text)}</S>')
    return f"{_HEAD}{_OBJECTS}{''.join(parts)}</Objs>"
