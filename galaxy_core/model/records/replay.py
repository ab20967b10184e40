"""What records come to: a fold, record by record, that runs no condition and asks nobody.

The fold goes straight into the tasks and links of a constellation that nobody else has, whose counters are worked out when
it is handed over: a run of 100,000 tasks takes no more memory than its constellation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from galaxy_core.errors import JournalDamagedError, JournalVersionError
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.reasons import message_of, shown
from galaxy_core.model.records.fold import READERS, Epoch, Fold, InFlight
from galaxy_core.model.records.making import count_anew, hand_over
from galaxy_core.model.records.restore import BROKEN, Read
from galaxy_core.model.result import ExecutionResult, KeptFiles

__all__ = ["Epoch", "InFlight", "Replay", "replay"]


class Replay(Fold):
    """The state of a run after those of its records that were taken.

    ``document()`` is then ``constellation.to_dict()`` of the run at that point, but for the device of a task that is not
    pinned and has no start time (an assignment that may be made anew is not recorded), for the name and metadata of the
    plan when they were changed by hand since the last edit, and for texts above `MAX_TEXT` that no file has.

    Attributes:
        count: how many records were taken; the next one has to have this number.
        header: None before the first record.
        epochs: the processes that wrote it, in order.
        in_flight: by the tasks' ids, the attempts that have started, and not ended.
        doubtful: likewise, those that have ended unknown. `resolved`: those of which somebody has said then how they ended.
        backing_off: by the tasks' ids, until when they wait for another attempt (seconds since the epoch).
        over: how it ended; None while it has not, and again once it was resumed.
        is_paused: whether it was paused last. `stopped_by`: who left it for somebody to resume; None when nobody did.
        resolutions, edits, settlements: those records, in order, each with its "n"; edits without their images.
        files: by the paths of files that results name, their size (bytes) and SHA-256 when they were recorded.
    """

    def __init__(self, read: Read | None = None, run_id: str = "") -> None:
        """`read` gives texts that are in files of the run, `run_id` names the run in errors before its header does."""
        super().__init__(read, run_id)
        self._is_given = False

    # ------------------------------------------------------------------------------------------- what it comes to
    @property
    def is_whole(self) -> bool:
        """Whether all of the plan was recorded: nothing starts before that."""
        return self._plan is not None and self._missing == (0, 0)

    @property
    def folder(self) -> str | None:
        """Where it was under way last: the folder of the last process that had one; None when no record says it."""
        return next((one.folder for one in reversed(self.epochs) if one.folder is not None), None)

    @property
    def calls(self) -> Mapping[str, str]:
        """By the ids of tasks that are to call a Python function: its name. No record has the function."""
        return self._restorer.calls

    def document(self) -> dict[str, Any]:
        """The constellation as plain data, as `TaskConstellation.from_dict` takes it.

        Raises:
            JournalDamagedError: the records end before the plan.
        """
        plan = self._begun()
        if not self._is_given:
            count_anew(plan)
        document = plan.to_dict()
        for task_id, name in self.calls.items():
            if task_id in document["tasks"]:
                document["tasks"][task_id]["request"] = {"call": name}
        return document

    def constellation(self) -> TaskConstellation:
        """The live constellation, as it was, for a run to go on with: the same one each time, and no more is taken then.

        Tasks whose attempts are `in_flight` are running. Links that somebody withheld, or that the last process did not
        come to judge, are in `_withheld`: whoever runs it judges them. Tasks in `calls` have no request.

        Raises:
            JournalDamagedError: the records end before the plan, or come to a plan that cannot be.
        """
        plan = self._begun()
        if not self._is_given:
            hand_over(plan)
            if (cycle := plan._renumber()) is not None:
                self._refuse(f"its tasks wait for each other: {' -> '.join(cycle)}")
            if self.files:
                for task in plan._tasks.values():
                    if type(task._result) is ExecutionResult and task._result.files:
                        task._result.files = KeptFiles(task._result.files, self.files)
            self._is_given = True
        return plan

    def _begun(self) -> TaskConstellation:
        if self._plan is None:
            self._refuse("it ends before the plan of the run")
        return self._plan

    def _refuse(self, why: str) -> NoReturn:
        raise JournalDamagedError(self.run_id, why, self.count)

    # ------------------------------------------------------------------------------------------- taking records
    def take(self, line: str) -> None:
        """Take the next record. After an error it is of no use any more: what was sound is in `count`.

        Raises:
            JournalDamagedError: it is none, is not the next one, or says what cannot be after those before it.
            JournalVersionError: a newer version wrote it.
        """
        if self._is_given:
            raise RuntimeError("its constellation was handed over: what follows belongs to a replay of its own")
        n = self.count
        try:
            found = _parse(line)
        except BROKEN as error:
            self._refuse(f"record {n} is no JSON text: {message_of(error)[:200]}")
        if type(found) is not list or len(found) < 2 or type(found[0]) is not int:
            self._refuse(f"record {n} is no list of a number, a kind and what follows: {shown(line)}")
        if found[0] != n:
            self._refuse(f"record {n} has the number {found[0]}: some are lost, doubled or in another order")
        kind = found[1]
        reader = READERS.get(kind) if type(kind) is str else None
        if reader is None:
            self._refuse(f"record {n} is of the unknown kind {shown(kind)}")
        if (n == 0) is not (kind == "galaxy") or (n == 1) is not (kind == "plan"):
            self._refuse(f"record {n} is of the kind {kind!r}: the first is 'galaxy', the second 'plan', and no other")
        if n > 1 and (kind in ("tasks", "links")) is (self._missing == (0, 0)):
            tasks, links = self._missing
            self._refuse(
                f"record {n} is of the kind {kind!r}, where {tasks} tasks and {links} links of the plan are left"
            )
        try:
            reader(self, *found[2:])
        except (JournalDamagedError, JournalVersionError):
            raise
        except BROKEN as error:
            self._refuse(f"record {n} ({kind}) is not as it has to be: {message_of(error)[:300]}")
        self.count = n + 1


def replay(lines: Iterable[str], until: int | None = None, *, read: Read | None = None, run_id: str = "") -> Replay:
    """What the records of a run come to; with `until`, those up to and with number `until`. Costs O(records).

    `read` gives texts that are in files of the run.

    Raises:
        JournalDamagedError: a record cannot be, or is not the next one; the error says how many before it are sound.
        JournalVersionError: a newer version wrote it.
    """
    made = Replay(read, run_id)
    for line in lines:
        if until is not None and made.count > until:
            break
        made.take(line)
    return made


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no value in JSON")


_parse: Callable[[str], Any] = json.JSONDecoder(parse_constant=_no_constant).decode
