"""Scripts as hypothesis draws them. What stands first is what it shrinks to: one run, few tasks, nothing happens.

Most is drawn from lists that are made once: a choice from a list is the cheapest draw there is, and drawing a script
would otherwise cost several times what playing it costs.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from attrs import evolve
from hypothesis import strategies as st

from galaxy_core import DependencyType, Effect, TaskPriority
from tests.properties.edits import EDITS
from tests.properties.oracle import CONDITIONS
from tests.properties.values import (
    ENDS,
    NEW,
    RETRIED,
    DevicePlan,
    Happening,
    LinkPlan,
    Plan,
    RunPlan,
    Script,
    Step,
    TaskPlan,
)

TYPES = ("linux", "android")
CAPABILITIES = ("camera", "battery")
#: Whole seconds for work, deadlines and happenings alike, so that they often meet at the same moment.
SECONDS = (1.0, 0.0, 2.0, 3.0)

GOOD = [Step("done", seconds, value) for value in (None, 0, 1) for seconds in SECONDS]
BAD = [
    Step(end, seconds, value if end == "exits" else None)
    for end in ENDS
    if end not in ("done", "drops", "hangs")
    for seconds in SECONDS[:3]
    for value in (0, 1)
]
CALM_STEPS = [*GOOD, *BAD[: len(BAD) // 2], *GOOD, *BAD[len(BAD) // 2 :]]
STUBBORN = [evolve(step, cleanup_s=1.0) for step in CALM_STEPS if step.takes_s]
DEAF = [evolve(step, deaf=True) for step in CALM_STEPS if step.takes_s]
WORST = [Step("drops", seconds) for seconds in SECONDS] + [Step("hangs", cleanup_s=seconds) for seconds in (0.0, 1.0)]
ROUGH_STEPS = [*CALM_STEPS, *STUBBORN[::3], *DEAF[::5], *(2 * WORST)]

RETRIES: list[dict[str, Any]] = [
    {"retry_count": count, "retried": retried, "backoff_s": backoff_s, "jitter": jitter}
    for count, retried, backoff_s, jitter in product(
        (0, 1, 2), (RETRIED, frozenset({"failed"}), frozenset({"timeout"})), (1.0, 0.0), (0.0, 0.5)
    )
    if count or (retried == RETRIED and backoff_s and not jitter)
]
RETRIES = [RETRIES[0]] * (len(RETRIES) // 2) + RETRIES  # most tasks are tried once
NEEDS = [(kind, frozenset[str]()) for kind in (None, None, *TYPES)]
NEEDS += [(kind, frozenset({name})) for kind in (None, "linux") for name in CAPABILITIES]
DEADLINES = (None, None, None, 0.5, 1.0, 1.5, 2.0, 2.5)
INVENTORY = [
    DevicePlan(slots, device_type, frozenset(capabilities), connect_s=connect_s)
    for connect_s in (0.0, 0.5)
    for device_type in TYPES
    for capabilities in ((), CAPABILITIES, CAPABILITIES[:1])
    for slots in (1, 2, 3)
]
LINKS: list[tuple[DependencyType, str | None]] = [
    (kind, None) for kind in DependencyType if kind is not DependencyType.CONDITIONAL
]
LINKS = [*LINKS, *LINKS]
LINKS += [(DependencyType.CONDITIONAL, condition) for condition in (None, *CONDITIONS)]
ALL_LINKS = list(product(DependencyType, [None, *CONDITIONS]))
PAIRS = {count: [(low, high) for high in range(count) for low in range(high)] for count in range(2, 9)}

_devices = st.lists(st.sampled_from(INVENTORY), min_size=1, max_size=4)
_dead_or_alive = st.sampled_from([True] * 5 + [False])
_calm_steps = st.lists(st.sampled_from(CALM_STEPS), min_size=1, max_size=3)
_rough_steps = st.lists(st.sampled_from(ROUGH_STEPS), min_size=1, max_size=3)
_effects, _priorities = st.sampled_from(Effect), st.sampled_from(TaskPriority)
_retries, _needs, _deadlines = st.sampled_from(RETRIES), st.sampled_from(NEEDS), st.sampled_from(DEADLINES)
_links, _any_links = st.sampled_from(LINKS), st.sampled_from(ALL_LINKS)
_numbers, _seeds = st.integers(0, 7), st.integers(0, 99)
_pins = st.sampled_from([None] * 4 + [0, 1])
_strategies = st.sampled_from(["static", "late", "late", None])
_starts = st.sampled_from([0.0, 0.0, 1.0, 1.5])
_moments = st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 30.0])
_after = st.sampled_from([None, None, 1, 2, 3, 5])
_edits = st.sampled_from(list(EDITS))
_counts = {most: st.integers(1, most) for most in (3, 5, 6, 8)}
_pairs = {count: st.lists(st.sampled_from(pairs), max_size=2 * count, unique=True) for count, pairs in PAIRS.items()}


def fits(task: TaskPlan, device: DevicePlan) -> bool:
    """Whether a device has what a task needs."""
    return task.device_type in (None, device.device_type) and task.requires <= device.capabilities


def _task(draw: st.DrawFn, task_id: str, inventory: list[DevicePlan], *, rough: bool, pinned: bool) -> TaskPlan:
    """A task that fits somewhere in the inventory, where it is pinned now and then."""
    device_type, requires = draw(_needs)
    task = TaskPlan(
        task_id,
        tuple(draw(_rough_steps if rough else _calm_steps)),
        draw(_effects),
        **draw(_retries),
        timeout_s=draw(_deadlines),
        priority=draw(_priorities),
        device_type=device_type,
        requires=requires,
    )
    homes = [number for number, device in enumerate(inventory) if fits(task, device)]
    if not homes:
        task, homes = evolve(task, device_type=None, requires=frozenset()), list(range(len(inventory)))
    pin = draw(_pins)
    if pinned or pin is not None:
        task = evolve(task, pin=homes[(pin or 0) % len(homes)])
    return task


def _plan(draw: st.DrawFn, inventory: list[DevicePlan], *, rough: bool, pinned: bool, most: int) -> Plan:
    """Up to `most` tasks, with links of all kinds that lead forward."""
    count = draw(_counts[most])
    tasks = tuple(_task(draw, f"t{number}", inventory, rough=rough, pinned=pinned) for number in range(count))
    pairs = draw(_pairs[count]) if count > 1 else []
    return Plan(tasks, tuple(LinkPlan(f"t{low}", f"t{high}", *draw(_links)) for low, high in pairs))


def _runs(draw: st.DrawFn, inventory: list[DevicePlan], *, rough: bool) -> tuple[RunPlan, ...]:
    runs = []
    count = draw(_counts[3])
    for _ in range(count):
        strategy = draw(_strategies)
        plan = _plan(draw, inventory, rough=rough, pinned=strategy is None, most=8 if count == 1 else 5)
        runs.append(RunPlan(plan, strategy, draw(_starts)))
    return tuple(runs)


@st.composite
def calm(draw: st.DrawFn) -> Script:
    """Worlds in which nothing happens but what plans say; a plan's outcome does not depend on who runs what when."""
    inventory = draw(_devices)
    return Script(tuple(inventory), _runs(draw, inventory, rough=False), seed=draw(_seeds))


@st.composite
def plain(draw: st.DrawFn) -> Plan:
    """Plans of tasks that fit everywhere, and are tried once."""
    plan = _plan(draw, [DevicePlan()], rough=False, pinned=False, most=8)
    tasks = [
        TaskPlan(task.task_id, tuple(step for step in task.steps if step.end != "unknown")[:1] or (Step(),))
        for task in plan.tasks
    ]
    return Plan(tuple(evolve(task, priority=draw(_priorities)) for task in tasks), plan.links)


LOSSES = ("unplug", "plug_in", "disconnect", "connect", "remove_device", "register", "freeze")
CANCELS = ("cancel_task", "cancel_task", "cancel_run", "cancel_host")


def _happening(draw: st.DrawFn, what: str, inventory: list[DevicePlan], runs: int) -> Happening:
    edits = what == "edit"
    kind, condition = draw(_any_links) if edits else LINKS[0]
    return Happening(
        what,
        draw(_edits) if edits else "",
        draw(_moments),
        draw(_after) if edits or what == "cancel_task" else None,
        draw(_numbers) % runs,
        draw(_numbers),
        draw(_numbers) if edits else 0,
        _task(draw, "new", inventory, rough=True, pinned=False) if edits else NEW,
        kind,
        condition,
    )


def _hangs(task: TaskPlan) -> bool:
    return task.timeout_s is None and any(step.end == "hangs" for step in task.steps)


@st.composite
def rough(draw: st.DrawFn, kinds: tuple[str, ...]) -> Script:
    """Worlds in which these kinds of things happen."""
    inventory = draw(_devices)
    if "unplug" in kinds:
        inventory = [evolve(device, plugged=draw(_dead_or_alive)) for device in inventory]
    runs = _runs(draw, inventory, rough=True)
    whats = draw(st.lists(st.sampled_from(kinds), max_size=8))
    happenings = tuple(_happening(draw, what, inventory, len(runs)) for what in whats)
    everything = [task for run in runs for task in run.plan.tasks] + [one.task for one in happenings]
    may_hang = any(map(_hangs, everything)) or any(one.what == "freeze" for one in happenings)
    return Script(tuple(inventory), runs, happenings, draw(_seeds), may_hang=may_hang)
