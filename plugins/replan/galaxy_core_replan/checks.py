"""Whether what a plan says to this plugin can be used, and what is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from galaxy_core import DocumentError
from galaxy_core.errors import nearest
from galaxy_core.extension.models import validated
from galaxy_core_replan.actions import DIAGNOSIS
from galaxy_core_replan.rules import Rule, Rules
from galaxy_core_replan.templates import template

#: Where in the rules (keys of mappings, indices of lists), and what is wrong there.
Place = tuple[str | int, ...]
Problem = tuple[Place, str]
#: A step of a place as errors of documents write it: ``tasks.a.run[0]``, ``tasks["my task"]``.
_STEP = re.compile(r'\[(?P<index>\d+)\]|\[(?P<quoted>"(?:[^"\\]|\\.)*")\]|\.?(?P<key>[^.\[\]…]+)')


def rules_of(configuration: Any) -> list[Rule]:
    """The rules of a plan that runs; none when they cannot be used, which its run was refused for, or the log is told."""
    found, _ = validated(Rules, configuration)
    return [] if found is None else list(found.rules)


def problems_of(rules: Collection[Rule], plan_ids: Collection[str]) -> Iterator[Problem]:
    """What does not fit a plan with tasks of these ids."""
    known = set(plan_ids)
    for index, rule in enumerate(rules):
        place: Place = ("rules", index)
        yield from _unknown((*place, "on"), rule.on, known)
        if rule.skip is not None:
            yield from _unknown((*place, "skip", "until"), rule.skip.until, known)
        if rule.retry is not None and rule.retry.before:
            before = (*place, "retry", "before")
            for task_id in rule.retry.before:
                if task_id in known:
                    yield (*before, task_id), "the plan has a task of this id already: take another one"
            yield from _wrong_tasks(before, ("tasks",), rule.retry.before, known)
        if rule.diagnose is not None:
            yield from _wrong_tasks((*place, "diagnose"), ("tasks", DIAGNOSIS), {DIAGNOSIS: rule.diagnose}, known)


def _unknown(place: Place, patterns: list[str], known: set[str]) -> Iterator[Problem]:
    """Ids that no task has. A pattern may fit tasks that are added later."""
    for index, pattern in enumerate(patterns):
        if pattern not in known and not any(letter in pattern for letter in "*?["):
            near = nearest(pattern, known)
            meant = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            yield (*place, index), f"there is no task {pattern!r}{meant}"


def _wrong_tasks(place: Place, inner: Place, tasks: Mapping[str, Any], known: set[str]) -> Iterator[Problem]:
    try:
        template(tasks, known, known)
    except DocumentError as error:
        for path, _, text in error.problems:
            found = _place(path)
            yield (*place, *(found[len(inner) :] if found[: len(inner)] == inner else ())), text


def _place(path: str) -> Place:
    """A place from the text that an error of a document has for it."""
    return tuple(
        int(step["index"]) if step["index"] else json.loads(step["quoted"]) if step["quoted"] else step["key"]
        for step in _STEP.finditer(path)
    )
