"""Records as they are written: one function for each kind, which returns the line of JSON text of record `n`.

Each says what *is*, so it is called after the change that it tells of, at once: it reads the fields of live tasks and links.
None of them raises, whatever values they find. Lines are ASCII. A `Keeper` is made once for a run, and holds what long
texts and values that cannot be kept need.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.edits import Transaction
from galaxy_core.model.reasons import is_failure
from galaxy_core.model.records.faults import error_document
from galaxy_core.model.records.lean import lean_head, lean_line, lean_result, lean_task
from galaxy_core.model.records.text import as_json as _json
from galaxy_core.model.records.text import quoted as _quoted
from galaxy_core.model.records.unkept import Keeper
from galaxy_core.model.result import ExecutionResult, TaskStatus
from galaxy_core.model.task import TaskStar

#: The format of the records that this version writes.
FORMAT: Final = 2
#: Tasks or links in one record.
CHUNK: Final = 256

#: Of an attempt that has started: its lease and number, the device, and when (seconds since the epoch).
Began = tuple[int, int, str, float]
#: And that has ended: the task, number and lease, the device, when it started and ended, each in ticks if that is exact, else
#: in seconds; with more than a success to tell the status, the result, the error, and whether what it refuses is withheld.
Ran = tuple[Any, ...]
#: In a second: for this century and the next, a moment in a float is a whole number of them.
TICKS: Final = 2.0**22
#: Characters of a record from which on each attempt has one of its own.
_MUCH: Final = 1 << 20

_COMPLETED, _UNCONDITIONAL = TaskStatus.COMPLETED, DependencyType.UNCONDITIONAL
_NOTHING: Final = Keeper()


# ----------------------------------------------------------------------------------------------- the plan
def header(n: int, document: Mapping[str, Any]) -> str:
    """Kind "galaxy", the first: a `Header` as its `to_dict` gives it."""
    return f'[{n},"galaxy",{_json(_NOTHING.keep(dict(document)))}]'


def plan(n: int, constellation: TaskConstellation, keeper: Keeper = _NOTHING) -> str:
    """The head of a plan, how many tasks and links follow, with what ids of numbered links begin, and the first free number."""
    index = constellation._lines_by_id
    head, prefix = _json(lean_head(constellation, keeper)), _json(index.prefix)
    return f'[{n},"plan",{head},{len(constellation._tasks)},{len(constellation._lines)},{prefix},{index.numbered}]'


def tasks(n: int, tasks: Sequence[TaskStar], keeper: Keeper = _NOTHING) -> str:
    """At most `CHUNK` tasks, as they are."""
    return _many(n, "tasks", [lean_task(task, keeper) for task in tasks])


def _links(n: int, constellation: TaskConstellation, tasks: Sequence[TaskStar], keeper: Keeper) -> Iterator[str]:
    """All links as they are, `CHUNK` in a record, or fewer where numbers are missing or they are of several moments.

    Nearly all say no more than their type and which tasks they join: two numbers, the places of these tasks in the records
    before. A text is the type of those that follow it, the first being unconditional. Their ids are numbered on from the
    last part of the record. Any other link is a document.
    """
    places = {task._task_id: place for place, task in enumerate(tasks)}
    lines, index, expected = list(constellation._lines), constellation._lines_by_id, 0
    for at in range(0, len(lines), CHUNK):
        some = lines[at : at + CHUNK]
        created = some[0]._created_at
        found: list[Any] = []
        first, kind = expected, _UNCONDITIONAL
        for line in some:
            number = line._line_id
            if isinstance(number, str) or not (
                line._updated_at == line._created_at
                and line._condition_description is None
                and line._evaluator is None
                and line._open
                and line._evaluated_at is None
                and line._evaluation is None
                and not line._satisfied
                and not line._metadata
            ):
                document = lean_line(line, keeper)
                if line._created_at == created:
                    del document["created_at"]
                found.append(document)
                continue
            if number is None:
                line._line_id = number = index.numbered
                index.numbered = number + 1
            if number != expected or line._created_at != created:
                if found:
                    yield f'[{n},"links",{_json(found)},{_json(created)},{first}]'
                    n += 1
                found, first, expected, kind = [], number, number, _UNCONDITIONAL
                created = line._created_at
            expected += 1
            if line._dependency_type is not kind:
                kind = line._dependency_type
                found.append(kind.value)
            found += (places[line._from], places[line._to])
        yield f'[{n},"links",{_json(found)},{_json(created)},{first}]'
        n += 1


def _many(n: int, kind: str, documents: list[dict[str, Any]]) -> str:
    """What was created together says when only once."""
    created = documents[0]["created_at"] if documents else 0.0
    for document in documents:
        if document["created_at"] == created:
            del document["created_at"]
    return f'[{n},"{kind}",{_json(documents)},{_json(created)}]'


def whole_plan(n: int, constellation: TaskConstellation, keeper: Keeper = _NOTHING) -> Iterator[str]:
    """All records of a plan, from number `n` on: one "plan", then "tasks", then "links". About 3 µs a task.

    Links that have no id yet are promised one each.
    """
    found = list(constellation._tasks.values())
    constellation._lines_by_id.begin_numbering()
    yield plan(n, constellation, keeper)
    for first in range(0, len(found), CHUNK):
        n += 1
        yield tasks(n, found[first : first + CHUNK], keeper)
    if constellation._lines:
        yield from _links(n + 1, constellation, found, keeper)


def opened(
    n: int,
    epoch: int,
    mark: str,
    at: float,
    version: str,
    plugins: Mapping[str, str],
    constellation: TaskConstellation,
    keeper: Keeper = _NOTHING,
    folder: str | None = None,
) -> str:
    """A run goes on, under a new epoch and mark, in `folder`; `constellation` after `start_execution`."""
    told = {
        "format": FORMAT,
        "epoch": epoch,
        "mark": mark,
        "at": at,
        "version": version,
        "plugins": dict(plugins),
        "folder": folder,
        "head": lean_head(constellation, keeper),
    }
    return f'[{n},"opened",{_json(told)}]'


# ----------------------------------------------------------------------------------------------- attempts
def start(n: int, task_id: str, lease: int, attempt: int, device_id: str, at: float) -> str:
    """An attempt is about to be sent: after `Progress.begin`."""
    return f'[{n},"start",{_quoted(task_id)},{attempt},{lease},{_quoted(device_id)},{at!r}]'


def sent(n: int, task_id: str, lease: int) -> str:
    """The device was sent it."""
    return f'[{n},"sent",{_quoted(task_id)},{lease}]'


def ack(n: int, task_id: str, lease: int) -> str:
    """The device has acknowledged it."""
    return f'[{n},"ack",{_quoted(task_id)},{lease}]'


def end(n: int, task: TaskStar, lease: int, held: bool = False, keeper: Keeper = _NOTHING) -> str:
    """A task has ended: after `Progress.end`, before any "link" and "skip" that follow from it.

    `lease` is that of the attempt, 0 when none was sent, or nobody knows which. `held`: what the end refuses is withheld.
    Replay closes those of its links that are plainly satisfied; every other one that was judged needs a "link".
    """
    result = task._result
    refused = "true" if held else "false"
    if lease and _says_nothing(result, task):
        return (
            f'[{n},"end",{_quoted(task._task_id)},{task._attempts},{lease},"completed",{task._updated_at!r},'
            f"{{}},null,{refused}]"
        )
    kept = None if result is None else lean_result(result, task, keeper)
    more = "" if lease else f",{_json(_attempt(task))}"
    return (
        f'[{n},"end",{_quoted(task._task_id)},{task._attempts},{lease},"{task._status.value}",{task._updated_at!r},'
        f"{_json(kept)},{_json(error_document(task._error))},{refused}{more}]"
    )


def ran(task: TaskStar, began: Began, held: bool, keeper: Keeper) -> Ran:
    """An attempt that began and has ended, both since the last record: as `start` and `end` say it."""
    lease, attempt, device_id, at = began
    result, ended = task._result, task._updated_at
    # Formatting two moments would cost as much as all the rest.
    started_ticks, ended_ticks = int(at * TICKS), int(ended * TICKS)
    started = started_ticks if started_ticks / TICKS == at else float(at)
    over = ended_ticks if ended_ticks / TICKS == ended else float(ended)
    if not held and _says_nothing(result, task):
        return task._task_id, attempt, lease, device_id, started, over
    kept = None if result is None else lean_result(result, task, keeper)
    error = error_document(task._error)
    return task._task_id, attempt, lease, device_id, started, over, task._status.value, kept, error, held


def rans(n: int, attempts: Sequence[Ran]) -> Iterator[str]:
    """All of them in records of `CHUNK`, or fewer where they say much."""
    for first in range(0, len(attempts), CHUNK):
        some = attempts[first : first + CHUNK]
        text = _json(some)
        if len(text) > _MUCH and len(some) > 1:
            for line in (line for one in some for line in rans(n, [one])):
                yield line
                n += 1
            continue
        yield f'[{n},"ran",{text}]'
        n += 1


def _says_nothing(result: Any, task: TaskStar) -> bool:
    """Whether it is a success without any output, as the task and its attempt say all of it."""
    try:
        return (
            type(result) is ExecutionResult
            and task._status is _COMPLETED
            and result.stdout is None
            and result.stderr is None
            and result.exit_code is None
            and result.result is None
            and result.error is None
            and not result._metadata
            and not result.files
            and result.status is _COMPLETED
            and result.attempts == task._attempts
            and result.device_id == task._target_device_id
            and result._start == task._started_at
            and result._end == task._ended_at
            and result.task_id == task._task_id
            and task._error is None
        )
    except Exception:  # values of somebody's making, which break when they are compared
        return False


def _attempt(task: TaskStar) -> dict[str, Any]:
    """What the record of an attempt would have said."""
    return {
        "device": task._target_device_id,
        "started": task._started_at,
        "ended": task._ended_at,
        "retries": task._current_retry,
    }


def files(n: int, found: Mapping[str, tuple[int, str]]) -> str:
    """What files hold that results name: by their paths, size (bytes) and SHA-256."""
    return f'[{n},"files",{_json(found)}]'


def again(n: int, task: TaskStar, kind: str, wait_s: float, error: BaseException) -> str:
    """An attempt has ended, and another is to follow after `wait_s`: after `TaskStar._again`."""
    return (
        f'[{n},"again",{_quoted(task._task_id)},{task._attempts},{_quoted(kind)},{wait_s!r},{task._updated_at!r},'
        f"{task._current_retry},{_json(error_document(error))}]"
    )


def settled(n: int, task_id: str, lease: int, outcome: str, said: str) -> str:
    """What the device said of an attempt of an earlier epoch; `outcome` is the name of the outcome's class."""
    return f'[{n},"settled",{_quoted(task_id)},{lease},{_quoted(outcome)},{_quoted(said)}]'


# ----------------------------------------------------------------------------------------------- what follows
def link(n: int, line: TaskStarLine, keeper: Keeper = _NOTHING) -> str:
    """A link was judged in any other way than plainly, or is open again."""
    return (
        f'[{n},"link",{_quoted(line.line_id)},{_flag(line._satisfied)},{_json(keeper.keep(line._evaluation))},'
        f"{_json(line._evaluated_at)},{_flag(line._open)},{line._updated_at!r}]"
    )


def _flag(value: Any) -> str:
    return "true" if value else "false"


def skip(n: int, task: TaskStar) -> str:
    """A task was skipped: after `Progress._skip`, before those records that follow from it."""
    return f'[{n},"skip",{_quoted(task._task_id)},{task._updated_at!r},{_json(error_document(task._error))}]'


def cancel(n: int, task_ids: Sequence[str], at: float, why: str, run: bool = False) -> str:
    """Tasks that had not started were withdrawn (`Progress.withdraw`) with ``cancellation(task, why)``.

    At most `CHUNK` of them. `run`: the whole run is cancelled, so `constellation._cancelled` is set; there may be no tasks.
    """
    return f'[{n},"cancel",{_json(list(task_ids))},{at!r},{_quoted(why)},{_flag(run)}]'


# ----------------------------------------------------------------------------------------------- changes by hand
def edit(
    n: int,
    constellation: TaskConstellation,
    *,
    id: str | None,
    description: str,
    author: str,
    transaction: Transaction | None,
    tasks: Iterable[TaskStar] = (),
    links: Iterable[TaskStarLine] = (),
    gone_tasks: Iterable[str] = (),
    gone_links: Iterable[str] = (),
    keeper: Keeper = _NOTHING,
    with_metadata: bool = True,
) -> str:
    """An edit was made. `tasks` and `links` are all that it added, changed or skipped, `gone_…` the ids of what it took out.

    What was taken out and added anew under the same id is in both. `with_metadata` False: those of the plan are as they
    were in the last record that has them.
    """
    told = {
        "id": id,
        "description": description,
        "author": author,
        "revision": constellation._revision,
        "transaction": _transaction(transaction, keeper),
        "image": _image(constellation, tasks, links, gone_tasks, gone_links, keeper, with_metadata),
    }
    return f'[{n},"edit",{_json(told)}]'


def image(
    n: int,
    constellation: TaskConstellation,
    tasks: Iterable[TaskStar] = (),
    links: Iterable[TaskStarLine] = (),
    gone_tasks: Iterable[str] = (),
    gone_links: Iterable[str] = (),
    keeper: Keeper = _NOTHING,
    with_metadata: bool = True,
) -> str:
    """Anything else was done by hand: all that it touched, as it is now; otherwise as `edit`."""
    touched = _image(constellation, tasks, links, gone_tasks, gone_links, keeper, with_metadata)
    return f'[{n},"image",{_json(touched)}]'


def resolve(
    n: int,
    constellation: TaskConstellation,
    task_id: str,
    as_: str,
    by: str,
    at: float,
    tasks: Iterable[TaskStar],
    links: Iterable[TaskStarLine],
    keeper: Keeper = _NOTHING,
    with_metadata: bool = True,
) -> str:
    """Somebody has said how a task ended: `tasks` and `links` are those of the `Resolution`."""
    touched = _image(constellation, tasks, links, (), (), keeper, with_metadata)
    told = {"task": task_id, "as": as_, "by": by, "at": at, "image": touched}
    return f'[{n},"resolve",{_json(told)}]'


def _image(
    constellation: TaskConstellation,
    tasks: Iterable[TaskStar],
    links: Iterable[TaskStarLine],
    gone_tasks: Iterable[str],
    gone_links: Iterable[str],
    keeper: Keeper,
    with_metadata: bool,
) -> dict[str, Any]:
    return {
        "tasks": [lean_task(task, keeper) for task in tasks],
        "links": [lean_line(line, keeper) for line in links],
        "gone_tasks": list(gone_tasks),
        "gone_links": list(gone_links),
        "head": lean_head(constellation, keeper, with_metadata=with_metadata),
    }


def _transaction(transaction: Transaction | None, keeper: Keeper) -> Any:
    if transaction is None:
        return None
    from galaxy_core.model.edits_fields import transaction_to_dict  # loads much, and only edits need it

    try:
        return keeper.keep(transaction_to_dict(transaction))
    except BaseException as broken:  # it is there for people: what cannot be written is in the image all the same
        if not is_failure(broken):
            raise
        return None


# ----------------------------------------------------------------------------------------------- the run
def pause(n: int, at: float, by: str) -> str:
    """The run was paused."""
    return f'[{n},"pause",{at!r},{_quoted(by)}]'


def go(n: int, at: float, by: str) -> str:
    """It goes on after a pause."""
    return f'[{n},"go",{at!r},{_quoted(by)}]'


def stop(n: int, at: float, by: str) -> str:
    """It was left, for somebody to resume: the last record of its epoch."""
    return f'[{n},"stop",{at!r},{_quoted(by)}]'


def over(n: int, constellation: TaskConstellation, status: str, at: float, keeper: Keeper = _NOTHING) -> str:
    """It has ended: after `complete_execution`, the last record of its epoch."""
    return f'[{n},"over",{_quoted(status)},{at!r},{_json(lean_head(constellation, keeper))}]'
