"""Seeded scenarios: a plan, devices, what attempts come to, who edits how, and what else happens.

All times are multiples of `GRID_S`, so that a quarter of a second after each such moment nothing is left to do.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise

from attrs import field, frozen

from galaxy_core import DependencyType, Effect, TaskPriority
from galaxy_core.extension.interfaces import Durability
from tests.properties.values import DevicePlan, LinkPlan, Plan, Step, TaskPlan

GRID_S = 0.5
SHAPES = ("chain", "fan", "layers", "branches", "random")
KINDS = tuple(DependencyType)
#: Conditions that edit the plan when they are asked, and what they answer.
MEDDLING = {"meddles and agrees": "yes", "meddles and refuses": "no"}
#: What somebody does to tasks by hand.
BY_HAND = ("complete", "fail", "fail", "fail", "cancel", "start", "start", "retry")


@frozen
class Scenario:
    """Everything that is drawn before a run starts. `timeout_s` is how long modifications and drafts may take."""

    seed: int
    shape: str
    plan: Plan
    devices: tuple[DevicePlan, ...]
    strategy: str
    hold: str
    plugin_hold: str
    policy: str
    timeout_s: float
    plugin_editors: tuple[str, ...] = ()
    answers: str = ""  # how the editor that answers by events behaves; none without
    review: str = ""
    is_reviewed_at_once: bool = False
    authors: tuple[str, ...] = ()
    happenings: tuple[tuple[float, str, int], ...] = field(default=())

    @property
    def durability(self) -> Durability:
        """How well the run is recorded."""
        return "batched" if self.seed % 3 else "sync"

    @property
    def may_hang(self) -> bool:
        """Whether somebody may never answer and be waited for all the same."""
        return self.policy == "hold"

    @property
    def cancels(self) -> bool:
        """Whether a task or the run may be cancelled."""
        return self.policy != "proceed" or any(what.startswith("cancel_") for _, what, _ in self.happenings)


def grid(rng: random.Random, most_s: float, least_s: float = 0.0) -> float:
    """A time on the grid."""
    return GRID_S * rng.randint(round(least_s / GRID_S), round(most_s / GRID_S))


def scenario(seed: int) -> Scenario:
    """The scenario of a seed."""
    rng = random.Random(seed)
    shape = SHAPES[seed % len(SHAPES)]
    ids = [f"t{number}" for number in range(rng.randint(2, 9))]
    devices = tuple(_devices(rng))
    tasks = tuple(task(rng, task_id, len(devices)) for task_id in ids)
    links = tuple(link(rng, source, target) for source, target in _edges(rng, shape, ids))
    return Scenario(
        seed=seed,
        shape=shape,
        plan=Plan(tasks, links),
        devices=devices,
        strategy=rng.choice(("static", "late")),
        hold=rng.choice(("all", "footprint", "footprint", "none")),
        plugin_hold=rng.choice(("footprint", "footprint", "all", "none")),
        policy=rng.choice(("proceed", "proceed", "proceed", "hold", "fail")),
        timeout_s=rng.choice((3.0, 8.0, 20.0)),
        plugin_editors=tuple(rng.choices(EDITORS, k=rng.choice((0, 0, 1, 1, 2)))),
        answers=rng.choice(("", "", "", "prompt", "slow", "batch", "rubbish", "dead", "leaves")),
        review=rng.choice(("", "", "", "", "agree", "refuse", "mixed", "slow", "slow")),
        is_reviewed_at_once=rng.random() < 0.4,
        authors=tuple(rng.choices(AUTHORS, k=rng.choice((0, 1, 1, 2, 3)))),
        happenings=tuple(_happenings(rng)),
    )


#: What becomes of an author and the draft.
AUTHORS = (
    *("commits", "commits", "slow", "stale", "sends", "replaces", "undoes"),
    *("raises", "cancelled", "dies", "discards", "elsewhere"),
    *("editor", "editor", "editor", "in place", "in place"),
)
#: What an editor that a plugin brings does.
EDITORS = ("prompt", "slow", "slow", "stubborn", "wrong", "raises", "hangs")


def _devices(rng: random.Random) -> Iterator[DevicePlan]:
    for _ in range(rng.randint(1, 3)):
        yield DevicePlan(slots=rng.choice((1, 1, 2, 4)), connect_s=rng.choice((0.0, 0.0, 0.0, 1.0)))


def task(rng: random.Random, task_id: str, devices: int) -> TaskPlan:
    """A task that ends by itself, and what its attempts come to."""
    steps = tuple(_step(rng) for _ in range(rng.choice((1, 1, 2, 3))))
    hangs = any(step.end == "hangs" for step in steps)
    return TaskPlan(
        task_id,
        steps=steps,
        effect=rng.choice(tuple(Effect)),
        retry_count=rng.choice((0, 0, 1, 2)),
        backoff_s=rng.choice((0.5, 1.0)),
        timeout_s=rng.choice((0.75, 2.25)) if hangs or rng.random() < 0.2 else None,
        priority=rng.choice(tuple(TaskPriority)),
        pin=rng.randrange(devices) if rng.random() < 0.15 else None,
    )


def _step(rng: random.Random) -> Step:
    ends = ("says", "exits", "raises", "wrong", "refused", "unknown", "drops", "hangs")
    end = "done" if rng.random() < 0.7 else rng.choice(ends)
    cleanup_s = GRID_S if rng.random() < 0.1 else 0.0
    return Step(end, grid(rng, 3.0, GRID_S), rng.choice((None, 0, 1)), cleanup_s=cleanup_s)


def link(rng: random.Random, source: str, target: str) -> LinkPlan:
    """A link of any kind; most follow success."""
    kind = DependencyType.SUCCESS_ONLY if rng.random() < 0.5 else rng.choice(KINDS)
    condition = rng.choice((None, "yes", "yes", "no", "raises", "positive", "exit 3", *MEDDLING))
    return LinkPlan(source, target, kind, condition if kind is DependencyType.CONDITIONAL else None)


def _edges(rng: random.Random, shape: str, ids: list[str]) -> Iterator[tuple[str, str]]:
    if shape == "chain":
        yield from pairwise(ids)
    elif shape == "fan":
        for target in ids[1:-1]:
            yield ids[0], target
            yield target, ids[-1]
    elif shape == "layers":
        for place, target in enumerate(ids[2:], 2):
            start = place - place % 2 - 2
            yield from ((source, target) for source in rng.sample(ids[start : start + 2], rng.randint(1, 2)))
    elif shape == "branches":
        yield from zip(ids, ids[2:], strict=False)
    else:
        for place, target in enumerate(ids):
            yield from ((source, target) for source in rng.sample(ids[:place], rng.randint(0, min(place, 2))))


def _happenings(rng: random.Random) -> Iterator[tuple[float, str, int]]:
    for _ in range(rng.choice((0, 0, 1, 2, 3))):
        at, what = grid(rng, 12.0), rng.choice(BY_HAND)
        yield at, f"{what} by hand", rng.randrange(100)
        if what == "fail":
            yield at + grid(rng, 1.5), "retry by hand", rng.randrange(100)
    for _ in range(rng.choice((0, 0, 1, 2))):
        what = rng.choice(("cancel_task", "cancel_run", "cancel_host", "unplug", "unplug"))
        number = rng.randrange(100)
        at = grid(rng, 15.0)
        yield at, what, number
        if what == "unplug":
            yield at + grid(rng, 5.0, GRID_S), "plug_in", number
