"""`galaxy show`: a run that was kept, on a page; and what one of its tasks left."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import click
from attrs import evolve

from galaxy_core import ExecutionResult, TaskStar
from galaxy_core.errors import UnknownTaskError
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.hints import command, to_resolve
from galaxy_core_cli.kept.ages import ago
from galaxy_core_cli.kept.cutting import how_cut, is_cut
from galaxy_core_cli.kept.finding import found
from galaxy_core_cli.kept.journals import journal_of
from galaxy_core_cli.kept.listing import Listed, looked_up
from galaxy_core_cli.kept.reading import Beginning, Kept, read
from galaxy_core_cli.kept.standing import UNDER_WAY, to_go_on, words
from galaxy_core_cli.reaching import print_json, status_now
from galaxy_core_cli.running.board import error_line
from galaxy_core_cli.text import count, duration, fitted, found_out, label, room, safe, safe_line, shortened, table

#: Characters that are shown of what a task left, where there is room for any number, and at least.
RESULT, LEAST = 60, 20
#: Tasks whose long output is named.
NAMED = 3
HEADING = ("TASK", "STATUS", "DEVICE", "ATTEMPTS", "TOOK", "RESULT")


def show_run(wanted: str, journal: str | None, as_json: bool) -> int:
    """Show a run."""
    kept_in = journal_of(journal)
    kept = read(kept_in, found(wanted, kept_in), whole=as_json)
    one = _now(looked_up(kept_in, kept.run_id))
    if as_json:
        print_json(document(kept, one))
        return Exit.OK
    for line in page(kept, one):
        click.echo(line)
    return Exit.OK


def _now(one: Listed) -> Listed:
    """The run; of one under way that can be reached, as it says that it stands: as paused, or as stopping."""
    if one.status != UNDER_WAY:
        return one
    told = status_now(one.run_id)
    return evolve(one, status=str(told["status"])) if told.get("ok") and told.get("run") == one.run_id else one


def page(kept: Kept, one: Listed) -> Iterator[str]:
    """The lines."""
    yield from table(list(_facts(kept, one)))
    yield ""
    yield from tasks(kept)
    edits = [_edit(edit) for edit in kept.replay.edits]
    if edits:
        yield ""
        heading = ("REVISION", "EDIT", "BY")
        yield from table(fitted(edits, heading, room(), (1, LEAST)), heading)
    where = kept.journal.name
    told = [*long_texts(kept), to_resolve(kept.constellation, where), to_go_on(kept, one.status)]
    if hints := [hint for hint in told if hint]:
        yield ""
        yield from hints


def _facts(kept: Kept, one: Listed) -> Iterator[tuple[str, str]]:
    header = kept.header
    yield "run", safe_line(kept.run_id)
    yield "plan", _plan(kept.name, header.source)
    yield "status", f"{words(one.status)}: {_counts(kept)}"
    yield "started", _moment(one.started)
    if one.ended is not None:
        yield "ended", _moment(one.ended)
    if one.holder:
        yield "run by", safe_line(one.holder)
    for opened in kept.replay.epochs[1:]:
        yield "resumed", _moment(opened.at)
    devices = [str(device.get("device_id")) for device in header.devices]
    if kept.replay.folder is not None:
        yield "folder", safe_line(kept.replay.folder)
    yield "devices", shortened(", ".join(map(safe_line, devices)), 200) or "none"
    yield "kept", f"{count(kept.records, 'record')}, {header.durability}; by Galaxy {header.version}"


def _plan(name: str, source: Mapping[str, Any] | None) -> str:
    return safe_line(name) + (f", from {safe_line(os.path.normpath(source['path']))}" if source else "")


def _counts(kept: Kept) -> str:
    counts = kept.counts
    parts = [f"{counts.get('completed', 0):,} of {count(kept.constellation.task_count, 'task')} done"]
    parts += [
        f"{number:,} {'under way' if status == 'running' else status}"
        for status, number in counts.items()
        if status not in {"completed", "pending"}
    ]
    return ", ".join(parts)


def _moment(at: float | None) -> str:
    if at is None:
        return "not yet"
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S %z} ({ago(time.time() - at)} ago)"


def tasks(kept: Kept) -> Iterator[str]:
    """The lines of a table of all tasks, which ends where the terminal ends."""
    width = room()
    rows = [
        row(task, kept, RESULT if width is None else max(width, LEAST)) for task in kept.constellation.get_all_tasks()
    ]
    return table(fitted(rows, HEADING, width, (len(HEADING) - 1, LEAST)), HEADING)


def row(task: TaskStar, kept: Kept, most: int = RESULT) -> tuple[str, ...]:
    """A task in columns as `HEADING` names them; what it left with at most so many characters, and a few of explanation."""
    result = task.result if isinstance(task.result, ExecutionResult) else None
    device = (
        (result.device_id if result is not None else None) or (task.target_device_id if task.attempts else "") or ""
    )
    took = task.execution_duration
    return (
        label(task, 40),
        _status(task, kept),
        safe_line(device),
        str(task.attempts or ""),
        "" if took is None or not task.is_terminal else f"{'<' if found_out(result) else ''}{duration(took)}",
        _result(task, result, most),
    )


def _status(task: TaskStar, kept: Kept) -> str:
    return "under way" if task.task_id in kept.replay.in_flight else task.status.value.replace("_", " ")


def _result(task: TaskStar, result: ExecutionResult | None, most: int) -> str:
    """How it ended, or what it printed last, in a few words."""
    if task.error is not None:
        return shortened(error_line(task.task_id, task.error), most)
    if result is None:
        return ""
    if result.files:
        return f"{count(len(result.files), 'file')}: {shortened(', '.join(map(safe_line, result.files)), most)}"
    if isinstance(result.stdout, Beginning):
        return f"{result.stdout.length:,} characters"
    said = (result.stdout or "").strip() or _value(result)
    last = said.rsplit("\n", 1)[-1]
    more = "… " if last != said else ""
    if is_cut(result, "stdout"):  # what is its last line here was not the last that it printed
        last = shortened(safe_line(last), most)
        return more + (last if last.endswith("…") else f"{last}…")
    return more + shortened(safe_line(last), most)


def long_texts(kept: Kept) -> Iterator[str]:
    """How to see what a table has no room for."""
    long = [
        task.task_id
        for task in kept.constellation.get_all_tasks()
        if isinstance(task.result, ExecutionResult) and isinstance(task.result.stdout, Beginning)
    ]
    for task_id in long[:NAMED]:
        yield f"all that {safe_line(task_id)} printed: {command('show', kept.run_id, task_id, journal=kept.journal.name)}"
    if len(long) > NAMED:
        yield f"and {count(len(long) - NAMED, 'more task')} printed as much"


def _value(result: ExecutionResult) -> str:
    if result.value in (None, ""):
        return ""
    return json.dumps(result.to_dict()["result"], ensure_ascii=False, default=str)


def _edit(edit: Mapping[str, Any]) -> tuple[str, ...]:
    what = shortened(safe_line(edit.get("description") or "an edit"), RESULT)
    return str(edit.get("revision", "")), what, safe_line(edit.get("author") or "")


def document(kept: Kept, one: Listed) -> dict[str, Any]:
    """All of it as plain data."""
    header = kept.header.to_dict()
    return {
        "run": kept.run_id,
        "name": kept.name,
        "status": one.status,
        "started": one.started,
        "ended": one.ended,
        "total_tasks": kept.constellation.task_count,
        "counts": kept.counts,
        "records": kept.records,
        **{key: header[key] for key in ("durability", "version", "strategy", "plugins", "devices", "source")},
        "folder": kept.replay.folder,
        "epochs": [
            {"epoch": one.epoch, "at": one.at, "version": one.version, "folder": one.folder}
            for one in kept.replay.epochs
        ],
        "edits": [dict(one) for one in kept.replay.edits],
        "resolutions": [dict(one) for one in kept.replay.resolutions],
        "tasks": [_task(task, kept) for task in kept.constellation.get_all_tasks()],
    }


def _task(task: TaskStar, kept: Kept) -> dict[str, Any]:
    result = task.result.to_dict() if isinstance(task.result, ExecutionResult) else None
    return {
        "task": task.task_id,
        "name": task.name,
        "status": task.status.value,
        "under_way": task.task_id in kept.replay.in_flight,
        "device": task.target_device_id,
        "attempts": task.attempts,
        "duration_s": task.execution_duration,
        "error": None if task.error is None else str(task.error),
        "result": result,
        **({"cut": cut} if (cut := _cut(task.result)) else {}),
    }


def _cut(result: object) -> dict[str, Any]:
    """Of which streams only the beginning stands there, how long they are, and where all of it is."""
    if not isinstance(result, ExecutionResult):
        return {}
    streams = {"stdout": result.stdout, "stderr": result.stderr}
    return {
        name: {"length": text.length, "where": text.where}
        for name, text in streams.items()
        if isinstance(text, Beginning)
    }


def show_task(wanted: str, task_id: str, journal: str | None, as_json: bool) -> int:
    """Show the whole of what a task left."""
    kept_in = journal_of(journal)
    kept = read(kept_in, found(wanted, kept_in), whole=True)
    task = kept.constellation.get_task(task_id)
    if task is None:
        raise UnknownTaskError(task_id, [one.task_id for one in kept.constellation.get_all_tasks()])
    if as_json:
        print_json(_task(task, kept))
        return Exit.OK
    result = task.result if isinstance(task.result, ExecutionResult) else None
    facts = list(zip(("task", "status", "device", "attempts", "took"), row(task, kept), strict=False))
    if result is not None and result.exit_code is not None:
        facts.append(("exit code", str(result.exit_code)))
    if task.error is not None:
        facts.append(("error", error_line(task_id, task.error)))
    facts += [("file", safe_line(path)) for path in (() if result is None else (result.files or {}).values())]
    for line in table([fact for fact in facts if fact[1]]):
        click.echo(line)
    for name, text in () if result is None else (("stdout", result.stdout), ("stderr", result.stderr)):
        if text:
            click.echo(f"\n==> {name} <==\n{safe(text)}", nl=not text.endswith("\n"))
            if result is not None and is_cut(result, name):
                click.echo(f"… {how_cut(result, name)}")
            if isinstance(text, Beginning):
                click.echo(f"… {text.length:,} characters in all: {safe_line(text.where)}")
    if result is not None and not result.stdout and (value := _value(result)):
        click.echo(f"\n==> value <==\n{safe(value)}")
    return Exit.OK
