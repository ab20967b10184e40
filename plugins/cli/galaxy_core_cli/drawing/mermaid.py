"""Mermaid flowcharts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from galaxy_core import TaskConstellation
from galaxy_core_cli.drawing.labels import ALWAYS, COMPLETION, CONDITION, edges, nodes

STYLES = {
    COMPLETION: "stroke-dasharray: 7 4",
    ALWAYS: "stroke-dasharray: 1.5 4",
    CONDITION: "stroke-dasharray: 9 3 2 3, stroke: #9a6700",
}
# Not plain are ° and ¶, with which Mermaid marks entity codes while it works, and a dash that could begin a list.
_NOT_PLAIN = re.compile("(?<![A-Za-z0-9])-|[^A-Za-z0-9 _./,()=+\u00c0-\ufaff\ufb10-\U0010ffff-]")
# What means something also when it is written as codes: formulas ($$), line breaks (\\n), icons (fa:fa-car), its own marks.
_WORDS = re.compile("#36;(?=#36;)|#92;(?=n)|#58;(?=fa)|#64258;(?=#176;)")


def _text(text: str) -> str:
    """As entity codes, whatever Mermaid could take for markup; between what it would still take for some, no width."""
    escaped = _NOT_PLAIN.sub(lambda found: f"#{ord(found[0])};", text)
    return _WORDS.sub(lambda found: f"{found[0]}#8203;", escaped)


def mermaid(constellation: TaskConstellation) -> Iterator[str]:
    """The lines. Tasks are called n0, n1, … there, because Mermaid has words that no node may be called by."""
    yield "flowchart LR"
    names = {}
    for number, node in enumerate(nodes(constellation)):
        names[node.task_id] = f"n{number}"
        parts = [f"<b>{_text(node.title)}</b>", *(_text(part) for part in (node.detail, node.where) if part)]
        yield f'  n{number}["{"<br/>".join(parts)}"]'
    numbers: dict[str, list[str]] = {
        kind: [] for kind in STYLES
    }  # of the links of each kind, by which styles are given
    for number, edge in enumerate(edges(constellation)):
        label = f"if {_text(edge.label)}" if edge.label else edge.kind
        arrow = f'-.->|"{label}"|' if edge.kind in STYLES else "-->"
        yield f"  {names[edge.source]} {arrow} {names[edge.target]}"
        if edge.kind in STYLES:
            numbers[edge.kind].append(str(number))
    for kind, found in numbers.items():
        if found:
            yield f"  linkStyle {','.join(found)} {STYLES[kind]}"
