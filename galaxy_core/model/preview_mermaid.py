"""A preview as a Mermaid flowchart.

Colour is not the only sign of what becomes of a task or link: signs stand in the labels, and borders differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from galaxy_core.model.preview_text import one_line, shortened
from galaxy_core.model.sketch import MOST_LINKS, SketchedLink, SketchedTask

if TYPE_CHECKING:
    from galaxy_core.model.preview import Preview

#: Characters after which no more tasks, or links, are drawn: Mermaid refuses a text of more than 50,000.
_ROOM_TASKS, _ROOM_LINKS = 30_000, 45_000
_WIDTH = 40

_SIGNS = {"added": "+", "removed": "\u2212", "changed": "~", "": ""}
#: On light and dark grounds alike: each has its own fill and its own colour of text.
_CLASSES = {
    "added": "fill:#dafbe1,stroke:#1a7f37,stroke-width:2px,color:#1f2328",
    "removed": "fill:#ffebe9,stroke:#cf222e,stroke-width:2px,stroke-dasharray:6 4,color:#1f2328",
    "changed": "fill:#fff8c5,stroke:#9a6700,stroke-width:2px,color:#1f2328",
    "": "fill:#f6f8fa,stroke:#8c959f,color:#1f2328",
    "cycle": "stroke:#8250df,stroke-width:5px",
    "more": "fill:#ffffff,stroke:#8c959f,stroke-dasharray:2 4,color:#57606a",
}
_LINK_STYLES = {
    "added": "stroke:#1a7f37,stroke-width:3px",
    "removed": "stroke:#cf222e,stroke-width:2px,stroke-dasharray:6 4",
    "changed": "stroke:#9a6700,stroke-width:3px",
    "cycle": "stroke:#8250df,stroke-width:5px",
}
# Not among the plain ones: ° and ¶, with which Mermaid marks entity codes while it works.
_PLAIN = re.compile("[^A-Za-z0-9 ,.\u00c0-\ufaff\ufb10-\U0010ffff]")
# What means something also when it is written as codes: formulas ($$), line breaks (\\n), icons (fa:fa-car), its own marks.
_WORDS = re.compile("#36;(?=#36;)|#92;(?=n)|#58;(?=fa)|#64258;(?=#176;)")


def _text(text: str) -> str:
    """As entity codes, whatever Mermaid, Markdown or HTML could take for more than text."""
    escaped = _PLAIN.sub(lambda found: f"#{ord(found[0])};", shortened(one_line(text), _WIDTH))
    return _WORDS.sub(lambda found: f"{found[0]}#8203;", escaped)  # something without width between them


def mermaid(preview: Preview) -> str:
    """The lines. Tasks are called n0, n1, … there, because Mermaid has words that no node may be called by."""
    return "\n".join(_lines(preview)) + "\n"


def _lines(preview: Preview) -> Iterator[str]:
    sketch, cycle = preview.sketch, set(preview.cycle)
    around = set(zip(preview.cycle, preview.cycle[1:], strict=False))
    yield "flowchart LR"
    names: dict[str, str] = {}
    used = 0
    for task in sketch.tasks:
        line = f'  n{len(names)}["{_node(task, task.task_id in cycle)}"]'
        used += len(line)
        if used > _ROOM_TASKS:
            break
        names[task.task_id] = f"n{len(names)}"
        yield line
    more_tasks = sketch.more_tasks + len(sketch.tasks) - len(names)
    drawn: list[tuple[SketchedLink, bool]] = []
    for link in sketch.links[:MOST_LINKS]:
        if link.from_task_id not in names or link.to_task_id not in names:
            continue
        in_cycle = (link.from_task_id, link.to_task_id) in around and link.mark != "removed"
        line = f"  {names[link.from_task_id]} {_arrow(link, in_cycle)} {names[link.to_task_id]}"
        used += len(line)
        if used > _ROOM_LINKS:
            break
        drawn.append((link, in_cycle))
        yield line
    more_links = sketch.more_links + len(sketch.links) - len(drawn)
    if more_tasks or more_links:
        yield f'  more["{_more(more_tasks, more_links)}"]'
    yield from _styles(preview, names, drawn, is_whole=not (more_tasks or more_links))


def _node(task: SketchedTask, in_cycle: bool) -> str:
    sign = _text(_SIGNS[task.mark])
    title = f"<b>{sign + ' ' if sign else ''}{_text(task.task_id)}</b>"
    parts = [title, *(_text(part) for part in (task.name, task.detail) if part)]
    if in_cycle:
        parts.append("in a cycle")
    return "<br/>".join(parts)


def _arrow(link: SketchedLink, in_cycle: bool) -> str:
    words = [_text(part) for part in (_SIGNS[link.mark], link.label) if part]
    if in_cycle:
        words.append("in a cycle")
    arrow = {"added": "==>", "removed": "-.->"}.get(link.mark, "-->")
    return f'{arrow}|"{" ".join(words)}"|' if words else arrow


def _more(tasks: int, links: int) -> str:
    parts = [
        f"{count} more {noun}{'' if count == 1 else 's'}" for count, noun in ((tasks, "task"), (links, "link")) if count
    ]
    return f"and {' and '.join(parts)}"


def _styles(
    preview: Preview, names: dict[str, str], drawn: list[tuple[SketchedLink, bool]], *, is_whole: bool
) -> Iterator[str]:
    members: dict[str, list[str]] = {name: [] for name in _CLASSES}
    for task in preview.sketch.tasks:
        if task.task_id in names:
            members[task.mark].append(names[task.task_id])
            if task.task_id in preview.cycle:
                members["cycle"].append(names[task.task_id])
    if not is_whole:
        members["more"].append("more")
    for name, nodes in members.items():
        if nodes:
            yield f"  classDef {name or 'same'} {_CLASSES[name]}"
            yield f"  class {','.join(nodes)} {name or 'same'}"
    numbers: dict[str, list[str]] = {mark: [] for mark in _LINK_STYLES}
    for number, (link, in_cycle) in enumerate(drawn):
        style = "cycle" if in_cycle else link.mark
        if style:
            numbers[style].append(str(number))
    for mark, found in numbers.items():
        if found:
            yield f"  linkStyle {','.join(found)} {_LINK_STYLES[mark]}"
