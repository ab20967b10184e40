"""Resuming: what has to be so that a recorded run can go on here, and where it goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import anyio.to_thread
from attrs import frozen

from galaxy_core.errors import GalaxyError, JournalError, OutcomeUnknownError, ResumeError
from galaxy_core.errors.root import listed
from galaxy_core.extension.interfaces import Journal
from galaxy_core.extension.registry import PluginRegistry
from galaxy_core.extension.secrets import missing_secrets
from galaxy_core.model.condition import LostCondition
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.policy import Effect
from galaxy_core.model.reasons import message_of
from galaxy_core.model.records.header import Header, unfit_plugins
from galaxy_core.model.records.losses import unkept_inputs
from galaxy_core.model.records.replay import Replay
from galaxy_core.model.records.unkept import LongText
from galaxy_core.model.request import Call
from galaxy_core.model.result import TERMINAL, UNSTARTED, TaskStatus
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.kept_files import read_again
from galaxy_core.runtime.lanes import LaneBook
from galaxy_core.runtime.recording import required, used_plugins
from galaxy_core.runtime.run import Run
from galaxy_core.runtime.same_plan import MOST, ONLY_MODULE, call_name, differences, paired
from galaxy_core.runtime.settler import OnUnknown

_RUNNING, _UNKNOWN = TaskStatus.RUNNING, TaskStatus.UNKNOWN
#: What to do about functions that are the same, but are recorded as those of another module.
SAME_MODULE = (
    "A function is known by its module and its name, and the program that is started is the module '__main__': start it the "
    "same way both times, or put what tasks call into a module that it imports"
)
#: Tasks that are named in a reason.
NAMED = 5
#: Reading a journal blocks, so it is done in a thread.
in_thread: Callable[..., Any] = anyio.to_thread.run_sync


@frozen
class Recorded:
    """What a journal has of a run, and its plan as it was recorded first, if that was asked for."""

    replay: Replay
    first: Replay | None

    @property
    def count(self) -> int:
        """How many records there are."""
        return self.replay.count


async def read_run(journal: Journal, run_id: str, folder: Path | None, *, is_compared: bool = False) -> Recorded:
    """What a journal has of a run; `is_compared`: with another plan. All that takes long is done in the thread.

    Raises:
        UnknownRecordedRunError, JournalDamagedError, JournalVersionError: see `Journal.read`.
        ResumeError: it ended before its plan was recorded.
    """
    found: Recorded = await in_thread(_read, journal, run_id, folder, is_compared)
    return found


def _read(journal: Journal, run_id: str, folder: Path | None, is_compared: bool) -> Recorded:
    replay = Replay(None if folder is None else _reader(folder), run_id)
    first = Replay(None if folder is None else _reader(folder), run_id) if is_compared else None
    for line in journal.read(run_id):
        if first is not None and not first.is_whole:
            first.take(line)
        replay.take(line)
    if not replay.is_whole:
        why = "it ended before its plan was recorded, so nothing of it has started: run the plan anew, under another id"
        raise ResumeError(run_id, [why])
    for made in filter(None, (replay, first)):
        made.constellation()  # which works out its counters, once
    read_again(replay.constellation())
    return Recorded(replay, first)


def _reader(folder: Path) -> Callable[[LongText], str]:
    root = folder.resolve()

    def read(text: LongText) -> str:
        path = (root / (text.file or "")).resolve()
        if not path.is_relative_to(root):
            raise ValueError(f"{text.file!r} is no file of the run")
        found = path.read_bytes()
        if hashlib.sha256(found).hexdigest() != text.sha256:
            raise ValueError(f"{text.file!r} is not what was recorded")
        return found.decode("utf-8", "surrogatepass")

    return read


def _why_over(how: str, plan: TaskConstellation) -> str:
    """Why nothing of a run that has ended can go on, and what can be done about that."""
    done = f"{plan.count(TaskStatus.COMPLETED):,} of {plan.task_count:,} task{'' if plan.task_count == 1 else 's'} done"
    unknown = [task._task_id for task in plan._tasks.values() if task._status is _UNKNOWN]
    why = f"it was cancelled, with {done}" if how == "cancelled" else f"it is over ({how.replace('_', ' ')}, {done})"
    if unknown:
        names, each = listed(unknown, "", NAMED), "it" if len(unknown) == 1 else "each"
        return (
            f"{why}, and nobody knows whether {names} {'was' if len(unknown) == 1 else 'were'} done. Say what became of {each} "
            "(galaxy resolve); if that leaves anything to do, the run can be resumed"
        )
    if how == "cancelled":
        return f"{why}, and what is cancelled does not go on: run the plan anew. Next time, stop it instead (galaxy stop): that can be resumed"
    return f"{why}, and nothing is left that could run. To do it again, run the plan anew"


class Resumption:
    """A recorded run that is to go on."""

    def __init__(
        self,
        recorded: Recorded,
        plugins: PluginRegistry,
        given: TaskConstellation | None,
        strategy: str | None,
        metadata: Mapping[str, Any],
    ) -> None:
        replay, self._plugins, self._given = recorded.replay, plugins, given
        assert replay.header is not None, "the plan stands behind it"
        self._recorded, self._replay = recorded, replay
        self.header: Header = replay.header
        self.run_id = replay.run_id
        self.plan = replay.constellation()
        self.strategy = strategy or self.header.strategy
        self.metadata = metadata or self.header.metadata
        self.reasons: list[str] = []
        if self.strategy is not None:  # whoever chose a device may choose another one
            for task in self.plan._tasks.values():
                if task._status in UNSTARTED and not task._pinned:
                    task._target_device_id = None

    # ------------------------------------------------------------------------------------------- whether it can
    def check(self, book: LaneBook) -> None:
        """Whether it can go on, as far as that is known before devices are connected.

        Raises:
            ResumeError: it cannot.
        """
        reasons, replay, plan = self.reasons, self._replay, self.plan
        if replay.over is not None and plan.is_complete():
            reasons.append(_why_over(replay.over, plan))
        reasons += unfit_plugins(replay.epochs[-1].plugins, self._versions())
        if self.strategy is not None and self.strategy not in self._plugins.strategies:
            there = listed(sorted(self._plugins.strategies), "none")
            reasons.append(f"there is no strategy {self.strategy!r}; there is {there}")
        known = {name for transport in self._plugins.transports.values() for name in getattr(transport, "actions", ())}
        needed = set(self.header.requires.get("actions", ()))
        reasons += [f"no plugin here has the action {name!r}" for name in sorted(needed - known)]
        for task_id, flight in replay.in_flight.items():
            if flight.device_id not in book.lanes:
                there = listed(sorted(book.lanes), "none")
                was = listed([str(one.get("device_id")) for one in self.header.devices], "none")
                reasons.append(
                    f"task {task_id!r} was running on device {flight.device_id!r}, which is not registered here "
                    f"(registered: {there}; recorded: {was}): register it, to find out what became of it"
                )
        reasons += self._without_secrets(book)
        if self._given is not None:
            self._take_over(self._given)
        is_another = any("not the recorded one" in reason for reason in reasons)
        if not is_another and (lost := list(islice(self._lost(), MOST))):
            reasons += lost[:-1]
            reasons.append(f"{lost[-1]}: {self._remedy}")
        if reasons:
            raise ResumeError(self.run_id, reasons)

    def _without_secrets(self, book: LaneBook) -> Iterator[str]:
        """Devices that cannot be reached here, so that what is certainly to run there would fail for good."""
        needed = [flight.device_id for flight in self._replay.in_flight.values()]
        needed += [task._target_device_id or "" for task in self.plan._tasks.values() if task._status in UNSTARTED]
        for device_id in dict.fromkeys(needed):
            lane = book.lanes.get(device_id)
            if lane is not None and lane.session is None:
                for error in missing_secrets(lane.device.settings):
                    yield f"device {device_id!r}, where tasks are to run, needs {error}"

    def _versions(self) -> dict[str, str]:
        return {
            one.distribution: one.version
            for one in self._plugins.describe()
            if one.distribution is not None and one.version is not None and one.status in ("loaded", "not loaded")
        }

    def _take_over(self, given: TaskConstellation) -> None:
        """Take functions from a plan that the program has built again, if it is the recorded one: as it began or is now."""
        first = self._recorded.first
        assert first is not None, "it was read to be compared"
        original, calls = first.constellation(), first.calls
        different = list(islice(differences(original, calls, given), MOST + 1))
        if different and self._replay.edits:
            since = list(islice(differences(self.plan, self._replay.calls, given), MOST + 1))
            if not since:
                original = self.plan
            if len(since) < len(different):  # it is told in what it differs from the one that is meant, as it seems
                different = since
        if different:
            more = "; and more" if len(different) > MOST else ""
            told = "; ".join(different[:MOST])
            if any(ONLY_MODULE in one for one in different[:MOST]):
                more += f". {SAME_MODULE}"
            self.reasons.append(f"the plan that is given is not the recorded one: {told}{more}")
            return
        for task_id, name in self._replay.calls.items():
            here, task = given._tasks.get(task_id), self.plan._tasks.get(task_id)
            if here is not None and task is not None and isinstance(here._request, Call) and call_name(here) == name:
                task._request = here._request
        for task, _ in unkept_inputs(self.plan):
            here, first_task = given._tasks.get(task._task_id), original._tasks.get(task._task_id)
            if here is not None and first_task is not None:  # else an edit has brought them
                if task._task_data == first_task._task_data:
                    task._task_data = here._task_data
                if task._request == first_task._request:
                    task._request = here._request
        for link, other in paired(original, given).items():
            live = self.plan._lines_by_id.get(link.line_id)
            if live is not None and isinstance(live._evaluator, LostCondition) and other is not None:
                live._evaluator = other._evaluator

    def _lost(self) -> Iterator[str]:
        """What only the program has: functions to call, and conditions that are functions."""
        for task_id, name in self._replay.calls.items():
            task = self.plan._tasks.get(task_id)
            if task is not None and task._status not in TERMINAL and task._request is None:
                yield f"task {task_id!r} calls the Python function {name!r}, which no journal keeps"
        for task, unkept in unkept_inputs(self.plan):
            yield f"task {task._task_id!r} is to get {unkept.what}"
        for line in self.plan._lines:
            target = line._target
            is_asked = line._open and target is not None and target._status in UNSTARTED
            if is_asked and isinstance(line._evaluator, LostCondition):
                what = f"the condition of {line._from!r} -> {line._to!r}"
                yield f"{what} is a Python function, which no journal keeps"

    @property
    def _remedy(self) -> str:
        edited = ", or as edits have left it" if self._replay.edits else ""
        return f"have the program that made the plan resume it, with the plan built as before{edited} (resume(…, constellation=…))"

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """What is wrong with the devices, the strategy or the plan here is why it cannot go on.

        Raises:
            ResumeError: it cannot.
        """
        try:
            yield
        except JournalError:
            raise
        except (GalaxyError, ValueError) as error:
            raise ResumeError(self.run_id, [message_of(error)]) from error

    # ------------------------------------------------------------------------------------------- where it goes on
    def begin(self, run: Run, on_unknown: OnUnknown | None) -> None:
        """Have a run begin where the recorded one was left."""
        run.began_at = self.plan._started_at
        run.opened = used_plugins(self._plugins, required(run), self.strategy)
        run.settler.on_unknown = on_unknown
        run.beginnings.append(lambda: self._begin(run))

    def _begin(self, run: Run) -> None:
        plan, replay, at = self.plan, self._replay, run.wall()
        for task_id, until in replay.backing_off.items():
            task = plan._tasks[task_id]
            if task._status in UNSTARTED:
                wait_s = min(max(0.0, until - at), task._retry.max_backoff_s)  # clocks may have gone backwards
                run.backing_off[task] = at + wait_s
                run._take_up_after(task, wait_s)
        for task_id, ended in replay.doubtful.items():
            run.settler.markers.doubts(task_id, ended.device_id, ended.mark)
        for ended in replay.resolved:
            run.settler.markers.release_at(ended.device_id, ended.mark)
        for task in plan.get_running_tasks():
            flight = replay.in_flight.get(task._task_id)
            if flight is not None:
                run.settler.take(task, flight)
            else:
                self._begun_by_hand(run, task, at)
        run._check_complete()

    def _begun_by_hand(self, run: Run, task: TaskStar, at: float) -> None:
        """Somebody has started it in the process that is gone, and was to end it."""
        why = f"task {task._task_id!r} was started by hand, and the process that was to end it is gone"
        error = OutcomeUnknownError(task._task_id, why)
        if task._effect is Effect.ONCE:
            run._end(task, _UNKNOWN, error, at, run._result(task, None, _UNKNOWN, error, None))
        else:
            assert run.recorder is not None
            run.recorder.again(task, at, 0.0, "lost", error, counted=False)
