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
_PLAIN = re.compile(r"[^A-Za-z0-9 _./:,()$=*+\u0080-\U0010ffff-]")


def _text(text: str) -> str:
    """As entity codes, whatever Mermaid could take for markup."""
    return _PLAIN.sub(lambda found: f"#{ord(found[0])};", text)


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
