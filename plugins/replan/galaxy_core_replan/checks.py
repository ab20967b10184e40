"""Whether what a plan says to this plugin can be used, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from galaxy_core import DocumentError
from galaxy_core.errors import nearest
from galaxy_core.extension.models import validated, with_paths
from galaxy_core_replan.actions import DIAGNOSIS
from galaxy_core_replan.rules import Rule, Rules
from galaxy_core_replan.templates import template

Problem = tuple[str, str]


def read(configuration: Any) -> tuple[list[Rule], list[Problem]]:
    """The rules of a plan, and what is wrong with their shape: `(place, text)`. There are no rules when something is."""
    if not isinstance(configuration, Mapping):
        return [], [("", "a mapping is wanted here, such as {rules: [...]}")]
    found, problems = validated(Rules, dict(configuration))
    return ([], with_paths(problems)) if found is None else (found.rules, [])


def problems_of(rules: Collection[Rule], plan_ids: Collection[str]) -> Iterator[Problem]:
    """What does not fit a plan with tasks of these ids."""
    known = set(plan_ids)
    for index, rule in enumerate(rules):
        place = f"rules[{index}]"
        yield from _unknown(f"{place}.on", rule.on, known)
        if rule.skip is not None:
            yield from _unknown(f"{place}.skip.until", rule.skip.until, known)
        if rule.retry is not None and rule.retry.before:
            for task_id in rule.retry.before:
                if task_id in known:
                    yield f"{place}.retry.before.{task_id}", "the plan has a task of this id already: take another one"
            yield from _wrong_tasks(f"{place}.retry.before", "tasks", rule.retry.before, known)
        if rule.diagnose is not None:
            yield from _wrong_tasks(f"{place}.diagnose", f"tasks.{DIAGNOSIS}", {DIAGNOSIS: rule.diagnose}, known)


def _unknown(place: str, patterns: list[str], known: set[str]) -> Iterator[Problem]:
    """Ids that no task has. A pattern may fit tasks that are added later."""
    for index, pattern in enumerate(patterns):
        if pattern not in known and not any(letter in pattern for letter in "*?["):
            near = nearest(pattern, known)
            meant = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            yield f"{place}[{index}]", f"there is no task {pattern!r}{meant}"


def _wrong_tasks(place: str, inner: str, tasks: Mapping[str, Any], known: set[str]) -> Iterator[Problem]:
    try:
        template(tasks, known, known)
    except DocumentError as error:
        for path, _, text in error.problems:
            yield place + path.removeprefix(inner), text


def told(problems: Collection[Problem]) -> str:
    """All problems in one text."""
    return "; ".join(f"{place}: {text}" if place else text for place, text in problems)
