"""DOT, for Graphviz."""

from __future__ import annotations

from collections.abc import Iterator

from galaxy_core import TaskConstellation
from galaxy_core_cli.drawing.labels import ALWAYS, COMPLETION, CONDITION, SUCCESS, edges, nodes
from galaxy_core_cli.text import safe_line

STYLES = {
    COMPLETION: f"style=dashed, label={COMPLETION}",
    ALWAYS: f"style=dotted, label={ALWAYS}",
    CONDITION: 'style=bold, color="#9a6700", fontcolor="#9a6700"',
}


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def dot(constellation: TaskConstellation) -> Iterator[str]:
    """The lines."""
    yield f"digraph {_quoted(safe_line(constellation.name))} {{"
    yield f"  // links: solid {SUCCESS}, dashed {COMPLETION}, dotted {ALWAYS}, bold and brown {CONDITION}"
    yield "  rankdir=LR;"
    yield '  node [shape=box, style="rounded,filled", fillcolor="#f6f8fa", fontname="sans-serif"];'
    yield '  edge [fontname="sans-serif", fontsize=10];'
    for node in nodes(constellation):
        label = "\\n".join(_quoted(part)[1:-1] for part in (node.title, node.detail, node.where) if part)
        yield f'  {_quoted(node.task_id)} [label="{label}"];'
    for edge in edges(constellation):
        label = f"label={_quoted(f'if {edge.label}')}" if edge.label else ""
        inside = ", ".join(part for part in (STYLES.get(edge.kind, ""), label) if part)
        yield f"  {_quoted(edge.source)} -> {_quoted(edge.target)}{f' [{inside}]' if inside else ''};"
    yield "}"
