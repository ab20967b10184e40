"""Scripts as hypothesis draws them. What it draws first is what it shrinks to: one run, few tasks, nothing happens."""

from __future__ import annotations

from attrs import evolve
from hypothesis import strategies as st

from galaxy_core import DependencyType, Effect, TaskPriority
from tests.properties.edits import EDITS
from tests.properties.oracle import CONDITIONS, ENDS, RETRIED, LinkPlan, Plan, Step, TaskPlan
from tests.properties.script import Happening, RunPlan, Script
from tests.properties.world import DevicePlan

TYPES = ("linux", "android")
CAPABILITIES = ("camera", "battery")
#: Whole seconds for work, deadlines and happenings alike, so that they often meet at the same moment.
SECONDS = st.sampled_from([1.0, 0.0, 2.0, 3.0])
MOMENTS = st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 30.0])
#: Deadlines that no attempt meets exactly.
ODD_SECONDS = st.sampled_from([0.5, 1.5, 2.5])

CALM_ENDS = [end for end in ENDS if end not in ("drops", "hangs")]


@st.composite
def steps(draw: st.DrawFn, ends: list[str]) -> Step:
    end = draw(st.sampled_from(["done"] * 3 + ends))
    return Step(end, draw(SECONDS), draw(st.sampled_from([None, 0, 1])) if end in ("done", "exits") else None)


@st.composite
def rough_steps(draw: st.DrawFn) -> Step:
    step = draw(steps([*CALM_ENDS, "drops", "hangs"]))
    return evolve(step, cleanup_s=draw(st.sampled_from([0.0] * 3 + [1.0])), deaf=draw(st.integers(0, 7)) == 7)


CAPABILITY_SETS = st.frozensets(st.sampled_from(CAPABILITIES), max_size=2)
RARELY_CAPABLE = st.sampled_from([frozenset[str]()] * 4 + [frozenset({name}) for name in CAPABILITIES])


@st.composite
def devices(draw: st.DrawFn, *, always_there: bool) -> DevicePlan:
    return DevicePlan(
        slots=draw(st.integers(1, 3)),
        device_type=draw(st.sampled_from(TYPES)),
        capabilities=draw(CAPABILITY_SETS),
        plugged=always_there or draw(st.integers(0, 5)) < 5,
        connect_s=draw(st.sampled_from([0.0, 0.5])),
    )


def fits(task: TaskPlan, device: DevicePlan) -> bool:
    return task.device_type in (None, device.device_type) and task.requires <= device.capabilities


@st.composite
def tasks(
    draw: st.DrawFn, task_id: str, inventory: tuple[DevicePlan, ...], step: st.SearchStrategy[Step], *, pinned: bool
) -> TaskPlan:
    """A task that fits somewhere in the inventory, where it is pinned now and then."""
    deadline = st.none() | (SECONDS.filter(bool) if draw(st.booleans()) else ODD_SECONDS)
    task = TaskPlan(
        task_id,
        tuple(draw(st.lists(step, min_size=1, max_size=3))),
        draw(st.sampled_from(Effect)),
        draw(st.sampled_from([0, 0, 1, 2])),
        draw(st.sampled_from([RETRIED, RETRIED, frozenset({"failed"}), frozenset({"timeout"})])),
        draw(st.sampled_from([1.0, 0.0])),
        draw(st.sampled_from([0.0, 0.5])),
        draw(deadline),
        draw(st.sampled_from(TaskPriority)),
        draw(st.sampled_from([None, *TYPES])),
        draw(RARELY_CAPABLE),
    )
    homes = [number for number, device in enumerate(inventory) if fits(task, device)]
    if not homes:
        task = evolve(task, device_type=None, requires=frozenset())
        homes = list(range(len(inventory)))
    if pinned or draw(st.integers(0, 4)) == 4:
        task = evolve(task, pin=draw(st.sampled_from(homes)))
    return task


@st.composite
def plans(
    draw: st.DrawFn,
    inventory: tuple[DevicePlan, ...],
    step: st.SearchStrategy[Step],
    *,
    pinned: bool = False,
    most: int = 8,
) -> Plan:
    """Up to `most` tasks, with links of all kinds that lead forward."""
    count = draw(st.integers(1, most))
    named = [draw(tasks(f"t{number}", inventory, step, pinned=pinned)) for number in range(count)]
    pairs = [(low, high) for high in range(count) for low in range(high)]
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=2 * count, unique=True)) if pairs else []
    links = tuple(draw(links_between(f"t{low}", f"t{high}")) for low, high in chosen)
    return Plan(tuple(named), links)


def links_between(source: str, target: str) -> st.SearchStrategy[LinkPlan]:
    conditions = st.sampled_from([None, *CONDITIONS])
    plain = st.sampled_from([kind for kind in DependencyType if kind is not DependencyType.CONDITIONAL])
    return st.one_of(
        st.builds(LinkPlan, st.just(source), st.just(target), plain),
        st.builds(LinkPlan, st.just(source), st.just(target), st.just(DependencyType.CONDITIONAL), conditions),
    )


@st.composite
def runs(
    draw: st.DrawFn, inventory: tuple[DevicePlan, ...], step: st.SearchStrategy[Step], *, most: int, late: bool
) -> RunPlan:
    strategy = draw(st.sampled_from(["static", "late", "late", None]))
    plan = draw(plans(inventory, step, pinned=strategy is None, most=most))
    return RunPlan(plan, strategy, draw(st.sampled_from([0.0, 1.0, 1.5])) if late else 0.0)


@st.composite
def calm(draw: st.DrawFn) -> Script:
    """Worlds in which nothing happens but what plans say; a plan's outcome does not depend on who runs what when."""
    inventory = tuple(draw(st.lists(devices(always_there=True), min_size=1, max_size=4)))
    count = draw(st.integers(1, 3))
    chosen = tuple(draw(runs(inventory, steps(CALM_ENDS), most=8 if count == 1 else 5, late=True)) for _ in range(count))
    return Script(inventory, chosen, seed=draw(st.integers(0, 99)))


LOSSES = ("unplug", "plug_in", "disconnect", "connect", "remove_device", "register", "freeze")
CANCELS = ("cancel_task", "cancel_task", "cancel_run", "cancel_host")


@st.composite
def happenings(draw: st.DrawFn, inventory: tuple[DevicePlan, ...], count: int, kinds: tuple[str, ...]) -> Happening:
    what = draw(st.sampled_from(kinds))
    after = draw(st.sampled_from([None, None, 1, 2, 3, 5])) if what in ("edit", "cancel_task") else None
    numbers = st.integers(0, 7)
    return Happening(
        what,
        draw(st.sampled_from(list(EDITS))) if what == "edit" else "",
        draw(MOMENTS),
        after,
        draw(st.integers(0, count - 1)),
        draw(numbers),
        draw(numbers),
        draw(tasks("new", inventory, rough_steps(), pinned=False)) if what == "edit" else TaskPlan("new"),
        draw(st.sampled_from(DependencyType)),
        draw(st.sampled_from([None, *CONDITIONS])),
    )


def _hangs(task: TaskPlan) -> bool:
    return task.timeout_s is None and any(step.end == "hangs" for step in task.steps)


@st.composite
def rough(draw: st.DrawFn, kinds: tuple[str, ...], *, most: int = 6) -> Script:
    """Worlds in which these kinds of things happen."""
    inventory = tuple(draw(st.lists(devices(always_there="unplug" not in kinds), min_size=1, max_size=4)))
    count = draw(st.integers(1, 3))
    chosen = tuple(draw(runs(inventory, rough_steps(), most=most, late=True)) for _ in range(count))
    happening = tuple(draw(st.lists(happenings(inventory, count, kinds), max_size=8)))
    everything = [task for run in chosen for task in run.plan.tasks] + [one.task for one in happening]
    may_hang = any(map(_hangs, everything)) or any(one.what == "freeze" for one in happening)
    return Script(inventory, chosen, happening, draw(st.integers(0, 99)), may_hang=may_hang)
