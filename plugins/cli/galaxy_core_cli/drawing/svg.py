"""SVG, drawn here: no other program is needed, and every browser shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise

from galaxy_core import PlanError, TaskConstellation
from galaxy_core_cli.drawing.labels import ALWAYS, COMPLETION, CONDITION, SUCCESS, Edge, Node, edges, nodes
from galaxy_core_cli.drawing.layout import Placed, Point, layout
from galaxy_core_cli.text import safe_line

#: Tasks of a plan that can still be drawn so that somebody can read it.
MOST_TASKS = 1000
MARGIN = 24.0
LINE_HEIGHT = 17.0
PADDING = 10.0
TITLE_WIDTH, DETAIL_WIDTH = 8.6, 6.9  # of a character, on average, in the widest of the fonts below
STYLE = """
  text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #57606a }
  .title { font-size: 13.5px; font-weight: 600; fill: #1f2328 }
  .name { font-size: 17px; font-weight: 600; fill: #1f2328 }
  .where { fill: #0969da }
  .box { fill: #f6f8fa; stroke: #8c959f }
  .link { fill: none; stroke: #57606a; stroke-width: 1.3 }
  .completion { stroke-dasharray: 7 4 }
  .always { stroke-dasharray: 1.5 3.5 }
  .condition { stroke-dasharray: 9 3 2 3; stroke: #9a6700 }
  .if { fill: #9a6700 }
"""
LEGEND = {
    SUCCESS: "on: success",
    COMPLETION: "on: completion (however it ended)",
    ALWAYS: "on: always (however it ended)",
    CONDITION: "when its condition is met",
}
LEGEND_WIDTH = 320.0
SAMPLE = 44.0


def svg(constellation: TaskConstellation) -> Iterator[str]:
    """The lines.

    Raises:
        PlanError: there are more than MOST_TASKS tasks.
    """
    if constellation.task_count > MOST_TASKS:
        raise PlanError(
            f"a drawing of {constellation.task_count:,} tasks could not be read by anybody (the limit is {MOST_TASKS:,}): "
            "use --format dot, and a program that can zoom"
        )
    boxes = list(nodes(constellation))
    links = list(edges(constellation))
    texts = {node.task_id: _texts(node) for node in boxes}
    for edge in links:
        if edge.label:
            texts[edge.target].append(("if", f"if {edge.label} ({edge.source})"))
    sizes = {task_id: _size(lines) for task_id, lines in texts.items()}
    drawing = layout(sizes, [(edge.source, edge.target) for edge in links])
    kinds = [kind for kind in LEGEND if any(edge.kind == kind for edge in links)]
    top = MARGIN + 2 * LINE_HEIGHT
    width = max(drawing.width, 8.0 * len(constellation.name), LEGEND_WIDTH if kinds else 0.0) + 2 * MARGIN
    height = top + drawing.height + MARGIN + ((len(kinds) + 1) * LINE_HEIGHT if kinds else 0)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img">'
    )
    name = escape(safe_line(constellation.name))
    yield f"<title>{name}</title>"
    yield f"<style>{STYLE}</style>"
    yield from _arrow_heads()
    yield '<rect width="100%" height="100%" fill="#fff"/>'
    yield f'<text class="name" x="{MARGIN}" y="{MARGIN + 12}">{name}</text>'
    yield f'<g transform="translate({MARGIN} {top})">'
    for edge in links:
        yield from _link(edge, drawing.ways[edge.source, edge.target])
    for task_id, lines in texts.items():
        yield from _box(lines, drawing.boxes[task_id])
    yield "</g>"
    yield from _legend(kinds, top + drawing.height + MARGIN + LINE_HEIGHT)
    yield "</svg>"


def _texts(node: Node) -> list[tuple[str, str]]:
    """The lines of a box, each with its style."""
    return [
        (style, text) for style, text in (("title", node.title), ("detail", node.detail), ("where", node.where)) if text
    ]


def _size(lines: Sequence[tuple[str, str]]) -> tuple[float, float]:
    widest = max(len(text) * (TITLE_WIDTH if style == "title" else DETAIL_WIDTH) for style, text in lines)
    return max(60.0, widest) + 2 * PADDING, len(lines) * LINE_HEIGHT + PADDING


def _arrow_heads() -> Iterator[str]:
    for name, color in (("arrow", "#57606a"), ("arrow-condition", "#9a6700")):
        yield (
            f'<marker id="{name}" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            f'<path d="M0 0.5 L8 4 L0 7.5 z" fill="{color}"/></marker>'
        )


def _link(edge: Edge, way: Sequence[Point]) -> Iterator[str]:
    x, y = way[0]
    path = [f"M{x:.1f} {y:.1f}"]
    for number, ((x0, y0), (x1, y1)) in enumerate(pairwise(way)):
        if number % 2:  # through a layer, straight on
            path.append(f"L{x1:.1f} {y1:.1f}")
        else:
            bend = (x1 - x0) / 2
            path.append(f"C{x0 + bend:.1f} {y0:.1f} {x1 - bend:.1f} {y1:.1f} {x1:.1f} {y1:.1f}")
    marker = "arrow-condition" if edge.kind == CONDITION else "arrow"
    yield f'<path class="link {edge.kind}" marker-end="url(#{marker})" d="{" ".join(path)}"/>'


def _box(lines: Sequence[tuple[str, str]], box: Placed) -> Iterator[str]:
    top = box.y - box.height / 2
    yield f'<rect class="box" x="{box.x:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="7"/>'
    for number, (style, text) in enumerate(lines):
        y = top + PADDING / 2 + LINE_HEIGHT * (number + 0.75)
        yield f'<text class="{style}" x="{box.x + PADDING:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _legend(kinds: Sequence[str], y: float) -> Iterator[str]:
    """A line for each kind of link."""
    for number, kind in enumerate(kinds):
        middle = y + LINE_HEIGHT * number
        marker = "arrow-condition" if kind == CONDITION else "arrow"
        yield f'<path class="link {kind}" marker-end="url(#{marker})" d="M{MARGIN:.0f} {middle - 4:.0f} h{SAMPLE:.0f}"/>'
        yield f'<text x="{MARGIN + SAMPLE + 10:.0f}" y="{middle:.0f}">{LEGEND[kind]}</text>'
