"""What came of a run: the output of its last tasks, what went wrong and why, and the figures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.text import Text

from galaxy_core import ExecutionResult, TaskConstellation, TaskStar
from galaxy_core_cli.hints import command, to_resolve
from galaxy_core_cli.running.board import error_line
from galaxy_core_cli.running.ending import Ending
from galaxy_core_cli.running.picture import Signs
from galaxy_core_cli.text import count, duration, found_out, label, safe, safe_line, shortened, tail

#: Of each kind, so many tasks are told about; the rest is counted.
MOST: Final = 20
STDERR_LINES: Final = 10
#: Lines of output that a person is shown of each last task; a file or pipe gets all.
OUTPUT_LINES: Final = 40
_PATH_TASKS: Final = 6
#: So many tasks on average at a time are worth a word.
_TOLD_AT_A_TIME: Final = 1.5
_STATUSES: Final = ("completed", "failed", "unknown", "skipped", "cancelled")
_STYLES: Final = {"failed": "bold red", "unknown": "bold magenta", "skipped": "yellow", "cancelled": "yellow"}


def outputs(constellation: TaskConstellation, *, limit: int | None) -> Iterator[str]:
    """What those tasks printed on which no other waits, in plan order; under a heading each when there are several."""
    last = [task for task in constellation.get_all_tasks() if not constellation.get_task_dependents(task.task_id)]
    said = [(task, text) for task in last if (text := _stdout(task).rstrip())]
    for place, (task, text) in enumerate(said if limit is None else said[:MOST]):
        if len(last) > 1:
            yield f"{'' if place == 0 else chr(10)}==> {safe_line(task.task_id)} <=="
        lines, before = tail(text, limit) if limit is not None else (safe(text).split("\n"), 0)
        if before:
            yield f"({count(before, 'line')} before)"
        yield from lines
    if limit is not None and len(said) > MOST:
        yield f"\n({count(len(said) - MOST, 'more task')} printed something)"


def _stdout(task: TaskStar) -> str:
    """What it printed; of an action that prints nothing, what it returned, as JSON."""
    result = task.result
    if not isinstance(result, ExecutionResult):
        return ""
    if result.stdout or result.value is None or result.value == "":
        return result.stdout or ""
    return json.dumps(result.to_dict()["result"], ensure_ascii=False, default=str, indent=2)


def summary(constellation: TaskConstellation, ending: Ending, signs: Signs) -> Iterator[Text]:
    """What a person wants to know at the end; the last line is the verdict."""
    if ending.result is None:
        yield Text(f"{ending.status} before anything was started", style="yellow")
        if ending.resumes:
            again = command("resume", constellation.constellation_id, journal=ending.journal)
            yield Text(f"to go on: {again}", style="dim")
        return
    tasks: dict[str, list[TaskStar]] = {status: [] for status in _STATUSES}
    for task in constellation.get_all_tasks():
        tasks.setdefault(task.status.value, []).append(task)
    for status in ("failed", "unknown"):
        for task in tasks[status][:MOST]:
            yield from _failure(task, signs)
        yield from _more(tasks[status], status)
    yield from _not_run(constellation, tasks["skipped"], "skipped", signs)
    if ending.result["status"] != "cancelled":
        yield from _not_run(constellation, tasks["cancelled"], "cancelled", signs)
    yield from _cut(ending.result["results"])
    yield from _files(ending.result["results"])
    yield from _figures(ending.result, signs, has_gap=ending.resumes)
    if ending.is_kept and (hint := _hint(constellation, ending)):
        yield Text(hint, style="dim")
    yield _verdict(constellation, ending, {status: len(found) for status, found in tasks.items()}, signs)


def _hint(constellation: TaskConstellation, ending: Ending) -> str:
    """What can be done about a run that was left, or could have been."""
    assert ending.result is not None
    run, status = constellation.constellation_id, ending.result["status"]
    if status == "stopped":
        return f"to go on: {command('resume', run, journal=ending.journal)}"
    if status == "cancelled":
        over = "it is over; to leave a run so that it can be resumed: galaxy stop"
        return "\n".join(filter(None, [over, to_resolve(constellation, ending.journal)]))
    return to_resolve(constellation, ending.journal)


def _failure(task: TaskStar, signs: Signs) -> Iterator[Text]:
    result = task.result if isinstance(task.result, ExecutionResult) else None
    error = task.error or "no reason was given"
    status = task.status.value
    line = Text.assemble((f"{signs.of[status]} {label(task)}", _STYLES[status]))
    if result is not None and result.device_id:
        line.append(f" on {safe_line(result.device_id)}")
    if task.attempts > 1:
        line.append(f" after {task.attempts} attempts")
    line.append(f": {error_line(task.task_id, error)}")
    yield line
    stderr = "" if result is None else result.stderr or result.stdout or ""
    lines, before = tail(stderr, STDERR_LINES)
    if before:
        yield Text(f"    … {count(before, 'line')} before", style="dim")
    for said in lines:
        yield Text(f"    {said}", style="dim")


def _more(tasks: list[TaskStar], status: str) -> Iterator[Text]:
    if len(tasks) > MOST:
        yield Text(f"  and {len(tasks) - MOST:,} more {status}; --json tells of each", style=_STYLES[status])


def _not_run(constellation: TaskConstellation, tasks: Sequence[TaskStar], status: str, signs: Signs) -> Iterator[Text]:
    """Tasks that share a first cause stand in one line."""
    reasons: dict[str, list[str]] = {}
    first: dict[str, TaskStar] = {}
    for task in tasks:
        cause = _first_skipped(constellation, task, first)
        why = error_line(cause.task_id, cause.error) if cause.error is not None else status
        reasons.setdefault(why, []).append(label(task))
    for why, ids in list(reasons.items())[:MOST]:
        names = ", ".join(ids[:5]) + (f" and {len(ids) - 5:,} more" if len(ids) > 5 else "")
        yield Text.assemble((f"{signs.of[status]} {names}", _STYLES[status]), f" {status}: {why}")
    if len(reasons) > MOST:
        rest = sum(len(ids) for ids in list(reasons.values())[MOST:])
        yield Text(f"  and {rest:,} more {status}", style=_STYLES[status])


def _first_skipped(constellation: TaskConstellation, task: TaskStar, known: dict[str, TaskStar]) -> TaskStar:
    """The task with whose being skipped that of `task` began. `known` remembers answers, so that long chains are cheap."""
    way = [task]
    while (found := known.get(way[-1].task_id)) is None:
        cause = constellation.get_task(getattr(way[-1].error, "cause_id", ""))
        if cause is None or cause.status != "skipped":
            found = way[-1]
            break
        way.append(cause)
    known.update((one.task_id, found) for one in way)
    return found


def _files(results: Mapping[str, ExecutionResult]) -> Iterator[Text]:
    """Where collected files lie: the folder when there are many."""
    found = [(task_id, name, path) for task_id, one in results.items() for name, path in (one.files or {}).items()]
    if not found:
        return
    for task_id, name, path in found[:5]:
        yield Text.assemble(
            ("file ", "dim"), f"{safe_line(task_id)}: {safe_line(name)}", ("  in ", "dim"), safe_line(path)
        )
    if len(found) > 5:
        folder = Path(found[0][2]).parent.parent
        yield Text.assemble(("file ", "dim"), f"and {len(found) - 5:,} more", ("  in ", "dim"), safe_line(folder))


def _cut(results: Mapping[str, ExecutionResult]) -> Iterator[Text]:
    """Whose output is not kept whole: what is shown of it looks like all there is."""
    found = [
        (task_id, name, one)
        for task_id, one in results.items()
        for name in ("stdout", "stderr")
        if isinstance(one.metadata.get(f"{name}_kept_bytes"), int) and not _says_nothing(one, name)
    ]
    for task_id, name, one in found[:MOST]:
        yield Text(f"{safe_line(task_id)}: {name} is cut to {_what_is_kept(one.metadata, name)}")
    if len(found) > MOST:
        yield Text(f"  and {len(found) - MOST:,} more outputs are cut; --json tells of each", style="dim")


def _says_nothing(result: ExecutionResult, name: str) -> bool:
    """Whether nothing is there of a stream of unknown length, which may have been empty, and more of the other one."""
    told, other = result.metadata, "stderr" if name == "stdout" else "stdout"
    return not told[f"{name}_kept_bytes"] and f"{name}_bytes" not in told and bool(told.get(f"{other}_kept_bytes"))


def _what_is_kept(told: Mapping[str, Any], name: str) -> str:
    kept, size, in_file = told[f"{name}_kept_bytes"], told.get(f"{name}_bytes"), told.get(f"{name}_file_bytes", 0)
    if not isinstance(size, int):  # how long it was, only its reader knew
        gone = "went with the process that read it" if told.get("settled") else "is lost"
        return f"its first {kept:,} bytes; the rest {gone}"
    if f"{name}_file_error" in told:
        rest = f"the rest is lost, because no file could be written: {safe_line(told[f'{name}_file_error'])}"
    elif in_file >= size:
        rest = "a file has all of it"
    else:
        rest = f"a file has the first {in_file:,}" if in_file else "the rest is lost"
    return f"the first {kept:,} of {size:,} bytes; {rest}"


def _figures(result: Mapping[str, Any], signs: Signs, *, has_gap: bool) -> Iterator[Text]:
    """The critical path by the seconds that tasks really took, and how much was going on at a time.

    `has_gap`: there was a time in which nobody ran anything.
    """
    statistics = result["statistics"]
    way = [safe_line(task_id) for task_id in statistics["critical_path_tasks"]]
    wall_s = statistics["execution_duration"]
    if statistics["parallelism_calculation_mode"] != "actual_time" or len(way) < 2 or not wall_s:
        return
    if len(way) > _PATH_TASKS:
        way = [*way[: _PATH_TASKS - 2], "...", way[-1]]
    at_a_time = 0.0 if has_gap else statistics["total_work"] / wall_s
    is_bound = any(found_out(result["results"].get(task_id)) for task_id in statistics["critical_path_tasks"])
    length = ("at most " if is_bound else "") + duration(statistics["critical_path_length"])
    yield Text(
        f"critical path {length}: {shortened(f' {signs.arrow} '.join(way), 200)}"
        + (f"; on average {at_a_time:.1f} tasks at a time" if at_a_time >= _TOLD_AT_A_TIME else ""),
        style="dim",
    )


def _verdict(constellation: TaskConstellation, ending: Ending, counts: Mapping[str, int], signs: Signs) -> Text:
    assert ending.result is not None
    status = ending.result["status"]
    total, done = constellation.task_count, counts["completed"]
    good = status == "completed"
    words = "completed" if good else status.replace("_", " ")
    parts = [f"{done:,} of {count(total, 'task')} done"]
    parts += [f"{counts[name]:,} {name}" for name in _STATUSES[1:] if counts[name]]
    took = constellation.execution_duration
    line = Text.assemble(
        (f"{signs.of['completed' if good else 'failed']} ", "bold green" if good else "bold red"),
        (safe_line(constellation.name), "bold"),
        (f" {words}", "green" if good else "red"),
        f": {', '.join(parts)}",
    )
    if took is not None and ending.resumed_s is not None:
        line.append(f" in {duration(ending.resumed_s)} since it was resumed, {duration(took)} since it began")
    elif took is not None:
        line.append(f" in {duration(took)}")
    return line
