"""Mermaid flowcharts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from galaxy_core import TaskConstellation
from galaxy_core_cli.drawing.labels import END, SUCCESS, edges, nodes

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
    for edge in edges(constellation):
        label = f'|"{_text(edge.label)}"|' if edge.label else ""
        arrow = {SUCCESS: "-->", END: "-.->"}.get(edge.kind, "-.->")
        yield f"  {names[edge.source]} {arrow}{label} {names[edge.target]}"
