"""What must be true when a workload is over, whatever happened to the processes that ran it."""

from __future__ import annotations

from galaxy_core import Effect, TaskStatus
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
    """What is wrong with a run that is over, and has gone well as far as it could be told."""
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
        if effect == Effect.ONCE.value and (ended > 1 or began > fails + 1):
            wrong.append(
                f"{task_id} may run once, has begun {began} times, with {failed} failures, ended {ended} times"
            )
        if not began:
            wrong.append(f"{task_id} is completed, and has never begun")
    return wrong
