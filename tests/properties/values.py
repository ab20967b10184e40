"""Worlds as plain values, which hypothesis can draw, shrink and print: plans, devices, runs, and what happens meanwhile."""

from __future__ import annotations

from typing import Any

from attrs import fields, frozen

from galaxy_core import DependencyType, Effect, TaskPriority

#: What an attempt may come to; see `Step`.
ENDS = ("done", "says", "exits", "raises", "wrong", "refused", "unknown", "drops", "hangs")
#: The ends after which a task may be tried again.
RETRIED = frozenset({"failed", "timeout", "refused"})


class Brief:
    """A value that is shown without what it says by default: scripts are read by people when something is wrong."""

    def __repr__(self) -> str:
        parts: Any = fields(type(self))  # type: ignore[arg-type]  # every class that has this base is one of attrs
        said = [f"{one.name}={getattr(self, one.name)!r}" for one in parts if getattr(self, one.name) != one.default]
        return f"{type(self).__name__}({', '.join(said)})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


@frozen(repr=False)
class Step(Brief):
    """What one attempt comes to after `takes_s` seconds.

    "done" with the payload `value`; "says" that it failed; "exits" with status 3; "raises"; returns what is "wrong";
    "refused", "unknown"; "drops" the connection; "hangs"; waits to be "told". When it is cancelled it needs `cleanup_s`
    seconds; a `deaf` one ends as if it had not been.
    """

    end: str = "done"
    takes_s: float = 1.0
    value: int | None = None
    cleanup_s: float = 0.0
    deaf: bool = False


@frozen(repr=False)
class TaskPlan(Brief):
    """A task, and what its attempts come to, the last step being repeated. `pin` is the number of a device."""

    task_id: str
    steps: tuple[Step, ...] = (Step(),)
    effect: Effect = Effect.ONCE
    retry_count: int = 0
    retried: frozenset[str] = RETRIED
    backoff_s: float = 1.0
    jitter: float = 0.0
    timeout_s: float | None = None
    priority: TaskPriority = TaskPriority.MEDIUM
    device_type: str | None = None
    requires: frozenset[str] = frozenset()
    pin: int | None = None

    def step(self, number: int) -> Step:
        """What the attempt of this number (from 0) comes to."""
        return self.steps[min(number, len(self.steps) - 1)]


@frozen(repr=False)
class LinkPlan(Brief):
    """A link; `condition` is one of `CONDITIONS`, or None for a conditional link that has no evaluator."""

    source: str
    target: str
    kind: DependencyType = DependencyType.SUCCESS_ONLY
    condition: str | None = None


@frozen(repr=False)
class Plan(Brief):
    """Tasks in an order in which links lead forward."""

    tasks: tuple[TaskPlan, ...]
    links: tuple[LinkPlan, ...] = ()


@frozen(repr=False)
class DevicePlan(Brief):
    """A device; `plugged` says whether it can be reached at first."""

    slots: int = 1
    device_type: str | None = "linux"
    capabilities: frozenset[str] = frozenset()
    plugged: bool = True
    connect_s: float = 0.0


#: What a happening adds, if it adds a task.
NEW = TaskPlan("new")


@frozen(repr=False)
class RunPlan(Brief):
    """A run; without a strategy every task has to have a pin."""

    plan: Plan
    strategy: str | None = "static"
    starts_at: float = 0.0


@frozen(repr=False)
class Happening(Brief):
    """Something that happens at a time, or after so many ends of tasks of its run, in the handler of that event.

    `pick` and `other` are numbers of devices, tasks or links, taken modulo how many there are.
    """

    what: str
    edit: str = ""
    at: float = 0.0
    after_ends: int | None = None
    run: int = 0
    pick: int = 0
    other: int = 0
    task: TaskPlan = NEW
    kind: DependencyType = DependencyType.SUCCESS_ONLY
    condition: str | None = None


@frozen(repr=False)
class Script(Brief):
    """Everything that decides what a world does; `seed` also orders what is ready at the same time.

    `may_hang` says that a run may never end by itself: it is cancelled in the end.
    """

    devices: tuple[DevicePlan, ...]
    runs: tuple[RunPlan, ...]
    happenings: tuple[Happening, ...] = ()
    seed: int = 0
    may_hang: bool = False

    def cancels(self, run_id: str) -> bool:
        """Whether somebody cancels a task of this run, or the whole of it."""
        return self.may_hang or any(
            happening.what.startswith("cancel") and f"run{happening.run}" == run_id for happening in self.happenings
        )
