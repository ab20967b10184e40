"""Runs that cannot start or go on, and why a task of one did not succeed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from galaxy_core.errors.root import GalaxyError, hint, listed, nearest, nearest_ids


class RunError(GalaxyError, RuntimeError):
    """A run cannot start or go on."""


class UnknownJournalError(RunError):
    """No journal of that name; `near` the names that may have been meant."""

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        names = list(known)
        self.name, self.near = name, nearest(name, names)
        super().__init__(
            f"no plugin brings journal {name!r}{hint(self.near)}; available: {listed(names, 'none')}. "
            "Install the plugin that brings it, or run without a journal."
        )


class ControlError(RunError):
    """A control socket cannot be opened, or a run cannot be reached through one."""


class UnknownRunError(ControlError):
    """No run of that name can be reached, or, with `several`, more than one. `near` are those that may be meant.

    `plans` are the names of the plans that they run, by id, as far as they are known. `silent` are the ids of those that
    do not answer, and whose plans are therefore not known. `is_gone`: there was one, and its process has ended.
    """

    def __init__(
        self,
        run: str,
        known: Iterable[str] = (),
        several: Sequence[str] = (),
        plans: Mapping[str, str] | None = None,
        *,
        silent: Sequence[str] = (),
        is_gone: bool = False,
    ) -> None:
        names, plans = [name for name in known if name not in silent], plans or {}
        self.silent, self.is_gone = tuple(silent), is_gone
        meant = sorted({plan for plan in plans.values() if plan} - {*names})
        near = (*nearest_ids(run, names), *nearest(run, meant))
        self.run, self.several, self.near = run, tuple(several), near[:3]

        def told(ids: Iterable[str]) -> str:
            return listed(
                ids, "none", show=lambda one: f"{one!r} (plan {plans[one]!r})" if plans.get(one) else repr(one)
            )

        if several:
            super().__init__(f"{run!r} may mean {told(several)}: name more of the id{_ending(several)}")
        elif is_gone:
            super().__init__(f"the run {run!r} has ended: its process is gone")
        elif silent:
            are = "does not answer: its process" if len(silent) == 1 else "do not answer: their processes"
            rest = f"; those that can: {told(names)}" if names else ""
            super().__init__(
                f"no run {run!r} can be reached, but {told(silent)} {are} may be stopped, or busy, and which plan that "
                f"is cannot be known meanwhile{hint(self.near)}{rest}"
            )
        else:
            super().__init__(
                f"no run {run!r} can be reached{hint(self.near)}; it may have ended. Those that can: {told(names)}. "
                "A run can be reached while it lasts, by the user who started it, unless it has no control socket."
            )


def _ending(ids: Sequence[str]) -> str:
    """How much of an id is enough, where ids differ in their ends, as those do that Galaxy makes."""
    ends = {one[-8:] for one in ids if len(one) > 8}
    return f"; its last 8 characters are enough, such as {ids[-1][-8:]!r}" if len(ends) == len(ids) else ""


class RunRefusedError(RunError):
    """A policy plugin refused the run; `reasons` are `(plugin, reason)`."""

    def __init__(self, constellation_id: str, reasons: Sequence[tuple[str, str]]) -> None:
        self.constellation_id, self.reasons = constellation_id, tuple(reasons)
        each = "; ".join(f"plugin {plugin!r}: {reason}" for plugin, reason in self.reasons)
        super().__init__(f"run of {constellation_id!r} refused: {each}")


class TaskError(GalaxyError, RuntimeError):
    """Why a task did not succeed; `task_id` names it."""

    def __init__(self, task_id: str, message: str) -> None:
        self.task_id = task_id
        super().__init__(message)


class TaskFailedError(TaskError):
    """It ran and said that it failed; `exit_code` where it has one."""

    def __init__(self, task_id: str, why: str, exit_code: int | None = None) -> None:
        self.exit_code = exit_code
        super().__init__(task_id, why)


class TaskTimeoutError(TaskError, TimeoutError):
    """Its deadline of `timeout_s` seconds passed. `unseen` says during what, if nobody could stop it then, and what followed."""

    unseen = ""

    def __init__(self, task_id: str, timeout_s: float, unseen: str = "") -> None:
        self.timeout_s = timeout_s
        if unseen:
            self.unseen = unseen
            super().__init__(task_id, f"task {task_id!r}: its deadline of {timeout_s:g} s passed {unseen}")
        else:
            super().__init__(task_id, f"task {task_id!r} was stopped at its deadline of {timeout_s:g} s")


class TaskRefusedError(TaskError):
    """The device certainly did not start it."""


class TaskCancelledError(TaskError):
    """It was cancelled."""


class TaskSkippedError(TaskError):
    """`cause_id` is the prerequisite whose end the link does not accept."""

    def __init__(self, task_id: str, cause_id: str, why: str) -> None:
        self.cause_id, self.why = cause_id, why
        super().__init__(task_id, f"task {task_id!r} was skipped: {why}")


class ConditionError(TaskError):
    """The condition of a link could not be evaluated; the evaluator's error is chained."""

    def __init__(self, task_id: str, cause_id: str, why: str) -> None:
        self.cause_id = cause_id
        super().__init__(task_id, f"the condition of the link {cause_id} -> {task_id} could not be evaluated: {why}")


class OutcomeUnknownError(TaskError):
    """Nobody can vouch for what the attempt did; it is not run again by itself."""
