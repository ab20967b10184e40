"""What must be true when a workload is over, whatever happened to the processes that ran it."""

from __future__ import annotations

from attrs import define, field

from galaxy_core import Effect, ExecutionResult, TaskStar, TaskStatus
from galaxy_core.model.records.replay import Replay
from galaxy_core_journal import SqliteJournal
from tests.crash.edits import Diary, expected_effects, wrong_edits
from tests.crash.plans import Workload


def replayed(journal: SqliteJournal) -> Replay | None:
    """The one run that is recorded, if any is; of one whose plan is not there whole, nothing has started.

    Raises:
        JournalError: it cannot be read.
        AssertionError: there are several.
    """
    runs = journal.runs()
    assert len(runs) < 2, f"{len(runs)} runs are recorded"
    if not runs:
        return None
    replay = Replay(run_id=runs[0])
    for line in journal.read(runs[0]):
        replay.take(line)
    return replay


@define
class Done:
    """What was recorded as completed once: by task, how often it had begun, and what it had said."""

    tasks: dict[str, tuple[int, str | None]] = field(factory=dict)

    def wrong(self, work: Workload, replay: Replay | None) -> list[str]:
        """What has become of it since. Whatever its effect, what is recorded as completed is not done again."""
        plan, wrong = None if replay is None or not replay.is_whole else replay.constellation(), list[str]()
        for task_id in sorted(work.told()):
            found = None if plan is None else plan.get_task(task_id)
            if found is None or found.status is not TaskStatus.COMPLETED:
                wrong.append(f"{task_id} was told to have completed, and is {found and found.status.value}")
        for task_id, (began, said) in self.tasks.items():
            found = None if plan is None else plan.get_task(task_id)
            if found is None or found.status is not TaskStatus.COMPLETED:
                wrong.append(f"{task_id} was recorded as completed, and is {found and found.status.value}")
            elif work.began(task_id) != began:
                wrong.append(
                    f"{task_id} was recorded as completed, and has begun {work.began(task_id) - began} times since"
                )
            elif _said(found) != said:
                wrong.append(f"{task_id} had said {said!r}, and is recorded now with {_said(found)!r}")
        for task in plan.tasks.values() if plan is not None else ():
            if task.status is TaskStatus.COMPLETED:
                self.tasks.setdefault(task.task_id, (work.began(task.task_id), _said(task)))
        return wrong


def _said(task: TaskStar) -> str | None:
    return task.result.stdout if isinstance(task.result, ExecutionResult) else None


def _is_by_hand(task: TaskStar) -> bool:
    return isinstance(task.result, ExecutionResult) and bool(task.result.metadata.get("resolved_by_hand"))


def wrong_so_far(work: Workload, replay: Replay | None) -> list[str]:
    """What cannot be right at any time: something has begun of which there is no record, or an edit is lost or torn."""
    diary = Diary(work.folder)
    if replay is None or not replay.is_whole:
        begun = [one for one in work.effects if work.began(one)]
        wrong = [f"no plan is recorded, but {begun} have begun"] if begun else []
        return wrong + ([f"no plan is recorded, but edits {diary.committed} are committed"] if diary.committed else [])
    wrong = wrong_edits(replay.constellation(), diary)
    for task_id, said in replay.document()["tasks"].items():
        is_new = said["status"] in ("pending", "waiting_dependency") and not said["current_retry"]
        if is_new and not said.get("attempts", 0) and (began := work.began(task_id)):
            wrong.append(f"{task_id} has begun {began} times, and the journal says {said['status']}")
    return wrong


def wrong_in_the_end(work: Workload, replay: Replay | None) -> list[str]:
    """What is wrong with a run that is over, and has gone well as far as it could be told.

    What a person has said to be completed has no output; all others have theirs.
    """
    if replay is None or not replay.is_whole:
        return ["no run is recorded"]
    plan, diary = replay.constellation(), Diary(work.folder)
    wrong, expected = wrong_edits(plan, diary), expected_effects(work, plan, diary)
    wrong += [f"{one} was removed, and has begun" for one in work.effects if one not in expected and work.began(one)]
    for task_id, effect in expected.items():
        found, fails = plan.get_task(task_id), work.failures.get(task_id, 0)
        began, ended, failed = work.began(task_id), work.ended(task_id), work.failed(task_id)
        if found is None:
            wrong.append(f"{task_id} is lost")
            continue
        if found.status is not TaskStatus.COMPLETED:
            wrong.append(f"{task_id} is {found.status.value}: {found.error}")
        elif not _is_by_hand(found) and _said(found) != f"out of {task_id}\n":
            wrong.append(f"{task_id} is completed, and its output is {_said(found)!r}")
        if effect == Effect.ONCE.value and (ended > 1 or began > fails + 1):
            wrong.append(
                f"{task_id} may run once, has begun {began} times, with {failed} failures, ended {ended} times"
            )
        if not began:
            wrong.append(f"{task_id} is completed, and has never begun")
    return wrong
