"""A preview as text for people: bounded, aligned, and harmless on a terminal whatever ids and values hold."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from galaxy_core.model.figures import DeviceShare
    from galaxy_core.model.preview import FieldChange, LinkChange, Preview, TaskChange

#: Characters of one line, and of one value of a task and of a link in it: so that both of what changes fit in.
_WIDTH, _OF_TASK, _OF_LINK = 120, 24, 14
#: Characters that two long values have in common and that are shown before where they differ.
_BEFORE = 6
#: Lines of each part; with headings and figures they are 40 together.
_PROBLEMS, _TASKS, _LINKS, _DEVICES = 4, 6, 5, 4
#: How plan files say which ends of the first task let the second one start.
_KINDS = {"success_only": "after success", "completion_only": "after any end", "unconditional": "in any case"}
# Control characters, what reorders or hides text, separators that break lines, and halves of surrogate pairs.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def one_line(text: str) -> str:
    """`text` in one line, without anything that a terminal or a drawing would act on: that is escaped."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def shortened(text: str, width: int) -> str:
    """`text` with at most `width` characters."""
    return text if len(text) <= width else text[: width - 1] + "…"


def text(preview: Preview) -> str:
    """At most 40 lines."""
    return "".join(f"{shortened(one_line(line), _WIDTH)}\n" for line in _lines(preview))


def _lines(preview: Preview) -> Iterator[str]:
    based = "" if preview.base_revision is None else f", based on revision {preview.base_revision}"
    yield f"{shortened(preview.constellation_name, 40)} at revision {preview.revision}: {preview.description}{based}"
    yield from _verdict(preview)
    yield from _tasks(preview)
    yield from _links(preview)
    if preview.holds:
        yield f"holds {_ids(preview.holds)}"
    if preview.behind:
        yield f"behind them wait {_ids(preview.behind)}"
    if preview.skips:
        yield f"skips at once {_ids(preview.skips)}"
    yield from _figures(preview)
    yield from _load(preview)


def _verdict(preview: Preview) -> Iterator[str]:
    if not preview.problems:
        yield "nothing would change" if preview.is_empty else "it can be committed"
        return
    yield f"it cannot be committed: {_count(len(preview.problems), 'problem')}; what follows is the sound part"
    for problem in preview.problems[:_PROBLEMS]:
        place = "" if problem.operation is None else f"operation {problem.operation}: "
        yield f"  {place}{problem.reason}"
    yield from _rest(len(preview.problems) - _PROBLEMS)


def _tasks(preview: Preview) -> Iterator[str]:
    added, removed, changed = preview.tasks_added, preview.tasks_removed, preview.tasks_changed
    if not (added or removed or changed):
        return
    yield f"tasks: {_counts(added, removed, changed)}"
    # What is lost is seen first, also when there is more than can be shown.
    rows = [(_sign("-", one), _called(one)) for one in removed]
    rows += [(_sign("~", one), _differences(one, _OF_TASK)) for one in changed]
    rows += [(_sign("+", one), _called(one)) for one in added]
    yield from _table(rows, _TASKS)


def _sign(sign: str, change: TaskChange) -> str:
    return f"{sign} {shortened(one_line(change.task_id), 40)}"


def _called(change: TaskChange) -> str:
    return "" if change.name == change.task_id else change.name


def _differences(change: TaskChange | LinkChange, width: int) -> str:
    each = [f"{one.name} {before} -> {after}" for one in change.fields for before, after in [_both(one, width)]]
    return ", ".join([*each, *(["taken out and added anew"] if change.is_replaced else [])])


def _both(field: FieldChange, width: int) -> tuple[str, str]:
    """The values of a field in at most `width` characters each, in which one sees where they differ."""
    before, after = (one_line(_value(value)) for value in (field.before, field.after))
    if before == after:  # a text that looks like something else
        before, after = (one_line(_written(value)) for value in (field.before, field.after))
    if field.name == "dependency_type":
        before, after = _KINDS.get(before, before), _KINDS.get(after, after)
    if max(len(before), len(after)) > width:
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))
        start = min(same - _BEFORE, max(len(before), len(after)) - width + 1)
        if start > 1:
            before, after = f"…{before[start:]}", f"…{after[start:]}"
    return shortened(before, width), shortened(after, width)


def _links(preview: Preview) -> Iterator[str]:
    added, removed, changed = preview.links_added, preview.links_removed, preview.links_changed
    if not (added or removed or changed):
        return
    yield f"links: {_counts(added, removed, changed)}"
    rows = [(f"- {_ends(one)}", _kind(one)) for one in removed]
    rows += [(f"~ {_ends(one)}", _differences(one, _OF_LINK)) for one in changed]
    rows += [(f"+ {_ends(one)}", _kind(one)) for one in added]
    yield from _table(rows, _LINKS)


def _ends(change: LinkChange) -> str:
    source, target = (shortened(one_line(end), 25) for end in (change.from_task_id, change.to_task_id))
    return f"{source} -> {target}"


def _kind(change: LinkChange) -> str:
    said = {one.name: one.before if one.after is None else one.after for one in change.fields}
    condition = said.get("condition_description") if change.kind == "conditional" else None
    return f"{change.kind}: {condition}" if condition else _KINDS.get(change.kind, change.kind)


def _figures(preview: Preview) -> Iterator[str]:
    before, after = preview.before, preview.after
    bound = "at least" if preview.slots is None else f"at least, on {_count(preview.slots, 'slot')}"
    rows: list[tuple[str, float | None, float | None, str]] = [
        ("tasks", before.tasks, after.tasks, ""),
        ("links", before.links, after.links, ""),
        ("width", before.width, after.width, ""),
        ("critical path", before.critical_path_s, after.critical_path_s, " s"),
        ("work", before.work_s, after.work_s, " s"),
        (bound, before.lower_bound_s, after.lower_bound_s, " s"),
        ("still ahead", before.remaining_s, after.remaining_s, " s"),
    ]
    cells = [("", "before", "after", "")]
    cells += [(name, _number(old, unit), _number(new, unit), _change(old, new, unit)) for name, old, new, unit in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    for name, old, new, change in cells:
        yield f"{name:{widths[0]}}  {old:>{widths[1]}}  {new:>{widths[2]}}  {change:>{widths[3]}}".rstrip()
    if preview.cycle:
        yield f"cycle: {_way(preview.cycle)}"
    elif after.critical_path:
        new = " (as before)" if after.critical_path == before.critical_path else ""
        yield f"critical path{new}: {_way(after.critical_path)}"


def _load(preview: Preview) -> Iterator[str]:
    before = {share.device_id: share for share in preview.before.devices}
    after = {share.device_id: share for share in preview.after.devices}
    rows = []
    for device_id in dict.fromkeys([*after, *before]):
        shares = before.get(device_id), after.get(device_id)
        if any(share is not None and share.tasks for share in shares):
            old, new = (_share(share) for share in shares)
            name = "no device yet" if device_id is None else f"on {shortened(one_line(device_id), 30)}"
            rows.append((name, old if old == new else f"{old} -> {new}"))
    if rows:
        yield "left to do:"
        yield from _table(rows, _DEVICES)


def _share(share: DeviceShare | None) -> str:
    return (
        "nothing"
        if share is None or not share.tasks
        else f"{_count(share.tasks, 'task')}, {_number(share.seconds, ' s')}"
    )


# ------------------------------------------------------------------------------------------------- words
def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _counts(added: Sequence[Any], removed: Sequence[Any], changed: Sequence[Any]) -> str:
    kinds = ((added, "added"), (removed, "removed"), (changed, "changed"))
    return ", ".join(f"{len(found)} {word}" for found, word in kinds if found)


def _rest(more: int) -> Iterator[str]:
    if more > 0:
        yield f"  and {more} more"


def _table(rows: Sequence[tuple[str, str]], most: int) -> Iterator[str]:
    shown = rows if len(rows) == most + 1 else rows[:most]  # one more line says more than "and 1 more"
    width = max(len(first) for first, _ in shown)
    for first, second in shown:
        yield f"  {first:{width}}  {second}".rstrip()
    yield from _rest(len(rows) - len(shown))


def _ids(task_ids: Sequence[str], most: int = 5) -> str:
    named = ", ".join(shortened(one_line(task_id), 20) for task_id in task_ids[:most])
    return named + (f" and {len(task_ids) - most} more" if len(task_ids) > most else "")


def _way(task_ids: Sequence[str]) -> str:
    names = [shortened(one_line(task_id), 30) for task_id in task_ids]
    return " -> ".join(names if len(names) <= 8 else [*names[:4], f"({len(names) - 7} more)", *names[-3:]])


def _value(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) and value else _written(value)


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _number(number: float | None, unit: str = "") -> str:
    if number is None:
        return "-"
    if not math.isfinite(number):
        return f"{number}{unit}"
    digits = f"{number:.3f}".rstrip("0").rstrip(".") if abs(number) < 1e15 else f"{number:g}"
    return f"{digits}{unit}"


def _change(old: float | None, new: float | None, unit: str) -> str:
    if old is None or new is None or old == new:
        return ""
    return ("+" if new > old else "") + _number(new - old, unit)
