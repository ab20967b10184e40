"""Edits of a plan that runs, in one line each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from galaxy_core import ConstellationEvent, EventType
from galaxy_core_cli.text import safe_line, shortened

#: What is told of, and in which word.
EDITS: Mapping[EventType, str] = MappingProxyType(
    {
        EventType.EDIT_COMMITTED: "edit",
        EventType.EDIT_UNDONE: "undo",
        EventType.EDIT_REFUSED: "refused",
        EventType.EDIT_CONFLICTED: "conflict",
        EventType.EDIT_TIMED_OUT: "too late",
    }
)
WIDTH = 300


def edit_line(event: ConstellationEvent) -> str:
    """``edit      "look again" by ann: revision 7, tasks +1 ~2, links +1``"""
    data = event.data
    author = f" by {safe_line(data['author'])}" if data.get("author") else ""
    what = safe_line(data.get("description", ""))
    if event.event_type is EventType.EDIT_UNDONE:  # the word before it says so already
        what = what.removeprefix("Undo: ")
    what = shortened(what, WIDTH)
    if "diff" in data:
        changes = [_counted(name, data["diff"][name]) for name in ("tasks", "links")]
        changed = [one for one in changes if one] or ["nothing changed"]
        more = ", ".join([f"revision {data.get('revision')}", *changed])
    else:
        # The reason says again what was refused: of its parts, only why.
        reasons = "; ".join(str(problem["reason"]) for problem in data.get("problems") or ())
        more = shortened(safe_line(reasons or data.get("reason", "it took too long")), WIDTH)
    return f"{EDITS[event.event_type]:<9} {what}{author}: {more}"


def _counted(name: str, changes: Mapping[str, Any]) -> str:
    signs = {"added": "+", "removed": "-", "changed": "~"}
    found = [f"{sign}{len(changes[kind])}" for kind, sign in signs.items() if changes.get(kind)]
    return f"{name} {' '.join(found)}" if found else ""
