"""Placements to ask strategies about, as hypothesis draws them, and what an answer comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve
from hypothesis import strategies as st

from galaxy_core.extension.interfaces import DeviceLoad, Placement, TaskToPlace

CAPABILITIES = "abcd"
ALIKE = st.just(frozenset[str]())
ANY_CAPABILITIES = st.frozensets(st.sampled_from(CAPABILITIES))
NO_TYPE: st.SearchStrategy[str | None] = st.none()
ANY_TYPE: st.SearchStrategy[str | None] = st.sampled_from([None, "linux", "android"])
#: Whole seconds, so that sums are exact.
WHOLE = st.integers(0, 9).map(float)
ANY_ESTIMATE = st.none() | WHOLE | st.floats(0, 1e6)
ONE_SLOT = st.just(1)
SOME_SLOTS = st.integers(1, 4)
NOTHING_HELD = st.just((0, 0.0))
SOME_HELD = st.integers(0, 5).flatmap(lambda count: st.tuples(st.just(count), WHOLE if count else st.just(0.0)))


def device(device_id: str, capabilities: str = "", slots: int = 1, **more: Any) -> DeviceLoad:
    """A device; `more` are `running`, `queued`, `assigned` and `assigned_s`."""
    return evolve(DeviceLoad(device_id, None, frozenset(capabilities), {}, slots), **more)


def task(task_id: str, fitting: Sequence[str], estimate_s: float | None = None, **more: Any) -> TaskToPlace:
    """A task; `more` are `priority` and `requires`."""
    return evolve(TaskToPlace(task_id, 2, None, frozenset(), tuple(fitting), estimate_s), **more)


def placement(
    tasks: Sequence[TaskToPlace],
    devices: Sequence[DeviceLoad],
    prerequisites: Mapping[str, Sequence[str]] | None = None,
) -> Placement:
    return Placement(tasks, {load.device_id: load for load in devices}, prerequisites or {})


@st.composite
def devices(
    draw: st.DrawFn,
    *,
    capabilities: st.SearchStrategy[frozenset[str]] = ANY_CAPABILITIES,
    types: st.SearchStrategy[str | None] = ANY_TYPE,
    slots: st.SearchStrategy[int] = SOME_SLOTS,
    held: st.SearchStrategy[tuple[int, float]] = SOME_HELD,
    most: int = 5,
) -> dict[str, DeviceLoad]:
    found = {}
    for number in range(draw(st.integers(1, most))):
        count, seconds = draw(held)
        load = DeviceLoad(
            f"device-{number}",
            draw(types),
            draw(capabilities),
            {},
            draw(slots),
            assigned=count,
            assigned_s=seconds,
        )
        found[load.device_id] = load
    return found


@st.composite
def placements(
    draw: st.DrawFn,
    *,
    among: st.SearchStrategy[dict[str, DeviceLoad]] | None = None,
    estimates: st.SearchStrategy[float | None] = ANY_ESTIMATE,
    most: int = 8,
    linked: bool = False,
) -> Placement:
    """Whatever a kernel could ask: each task asks for part of what some device has, and what has it, fits."""
    loads = draw(devices() if among is None else among)
    tasks = []
    for number in range(draw(st.integers(0, most))):
        model = loads[draw(st.sampled_from(sorted(loads)))]
        requires = (
            draw(st.frozensets(st.sampled_from(sorted(model.capabilities)))) if model.capabilities else frozenset()
        )
        device_type = draw(st.sampled_from([None, model.device_type]))
        fitting = tuple(
            load.device_id
            for load in loads.values()
            if requires <= load.capabilities and device_type in {None, load.device_type}
        )
        tasks.append(
            TaskToPlace(f"task-{number}", draw(st.integers(1, 4)), device_type, requires, fitting, draw(estimates))
        )
    ids = [each.task_id for each in tasks]
    links = {}
    if linked:
        for number in range(1, len(ids)):
            if sources := draw(st.lists(st.sampled_from(ids[:number]), max_size=3)):
                links[ids[number]] = sources
    return Placement(tasks, loads, links)


#: Devices that fit every task.
def alike(
    slots: st.SearchStrategy[int] = ONE_SLOT,
    held: st.SearchStrategy[tuple[int, float]] = NOTHING_HELD,
    most: int = 5,
) -> st.SearchStrategy[dict[str, DeviceLoad]]:
    return devices(capabilities=ALIKE, types=NO_TYPE, slots=slots, held=held, most=most)


def seconds(each: TaskToPlace) -> float:
    return 1.0 if each.estimate_s is None else each.estimate_s


def counts(asked: Placement, chosen: Mapping[str, str]) -> dict[str, int]:
    """How many tasks each device was given."""
    found = Counter(chosen.values())
    return {device_id: found[device_id] for device_id in asked.devices}


def largest_load(asked: Placement, chosen: Mapping[str, str]) -> float:
    """The most seconds per slot that a device would then hold."""
    work = {device_id: load.assigned_s for device_id, load in asked.devices.items()}
    for each in asked.tasks:
        work[chosen[each.task_id]] += seconds(each)
    return max(work[device_id] / load.max_concurrency for device_id, load in asked.devices.items())


def least_largest_load(asked: Placement) -> float:
    """The least that `largest_load` can be, by trying every assignment that is not worse already."""
    work = {device_id: load.assigned_s for device_id, load in asked.devices.items()}
    slots = {device_id: load.max_concurrency for device_id, load in asked.devices.items()}
    tasks = sorted(asked.tasks, key=seconds, reverse=True)

    def best(number: int, largest: float, bound: float) -> float:
        if largest >= bound or number == len(tasks):
            return min(largest, bound)
        for device_id in tasks[number].fitting:
            work[device_id] += seconds(tasks[number])
            bound = best(number + 1, max(largest, work[device_id] / slots[device_id]), bound)
            work[device_id] -= seconds(tasks[number])
        return bound

    return best(0, max(work[device_id] / slots[device_id] for device_id in work), float("inf"))
